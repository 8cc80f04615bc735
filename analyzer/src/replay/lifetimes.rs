//! How long the blocks of each site had lived when they were given back.
use std::ops::Range;

use recording::{Address, StackId};

use super::live::Block;
use super::merge::Place;
use super::observer::Observer;
use crate::growth::Lifetimes;

/// Lifetimes by site, of the blocks given back in a window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LifetimesBySite {
    /// Monotonic, ms.
    window_ms: Range<u64>,
    /// The latest clock. A thread that only frees notes none.
    now_ms: u64,
    /// By class, in which the blocks of most sites are few, the blocks of each site that has had any in it.
    classes: [Vec<u64>; Lifetimes::CLASSES],
}

impl LifetimesBySite {
    /// Of the blocks that are given back in this window, monotonic ms.
    pub fn new(window_ms: Range<u64>) -> LifetimesBySite {
        LifetimesBySite { window_ms, now_ms: 0, classes: Default::default() }
    }

    /// Of a site.
    pub fn of(&self, site: usize) -> Lifetimes {
        Lifetimes { blocks: self.classes.each_ref().map(|sites| sites.get(site).copied().unwrap_or(0)) }
    }
}

impl Observer for LifetimesBySite {
    #[inline(always)]
    fn born(&mut self, _address: Address, _block: &Block, _stack: StackId, place: &Place) {
        self.now_ms = self.now_ms.max(place.clock_ms);
    }

    #[inline(always)]
    fn died(&mut self, _address: Address, block: &Block, place: &Place) {
        self.now_ms = self.now_ms.max(place.clock_ms);
        if !self.window_ms.contains(&self.now_ms) {
            return;
        }
        let site = block.site as usize;
        let lived_ms = self.now_ms.saturating_sub(block.birth.time_ms());
        let sites = &mut self.classes[Lifetimes::class(lived_ms)];
        if site >= sites.len() {
            sites.resize(site + 1, 0);
        }
        sites[site] += 1;
    }
}
