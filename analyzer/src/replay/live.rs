//! The blocks that are live at one moment, by address.
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use crate::fast_map::IntegerHasher;

/// A live block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Bytes asked for.
    pub size: u64,
    /// When it was allocated.
    pub birth: Birth,
    /// Index of the stack's totals.
    pub site: u32,
    /// The writer that has given it to `realloc`, from 1; 0 if none has. It counts as live until another block is seen
    /// at its address, or the realloc ends.
    pub moving: u32,
}

/// When a block was allocated: the epoch, and the monotonic clock in ms as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Birth(u64);

impl Birth {
    /// 2^44 ms are 500 years.
    const TIME_BITS: u32 = 44;

    /// Of this epoch and clock; a damaged recording may say more than there can be.
    #[inline(always)]
    pub fn new(epoch: u32, time_ms: u64) -> Birth {
        let most = (1 << Self::TIME_BITS) - 1;
        Birth(u64::from(epoch.min(recording::table::EPOCHS)) << Self::TIME_BITS | time_ms.min(most))
    }

    /// The run's epoch; 0 if it is not known.
    pub fn epoch(self) -> u32 {
        (self.0 >> Self::TIME_BITS) as u32
    }

    /// Monotonic clock, ms.
    pub fn time_ms(self) -> u64 {
        self.0 & ((1 << Self::TIME_BITS) - 1)
    }
}

const _: () =
    assert!(size_of::<(u64, Block)>() == 32, "two entries of the table of live blocks are a cache line");

/// Live blocks by address.
pub type Live = HashMap<u64, Block, BuildHasherDefault<AddressHasher>>;

/// Keeps neighbours together: a program frees what it allocated one after the other, and with their places spread over
/// the table, waiting for memory would be most of a replay. Blocks of 1 KiB of addresses have places in a row, and such
/// rows begin anywhere.
#[derive(Default, Clone, Copy)]
pub struct AddressHasher(u64);

impl AddressHasher {
    /// Blocks begin at multiples of 16 bytes.
    const UNIT_BITS: u32 = 4;
    /// Log2 of the places in a row.
    const ROW_BITS: u32 = 6;
}

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    #[inline]
    fn write_u64(&mut self, address: u64) {
        let unit = address >> Self::UNIT_BITS;
        let row = BuildHasherDefault::<IntegerHasher>::default().hash_one(unit >> Self::ROW_BITS);
        let place = unit & ((1 << Self::ROW_BITS) - 1);
        // The low bits say where, the high ones tell apart what is there.
        self.0 = (row << Self::ROW_BITS | place) ^ place << (64 - Self::ROW_BITS);
    }
}
