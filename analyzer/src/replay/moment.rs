//! Moments of a run, and windows in which blocks were born: as asked for, and as one process's events tell them.
use std::ops::Range;

use recording::layout::{SHARDS, flag};
use recording::{Event, shard_of};

use super::live::Birth;
use super::merge::Place;
use crate::reader::{Cut, Recording};

/// The moment of which to speak. Later events are counted at most.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Moment {
    /// The end of what was recorded, or now.
    End,
    /// Before Python began to finalize; the end for a process in which it did not.
    #[default]
    BeforeExit,
    /// When this epoch began; for a process that began to finalize before that, that moment.
    Epoch(u32),
    /// At this time of the monotonic clock, ms; for a process that began to finalize before that, that moment.
    Time(u64),
    /// When most bytes were live in a process, the first time; its end if not all of its events are known.
    Peak,
}

/// An end of a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edge {
    /// When this epoch began.
    Epoch(u32),
    /// This time of the monotonic clock, ms.
    Time(u64),
}

/// A window in which blocks were allocated: from its first moment on, up to the other.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Born {
    /// `None`: from the beginning on.
    pub from: Option<Edge>,
    /// `None`: to the end.
    pub to: Option<Edge>,
}

impl Born {
    /// Whether it leaves anything out.
    pub fn selects(&self) -> bool {
        *self != Born::default()
    }

    /// The window in a process: what is told by epochs, and what by the clock.
    pub fn of(&self, recording: &Recording) -> BornIn {
        let (mut epochs, mut times) = (0..u32::MAX, 0..u64::MAX);
        match self.from.map(|edge| known(recording, edge)) {
            Some(Edge::Epoch(epoch)) => epochs.start = epoch,
            Some(Edge::Time(ms)) => times.start = ms,
            None => {}
        }
        match self.to.map(|edge| known(recording, edge)) {
            Some(Edge::Epoch(epoch)) => epochs.end = epoch,
            Some(Edge::Time(ms)) => times.end = ms,
            None => {}
        }
        BornIn { epochs, times }
    }
}

/// A window in one process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BornIn {
    epochs: Range<u32>,
    times: Range<u64>,
}

impl BornIn {
    /// Leaves nothing out.
    pub const ANY: BornIn = BornIn { epochs: 0..u32::MAX, times: 0..u64::MAX };

    /// Whether a block was born in it.
    pub fn contains(&self, birth: Birth) -> bool {
        self.epochs.contains(&birth.epoch()) && self.times.contains(&birth.time_ms())
    }
}

/// The epoch of a process that does not share the run's is its own, and old recordings have none: there the clock tells.
fn known(recording: &Recording, edge: Edge) -> Edge {
    match edge {
        Edge::Epoch(epoch) if !has_epochs(recording) => match recording.words.time_of(epoch) {
            Some(ms) => Edge::Time(ms),
            None => Edge::Epoch(epoch),
        },
        edge => edge,
    }
}

/// The first version with epochs.
const EPOCHS_SINCE: u32 = 4;

/// Whether the epochs in a process's events and live table are the run's.
pub fn has_epochs(recording: &Recording) -> bool {
    recording.header.version >= EPOCHS_SINCE && !recording.has(flag::ALONE)
}

/// The stamps from which on Python finalized, if these bound the moment.
pub fn cut(recording: &Recording, moment: Moment) -> Option<&Cut> {
    let cut = recording.finalizing.as_deref()?;
    let is_later = match moment {
        Moment::End | Moment::Peak => true,
        Moment::BeforeExit => false,
        Moment::Epoch(epoch) => match known(recording, Edge::Epoch(epoch)) {
            // Both bounds are looked at, so it does not matter which is the first.
            Edge::Epoch(_) => false,
            Edge::Time(ms) => ms < cut.monotonic_ns / 1_000_000,
        },
        Moment::Time(ms) => ms < cut.monotonic_ns / 1_000_000,
    };
    (!is_later).then_some(cut)
}

/// A moment in the order of one process's events.
pub(super) struct Until<'a> {
    stamps: Option<&'a Cut>,
    /// Events of this epoch and later came after it.
    epoch: u32,
    /// So did those of a shard whose clock is beyond this, ms.
    clock_ms: u64,
    /// The latest clock of an event in each shard: so an event of an address is never before and one that it follows after.
    reached_ms: [u64; SHARDS],
    /// It was reached, as a replay found out by itself.
    passed: bool,
    bounded: bool,
}

impl<'a> Until<'a> {
    pub fn of(recording: &'a Recording, moment: Moment) -> Until<'a> {
        let stamps = cut(recording, moment);
        let edge = match moment {
            Moment::End | Moment::BeforeExit | Moment::Peak => None,
            Moment::Epoch(epoch) => Some(known(recording, Edge::Epoch(epoch))),
            Moment::Time(ms) => Some(Edge::Time(ms)),
        };
        let (epoch, clock_ms) = match edge {
            None => (u32::MAX, u64::MAX),
            Some(Edge::Epoch(epoch)) => (epoch, u64::MAX),
            Some(Edge::Time(ms)) => (u32::MAX, ms),
        };
        Until {
            stamps,
            epoch,
            clock_ms,
            reached_ms: [0; SHARDS],
            passed: false,
            bounded: stamps.is_some() || edge.is_some(),
        }
    }

    /// Whether the event came after the moment; false for what is no event of a block, which has no place in the order.
    #[inline(always)]
    pub fn is_before(&mut self, place: &Place, event: &Event) -> bool {
        self.bounded && self.bounds(place, event)
    }

    /// What comes from now on came after the moment.
    #[cold]
    pub fn pass(&mut self) {
        (self.passed, self.bounded) = (true, true);
    }

    /// Whether [`Until::pass`] was called.
    pub fn is_passed(&self) -> bool {
        self.passed
    }

    fn bounds(&mut self, place: &Place, event: &Event) -> bool {
        let Some((address, _)) = event.place() else { return false };
        let reached = &mut self.reached_ms[shard_of(address)];
        *reached = place.clock_ms.max(*reached);
        let cut = self.stamps.is_some_and(|cut| cut.is_before(event));
        self.passed || cut || place.epoch >= self.epoch || *reached > self.clock_ms
    }
}
