//! The predictors: what encoder and decoder both know of a chunk so far. The transitions here are the format.
//!
//! All-zero memory is the initial state of both models, so that a freshly mapped page is one.

use crate::address::{Address, StackId};
use crate::layout::SHARDS;
use crate::steps::Steps;

/// Slots of the table of recent allocations, found by a hash of the address. 32 KiB.
pub(crate) const RECENT: usize = 1 << RECENT_BITS;
const RECENT_BITS: u32 = 12;
/// Slots of the table of stacks with sizes, found by a hash of both. 8 KiB.
pub(crate) const SITES: usize = 1 << SITE_BITS;
const SITE_BITS: u32 = 10;
/// Slots of the table of stacks, found by a hash of the stack. 4 KiB.
pub(crate) const STACKS: usize = 1 << STACK_BITS;
const STACK_BITS: u32 = 10;
/// Regions of 1 MiB that a free can name by their place in the list.
pub(crate) const REGIONS: usize = 7;
/// Size classes of 16 bytes that have a list of last frees; class 0 takes all larger sizes.
const CLASSES: usize = 66;
/// Frees remembered in each class.
const FREES: usize = 8;
/// Slots of the table of program counters. 16 KiB.
pub(crate) const PCS: usize = 1 << PC_BITS;
const PC_BITS: u32 = 11;

/// How an allocation's address is said, the `mm` bits of its tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// The last free of this size class that was not used again.
    LastFree = 0,
    /// Where the blocks of its size go on, see [`Steps`]. Of the first predictors: right behind the last block whose address was
    /// not [`Place::LastFree`].
    Next = 1,
    /// A difference to the last block of its size or, if there is none, to the last address. Of the first predictors: to the
    /// last address.
    Difference = 2,
    /// Right behind the last block that was not [`Place::LastFree`]; of the end of a realloc the last address itself. Of the
    /// first predictors: always the latter.
    Third = 3,
}

/// By which rules a chunk is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum Predictors {
    /// Those of versions 1 to 4, which are read only.
    First = 0,
    /// A chunk that begins with [`PREDICTORS`](crate::record::PREDICTORS).
    Second = 1,
}

/// How much of its tables a model keeps. A reader needs all; a writer that keeps less finds less in them, and says that
/// in full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Memory {
    /// A place for each slot.
    Whole,
    /// One for each eight slots, which has the one that was filled last: a writer then touches seven pages, not eighteen.
    Small,
}

impl Memory {
    /// Log2 of the slots that share a place.
    const fn share(self) -> u32 {
        match self {
            Memory::Whole => 0,
            Memory::Small => 3,
        }
    }
}

/// Empties the places in use of a table.
fn clear<'a, T: Default + 'a>(places: impl ExactSizeIterator<Item = &'a mut T>, share: u32) {
    let in_use = places.len() >> share;
    places.take(in_use).for_each(|place| *place = T::default());
}

/// State of an events chunk. What [`Memory::Small`] uses of it lies together.
#[derive(Clone, PartialEq, Eq)]
#[repr(C)]
pub struct EventModel {
    pub(crate) last: u64,
    behind: u64,
    pub(crate) clock_ms: u64,
    /// See [`Memory::share`].
    share: u32,
    pub(crate) predictors: Predictors,
    /// The stack of the last allocation.
    pub(crate) last_stack: u32,
    tops: [u8; CLASSES],
    /// Regions of the last frees that are not in `recent`, the latest first: `address >> 20`.
    regions: [u64; REGIONS],
    pub(crate) next_stamp: [u64; SHARDS],
    frees: [[u64; FREES]; CLASSES],
    /// `stack << 32 | size`.
    sites: [u64; SITES],
    /// From its end.
    stacks: [u32; STACKS],
    pub(crate) steps: Steps,
    /// `(address / 8) << 8 | class` of allocations, 0 if empty.
    recent: [u64; RECENT],
}

#[inline(always)]
pub(crate) const fn hash(value: u64, bits: u32) -> usize {
    (value.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)) as usize
}

/// The class of a block of which `usable` bytes can be used, as glibc lays out blocks.
#[inline(always)]
pub(crate) const fn class_of_usable(usable: usize) -> usize {
    let units = (usable >> 4) + (usable & 15 != 0) as usize;
    if units < CLASSES { units } else { 0 }
}

/// What glibc's malloc spends on a block of this size, in units of 16 bytes; 0 for large ones. For other
/// allocators it is only a worse guess.
#[inline(always)]
const fn class(size: u64) -> usize {
    if size > 16 * (CLASSES as u64 - 2) {
        return 0;
    }
    let units = ((size + 8 + 15) >> 4) as usize;
    if units < 2 {
        2
    } else if units < CLASSES {
        units
    } else {
        0
    }
}

#[inline(always)]
const fn spent(size: u64) -> u64 {
    let bytes = size.wrapping_add(8 + 15) & !15;
    if bytes < 32 { 32 } else { bytes }
}

