//! Addresses as an allocator hands them out: from lists of what was freed last, by size, or behind all that came before.

/// Larger blocks are not handed out.
pub const LARGEST: u32 = 32 << 10;
const UNIT: u64 = 16;
/// Blocks that take more than this are rounded up, so that there are few sizes of them.
const SMALL: u64 = 1 << 10;

/// An arena.
pub struct Heap {
    top: u64,
    /// By what they take, in units.
    free: Vec<Vec<u64>>,
}

/// What a block of this size takes of the heap.
fn spent(size: u32) -> u64 {
    let spent = ((u64::from(size) + 8).next_multiple_of(UNIT)).max(2 * UNIT);
    if spent <= SMALL { spent } else { spent.next_multiple_of(1 << (spent.ilog2() - 3)) }
}

/// How much of a block can be used, as its allocator would say.
pub fn usable(size: u32) -> usize {
    spent(size) as usize - 8
}

impl Heap {
    /// One that begins at this multiple of 16.
    pub fn new(base: u64) -> Heap {
        Heap { top: base + UNIT, free: vec![Vec::new(); (spent(LARGEST) / UNIT) as usize + 1] }
    }

    /// A block's address.
    pub fn take(&mut self, size: u32) -> u64 {
        let spent = spent(size);
        self.free[(spent / UNIT) as usize].pop().unwrap_or_else(|| {
            self.top += spent;
            self.top - spent
        })
    }

    /// A block of this size is free again.
    pub fn give(&mut self, address: u64, size: u32) {
        self.free[(spent(size) / UNIT) as usize].push(address);
    }
}
