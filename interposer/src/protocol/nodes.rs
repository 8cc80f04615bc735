//! A table of ids by a key and a parent, that grows and can be cleared while threads use it.
//!
//! Levels of open-addressed tables, each larger than the one before; insertion goes to the newest level. Lock-free:
//! - A slot is claimed by a compare-and-swap of `value` (parent and id) from 0; its `check` is stored after that
//!   (Release) and read first (Acquire): who finds an id sees what was written before it was inserted.
//! - A slot with a value and no check yet is passed over: at worst a node is written twice, which readers expect.
//! - [`Table::clear`] and fork make all words 0, in any order, while others insert. So a slot may get the value of one and the
//!   check of another; but the check is the key mixed with its own value, and fits no other. Such a slot is
//!   lost until the next clear.

use super::mapped::mapped;
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize};
use core::marker::PhantomData;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// A place in the table. Valid when all zero.
#[repr(C)]
pub struct Slot {
    check: AtomicU64,
    value: AtomicU64,
}

impl Slot {
    /// An empty one.
    #[cfg(loom)]
    pub(crate) fn new() -> Slot {
        Slot { check: AtomicU64::new(0), value: AtomicU64::new(0) }
    }

    /// Makes it empty.
    fn clear(&self) {
        self.value.store(0, Relaxed);
        self.check.store(0, Relaxed);
    }

    /// Makes it empty in the other order, as the kernel may.
    #[cfg(loom)]
    pub(crate) fn clear_check_first(&self) {
        self.check.store(0, Relaxed);
        self.value.store(0, Relaxed);
    }
}

/// Where the slots lie.
pub trait Memory<const LEVELS: usize> {
    /// What mapping may fail with.
    type Error;
    /// Slots of each level, as powers of two.
    const BITS: [u32; LEVELS];
    /// Slots that are looked at in a level.
    const PROBES: usize;

    /// Maps so many empty slots, which stay where they are but for [`Memory::unmap`]. Fork makes them empty.
    fn map(slots: usize) -> Result<usize, Self::Error>;
    /// Gives slots back that nobody has seen.
    fn unmap(at: usize, slots: usize);
    /// Makes all words of slots 0 that others may be using; false where it cannot.
    fn clear(at: usize, slots: usize) -> bool;
    /// Has the processor fetch a slot, of any address.
    fn prefetch(slot: usize);
}

struct Level {
    /// Address of the slots, 0 until they are mapped.
    slots: AtomicUsize,
    /// Slots in use, roughly.
    used: AtomicU32,
}

/// See the module's contract.
pub struct Table<M, const LEVELS: usize> {
    levels: [Level; LEVELS],
    newest: AtomicUsize,
    memory: PhantomData<fn() -> M>,
}

/// What an entry is found by.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Of key and parent, well mixed in its upper bits.
    pub hash: u64,
    /// What it is, besides its parent.
    pub key: u64,
    /// Whose it is.
    pub parent: u32,
}

impl Entry {
    /// What says that the slot with this value has the entry's key. The product spreads the difference of two ids over all
    /// bits, so that no other key fits.
    #[inline(always)]
    fn check(self, value: u64) -> u64 {
        self.key ^ value.wrapping_mul(0xff51_afd7_ed55_8ccd)
    }

    /// The id in a slot, if it is this entry's. In this order: a check that fits was stored after its value.
    #[inline(always)]
    fn id(self, slot: &Slot) -> Option<u32> {
        let check = slot.check.load(Acquire);
        let value = slot.value.load(Relaxed);
        let fits = (value >> 32) as u32 == self.parent && check == self.check(value) && value as u32 != 0;
        fits.then_some(value as u32)
    }
}

