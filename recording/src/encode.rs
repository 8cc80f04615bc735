//! Records to bytes, without memory of its own: a record is returned in registers, or in a small array.

use crate::address::{Address, StackId, shard_of};
use crate::model::{DefinitionModel, EventModel, Place, Predictors, class_of_usable, unit_shift};
use crate::record::{self as tag, FrameKind};
use crate::varint::zigzag;

/// A record of at most 16 bytes: the bytes are those of a little-endian `u128`.
///
/// To commit it, store bytes 8 to 15 first and bytes 0 to 7 after them, each as one word.
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    word: u128,
    len: u32,
}

impl Packed {
    #[inline(always)]
    pub(crate) const fn tag(tag: u8) -> Packed {
        Packed { word: tag as u128, len: 1 }
    }

    #[inline(always)]
    const fn two(tag: u8, byte: u8) -> Packed {
        Packed { word: tag as u128 | (byte as u128) << 8, len: 2 }
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self, value: u64) {
        if value < 0x80 {
            self.push(value as u8);
        } else {
            self.long_varint(value);
        }
    }

    #[inline(never)]
    fn long_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    #[inline(always)]
    fn push(&mut self, byte: u8) {
        self.word |= (byte as u128) << (self.len * 8);
        self.len += 1;
    }

    /// This record with what says that its stamp is `gap` later than expected.
    #[inline(always)]
    fn with_gap(self, gap: u64) -> Said {
        if gap == 0 {
            return Said { gap: None, record: self };
        }
        if gap <= 32 && self.len < 16 {
            let prefix = (tag::SHORT_GAP | (gap - 1) as u8) as u128;
            return Said { gap: None, record: Packed { word: self.word << 8 | prefix, len: self.len + 1 } };
        }
        Said { gap: Some(Packed::gap(gap)), record: self }
    }

    #[cold]
    fn gap(gap: u64) -> Packed {
        let mut packed = Packed::tag(tag::STAMP_GAP);
        packed.long_varint(gap);
        packed
    }

    /// Bytes 0 to 7; the one to store last.
    #[inline(always)]
    pub const fn low(&self) -> u64 {
        self.word as u64
    }

    /// Bytes 8 to 15.
    #[inline(always)]
    pub const fn high(&self) -> u64 {
        (self.word >> 64) as u64
    }

    /// Length in bytes.
    #[inline(always)]
    #[allow(clippy::len_without_is_empty, reason = "a record is never empty")]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// All sixteen bytes; those from [`Packed::len`] on are 0.
    pub const fn bytes(&self) -> [u8; 16] {
        self.word.to_le_bytes()
    }
}

/// An event of a block, as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// What must be written before it, seldom.
    pub gap: Option<Packed>,
    /// The event.
    pub record: Packed,
}

/// A record in full: three words, of which the first is the one to store last.
#[derive(Clone, Copy, Debug)]
pub struct Wide {
    /// The record, filled up with 0.
    pub words: [u64; 3],
    /// Length in bytes.
    pub len: usize,
}

impl Wide {
    fn new(tag: u8, stack: Option<StackId>, address: Address, size: Option<u64>) -> Wide {
        let mut bytes = [0; 24];
        let mut len = 1;
        let mut put = |part: &[u8]| {
            bytes[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        };
        if let Some(stack) = stack {
            put(&stack.0.to_le_bytes());
        }
        put(&address.0.to_le_bytes());
        if let Some(size) = size {
            put(&size.to_le_bytes());
        }
        bytes[0] = tag;
        let word = |i: usize| {
            u64::from_le_bytes([
                bytes[i],
                bytes[i + 1],
                bytes[i + 2],
                bytes[i + 3],
                bytes[i + 4],
                bytes[i + 5],
                bytes[i + 6],
                bytes[i + 7],
            ])
        };
        Wide { words: [word(0), word(8), word(16)], len }
    }
}

/// A difference of addresses in units of 2^`shift` bytes that the short form can say: 7 bytes of varint.
#[inline(always)]
const fn short_difference(from: u64, to: Address, shift: u32) -> Option<u64> {
    let difference = to.0.wrapping_sub(from) as i64;
    let folded = zigzag(difference >> shift);
    if (difference >> shift) << shift == difference && folded >> 49 == 0 { Some(folded) } else { None }
}

impl EventModel {
    /// What a chunk begins with. To be written before any other record.
    pub fn predictors(&mut self) -> Packed {
        self.predictors = Predictors::Second;
        Packed::tag(tag::PREDICTORS)
    }

    /// How much later than expected this stamp of `address` is; the next one is expected after it.
    #[inline(always)]
    fn gap(&mut self, address: Address, stamp: u64) -> u64 {
        let expected = &mut self.next_stamp[shard_of(address)];
        let gap = stamp.wrapping_sub(*expected);
        *expected = stamp.wrapping_add(1);
        gap
    }

    /// The record that must precede a wide event of `address` with this stamp, if one must.
    #[cold]
    pub fn stamp(&mut self, address: Address, stamp: u64) -> Option<Packed> {
        match self.gap(address, stamp) {
            0 => None,
            gap => Some(Packed::gap(gap)),
        }
    }

