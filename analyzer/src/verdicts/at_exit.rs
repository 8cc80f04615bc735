//! What the program did not hold when it ended, as Python's last full collection tells.
//!
//! Before Python takes its modules apart it collects garbage of all generations, and empties its lists of freed objects. So
//! what is freed there had waited for a full collection, or was memory that the interpreter kept for the next
//! objects (up to 2,000 tuples of each size): neither grows without bound, however it looks in a window without such a collection.
use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use recording::Address;

use crate::fast_map::{FastMap, IntegerHasher};
use crate::replay::Replayed;

/// A set of integers.
pub type FastSet<K> = HashSet<K, BuildHasherDefault<IntegerHasher>>;

/// A collection that frees as great a part of what was made by imports is the one that follows when modules are taken apart: it frees
/// what they hold, too.
const OF_IMPORTS: f64 = 0.05;
/// Memory is kept for the next object up to this size: a tuple of 20, or the table of a dict of 5.
const KEPT: u64 = 208;
/// So many of a size: 2,000 tuples, and a hundred of other kinds.
const MOST_KEPT: u64 = 2_200;

/// What was freed while Python finalized.
#[derive(Default)]
pub struct AtExit {
    /// Of each collection the blocks that it freed, and their sites; the interposer looks up to the end of the first one.
    collections: Vec<Vec<(Address, u32)>>,
    gone: FastSet<u64>,
    is_collecting: bool,
}

impl AtExit {
    /// A block of a site was freed, or another one at the same address.
    pub fn freed(&mut self, address: Address, site: u32, is_collecting: bool) {
        if !self.gone.insert(address.0) {
            return;
        }
        let was_collecting = std::mem::replace(&mut self.is_collecting, is_collecting);
        if !is_collecting {
            return;
        }
        match self.collections.last_mut().filter(|_| was_collecting) {
            Some(blocks) => blocks.push((address, site)),
            None => self.collections.push(vec![(address, site)]),
        }
    }

    /// Blocks that had only waited for a collection. A server whose main function returned is garbage too, and so is all that it held;
    /// so they are believed to have waited only if the collector freed as many of their stack before (`collected`), or
    /// if they are small, and no more than the interpreter keeps. `is_of_imports`: of a site. `None`: there was no such collection.
    pub fn waited(
        &self,
        replayed: &Replayed,
        is_of_imports: impl Fn(u32) -> bool,
        collected: impl Fn(u32) -> u64,
    ) -> Option<FastSet<u64>> {
        let imports = replayed.live.iter().filter(|(_, block)| is_of_imports(block.site)).count();
        let is_last = |blocks: &&Vec<(Address, u32)>| {
            let imported = blocks.iter().filter(|(_, site)| is_of_imports(*site)).count();
            imported as f64 <= OF_IMPORTS * imports as f64
        };
        let last = self.collections.first().filter(is_last)?;
        let freed: FastSet<u64> = last.iter().map(|(address, _)| address.0).collect();
        let found = || replayed.live.iter().filter(|(address, _)| freed.contains(&address.0));
        let mut blocks: FastMap<u32, u64> = FastMap::default();
        found().for_each(|(_, block)| *blocks.entry(block.site).or_default() += 1);
        let (garbage, others): (Vec<_>, Vec<_>) =
            found().partition(|(_, block)| collected(block.site) >= blocks[&block.site]);
        let mut sizes: FastMap<u64, u64> = FastMap::default();
        others.iter().for_each(|(_, block)| *sizes.entry(block.size).or_default() += 1);
        let is_kept = |size: u64| size <= KEPT && sizes[&size] <= MOST_KEPT;
        let kept = others.into_iter().filter(|(_, block)| is_kept(block.size));
        Some(garbage.into_iter().chain(kept).map(|(address, _)| address.0).collect())
    }
}
