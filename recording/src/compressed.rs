//! Files that nobody writes any more, made smaller: the header's first bytes as they were, then each chunk that was begun, compressed.
//!
//! A chunk's own header stays readable, so that a reader finds what it looks for without decompressing the rest. What the rest is compressed
//! by is no business of this crate: see `FORMAT.md`.

use crate::layout::{CHUNK, CHUNK_HEADER, HELD_STAMPS, SHARDS, u32_at};

/// Bytes of the file's header that a compressed file begins with. The first entry follows.
pub const ENTRIES: usize = HELD_STAMPS + 8 * SHARDS;
/// Bytes of an entry before its frame.
pub const ENTRY: usize = 8 + CHUNK_HEADER;
/// Most bytes that are compressed in one frame.
pub const REST: usize = CHUNK - CHUNK_HEADER;

/// A chunk of a compressed file: its number, its first bytes as they were, and how long the frame is that follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Which chunk of the file it is. They follow in this order.
    pub number: u32,
    /// Bytes of the frame.
    pub frame: u32,
    /// The chunk's header.
    pub header: [u8; CHUNK_HEADER],
}

impl Entry {
    /// As it is stored.
    pub fn to_bytes(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..4].copy_from_slice(&self.number.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.frame.to_le_bytes());
        bytes[8..].copy_from_slice(&self.header);
        bytes
    }

    /// Reads one; `None` if the bytes end within it.
    pub fn decode(bytes: &[u8]) -> Option<Entry> {
        let header = *bytes.get(8..)?.first_chunk()?;
        Some(Entry { number: u32_at(bytes, 0)?, frame: u32_at(bytes, 4)?, header })
    }
}
