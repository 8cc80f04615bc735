//! Hash maps with integer keys that come from a recording: addresses and indices, millions of look-ups a second.
//!
//! The hash is one multiplication, where std's keyed one would cost a third of the replay. Whoever writes colliding
//! keys into a recording slows down only the reading of it.
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map for integer keys, and tuples of them.
pub type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<IntegerHasher>>;

/// Spreads the bits of integers over the whole word: both the low and the high bits of the product are used.
#[derive(Default, Clone, Copy)]
pub struct IntegerHasher(u64);

impl Hasher for IntegerHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0.rotate_left(32) ^ value) * 0x9E37_79B9_7F4A_7C15;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
}
