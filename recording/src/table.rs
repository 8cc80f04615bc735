//! The live table: the unfreed blocks of a process at any instant, as words in its file.
//!
//! A page of the table has a word for each place where a block may begin in a part of the heap. A block's word is stored
//! whole, after the block was handed out, and emptied before it is given back: whoever reads the pages, while the
//! process runs or after it was killed, has its unfreed blocks, but for the operation that each thread was in.
//!
//! Two planes. In [`Plane::Wide`] a word stands for 32 bytes of heap, for blocks of which no two begin so close to each other.
//! [`Plane::Narrow`] has a word for each 8 bytes, for the blocks that might share a word of the wide one.

use crate::layout::{CHUNK, CHUNK_HEADER};
use crate::{Address, StackId};

/// Bytes of a page of the table, and where in its chunk the first one begins: what is before describes them.
pub const PAGE: usize = 4096;
/// Pages in a chunk.
pub const PAGES: usize = CHUNK / PAGE - 1;
/// Where a chunk of the live table has the [`Tag`]s of its pages: `u64` each.
pub const TAGS: usize = CHUNK_HEADER;
/// Words in a page.
pub const WORDS: usize = PAGE / 8;

const _: () = assert!(TAGS + 8 * PAGES <= PAGE);

/// How fine a page of the table divides the heap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Plane {
    /// A word for 32 bytes, a page for 16 KiB.
    Wide = 0,
    /// A word for 8 bytes, a page for 4 KiB.
    Narrow = 1,
}

impl Plane {
    /// log2 of the bytes of heap that a word stands for.
    pub const fn shift(self) -> u32 {
        match self {
            Plane::Wide => 5,
            Plane::Narrow => 3,
        }
    }

    /// log2 of the bytes of heap that a page stands for.
    pub const fn page_shift(self) -> u32 {
        self.shift() + WORDS.trailing_zeros()
    }

    /// Index of the word of `address` in its page.
    #[inline(always)]
    pub const fn index(self, address: Address) -> usize {
        (address.0 >> self.shift()) as usize % WORDS
    }
}

/// What a page of the table stands for. 0: it is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    /// First address of its part of the heap.
    pub base: u64,
    /// How it is divided.
    pub plane: Plane,
    /// The blocks were allocated after Python began to finalize.
    pub late: bool,
}

impl Tag {
    const NARROW: u64 = 1;
    const LATE: u64 = 2;
    const USED: u64 = 4;

    /// As stored.
    pub const fn to_word(self) -> u64 {
        self.base
            | if matches!(self.plane, Plane::Narrow) { Tag::NARROW } else { 0 }
            | if self.late { Tag::LATE } else { 0 }
            | Tag::USED
    }

    /// `None` for a page that is not used.
    pub const fn from_word(word: u64) -> Option<Tag> {
        if word & Tag::USED == 0 {
            return None;
        }
        let plane = if word & Tag::NARROW != 0 { Plane::Narrow } else { Plane::Wide };
        let base = word >> plane.page_shift() << plane.page_shift();
        Some(Tag { base, plane, late: word & Tag::LATE != 0 })
    }
}

/// What a word says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Kind {
    /// The size of the block whose word is the one before.
    Size = 1,
    /// A block.
    Block = 2,
    /// A block that was given to `realloc`, which has not come back: it is unfreed until then.
    Moving = 3,
    /// A block that was freed after Python had begun to finalize: it is of the set before exit alone.
    FreedLate = 4,
}

/// Stack ids that a word holds are below this.
pub const STACKS: u32 = 1 << 30;
/// Epochs that a word holds are below this.
pub const EPOCHS: u32 = 1 << 19;
/// Sizes from here on are not in the block's own word.
const SIZE_ELSEWHERE: u64 = 1023;
const ARENA_UNIT: u64 = 4096;
/// From here on an arena's size is in bytes.
const ARENA_BYTES: u64 = 512;

/// The kind of a [`Kind::Moving`] word that holds a size of up to 29 bits and no epoch.
const MOVING_LONG: u64 = 5;
const LONG_BITS: u32 = 29;

const KIND_BITS: u32 = 3;
const LOW_SHIFT: u32 = 3;
const SIZE_SHIFT: u32 = 5;
const STACK_SHIFT: u32 = 15;
const SIZE_BITS: u32 = STACK_SHIFT - SIZE_SHIFT;
const EPOCH_SHIFT: u32 = 45;

/// A word of the table: bits 0 to 2 kind, 3 and 4 the same bits of the address, 5 to 14 size, 15 to 44 stack, 45 to 63 epoch.
/// Of kind [`Kind::Size`]: bits 3 to 63 the size. 0 is empty.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(transparent)]
pub struct Word(pub u64);

