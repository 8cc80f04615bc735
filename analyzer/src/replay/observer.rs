//! Who looks on while a process is replayed: at blocks as they are allocated and given back.
use recording::{Address, StackId};

use super::live::Block;
use super::merge::Place;

/// Is told of each block of a replay, in the order of the events. After the moment of [`super::Options::until`] it is told
/// only of what Python frees while it finalizes, if the moment is the one before that.
pub trait Observer {
    /// A block was allocated by this stack; [`Block::site`] is the index of the stack's totals in [`super::Replayed::sites`].
    fn born(&mut self, address: Address, block: &Block, stack: StackId, place: &Place);
    /// A block was given back; `place` says where and when.
    fn died(&mut self, address: Address, block: &Block, place: &Place);
    /// What was at this address at the moment was given back later; it may be told of again, of another block there.
    #[inline(always)]
    fn died_later(&mut self, _address: Address, _block: &Block, _place: &Place) {}
    /// It will be told of a block of this site soon.
    #[inline(always)]
    fn soon(&self, _site: usize) {}
}

/// Nobody.
impl Observer for () {
    #[inline(always)]
    fn born(&mut self, _address: Address, _block: &Block, _stack: StackId, _place: &Place) {}
    #[inline(always)]
    fn died(&mut self, _address: Address, _block: &Block, _place: &Place) {}
}

/// Both.
impl<A: Observer, B: Observer> Observer for (A, B) {
    #[inline(always)]
    fn born(&mut self, address: Address, block: &Block, stack: StackId, place: &Place) {
        self.0.born(address, block, stack, place);
        self.1.born(address, block, stack, place);
    }

    #[inline(always)]
    fn died(&mut self, address: Address, block: &Block, place: &Place) {
        self.0.died(address, block, place);
        self.1.died(address, block, place);
    }

    #[inline(always)]
    fn died_later(&mut self, address: Address, block: &Block, place: &Place) {
        self.0.died_later(address, block, place);
        self.1.died_later(address, block, place);
    }

    #[inline(always)]
    fn soon(&self, site: usize) {
        self.0.soon(site);
        self.1.soon(site);
    }
}

/// It, if there is one.
impl<O: Observer> Observer for Option<O> {
    #[inline(always)]
    fn born(&mut self, address: Address, block: &Block, stack: StackId, place: &Place) {
        if let Some(observer) = self {
            observer.born(address, block, stack, place);
        }
    }

    #[inline(always)]
    fn died(&mut self, address: Address, block: &Block, place: &Place) {
        if let Some(observer) = self {
            observer.died(address, block, place);
        }
    }

    #[inline(always)]
    fn died_later(&mut self, address: Address, block: &Block, place: &Place) {
        if let Some(observer) = self {
            observer.died_later(address, block, place);
        }
    }

    #[inline(always)]
    fn soon(&self, site: usize) {
        if let Some(observer) = self {
            observer.soon(site);
        }
    }
}

impl<O: Observer> Observer for &mut O {
    #[inline(always)]
    fn born(&mut self, address: Address, block: &Block, stack: StackId, place: &Place) {
        (**self).born(address, block, stack, place);
    }

    #[inline(always)]
    fn died(&mut self, address: Address, block: &Block, place: &Place) {
        (**self).died(address, block, place);
    }

    #[inline(always)]
    fn died_later(&mut self, address: Address, block: &Block, place: &Place) {
        (**self).died_later(address, block, place);
    }

    #[inline(always)]
    fn soon(&self, site: usize) {
        (**self).soon(site);
    }
}
