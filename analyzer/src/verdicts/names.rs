//! Strings that only CPython's cache of attributes holds.
//!
//! Who is asked for an attribute by a string that was just made (`getattr(self, method.lower())`) is remembered in a table of 4,096
//! slots (`Objects/typeobject.c`, `type_cache`), with a reference to the string. The slot is told by the string's *address*, so each new
//! string goes to another slot, and is freed by the next one that goes to its own: the table fills slowly, as if the line leaked,
//! and is never larger. What holds a block is not recorded; but a block that is freed just after another one was made at the same
//! place modulo the table's reach was pushed out of its slot.
use recording::Address;

use super::at_exit::FastSet;
use crate::replay::Replayed;

/// Sizes of strings of up to 100 characters, the longest that are remembered; with the header of CPython 3.8 to 3.13.
const SIZES: std::ops::RangeInclusive<u64> = 41..=149;
/// Bits of an address that tell the slot: 12 from the third on.
const SLOT: u64 = 0xfff << 3;
/// Slots of the table: it holds no more.
const SLOTS: usize = 4_096;
/// Other blocks are freed after one at the same place by chance: in 1 of 256 cases at most, if they are 128 bytes apart.
const OFTEN: f64 = 0.05;
/// And that may be the same two places again and again.
const PLACES: u32 = 4;

/// The blocks of a stack that were freed after others were made.
#[derive(Clone, Copy, Default, Debug)]
pub struct PushedOut {
    later: u64,
    of_slot: u64,
    /// A bit for each of some groups of slots.
    places: u64,
}

impl PushedOut {
    /// Whether what this stack makes is held by the table.
    pub fn are_names(&self) -> bool {
        self.of_slot as f64 >= OFTEN * self.later as f64 && self.places.count_ones() >= PLACES
    }
}

/// The unfreed strings that the table holds, of the stacks that are `are_names`: none, if they are more than it can.
pub fn held(replayed: &Replayed, are_names: impl Fn(u32) -> bool) -> FastSet<u64> {
    let names = replayed.live.iter();
    let names = names.filter(|(_, block)| SIZES.contains(&block.size) && are_names(block.site));
    let names: FastSet<u64> = names.map(|(address, _)| address.0).collect();
    if names.len() <= SLOTS { names } else { FastSet::default() }
}

/// Looks for blocks that push others out.
#[derive(Clone, Copy, Default)]
pub struct Names {
    last: u64,
}

impl Names {
    /// A block was allocated.
    #[inline(always)]
    pub fn born(&mut self, address: Address, size: u64) {
        if SIZES.contains(&size) {
            self.last = address.0;
        }
    }

    /// A block of a stack was freed.
    #[inline(always)]
    pub fn died(&self, address: Address, size: u64, stack: &mut PushedOut) {
        if SIZES.contains(&size) && address.0 != self.last {
            stack.later += 1;
            if (address.0 ^ self.last) & SLOT == 0 {
                stack.of_slot += 1;
                stack.places |= 1 << (address.0 >> 6 & 63);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_that_goes_to_the_slot_of_another_pushes_it_out() {
        let (mut names, mut table, mut heap) = (Names::default(), PushedOut::default(), PushedOut::default());
        for block in 0..10_000 {
            let address = Address(block * 64);
            names.born(address, 55);
            names.died(address, 55, &mut table);
            names.died(Address(address.0.wrapping_sub(512 * 64)), 55, &mut table);
            names.died(Address(block * 64 * 7 % 40_009), 55, &mut heap);
        }
        assert!(table.are_names());
        assert!(!heap.are_names());
        let (mut one, first) = (PushedOut::default(), Address(64));
        names.born(Address(64 + 0x8000), 55);
        (0..100).for_each(|_| names.died(first, 55, &mut one));
        assert!(!one.are_names(), "the same two places again and again");
        let mut large = PushedOut::default();
        (0..10_000).for_each(|block| names.died(Address(block << 15), 150, &mut large));
        assert!(!large.are_names());
    }
}
