//! Blocks that were freed soon after they had been allocated, counted in allocations of their thread.
use std::collections::VecDeque;

use recording::{Address, StackId};

use super::live::Block;
use super::merge::Place;
use super::observer::Observer;
use crate::fast_map::FastMap;

/// What a site allocated for a short time only.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ShortLived {
    /// Blocks.
    pub blocks: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Counts by site the blocks that were freed before their thread had allocated so many more. With one, the block was the
/// latest that its thread had allocated, as heaptrack's temporary allocations are. Memory is in proportion to the number
/// of more and of threads.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Temporary {
    within: usize,
    /// By writer the latest, each with its ordinal.
    latest: Vec<VecDeque<(Address, u64)>>,
    /// The ordinals of those that are not freed.
    young: FastMap<u64, u64>,
    allocations: u64,
    sites: Vec<ShortLived>,
}

impl Temporary {
    /// Of blocks freed before their thread had allocated `within` more, at least one.
    pub fn new(within: u32) -> Temporary {
        Temporary { within: within.max(1) as usize, ..Temporary::default() }
    }

    /// Of a site.
    pub fn of(&self, site: usize) -> ShortLived {
        self.sites.get(site).copied().unwrap_or_default()
    }
}

impl Observer for Temporary {
    fn born(&mut self, address: Address, _block: &Block, _stack: StackId, place: &Place) {
        if place.writer >= self.latest.len() {
            self.latest.resize_with(place.writer + 1, VecDeque::new);
        }
        let latest = &mut self.latest[place.writer];
        if latest.len() >= self.within
            && let Some((old, ordinal)) = latest.pop_front()
            && self.young.get(&old.0) == Some(&ordinal)
        {
            self.young.remove(&old.0);
        }
        self.allocations += 1;
        latest.push_back((address, self.allocations));
        self.young.insert(address.0, self.allocations);
    }

    fn died(&mut self, address: Address, block: &Block, _place: &Place) {
        if self.young.remove(&address.0).is_none() {
            return;
        }
        let site = block.site as usize;
        if site >= self.sites.len() {
            self.sites.resize(site + 1, ShortLived::default());
        }
        self.sites[site].blocks += 1;
        self.sites[site].bytes = self.sites[site].bytes.saturating_add(block.size);
    }
}
