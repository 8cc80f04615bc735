//! What a writer has allocated from each stack: exact also where its events are not kept.
//!
//! A chunk of them has entries of 16 bytes behind its header, in the order in which the writer met the stacks; the first
//! that is 0 ends them. A stack may have several entries, of which the sums count. Frees are not counted: what was
//! allocated and is not in the live table was freed.

use crate::StackId;
use crate::layout::{CHUNK, CHUNK_HEADER, u64_at};

/// Bytes of an entry.
pub const ENTRY: usize = 16;
/// Entries in a chunk.
pub const ENTRIES: usize = (CHUNK - CHUNK_HEADER) / ENTRY;

/// Bit of the stack in an entry of what was allocated after Python began to finalize.
pub const LATE: u32 = 1 << 31;

/// `u32` stack, with [`LATE`], plus 1, `u32` allocations; `u64` bytes. Both words are stored at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count {
    /// The stack: of these at most the first [`LATE`].
    pub stack: StackId,
    /// Allocated after Python began to finalize.
    pub late: bool,
    /// Blocks allocated.
    pub allocations: u32,
    /// Their bytes.
    pub bytes: u64,
}

impl Count {
    /// As stored. The stack is not the last possible id.
    #[inline(always)]
    pub const fn to_words(self) -> [u64; 2] {
        let stack = if self.late { self.stack.0 | LATE } else { self.stack.0 };
        [stack.wrapping_add(1) as u64 | (self.allocations as u64) << 32, self.bytes]
    }

    /// Reads the entry of this index in a chunk; `None` where there is none.
    pub fn read(chunk: &[u8], index: usize) -> Option<Count> {
        let at = CHUNK_HEADER + ENTRY * index;
        let word = u64_at(chunk, at)?;
        let stack = (word as u32).checked_sub(1)?;
        let late = stack & LATE != 0;
        Some(Count {
            stack: StackId(stack & !LATE),
            late,
            allocations: (word >> 32) as u32,
            bytes: u64_at(chunk, at + 8)?,
        })
    }
}
