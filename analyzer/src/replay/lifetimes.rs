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
    sites: Vec<Lifetimes>,
}

impl LifetimesBySite {
    /// Of the blocks that are given back in this window, monotonic ms.
    pub fn new(window_ms: Range<u64>) -> LifetimesBySite {
        LifetimesBySite { window_ms, now_ms: 0, sites: Vec::new() }
    }

    /// Of a site.
    pub fn of(&self, site: usize) -> Lifetimes {
        self.sites.get(site).copied().unwrap_or_default()
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
        if site >= self.sites.len() {
            self.sites.resize(site + 1, Lifetimes::default());
        }
        self.sites[site].add(self.now_ms.saturating_sub(block.birth.time_ms()), 1);
    }
}