    /// An allocation, or the end of a realloc. `None`, with the model unchanged: only [`EventModel::stamp`] and
    /// [`EventModel::wide_alloc`] can say it.
    #[inline(always)]
    pub fn alloc(
        &mut self,
        address: Address,
        size: u64,
        stack: StackId,
        realloc: bool,
        stamp: u64,
    ) -> Option<Said> {
        let place = self.place(address, size, realloc);
        let mut difference = 0;
        if place == Place::Difference {
            difference = short_difference(self.base(size), address, unit_shift(size))?;
        }
        let (slot, known) = self.site(stack, size);
        if !known && size >> 21 != 0 {
            return None;
        }
        let mut gap = self.gap(address, stamp);
        let tag = tag::ALLOC | if realloc { tag::ALLOC_REALLOC } else { 0 } | (place as u8) << 4;
        let mut packed;
        if known {
            let folded = gap == 1;
            let site = if folded { tag::SITE_KNOWN_GAP } else { tag::SITE_KNOWN };
            packed = Packed::two(tag | site << 2 | (slot >> 8) as u8, slot as u8);
            if folded {
                gap = 0;
            }
            if place == Place::Difference {
                packed.varint(difference);
            }
        } else {
            packed = self.new_site(tag, stack);
            if place == Place::Difference {
                packed.varint(difference);
            }
            packed.varint(size);
            self.site_said(stack, size);
        }
        self.allocated(address, size, stack, place);
        Some(packed.with_gap(gap))
    }

    /// The beginning of an allocation whose stack and size are not known together.
    #[inline(always)]
    fn new_site(&self, tag: u8, stack: StackId) -> Packed {
        let (slot, known) = self.stack(stack);
        if known {
            return Packed::two(tag | tag::SITE_STACK << 2 | (slot >> 8) as u8, slot as u8);
        }
        let mut packed = Packed::tag(tag | tag::SITE_NEW << 2);
        packed.varint(zigzag(stack.0.wrapping_sub(self.last_stack) as i32 as i64));
        packed
    }

    /// An allocation in full.
    #[cold]
    pub fn wide_alloc(&mut self, address: Address, size: u64, stack: StackId, realloc: bool) -> Wide {
        self.allocated(address, size, stack, Place::Difference);
        let tag = if realloc { tag::WIDE_REALLOC_END } else { tag::WIDE_ALLOC };
        Wide::new(tag, Some(stack), address, Some(size))
    }

    /// A free, or the begin of a realloc. `usable` is asked for what the allocator says that the block holds, where
    /// the model does not know the block; any answer is right, a true one saves bytes. `None`, with the model
    /// unchanged: only [`EventModel::stamp`] and [`EventModel::wide_free`] can say it.
    #[inline(always)]
    pub fn free(
        &mut self,
        address: Address,
        realloc: bool,
        stamp: u64,
        usable: impl FnOnce() -> usize,
    ) -> Option<Said> {
        let mut tag = tag::FREE | if realloc { tag::FREE_REALLOC } else { 0 };
        if let Some(slot) = self.recent_slot(address) {
            self.freed_recent(slot);
            let packed = Packed::two(tag | tag::FREE_RECENT | (slot >> 8) as u8, slot as u8);
            let gap = self.gap(address, stamp);
            return Some(packed.with_gap(gap));
        }
        if address.0 & 7 != 0 {
            return None;
        }
        let gap = self.gap(address, stamp);
        let predicted = self.steps.class(address);
        let mut class = class_of_usable(usable());
        let is_predicted = address.0 & 8 == 0 && (class == 0 || class == predicted);
        if is_predicted {
            class = predicted;
            tag |= tag::FREE_PREDICTED;
        }
        let region = address.0 >> 20;
        let place = self.region_place(region);
        let mut packed = Packed::tag(tag | place.map_or(tag::REGION_NEW, |place| place as u8));
        if place.is_none() {
            packed.varint(zigzag(region.wrapping_sub(self.region_at(0)) as i64));
        }
        self.region_used(region, place);
        packed.push((address.0 >> 4) as u8);
        packed.push((address.0 >> 12) as u8);
        if !is_predicted {
            packed.push(class as u8 | (address.0 as u8 & 8) << 4);
        }
        self.freed_class(address, class);
        Some(packed.with_gap(gap))
    }

    /// A free in full.
    #[cold]
    pub fn wide_free(&mut self, address: Address, realloc: bool) -> Wide {
        self.last = address.0;
        Wide::new(if realloc { tag::WIDE_REALLOC_BEGIN } else { tag::WIDE_FREE }, None, address, None)
    }

    /// The realloc of this block failed; stamped as an event of the block by [`EventModel::stamp`].
    pub fn realloc_undo(&mut self, address: Address) -> Packed {
        Packed { word: tag::REALLOC_UNDO as u128 | (address.0 as u128) << 8, len: 9 }
    }

