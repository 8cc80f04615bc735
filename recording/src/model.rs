//! The predictors: what encoder and decoder both know of a chunk so far. The transitions here are the format.
//!
//! All-zero memory is the initial state of both models, so that a freshly mapped page is one.

use crate::address::{Address, StackId};
use crate::layout::SHARDS;

/// Slots of the table of recent allocations, found by a hash of the address. 16 KiB.
pub(crate) const RECENT: usize = 1 << RECENT_BITS;
const RECENT_BITS: u32 = 11;
/// Slots of the table of allocation sites, found by a hash of the stack. 8 KiB.
pub(crate) const SITES: usize = 1 << SITE_BITS;
const SITE_BITS: u32 = 10;
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
    /// Right behind the last block whose address was not [`Place::LastFree`].
    Behind = 1,
    /// A difference to the last address.
    Difference = 2,
    /// The last address itself: a realloc in place, or the block freed last, of whatever class.
    Same = 3,
}

/// State of an events chunk.
#[derive(Clone, PartialEq, Eq)]
#[repr(C)]
pub struct EventModel {
    /// `(address / 8) << 8 | class` of allocations, 0 if empty.
    recent: [u64; RECENT],
    /// `stack << 32 | size` of sites.
    sites: [u64; SITES],
    frees: [[u64; FREES]; CLASSES],
    tops: [u8; CLASSES],
    pub(crate) next_stamp: [u64; SHARDS],
    pub(crate) last: u64,
    behind: u64,
    pub(crate) realloc: u64,
    pub(crate) clock_ms: u64,
}

#[inline(always)]
const fn hash(value: u64, bits: u32) -> usize {
    (value.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)) as usize
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

impl EventModel {
    /// The state of a fresh chunk.
    pub const fn new() -> EventModel {
        EventModel {
            recent: [0; RECENT],
            sites: [0; SITES],
            frees: [[0; FREES]; CLASSES],
            tops: [0; CLASSES],
            next_stamp: [0; SHARDS],
            last: 0,
            behind: 0,
            realloc: 0,
            clock_ms: 0,
        }
    }

    /// Back to the state of a fresh chunk that begins at `clock_ms`.
    pub fn begin_chunk(&mut self, clock_ms: u64) {
        self.recent.fill(0);
        self.sites.fill(0);
        self.frees.as_flattened_mut().fill(0);
        self.tops.fill(0);
        self.next_stamp.fill(0);
        self.last = 0;
        self.behind = 0;
        self.realloc = 0;
        self.clock_ms = clock_ms;
    }

    #[inline(always)]
    fn last_free(&self, class: usize) -> u64 {
        self.frees[class][self.tops[class] as usize % FREES]
    }

    /// Where the model expects the address of the next allocation of this size.
    #[inline(always)]
    pub(crate) fn place(&self, address: Address, size: u64) -> Place {
        if self.last_free(class(size)) == address.0 {
            Place::LastFree
        } else if self.behind == address.0 {
            Place::Behind
        } else if self.last == address.0 {
            Place::Same
        } else {
            Place::Difference
        }
    }

    /// The address that `place` says; `difference` is used by [`Place::Difference`] alone.
    #[inline(always)]
    pub(crate) fn at_place(&self, place: Place, size: u64, difference: i64) -> Address {
        Address(match place {
            Place::LastFree => self.last_free(class(size)),
            Place::Behind => self.behind,
            Place::Difference => self.last.wrapping_add((difference as u64) << 4),
            Place::Same => self.last,
        })
    }

    /// An allocation happened.
    #[inline(always)]
    pub(crate) fn allocated(&mut self, address: Address, size: u64, place: Place) {
        let class = class(size);
        if place == Place::LastFree {
            let top = self.tops[class];
            self.frees[class][top as usize % FREES] = 0;
            self.tops[class] = top.wrapping_sub(1);
        } else {
            self.behind = address.0.wrapping_add(spent(size));
        }
        self.recent[hash(address.0 >> 4, RECENT_BITS)] = ((address.0 >> 3) << 8) | class as u64;
        self.last = address.0;
    }

    /// The slot of `address` if it is a recent allocation.
    #[inline(always)]
    pub(crate) fn recent_slot(&self, address: Address) -> Option<usize> {
        let slot = hash(address.0 >> 4, RECENT_BITS);
        (self.recent[slot] >> 8 == address.0 >> 3 && address.0 & 7 == 0).then_some(slot)
    }

    /// A free of the recent allocation in `slot` happened; returns its address.
    #[inline(always)]
    pub(crate) fn freed_recent(&mut self, slot: usize) -> Address {
        let entry = core::mem::take(&mut self.recent[slot % RECENT]);
        let address = (entry >> 8) << 3;
        let class = (entry & 0xff) as usize % CLASSES;
        let top = self.tops[class].wrapping_add(1);
        self.tops[class] = top;
        self.frees[class][top as usize % FREES] = address;
        self.last = address;
        Address(address)
    }

    /// The slot of a stack, and what is in it.
    #[inline(always)]
    pub(crate) fn site(&self, stack: StackId) -> (usize, u64) {
        let slot = hash(stack.0 as u64, SITE_BITS);
        (slot, self.sites[slot])
    }

    #[inline(always)]
    pub(crate) fn site_at(&self, slot: usize) -> u64 {
        self.sites[slot % SITES]
    }

    #[inline(always)]
    pub(crate) fn set_site(&mut self, slot: usize, stack: StackId, size: u64) {
        self.sites[slot % SITES] = Self::site_entry(stack, size);
    }

    #[inline(always)]
    pub(crate) const fn site_entry(stack: StackId, size: u64) -> u64 {
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
    pcs: [u64; PCS],
    pub(crate) last_pc: u64,
    pub(crate) next_id: u32,
    _pad: u32,
}

impl DefinitionModel {
    /// The state of a fresh chunk whose first node has this id.
    pub const fn new(first_id: u32) -> DefinitionModel {
        DefinitionModel { pcs: [0; PCS], last_pc: 0, next_id: first_id, _pad: 0 }
    }

    /// Back to the state of a fresh chunk.
    pub fn begin_chunk(&mut self, first_id: u32) {
        self.pcs.fill(0);
        self.last_pc = 0;
        self.next_id = first_id;
    }

    /// The id that the next node gets.
    #[inline(always)]
    pub const fn next_id(&self) -> StackId {
        StackId(self.next_id)
    }

    #[inline(always)]
    pub(crate) fn pc_slot(&self, pc: Address) -> (usize, bool) {
        let slot = hash(pc.0, PC_BITS);
        (slot, self.pcs[slot] == pc.0)
    }

    #[inline(always)]
    pub(crate) fn pc_at(&self, slot: usize) -> Address {
        Address(self.pcs[slot % PCS])
    }

    #[inline(always)]
    pub(crate) fn node_added(&mut self, pc: Address) {
        self.pcs[hash(pc.0, PC_BITS)] = pc.0;
        self.last_pc = pc.0;
        self.next_id = self.next_id.wrapping_add(1);
    }
}
