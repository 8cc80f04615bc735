//! The blocks that are live at one moment, by address.
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

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

/// Spreads addresses, which differ in their middle bits, over the whole word. A keyed hash would cost a third of
/// the replay; who writes colliding addresses into a recording slows down only the reading of it.
#[derive(Default, Clone, Copy)]
pub struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        let product = u128::from(value) * 0x9E37_79B9_7F4A_7C15;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
}
