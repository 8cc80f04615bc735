//! The blocks that are live at one moment, by address.
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use crate::fast_map::IntegerHasher;

/// A live block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Bytes asked for.
    pub size: u64,
    /// Clock when it was allocated, monotonic ms.
    pub time_ms: u64,
    /// Index of the stack's totals.
    pub site: u32,
    /// The writer that has given it to `realloc`, from 1; 0 if none has. It counts as live until another block is seen
    /// at its address, or the realloc ends.
    pub moving: u32,
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
