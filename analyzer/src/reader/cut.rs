//! Moments in the order of a process's events.
use recording::layout::{FileHeader, SHARDS, finalizing_stamp, held_stamp};
use recording::{Event, shard_of};

/// A moment: each shard's first stamp after it, and the clock.
pub struct Cut {
    stamps: [u64; SHARDS],
    /// Monotonic clock, ns.
    pub monotonic_ns: u64,
}

impl Cut {
    /// The moment in which Python began to finalize, from the file's head.
    pub(super) fn finalizing(header: &FileHeader, head: &[u8]) -> Option<Cut> {
        let stamp = |shard| finalizing_stamp(head, shard).unwrap_or(u64::MAX);
        let monotonic_ns = header.finalizing_monotonic_ns;
        (monotonic_ns != 0).then(|| Cut { stamps: std::array::from_fn(stamp), monotonic_ns })
    }

    /// The moment from which on all events are there, from the file's head.
    pub(super) fn held(header: &FileHeader, head: &[u8]) -> Option<Cut> {
        let stamp = |shard| held_stamp(head, shard).unwrap_or(0);
        let monotonic_ns = header.held_monotonic_ns;
        (header.reused != 0).then(|| Cut { stamps: std::array::from_fn(stamp), monotonic_ns })
    }

    /// The first stamp of a shard after it.
    pub fn stamp(&self, shard: usize) -> u64 {
        self.stamps.get(shard).copied().unwrap_or(0)
    }

    /// Whether the event came after this moment; false for what is no event of a block, which has no place in the order.
    pub fn is_before(&self, event: &Event) -> bool {
        event.place().is_some_and(|(address, stamp)| stamp >= self.stamps[shard_of(address)])
    }
}
