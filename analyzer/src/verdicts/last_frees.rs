//! What a program gives back as it ends: a main function that returns frees what it held, and so do functions that are called at
//! exit. None of it says that the program would have freed it.
use crate::replay::Block;

/// The frees at the end are those since which there were fewer allocations than one for so many.
const FREES: u64 = 2;

/// A block that was freed at the end.
#[derive(Clone, Copy, Debug)]
pub struct LastFree {
    /// It.
    pub block: Block,
    /// When it was freed, ticks.
    pub freed: u64,
    /// How long it had lived, ticks.
    pub lived: u64,
}

/// The frees at the end of what was seen so far.
#[derive(Default)]
pub struct LastFrees {
    /// Frees less [`FREES`] times the allocations since the first of them: where it is 0 they were not the end.
    ahead: u64,
    frees: Vec<LastFree>,
}

impl LastFrees {
    /// A block was allocated.
    #[inline(always)]
    pub fn allocated(&mut self) {
        self.ahead = self.ahead.saturating_sub(FREES);
        if self.ahead == 0 {
            self.frees.clear();
        }
    }

    /// A block was freed.
    #[inline(always)]
    pub fn freed(&mut self, free: LastFree) {
        self.ahead += 1;
        self.frees.push(free);
    }

    /// The frees with which it ended.
    pub fn take(&mut self) -> Vec<LastFree> {
        std::mem::take(&mut self.frees)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Birth;

    #[test]
    fn only_the_frees_at_the_end_are_kept() {
        let block = |size| Block { size, birth: Birth::new(1, 1), site: 0, moving: 0 };
        let free = |size| LastFree { block: block(size), freed: 9, lived: 8 };
        let mut last = LastFrees::default();
        (0..10).for_each(|size| last.freed(free(size)));
        (0..5).for_each(|_| last.allocated());
        assert!(last.take().is_empty(), "the work went on");
        (0..10).for_each(|size| last.freed(free(size)));
        (0..4).for_each(|_| last.allocated());
        last.freed(free(10));
        let sizes: Vec<u64> = last.take().iter().map(|free| free.block.size).collect();
        assert_eq!(sizes, (0..=10).collect::<Vec<u64>>());
    }
}
