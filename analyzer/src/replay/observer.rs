//! Who looks on while a process is replayed: at blocks as they are allocated and given back.
use recording::StackId;

use super::live::Block;
use super::merge::Place;

/// Is told of each block of a replay, in the order of the events. Nothing after the moment of [`super::Options::until`].
pub trait Observer {
    /// A block of `size` bytes was allocated at a site, the index of its totals in [`super::Replayed::sites`].
    fn born(&mut self, site: u32, stack: StackId, size: u64, place: &Place);
    /// A block was given back, `place` says where and when.
    fn died(&mut self, block: &Block, place: &Place);
}

/// Nobody.
impl Observer for () {
    #[inline(always)]
    fn born(&mut self, _site: u32, _stack: StackId, _size: u64, _place: &Place) {}
    #[inline(always)]
    fn died(&mut self, _block: &Block, _place: &Place) {}
}

/// Both.
impl<A: Observer, B: Observer> Observer for (A, B) {
    #[inline(always)]
    fn born(&mut self, site: u32, stack: StackId, size: u64, place: &Place) {
        self.0.born(site, stack, size, place);
        self.1.born(site, stack, size, place);
    }

    #[inline(always)]
    fn died(&mut self, block: &Block, place: &Place) {
        self.0.died(block, place);
        self.1.died(block, place);
    }
}

impl<O: Observer> Observer for &mut O {
    #[inline(always)]
    fn born(&mut self, site: u32, stack: StackId, size: u64, place: &Place) {
        (**self).born(site, stack, size, place);
    }

    #[inline(always)]
    fn died(&mut self, block: &Block, place: &Place) {
        (**self).died(block, place);
    }
}
