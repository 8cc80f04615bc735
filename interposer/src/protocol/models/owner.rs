//! A memory has one owner, who sees what those before have left in it.

use super::check;
use crate::protocol::owner::Owner;
use crate::sync::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Release};
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;

/// What the kernel knows of two thread ids, and a memory.
struct Process {
    lives: [AtomicBool; 2],
    owner: Owner,
    memory: UnsafeCell<u32>,
}

// SAFETY: loom checks that no access to the memory meets a write.
unsafe impl Sync for Process {}
// SAFETY: as above.
unsafe impl Send for Process {}

impl Process {
    /// Whose thread 0 was the memory's owner and is gone.
    fn new() -> Arc<Process> {
        let process = Process {
            lives: [AtomicBool::new(false), AtomicBool::new(false)],
            owner: Owner::new(),
            memory: UnsafeCell::new(1),
        };
        process.owner.set(0);
        Arc::new(process)
    }

    /// A thread with this id begins, and takes the memory if it can; whether it does. It `ends` or goes on.
    fn thread(&self, id: u32, ends: bool) -> bool {
        self.lives[id as usize].store(true, Release);
        let is_gone = |owner: u32| owner == id || !self.lives[owner as usize].load(Acquire);
        let takes = self.owner.take(id, is_gone);
        if takes {
            // SAFETY: loom checks it.
            self.memory.with_mut(|memory| unsafe { *memory += 1 });
        }
        self.lives[id as usize].store(!ends, Release);
        takes
    }

    /// The number of threads that have written to the memory.
    fn writers(&self) -> u32 {
        // SAFETY: loom checks it.
        self.memory.with(|memory| unsafe { *memory })
    }
}

#[test]
fn an_id_that_is_given_again_does_not_take_it_twice() {
    check("the id of the thread that is gone", || {
        let process = Process::new();
        let again = {
            let process = process.clone();
            thread::spawn(move || process.thread(0, false))
        };
        let takes = process.thread(1, false);
        let taken = [takes, again.join().expect("a thread ends")];
        assert_eq!(taken.iter().filter(|&&takes| takes).count(), 1, "a memory is one's");
        assert_eq!(process.writers(), 2);
    });
}

#[test]
fn one_owner_follows_another() {
    check("threads that end", || {
        let process = Process::new();
        let other = {
            let process = process.clone();
            thread::spawn(move || process.thread(0, true))
        };
        let takes = process.thread(1, true);
        let taken = [takes, other.join().expect("a thread ends")];
        assert_eq!(process.writers(), 1 + taken.iter().filter(|&&takes| takes).count() as u32);
    });
}
