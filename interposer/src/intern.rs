//! Stack nodes by (parent, what they are): so that a frame called by the same frame is written once.
//!
//! Levels of open-addressed tables, each larger than the one before; insertion goes to the newest level. Lock-free:
//! - A slot is claimed by a compare-and-swap of `value` from 0; its `key` is stored after that (Release) and read
//!   first (Acquire), so that a key that matches has its value.
//! - A slot with a value and no key yet is passed over: at worst a node is written twice, which readers expect.
//! - [`clear`] and fork make all words 0, in any order; a reader that meets half a slot misses.
//!
//! A node found after [`clear`] by a thread that was already looking is still right: its frames were on a stack
//! and so in modules that are still mapped (see `modules`).

use crate::sys;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};
use recording::{Address, FrameKind, StackId};

/// Slots of the levels, as powers of two: from 256 KiB to 1 GiB. A level is touched all over as soon as it is in use:
/// small ones grow fast, since each costs a look-up of a new node some time, and large ones grow slowly.
const BITS: [u32; 10] = [14, 16, 18, 20, 21, 22, 23, 24, 25, 26];
const LEVELS: usize = BITS.len();
/// Slots that are looked at in a level. At most 60 % are in use: hardly ever are so many in a row.
const PROBES: usize = 64;

#[repr(C)]
struct Slot {
    key: AtomicU64,
    value: AtomicU64,
}

struct Level {
    /// Address of the slots, 0 until they are mapped.
    slots: AtomicUsize,
    /// Slots in use, roughly.
    used: AtomicU32,
}

static TABLE: [Level; LEVELS] =
    [const { Level { slots: AtomicUsize::new(0), used: AtomicU32::new(0) } }; LEVELS];
static NEWEST: AtomicUsize = AtomicUsize::new(0);

/// What identifies a node besides its parent. Addresses of code are below 2^61.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(u64);

impl Key {
    /// The key of frame `pc`.
    #[inline(always)]
    pub fn new(pc: Address, kind: FrameKind) -> Key {
        Key(pc.0 | ((kind == FrameKind::Interrupted) as u64) << 63)
    }

    /// The key of a Python frame.
    #[inline(always)]
    pub fn of_python(code: u32, instruction: i32, entry: bool) -> Key {
        let place = (instruction as u32).wrapping_add(1) as u64 & 0xfff_ffff;
        Key(1 << 62 | (code as u64) << 29 | place << 1 | entry as u64)
    }

    /// The key of a merged stack, whose parent is its native one.
    #[inline(always)]
    pub fn of_merged(python: StackId) -> Key {
        Key(1 << 61 | python.0 as u64)
    }