    /// The clock reads `ms`; `None` where it did not move.
    #[inline(always)]
    pub fn clock(&mut self, ms: u64) -> Option<Packed> {
        let moved = ms.saturating_sub(self.clock_ms);
        if moved == 0 {
            return None;
        }
        self.clock_ms = ms;
        let mut packed = Packed::tag(tag::CLOCK);
        packed.varint(moved);
        Some(packed)
    }

    /// The writer goes on as this thread's.
    pub fn thread(&mut self, number: u32, tid: u32) -> Packed {
        let mut packed = Packed::tag(tag::THREAD);
        packed.varint(number as u64);
        packed.varint(tid as u64);
        packed
    }

    /// The thread's name, filled up with 0.
    pub fn thread_name(&mut self, name: &[u8; 15]) -> Packed {
        let mut packed = Packed::tag(tag::THREAD_NAME);
        for &byte in name {
            packed.push(byte);
        }
        packed
    }

    /// A moment, see [`crate::mark`].
    pub fn mark(&mut self, mark: u64) -> Packed {
        let mut packed = Packed::tag(tag::MARK);
        packed.varint(mark);
        packed
    }

    /// `count` events are missing here.
    pub fn lost(&mut self, count: u64) -> Packed {
        let mut packed = Packed::tag(tag::LOST);
        packed.varint(count);
        packed
    }
}

/// What a definitions chunk's writer can say. Its state is a [`DefinitionModel`].
pub trait DefinitionEncoder {
    /// A frame; its id was [`DefinitionModel::next_id`].
    fn node(&mut self, parent: StackId, pc: Address, kind: FrameKind) -> Packed;
    /// A Python frame, see [`crate::Definition::PythonNode`]; its id was [`DefinitionModel::next_id`].
    fn python_node(&mut self, parent: StackId, code: u32, instruction: i32, entry: bool) -> Packed;
    /// A stack of native and Python frames; its id was [`DefinitionModel::next_id`].
    fn merged(&mut self, native: StackId, python: StackId) -> Packed;
    /// Nodes from here on are of this epoch.
    fn epoch(&mut self, epoch: u32) -> Packed;
    /// Nodes of this epoch and later are not in module `number`.
    fn module_gone(&mut self, number: u32, epoch: u32) -> Packed;
}

impl DefinitionEncoder for DefinitionModel {
    #[inline(always)]
    fn node(&mut self, parent: StackId, pc: Address, kind: FrameKind) -> Packed {
        let chained = parent.0.wrapping_add(1) == self.next_id;
        let (slot, known) = self.pc_slot(pc);
        let tag = tag::NODE
            | if chained { tag::NODE_CHAINED } else { 0 }
            | if kind == FrameKind::Interrupted { tag::NODE_INTERRUPTED } else { 0 };
        let mut packed;
        if known {
            packed = Packed::two(tag | tag::NODE_KNOWN_PC | (slot >> 8) as u8, slot as u8);
        } else {
            packed = Packed::tag(tag);
            packed.varint(zigzag(pc.0.wrapping_sub(self.last_pc) as i64));
        }
        if !chained {
            packed.varint(parent_difference(self.next_id, parent));
        }
        self.node_added(pc);
        packed
    }

    #[inline(always)]
    fn python_node(&mut self, parent: StackId, code: u32, instruction: i32, entry: bool) -> Packed {
        let chained = parent.0.wrapping_add(1) == self.next_id;
        let mut packed = Packed::tag(
            tag::PYTHON_NODE
                | if chained { tag::PYTHON_CHAINED } else { 0 }
                | if entry { tag::PYTHON_ENTRY } else { 0 },
        );
        packed.varint(zigzag(code.wrapping_sub(self.last_code) as i32 as i64));
        packed.varint((instruction as u32).wrapping_add(1) as u64);
        if !chained {
            packed.varint(parent_difference(self.next_id, parent));
        }
        self.python_node_added(code);
        packed
    }

    fn merged(&mut self, native: StackId, python: StackId) -> Packed {
        let mut packed = Packed::tag(tag::MERGED);
        packed.varint(parent_difference(self.next_id, native));
        packed.varint(parent_difference(self.next_id, python));
        self.next_id = self.next_id.wrapping_add(1);
        packed
    }

    fn epoch(&mut self, epoch: u32) -> Packed {
        let mut packed = Packed::tag(tag::EPOCH);
        packed.varint(epoch as u64);
        packed
    }

    fn module_gone(&mut self, number: u32, epoch: u32) -> Packed {
        let mut packed = Packed::tag(tag::MODULE_GONE);
        packed.varint(number as u64);
        packed.varint(epoch as u64);
        packed
    }
}

/// How a parent is said: an end reason as itself, any other id by its distance from the new node.
const fn parent_difference(id: u32, parent: StackId) -> u64 {
    if (parent.0 as u64) < crate::decode::PARENT_FRAMES {
        parent.0 as u64
    } else {
        let difference = parent.0.wrapping_sub(id) as i32 as i64;
        zigzag(difference) + crate::decode::PARENT_FRAMES
    }
}
