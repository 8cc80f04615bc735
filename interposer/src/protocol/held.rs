//! How far the stamps were when places of a [`ring`](super::ring) were taken: what is needed to say, when the chunk at a place is
//! used again, from which stamps on all events are still there.
//!
//! A snapshot of all counters covers the places that were taken before it: who takes it has seen these taken, and all
//! that their takers had stamped before. There is one for every few places; of a place counts the first one behind it, and
//! any later one would be right too. So numbers in a snapshot only ever grow, and it does not matter who is held up
//! while it writes or reads them.

use crate::sync::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Of what lies in the ring there are about so many snapshots.
const PARTS: u64 = 32;

/// The counters at one moment.
#[repr(C)]
pub struct Snapshot<const SHARDS: usize> {
    /// The places below this are covered; 0: there is none.
    end: AtomicU64,
    /// The clock behind the counters.
    pub clock: AtomicU64,
    /// The stamps that came next.
    pub stamps: [AtomicU64; SHARDS],
}

/// See the module's contract. All zero has no snapshot.
#[repr(C)]
pub struct Held<const SHARDS: usize, const COUNT: usize> {
    /// The end of the newest snapshot.
    newest: AtomicU64,
    /// Snapshots begun.
    begun: AtomicU64,
    snapshots: [Snapshot<SHARDS>; COUNT],
}

impl<const SHARDS: usize, const COUNT: usize> Held<SHARDS, COUNT> {
    /// One that has no snapshot.
    #[cfg(loom)]
    pub fn new() -> Self {
        let zeros = || core::array::from_fn(|_| AtomicU64::new(0));
        let snapshot = |_| Snapshot { end: AtomicU64::new(0), clock: AtomicU64::new(0), stamps: zeros() };
        Held {
            newest: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            snapshots: core::array::from_fn(snapshot),
        }
    }

    /// The caller has taken the place before `end`, in a ring in which there are `length`: takes a snapshot if it is time.
    pub fn took_place(
        &self,
        end: u64,
        length: u64,
        counter: impl Fn(usize) -> u64,
        clock: impl FnOnce() -> u64,
    ) {
        let newest = self.newest.load(Relaxed);
        if end < newest + (length / PARTS).max(1)
            || self.newest.compare_exchange(newest, end, AcqRel, Relaxed).is_err()
        {
            return;
        }
        let snapshot = &self.snapshots[self.begun.fetch_add(1, Relaxed) as usize % COUNT];
        for (shard, stamp) in snapshot.stamps.iter().enumerate() {
            stamp.fetch_max(counter(shard), Relaxed);
        }
        snapshot.clock.fetch_max(clock(), Relaxed);
        snapshot.end.store(end, Release);
    }

    /// A snapshot of when `place` had been taken, as early a one as there is.
    pub fn behind(&self, place: u64) -> Option<&Snapshot<SHARDS>> {
        let covers = |snapshot: &Snapshot<SHARDS>| {
            let end = snapshot.end.load(Acquire);
            (end > place).then_some(end)
        };
        let ends = self.snapshots.iter().filter_map(|snapshot| Some((covers(snapshot)?, snapshot)));
        ends.min_by_key(|&(end, _)| end).map(|(_, snapshot)| snapshot)
    }
}