    /// A hash of the key and a parent, well mixed in its upper bits.
    #[inline(always)]
    pub fn hash(self, parent: StackId) -> u64 {
        (self.0 ^ (parent.0 as u64).wrapping_mul(0xff51_afd7_ed55_8ccd)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

impl Level {
    /// The slots to look at for a hash.
    fn candidates(&self, level: usize, hash: u64) -> impl Iterator<Item = &'static Slot> {
        let slots = self.slots.load(Acquire);
        let bits = BITS[level];
        let first = (hash >> (64 - bits)) as usize;
        let count = if slots == 0 { 0 } else { PROBES };
        (0..count).map(move |probe| {
            let index = (first + probe) & ((1 << bits) - 1);
            // SAFETY: the level's memory has 2^bits slots, is zeroed when mapped and never unmapped.
            unsafe { &*(slots as *const Slot).add(index) }
        })
    }

    /// Has the processor fetch the first slot for a hash: a miss in each level would otherwise wait for the last.
    #[inline(always)]
    fn prefetch(&self, level: usize, hash: u64) {
        let slot = self.slots.load(Relaxed) + (hash >> (64 - BITS[level])) as usize * size_of::<Slot>();
        // SAFETY: a prefetch of any address has no effect but on caches.
        unsafe { core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(slot as *const i8) };
    }

    fn map(&self, level: usize) -> bool {
        if self.slots.load(Acquire) != 0 {
            return true;
        }
        let size = size_of::<Slot>() << BITS[level];
        let Ok(at) = sys::map_private(size) else { return false };
        // Where the table is large, finding its pages would cost more than finding the node.
        let _ = sys::advise(at, size, libc::MADV_HUGEPAGE);
        if sys::advise(at, size, libc::MADV_WIPEONFORK).is_err()
            || self.slots.compare_exchange(0, at, Release, Relaxed).is_err()
        {
            // SAFETY: nobody else has seen this mapping.
            unsafe { sys::unmap(at, size) };
        }
        self.slots.load(Acquire) != 0
    }
}

/// The node of frame `key` called by `parent`, if it was written.
pub fn find(key: Key, parent: StackId) -> Option<StackId> {
    let hash = key.hash(parent);
    let newest = NEWEST.load(Acquire).min(LEVELS - 1);
    for (level, table) in TABLE.iter().enumerate().take(newest + 1) {
        table.prefetch(level, hash);
    }
    for level in (0..=newest).rev() {
        for slot in TABLE[level].candidates(level, hash) {
            let found = slot.key.load(Acquire);
            let value = slot.value.load(Relaxed);
            if value == 0 {
                break;
            }
            if found == key.0 && (value >> 32) as u32 == parent.0 {
                return Some(StackId(value as u32));
            }
        }
    }
    None
}

/// Remembers that `id` is the node of frame `key` called by `parent`. Returns the id to use: another thread may
/// have been first.
pub fn insert(key: Key, parent: StackId, id: StackId) -> StackId {
    let hash = key.hash(parent);
    let value = (parent.0 as u64) << 32 | id.0 as u64;
    let mut level = NEWEST.load(Acquire).min(LEVELS - 1);
    while TABLE[level].used.load(Relaxed) as usize > (1 << BITS[level]) * 6 / 10 {
        if level + 1 == LEVELS {
            return id;
        }
        level += 1;
        NEWEST.fetch_max(level, Release);
    }
    if !TABLE[level].map(level) {
        return id;
    }
    for slot in TABLE[level].candidates(level, hash) {
        if slot.value.compare_exchange(0, value, Relaxed, Relaxed).is_ok() {
            slot.key.store(key.0, Release);
            TABLE[level].used.fetch_add(1, Relaxed);
            return id;
        }
        if slot.key.load(Acquire) == key.0 {
            let other = slot.value.load(Relaxed);
            if (other >> 32) as u32 == parent.0 && other as u32 != 0 {
                return StackId(other as u32);
            }
        }
    }
    id
}

/// Forgets all nodes: their places in the code may mean something else from here on.
pub fn clear() {
    for (level, table) in TABLE.iter().enumerate() {
        let slots = table.slots.load(Acquire);
        let size = size_of::<Slot>() << BITS[level];
        if slots == 0 || sys::advise(slots, size, libc::MADV_DONTNEED).is_ok() {
            continue;
        }
        // What was never used is 0, and is left alone.
        let is_used = level <= NEWEST.load(Acquire);
        for index in 0..if is_used { 1 << BITS[level] } else { 0 } {
            // SAFETY: the level's memory has that many slots.
            let slot = unsafe { &*(slots as *const Slot).add(index) };
            slot.value.store(0, Relaxed);
            slot.key.store(0, Relaxed);
        }
    }
    forked();
}

/// Maps the next levels, for when no memory can be mapped any more.
#[cold]
pub fn reserve() {
    let newest = NEWEST.load(Acquire).min(LEVELS - 1);
    for (level, table) in TABLE.iter().enumerate().skip(newest).take(3) {
        table.map(level);
    }
}

/// In a forked child, where the kernel has made all slots 0.
pub fn forked() {
    NEWEST.store(0, Release);
    for level in &TABLE {
        level.used.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test, since the table is the process's.
    #[test]
    fn nodes_are_found_until_cleared() {
        let key = |n: u64| Key::new(Address(0x1000 + n), FrameKind::Return);
        for n in 0..100_000u32 {
            assert_eq!(find(key(n.into()), StackId(n)), None);
            assert_eq!(insert(key(n.into()), StackId(n), StackId(40_000 + n)), StackId(40_000 + n));
        }
        for n in 0..100_000u32 {
            assert_eq!(find(key(n.into()), StackId(n)), Some(StackId(40_000 + n)));
            assert_eq!(find(key(n.into()), StackId(n + 1)), None);
        }
        let interrupted = Key::new(Address(0x1000), FrameKind::Interrupted);
        assert_eq!(find(interrupted, StackId(0)), None);
        clear();
        assert_eq!(find(key(5), StackId(5)), None);
        let ids: Vec<_> = std::thread::scope(|scope| {
            let each = |t: u32| {
                scope.spawn(move || {
                    (0..50_000u32)
                        .map(|n| insert(key(n.into()), StackId(n), StackId(n * 8 + t + 1)))
                        .collect::<Vec<_>>()
                })
            };
            [0, 1, 2, 3].map(each).into_iter().flat_map(|thread| thread.join()).collect()
        });
        for ids in &ids {
            for (n, id) in ids.iter().enumerate() {
                assert_eq!((id.0 - 1) / 8, n as u32, "an id of another node");
            }
        }
    }
}
