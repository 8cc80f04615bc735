//! Which thread a memory belongs to: one that is gone leaves its memory to whoever takes it first.
//!
//! The word counts its owners above the id of the latest one. Between the moment in which a thread is seen to be gone and
//! that in which its memory is taken, its id may be given to a new thread, and that one may take the memory by the same
//! id: the count has changed then, and it is not taken twice.

use crate::sync::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// See the module's contract. All zero is memory that was never owned.
#[repr(transparent)]
pub struct Owner(AtomicU64);

fn next(word: u64, thread: u32) -> u64 {
    ((word >> 32).wrapping_add(1)) << 32 | u64::from(thread)
}

impl Owner {
    /// Memory that was never owned.
    #[cfg(loom)]
    pub fn new() -> Owner {
        Owner(AtomicU64::new(0))
    }

    /// The caller's memory is its own by the id `thread`: it is new, or its thread has another id after fork.
    pub fn set(&self, thread: u32) {
        self.0.store(next(self.0.load(Relaxed), thread), Relaxed);
    }

    /// Takes the memory for `thread` if `may_take` says so of its owner's id; whether it is its own now. What the
    /// owners before have done with it is seen.
    pub fn take(&self, thread: u32, may_take: impl FnOnce(u32) -> bool) -> bool {
        let old = self.0.load(Acquire);
        may_take(old as u32) && self.0.compare_exchange(old, next(old, thread), AcqRel, Relaxed).is_ok()
    }
}
