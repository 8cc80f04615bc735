//! The counters of a process's shards: its events take their stamps from them.
//!
//! The top bit of a counter says that the recording has stopped. Whoever takes such a stamp stops all counters before it
//! goes on, as does who stops the recording: so nothing is recorded that the program did after an event that is not.
//! What is recorded is the program up to one moment, whatever its threads tell each other.

use crate::sync::{AtomicU64, const_unless_loom};
use core::sync::atomic::Ordering::Relaxed;

const STOPPED: u64 = 1 << 63;

/// A counter on a cache line of its own.
#[repr(C, align(64))]
pub struct Counter(AtomicU64);

impl Counter {
    const_unless_loom! {
        /// One that begins at 0.
        pub(crate) fn new() -> Counter {
            Counter(AtomicU64::new(0))
        }
    }
}

/// See the module's contract.
pub struct Counters<const SHARDS: usize>(pub [Counter; SHARDS]);

impl<const SHARDS: usize> Counters<SHARDS> {
    /// The next stamp of `shard`; `None` when the recording has stopped.
    #[inline(always)]
    pub fn take(&self, shard: usize) -> Option<u64> {
        let stamp = self.0[shard].0.fetch_add(1, Relaxed);
        if stamp & STOPPED == 0 {
            return Some(stamp);
        }
        self.stop();
        None
    }

    /// Whether stamps are still given.
    #[inline(always)]
    pub fn are_given(&self) -> bool {
        self.0[0].0.load(Relaxed) & STOPPED == 0
    }

    /// No more stamps are given. Several threads may do this together.
    #[cold]
    #[inline(never)]
    pub fn stop(&self) {
        for counter in &self.0 {
            counter.0.fetch_or(STOPPED, Relaxed);
        }
    }

    /// In a forked child: stamps of `shard` are given again. Returns the one that the parent had reached.
    pub fn go_on(&self, shard: usize) -> u64 {
        self.0[shard % SHARDS].0.fetch_and(!STOPPED, Relaxed) & !STOPPED
    }

    /// The stamp that the next event of `shard` gets.
    pub fn next(&self, shard: usize) -> u64 {
        self.0[shard % SHARDS].0.load(Relaxed) & !STOPPED
    }
}
