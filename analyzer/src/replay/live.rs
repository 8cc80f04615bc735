//! The blocks that are live at one moment, by address.
use crate::fast_map::FastMap;

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
pub type Live = FastMap<u64, Block>;
