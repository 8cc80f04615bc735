//! What a report wants to know of a replay beside its outcome.
use recording::{Address, StackId};

use super::levels::Levels;
use super::lifetimes::LifetimesBySite;
use super::live::Block;
use super::merge::Place;
use super::observer::Observer;
use super::temporary::Temporary;
use crate::reader::Recording;

/// What to look at while events are replayed; of a live table there is nothing to see.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Wanted {
    /// What each site held over time; when the run began, monotonic ms.
    pub levels_from_ms: Option<u64>,
    /// How long freed blocks had lived.
    pub lifetimes: bool,
    /// Blocks that were freed before their thread had allocated so many more.
    pub temporary: Option<u32>,
}

/// What was seen.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    /// What each site held over time.
    pub levels: Option<Levels>,
    /// How long freed blocks had lived.
    pub lifetimes: Option<LifetimesBySite>,
    /// What was freed soon.
    pub temporary: Option<Temporary>,
}

impl Seen {
    /// Nothing as yet; `None` if nothing is to be looked at.
    pub(super) fn new(wanted: Wanted, recording: &Recording) -> Option<Seen> {
        let begun_ms = recording.header.monotonic_ns / 1_000_000;
        (wanted != Wanted::default()).then(|| Seen {
            levels: wanted.levels_from_ms.map(|origin_ms| Levels::new(origin_ms, begun_ms)),
            lifetimes: wanted.lifetimes.then(|| LifetimesBySite::new(0..u64::MAX)),
            temporary: wanted.temporary.map(Temporary::new),
        })
    }
}

impl Seen {
    /// Whether anything was looked at.
    pub fn is_any(&self) -> bool {
        self.levels.is_some() || self.lifetimes.is_some() || self.temporary.is_some()
    }
}

impl Observer for Seen {
    #[inline(always)]
    fn born(&mut self, address: Address, block: &Block, stack: StackId, place: &Place) {
        self.levels.born(address, block, stack, place);
        self.lifetimes.born(address, block, stack, place);
        self.temporary.born(address, block, stack, place);
    }

    #[inline(always)]
    fn died(&mut self, address: Address, block: &Block, place: &Place) {
        self.levels.died(address, block, place);
        self.lifetimes.died(address, block, place);
        self.temporary.died(address, block, place);
    }

    #[inline(always)]
    fn soon(&self, site: usize) {
        self.levels.soon(site);
    }
}