/// Log2 of the units in which the address of a block of this size is told.
#[inline(always)]
pub(crate) const fn unit_shift(size: u64) -> u32 {
    if size <= 8 { 3 } else { 4 }
}

impl EventModel {
    /// The state of a fresh chunk.
    pub const fn new() -> EventModel {
        EventModel {
            last: 0,
            behind: 0,
            clock_ms: 0,
            share: 0,
            predictors: Predictors::First,
            last_stack: 0,
            tops: [0; CLASSES],
            regions: [0; REGIONS],
            next_stamp: [0; SHARDS],
            frees: [[0; FREES]; CLASSES],
            sites: [0; SITES],
            stacks: [0; STACKS],
            steps: Steps::EMPTY,
            recent: [0; RECENT],
        }
    }

    /// Back to the state of a fresh chunk that begins at `clock_ms`.
    pub fn begin_chunk(&mut self, clock_ms: u64, memory: Memory) {
        self.share = memory.share();
        self.predictors = Predictors::First;
        self.last_stack = 0;
        self.steps.clear();
        clear(self.recent.iter_mut(), self.share);
        clear(self.sites.iter_mut(), self.share);
        clear(self.stacks.iter_mut().rev(), self.share);
        self.regions.fill(0);
        self.frees.as_flattened_mut().fill(0);
        self.tops.fill(0);
        self.next_stamp.fill(0);
        self.last = 0;
        self.behind = 0;
        self.clock_ms = clock_ms;
    }

    #[inline(always)]
    fn last_free(&self, class: usize) -> u64 {
        self.frees[class][self.tops[class] as usize % FREES]
    }

    /// How a writer says the address of an allocation of this size.
    #[inline(always)]
    pub(crate) fn place(&self, address: Address, size: u64, realloc: bool) -> Place {
        if self.last_free(class(size)) == address.0 {
            Place::LastFree
        } else if self.steps.next(size) == address.0 {
            Place::Next
        } else if self.third(realloc) == address.0 {
            Place::Third
        } else {
            Place::Difference
        }
    }

    #[inline(always)]
    const fn third(&self, realloc: bool) -> u64 {
        if realloc { self.last } else { self.behind }
    }

    /// The address that a difference is to.
    #[inline(always)]
    pub(crate) fn base(&self, size: u64) -> u64 {
        match self.steps.last(size) {
            0 => self.last,
            last => last,
        }
    }

    /// The address that `place` says; `difference` is used by [`Place::Difference`] alone.
    #[inline(always)]
    pub(crate) fn at_place(&self, place: Place, size: u64, realloc: bool, difference: i64) -> Address {
        let is_first = self.predictors == Predictors::First;
        Address(match place {
            Place::LastFree => self.last_free(class(size)),
            Place::Next if is_first => self.behind,
            Place::Next => self.steps.next(size),
            Place::Difference if is_first => self.last.wrapping_add((difference as u64) << 4),
            Place::Difference => self.base(size).wrapping_add((difference as u64) << unit_shift(size)),
            Place::Third => self.third(realloc || is_first),
        })
    }

    /// An allocation happened.
    #[inline(always)]
    pub(crate) fn allocated(&mut self, address: Address, size: u64, stack: StackId, place: Place) {
        let class = class(size);
        if place == Place::LastFree {
            let top = self.tops[class];
            self.frees[class][top as usize % FREES] = 0;
            self.tops[class] = top.wrapping_sub(1);
        } else {
            self.behind = address.0.wrapping_add(spent(size));
            self.steps.moved_to(address, size);
        }
        self.steps.set_class(address, class);
        let slot = hash(address.0 >> 4, RECENT_BITS);
        self.recent[slot >> self.share] = ((address.0 >> 3) << 8) | class as u64;
        self.last = address.0;
        self.last_stack = stack.0;
    }

    /// The slot of `address` if it is a recent allocation.
    #[inline(always)]
    pub(crate) fn recent_slot(&self, address: Address) -> Option<usize> {
        let slot = hash(address.0 >> 4, RECENT_BITS);
        (self.recent[slot >> self.share] >> 8 == address.0 >> 3 && address.0 & 7 == 0).then_some(slot)
    }

    /// A free of the recent allocation in `slot` happened; returns its address.
    #[inline(always)]
    pub(crate) fn freed_recent(&mut self, slot: usize) -> Address {
        let entry = core::mem::take(&mut self.recent[(slot % RECENT) >> self.share]);
        let address = Address((entry >> 8) << 3);
        self.freed_class(address, (entry & 0xff) as usize % CLASSES);
        address
    }

    /// A free of any other block happened, whose class is this.
    #[inline(always)]
    pub(crate) fn freed_class(&mut self, address: Address, class: usize) {
        let class = class % CLASSES;
        let top = self.tops[class].wrapping_add(1);
        self.tops[class] = top;
        self.frees[class][top as usize % FREES] = address.0;
        self.steps.set_class(address, class);
        self.last = address.0;
    }