impl<M: Memory<LEVELS>, const LEVELS: usize> Table<M, LEVELS> {
    /// An empty one.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        let levels = [const { Level { slots: AtomicUsize::new(0), used: AtomicU32::new(0) } }; LEVELS];
        Table { levels, newest: AtomicUsize::new(0), memory: PhantomData }
    }

    /// An empty one.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        let level = |_| Level { slots: AtomicUsize::new(0), used: AtomicU32::new(0) };
        Table { levels: core::array::from_fn(level), newest: AtomicUsize::new(0), memory: PhantomData }
    }

    /// The slots of a level to look at for an entry.
    #[inline(always)]
    fn candidates(&self, level: usize, entry: Entry) -> impl Iterator<Item = &'static Slot> {
        let slots = self.levels[level].slots.load(Acquire);
        let bits = M::BITS[level];
        let first = (entry.hash >> (64 - bits)) as usize;
        let count = if slots == 0 { 0 } else { M::PROBES };
        (0..count).map(move |probe| {
            let index = (first + probe) & ((1 << bits) - 1);
            // SAFETY: the level's memory has 2^bits slots, which are valid when mapped and never unmapped.
            unsafe { &*(slots as *const Slot).add(index) }
        })
    }

    /// Has the processor fetch the slot of a new entry with this hash.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        self.prefetch_in(self.newest.load(Relaxed).min(LEVELS - 1), hash);
    }

    #[inline(always)]
    fn prefetch_in(&self, level: usize, hash: u64) {
        let first = (hash >> (64 - M::BITS[level])) as usize;
        M::prefetch(self.levels[level].slots.load(Relaxed) + first * size_of::<Slot>());
    }

    /// The id of an entry, if there is one.
    #[inline(always)]
    pub fn find(&self, entry: Entry) -> Option<u32> {
        let newest = self.newest.load(Acquire).min(LEVELS - 1);
        // A miss in each level would otherwise wait for the one before.
        for level in 0..=newest {
            self.prefetch_in(level, entry.hash);
        }
        for level in (0..=newest).rev() {
            for slot in self.candidates(level, entry) {
                if let Some(id) = entry.id(slot) {
                    return Some(id);
                }
                if slot.value.load(Relaxed) == 0 {
                    break;
                }
            }
        }
        None
    }

    /// Remembers that `id`, which is not 0, is the entry's. Returns the id to use: another thread may have been first.
    pub fn insert(&self, entry: Entry, id: u32) -> u32 {
        let value = (entry.parent as u64) << 32 | id as u64;
        let mut level = self.newest.load(Acquire).min(LEVELS - 1);
        while self.levels[level].used.load(Relaxed) as usize > (1 << M::BITS[level]) * 6 / 10 {
            if level + 1 == LEVELS {
                return id;
            }
            level += 1;
            self.newest.fetch_max(level, Release);
        }
        if self.map(level).is_err() {
            return id;
        }
        for slot in self.candidates(level, entry) {
            if slot.value.compare_exchange(0, value, Relaxed, Relaxed).is_ok() {
                slot.check.store(entry.check(value), Release);
                self.levels[level].used.fetch_add(1, Relaxed);
                return id;
            }
            if let Some(other) = entry.id(slot) {
                return other;
            }
        }
        id
    }

    /// Forgets all entries.
    pub fn clear(&self) {
        for (level, table) in self.levels.iter().enumerate() {
            let slots = table.slots.load(Acquire);
            let count = 1 << M::BITS[level];
            // What was never used is empty, and is left alone.
            if slots == 0 || M::clear(slots, count) || level > self.newest.load(Acquire) {
                continue;
            }
            for index in 0..count {
                // SAFETY: the level's memory has that many slots.
                unsafe { &*(slots as *const Slot).add(index) }.clear();
            }
        }
        self.forked();
    }

    /// Maps the newest level and those behind it, `count` in all, for when no memory can be mapped any more.
    pub fn reserve(&self, count: usize) {
        let newest = self.newest.load(Acquire).min(LEVELS - 1);
        for level in (0..LEVELS).skip(newest).take(count) {
            let _ = self.map(level);
        }
    }

    fn map(&self, level: usize) -> Result<usize, M::Error> {
        let count = 1 << M::BITS[level];
        mapped(&self.levels[level].slots, || M::map(count), |at| M::unmap(at, count))
    }

    /// In a forked child, where the kernel has made all slots empty.
    pub fn forked(&self) {
        self.newest.store(0, Release);
        for level in &self.levels {
            level.used.store(0, Relaxed);
        }
    }
}
