//! What is said to be held is: of a chunk that is used again all stamps are below.

use super::{check, check_to};
use crate::protocol::held::Held;
use crate::protocol::ring::Ring;
use crate::sync::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use loom::thread;
use std::sync::Arc;

/// A process of one shard, and room for two snapshots.
struct Process {
    counter: AtomicU64,
    begin: AtomicU64,
    end: AtomicU64,
    words: [AtomicU64; 4],
    held: Held<1, 2>,
}

impl Process {
    fn new() -> Arc<Process> {
        Arc::new(Process {
            counter: AtomicU64::new(0),
            begin: AtomicU64::new(0),
            end: AtomicU64::new(0),
            words: core::array::from_fn(|_| AtomicU64::new(0)),
            held: Held::new(),
        })
    }

    fn ring(&self) -> Ring<'_> {
        Ring { begin: &self.begin, end: &self.end, words: &self.words }
    }

    /// A chunk with one event is written and left. Its number is the event's stamp, plus 1.
    fn leave_one(&self) {
        let stamp = self.counter.fetch_add(1, Relaxed);
        let end = self.ring().put(stamp + 1);
        self.held.took_place(end, self.ring().length(), |_| self.counter.load(Relaxed), || 0);
    }

    /// The oldest chunk is used again.
    fn reuse_one(&self) {
        let Some((place, chunk)) = self.ring().take() else { return };
        let Some(snapshot) = self.held.behind(place) else { return };
        assert!(snapshot.stamps[0].load(Relaxed) >= chunk, "an event that is gone is said to be held");
    }
}

/// Others that leave so many chunks each.
fn others<const COUNT: usize>(process: &Arc<Process>, chunks: usize) -> [thread::JoinHandle<()>; COUNT] {
    core::array::from_fn(|_| {
        let process = process.clone();
        thread::spawn(move || (0..chunks).for_each(|_| process.leave_one()))
    })
}

#[test]
fn what_is_held_is_there() {
    check("two writers, one of which uses chunks again", || {
        let process = Process::new();
        let others = others::<1>(&process, 2);
        process.leave_one();
        process.reuse_one();
        process.reuse_one();
        others.into_iter().for_each(|other| other.join().expect("a writer ends"));
    });
    check_to(2, "three writers", || {
        let process = Process::new();
        let others = others::<2>(&process, 1);
        process.leave_one();
        process.reuse_one();
        others.into_iter().for_each(|other| other.join().expect("a writer ends"));
    });
}
