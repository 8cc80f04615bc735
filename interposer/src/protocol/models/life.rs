//! One thread begins the file, the others find it whole, and every event is recorded or counted.

use super::check;
use crate::protocol::life::{Found, Life};
use crate::sync::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;

struct Process {
    life: Life,
    lost_meanwhile: AtomicU64,
    /// What the beginning writes, once, and everybody else reads.
    header: UnsafeCell<u32>,
    stopped: AtomicU64,
    lost: AtomicU64,
}

// SAFETY: loom checks that no access to the header meets a write.
unsafe impl Sync for Process {}
// SAFETY: as above.
unsafe impl Send for Process {}

impl Process {
    fn new() -> Arc<Process> {
        Arc::new(Process {
            life: Life::new(),
            lost_meanwhile: AtomicU64::new(0),
            header: UnsafeCell::new(0),
            stopped: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        })
    }

    /// An event of `thread`: whether it is recorded. `works` says whether the file can be begun.
    fn event(&self, thread: u32, works: bool) -> bool {
        // SAFETY: loom checks it.
        let read = || self.header.with(|header| unsafe { *header });
        match self.life.enter(|| thread) {
            Found::Nothing => {
                // SAFETY: loom checks it.
                self.header.with_mut(|header| unsafe { *header += 1 });
                let lost = self.life.begun(works, &self.lost_meanwhile);
                self.lost.fetch_add(lost, Relaxed);
                return works;
            }
            Found::Recording => {
                assert_eq!(read(), 1, "the file was begun once");
                return true;
            }
            Found::Beginning => {
                let lost = self.life.lost_meanwhile(&self.lost_meanwhile);
                self.lost.fetch_add(lost, Relaxed);
            }
            Found::Stopped => {
                assert_eq!(self.stopped.load(Relaxed), 1, "what stops it was done before");
                assert_eq!(read(), 1, "the file was begun once");
                self.lost.fetch_add(1, Relaxed);
            }
            Found::Off => assert!(!works),
        }
        false
    }
}

#[test]
fn every_event_is_recorded_or_counted() {
    check("three threads, two events", || {
        let process = Process::new();
        let events = |thread: u32| {
            let process = process.clone();
            thread::spawn(move || u64::from(process.event(thread, true)))
        };
        let threads = [events(1), events(2)];
        let mut recorded = (0..2).map(|_| u64::from(process.event(3, true))).sum::<u64>();
        recorded += threads.map(|thread| thread.join().expect("a thread ends")).iter().sum::<u64>();
        assert_eq!(recorded + process.lost.load(Relaxed), 4);
        assert_eq!(process.lost_meanwhile.load(Relaxed), 0, "what was counted aside is in the file");
    });
    check("it is stopped", || {
        let process = Process::new();
        let thread = {
            let process = process.clone();
            thread::spawn(move || (0..2).map(|_| u64::from(process.event(1, true))).sum::<u64>())
        };
        let mut recorded = u64::from(process.event(2, true));
        let stops = process.life.stop(|| process.stopped.store(1, Relaxed));
        assert!(!process.life.is_recording() || !stops);
        recorded += u64::from(process.event(2, true));
        recorded += thread.join().expect("a thread ends");
        assert_eq!(recorded + process.lost.load(Relaxed), 4);
    });
}

#[test]
fn without_a_file_nothing_is_recorded() {
    check("it cannot be begun", || {
        let process = Process::new();
        let events = |thread: u32| {
            let process = process.clone();
            thread::spawn(move || process.event(thread, false))
        };
        let threads = [events(1), events(2)];
        assert!(!threads.map(|thread| thread.join().expect("a thread ends")).contains(&true));
        assert!(!process.life.stop(|| ()) && !process.life.is_recording());
    });
}
