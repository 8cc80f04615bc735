//! What is recorded is the program up to one moment.

use super::check;
use crate::protocol::stamps::{Counter, Counters};
use crate::sync::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Release};
use loom::thread;
use std::sync::Arc;

fn counters() -> Arc<Counters<2>> {
    Arc::new(Counters([Counter::new(), Counter::new()]))
}

#[test]
fn what_a_shard_records_ends_at_one_stamp() {
    check("two threads, two events, one stops", || {
        let counters = counters();
        let events = || {
            let counters = counters.clone();
            thread::spawn(move || [counters.take(0), counters.take(0)])
        };
        let threads = [events(), events()];
        counters.stop();
        assert_eq!(counters.take(0), None, "it has stopped");
        let taken = threads.map(|thread| thread.join().expect("a thread ends"));
        assert!(taken.iter().all(|events| events[0].is_some() || events[1].is_none()));
        let mut stamps: Vec<u64> = taken.into_iter().flatten().flatten().collect();
        stamps.sort();
        assert!(stamps.iter().copied().eq(0..stamps.len() as u64), "{stamps:?} is no beginning");
        assert!(counters.go_on(0) >= stamps.len() as u64, "a child goes on behind what it inherited");
    });
}

#[test]
fn nothing_is_recorded_after_what_is_not() {
    check("a thread tells another of an event", || {
        let shared = Arc::new((counters(), AtomicBool::new(false)));
        let first = {
            let shared = shared.clone();
            thread::spawn(move || {
                let recorded = shared.0.take(0).is_some();
                shared.1.store(true, Release);
                recorded
            })
        };
        let second = {
            let shared = shared.clone();
            thread::spawn(move || shared.1.load(Acquire).then(|| shared.0.take(1).is_some()))
        };
        shared.0.stop();
        let first = first.join().expect("a thread ends");
        let second = second.join().expect("a thread ends");
        assert!(first || second != Some(true), "the later event is recorded, the earlier one is not");
    });
}