impl Word {
    /// A block's word, and the word that must be stored in the next place before it, if its size needs that. The stack is
    /// below [`STACKS`], the epoch below [`EPOCHS`].
    ///
    /// An arena's first blocks begin where that next word would be, so its size is counted in pages where it can be.
    #[inline(always)]
    pub const fn block(address: Address, size: u64, stack: StackId, epoch: u32) -> (Word, Option<Word>) {
        let short = if stack.0 != StackId::ARENA.0 {
            size
        } else if size.is_multiple_of(ARENA_UNIT) && size / ARENA_UNIT < ARENA_BYTES {
            size / ARENA_UNIT
        } else {
            size.saturating_add(ARENA_BYTES)
        };
        let (short, next) = if short < SIZE_ELSEWHERE {
            (short, None)
        } else {
            (SIZE_ELSEWHERE, Some(Word(Kind::Size as u64 | size << KIND_BITS)))
        };
        let low = address.0 >> LOW_SHIFT & 3;
        let word = Kind::Block as u64
            | low << LOW_SHIFT
            | short << SIZE_SHIFT
            | (stack.0 as u64) << STACK_SHIFT
            | (epoch as u64) << EPOCH_SHIFT;
        (Word(word), next)
    }

    /// What it says; `None` of one that is empty, or makes no sense.
    #[inline(always)]
    pub const fn kind(self) -> Option<Kind> {
        match self.0 & 7 {
            1 => Some(Kind::Size),
            2 => Some(Kind::Block),
            3 | MOVING_LONG => Some(Kind::Moving),
            4 => Some(Kind::FreedLate),
            _ => None,
        }
    }

    /// The word of the same block, of this size, while `realloc` has it. What is the next word may be another block's before
    /// `realloc` has come back: so this one holds the size in any case, but for 512 MiB and more, in place of the epoch.
    pub const fn moving(self, size: u64) -> Word {
        if self.size().is_some() || size >> LONG_BITS != 0 {
            return self.with_kind(Kind::Moving);
        }
        let others = self.0 & ((STACKS as u64 - 1) << STACK_SHIFT | 3 << LOW_SHIFT);
        let size = (size & ((1 << SIZE_BITS) - 1)) << SIZE_SHIFT | size >> SIZE_BITS << EPOCH_SHIFT;
        Word(MOVING_LONG | others | size)
    }

    /// The same block as another kind of word.
    #[inline(always)]
    pub const fn with_kind(self, kind: Kind) -> Word {
        Word(self.0 & !7 | kind as u64)
    }

    /// Whether it is the word of an unfreed block at `address`, one of those for which the word stands.
    #[inline(always)]
    pub const fn is_block_at(self, address: Address) -> bool {
        matches!(self.0 & 7, 2 | 3 | MOVING_LONG) && self.0 >> LOW_SHIFT & 3 == address.0 >> LOW_SHIFT & 3
    }

    /// The address of a block in a page with this tag at this index.
    pub const fn address(self, tag: Tag, index: usize) -> Address {
        let start = tag.base.wrapping_add((index as u64) << tag.plane.shift());
        match tag.plane {
            Plane::Wide => Address(start | (self.0 >> LOW_SHIFT & 3) << LOW_SHIFT),
            Plane::Narrow => Address(start),
        }
    }

    /// The block's stack.
    #[inline(always)]
    pub const fn stack(self) -> StackId {
        StackId((self.0 >> STACK_SHIFT) as u32 % STACKS)
    }

    /// The epoch in which it was allocated, 0 if it does not say.
    #[inline(always)]
    pub const fn epoch(self) -> u32 {
        if self.0 & 7 == MOVING_LONG {
            return 0;
        }
        (self.0 >> EPOCH_SHIFT) as u32
    }

    /// The block's size if it is in this word; otherwise it is in the next one, see [`Word::next_size`].
    #[inline(always)]
    pub const fn size(self) -> Option<u64> {
        if self.0 & 7 == MOVING_LONG {
            return Some(self.0 >> SIZE_SHIFT & ((1 << SIZE_BITS) - 1) | self.0 >> EPOCH_SHIFT << SIZE_BITS);
        }
        match self.0 >> SIZE_SHIFT & SIZE_ELSEWHERE {
            SIZE_ELSEWHERE => None,
            size if self.stack().0 != StackId::ARENA.0 => Some(size),
            pages @ 0..ARENA_BYTES => Some(pages * ARENA_UNIT),
            size => Some(size - ARENA_BYTES),
        }
    }

    /// The size that this word says of the block before it.
    pub const fn next_size(self) -> Option<u64> {
        match self.kind() {
            Some(Kind::Size) => Some(self.0 >> KIND_BITS),
            _ => None,
        }
    }
}