    /// The place of a region in the list of regions, if it is there.
    #[inline(always)]
    pub(crate) fn region_place(&self, region: u64) -> Option<usize> {
        self.regions.iter().position(|&known| known == region)
    }

    #[inline(always)]
    pub(crate) fn region_at(&self, place: usize) -> u64 {
        self.regions[place % REGIONS]
    }

    /// The region at this place, or one that was at none, is the latest.
    #[inline(always)]
    pub(crate) fn region_used(&mut self, region: u64, place: Option<usize>) {
        let last = place.unwrap_or(REGIONS - 1) % REGIONS;
        let mut later = region;
        for known in &mut self.regions[..=last] {
            core::mem::swap(known, &mut later);
        }
    }

    /// The slot of a stack with a size, and whether it is in it.
    #[inline(always)]
    pub(crate) fn site(&self, stack: StackId, size: u64) -> (usize, bool) {
        let entry = Self::site_entry(stack, size);
        let slot = hash(entry, SITE_BITS);
        (slot, self.sites[slot >> self.share] == entry && size >> 32 == 0)
    }

    /// The stack and size in a slot.
    #[inline(always)]
    pub(crate) fn site_at(&self, slot: usize) -> (StackId, u64) {
        let entry = self.sites[(slot % SITES) >> self.share];
        (StackId((entry >> 32) as u32), entry & 0xffff_ffff)
    }

    /// The slot of a stack, and whether it is in it.
    #[inline(always)]
    pub(crate) fn stack(&self, stack: StackId) -> (usize, bool) {
        let slot = hash(stack.0 as u64, STACK_BITS);
        (slot, self.stacks[self.stack_place(slot)] == stack.0)
    }

    #[inline(always)]
    pub(crate) fn stack_at(&self, slot: usize) -> StackId {
        StackId(self.stacks[self.stack_place(slot)])
    }

    #[inline(always)]
    const fn stack_place(&self, slot: usize) -> usize {
        STACKS - 1 - ((slot % STACKS) >> self.share)
    }

    /// A stack with a size was said that was not in its slot.
    #[inline(always)]
    pub(crate) fn site_said(&mut self, stack: StackId, size: u64) {
        let entry = Self::site_entry(stack, size);
        self.sites[hash(entry, SITE_BITS) >> self.share] = entry;
        self.stacks[self.stack_place(hash(stack.0 as u64, STACK_BITS))] = stack.0;
    }

    #[inline(always)]
    const fn site_entry(stack: StackId, size: u64) -> u64 {
        (stack.0 as u64) << 32 | size as u32 as u64
    }
}

impl Default for EventModel {
    fn default() -> Self {
        Self::new()
    }
}

/// State of a definitions chunk.
#[derive(Clone, PartialEq, Eq)]
#[repr(C)]
pub struct DefinitionModel {
    /// From its end.
    pcs: [u64; PCS],
    /// See [`Memory::share`].
    share: u32,
    pub(crate) last_pc: u64,
    pub(crate) next_id: u32,
    /// The code object of the last Python node.
    pub(crate) last_code: u32,
}

impl DefinitionModel {
    /// The state of a fresh chunk whose first node has this id.
    pub const fn new(first_id: u32) -> DefinitionModel {
        DefinitionModel { pcs: [0; PCS], share: 0, last_pc: 0, next_id: first_id, last_code: 0 }
    }

    /// Back to the state of a fresh chunk.
    pub fn begin_chunk(&mut self, first_id: u32, memory: Memory) {
        self.share = memory.share();
        clear(self.pcs.iter_mut().rev(), self.share);
        self.last_pc = 0;
        self.next_id = first_id;
        self.last_code = 0;
    }

    /// The id that the next node gets.
    #[inline(always)]
    pub const fn next_id(&self) -> StackId {
        StackId(self.next_id)
    }

    #[inline(always)]
    pub(crate) fn pc_slot(&self, pc: Address) -> (usize, bool) {
        let slot = hash(pc.0, PC_BITS);
        (slot, self.pcs[self.pc_place(slot)] == pc.0)
    }

    #[inline(always)]
    pub(crate) fn pc_at(&self, slot: usize) -> Address {
        Address(self.pcs[self.pc_place(slot)])
    }

    #[inline(always)]
    const fn pc_place(&self, slot: usize) -> usize {
        PCS - 1 - ((slot % PCS) >> self.share)
    }

    #[inline(always)]
    pub(crate) fn node_added(&mut self, pc: Address) {
        self.pcs[self.pc_place(hash(pc.0, PC_BITS))] = pc.0;
        self.last_pc = pc.0;
        self.next_id = self.next_id.wrapping_add(1);
    }

    #[inline(always)]
    pub(crate) fn python_node_added(&mut self, code: u32) {
        self.last_code = code;
        self.next_id = self.next_id.wrapping_add(1);
    }
}
