//! What the second predictors know beside the first: where blocks of one size follow each other, and of what class the blocks
//! of each part of memory are.
//!
//! An allocator mostly cuts blocks of one size out of one piece after another, at equal distances: malloc with what it spends
//! on each, jemalloc and pymalloc without. So the distance is learned.

use crate::address::Address;
use crate::model::hash;

/// Sizes in steps of 16 bytes; the first one is also that of all larger ones.
const SIZES: usize = 65;
/// The longest distance that is learned.
const LONGEST: u64 = 2048;
/// Bytes that share a class, and how many of them are told apart.
const PART_SHIFT: u32 = 14;
const PART_BITS: u32 = 7;

/// See the module's contract. All-zero knows nothing.
#[derive(Clone, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Steps {
    /// The last block of each size that was elsewhere than the last free.
    lasts: [u64; SIZES],
    strides: [u16; SIZES],
    classes: [u8; 1 << PART_BITS],
}

#[inline(always)]
const fn step(size: u64) -> usize {
    let step = size.wrapping_add(15) >> 4;
    if step < SIZES as u64 { step as usize } else { 0 }
}

#[inline(always)]
const fn part(address: Address) -> usize {
    hash(address.0 >> PART_SHIFT, PART_BITS)
}

impl Steps {
    pub(crate) const EMPTY: Steps =
        Steps { lasts: [0; SIZES], strides: [0; SIZES], classes: [0; 1 << PART_BITS] };

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.lasts.fill(0);
        self.strides.fill(0);
        self.classes.fill(0);
    }

    /// Where the next block of this size is expected.
    #[inline(always)]
    pub(crate) fn next(&self, size: u64) -> u64 {
        self.lasts[step(size)].wrapping_add(self.strides[step(size)].into())
    }

    /// The last block of this size, 0 if there was none.
    #[inline(always)]
    pub(crate) fn last(&self, size: u64) -> u64 {
        self.lasts[step(size)]
    }

    /// A block of this size was elsewhere than the last free.
    #[inline(always)]
    pub(crate) fn moved_to(&mut self, address: Address, size: u64) {
        let step = step(size);
        let distance = address.0.wrapping_sub(self.lasts[step]);
        if distance.wrapping_sub(1) < LONGEST {
            self.strides[step] = distance as u16;
        }
        self.lasts[step] = address.0;
    }

    /// The class of the block of which an event was last where this one is.
    #[inline(always)]
    pub(crate) fn class(&self, address: Address) -> usize {
        self.classes[part(address)].into()
    }

    /// A block here is of this class.
    #[inline(always)]
    pub(crate) fn set_class(&mut self, address: Address, class: usize) {
        self.classes[part(address)] = class as u8;
    }
}
