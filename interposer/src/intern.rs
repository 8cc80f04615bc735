//! Stack nodes by (parent, what they are): so that a frame called by the same frame is written once; and Python's code by what
//! describes it.
//!
//! A node found after [`clear`] by a thread that was already looking is still right: its frames were on a stack
//! and so in modules that are still mapped (see `modules`).

use crate::protocol::nodes::{Entry, Memory, Slot, Table};
use crate::sys;
use recording::{Address, FrameKind, StackId};

/// Slots are mapped privately, and wiped in a forked child.
struct Pages;

impl Memory<10> for Pages {
    type Error = sys::Errno;
    /// From 256 KiB to 1 GiB. A level is touched all over as soon as it is in use: small ones grow fast, since each costs
    /// a look-up of a new node some time, and large ones grow slowly.
    const BITS: [u32; 10] = [14, 16, 18, 20, 21, 22, 23, 24, 25, 26];
    /// At most 60 % are in use: hardly ever are so many in a row.
    const PROBES: usize = 64;

    fn map(slots: usize) -> sys::Result<usize> {
        let size = slots * size_of::<Slot>();
        let at = sys::map_private(size)?;
        // Where the table is large, finding its pages would cost more than finding the node.
        let _ = sys::advise(at, size, libc::MADV_HUGEPAGE);
        sys::advise(at, size, libc::MADV_WIPEONFORK).inspect_err(|_| Pages::unmap(at, slots))?;
        Ok(at)
    }

    fn unmap(at: usize, slots: usize) {
        // SAFETY: nobody else has seen this mapping.
        unsafe { sys::unmap(at, slots * size_of::<Slot>()) };
    }

    fn clear(at: usize, slots: usize) -> bool {
        sys::advise(at, slots * size_of::<Slot>(), libc::MADV_DONTNEED).is_ok()
    }

    #[inline(always)]
    fn prefetch(slot: usize) {
        // SAFETY: a prefetch of any address has no effect but on caches.
        unsafe { core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(slot as *const i8) };
    }
}

static NODES: Table<Pages, 10> = Table::new();

/// What identifies a node besides its parent. Addresses of code are below 2^61.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(u64);

impl Key {
    /// That of no node: there is no code at address 0.
    pub const NONE: Key = Key(0);

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

    /// The key of code with a description of this hash, whose parent is its interpreter's number.
    #[inline(always)]
    pub fn of_code(hash: u64) -> Key {
        Key(1 << 60 | hash >> 4)
    }

    /// A hash of the key and a parent, well mixed in its upper bits.
    #[inline(always)]
    pub fn hash(self, parent: StackId) -> u64 {
        (self.0 ^ (parent.0 as u64).wrapping_mul(0xff51_afd7_ed55_8ccd)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// The node of frame `key` called by `parent`, if it was written.
pub fn find(key: Key, parent: StackId) -> Option<StackId> {
    find_at(key.hash(parent), key, parent)
}

/// The same with another hash, which all must use for this key and parent.
pub fn find_at(hash: u64, key: Key, parent: StackId) -> Option<StackId> {
    NODES.find(Entry { hash, key: key.0, parent: parent.0 }).map(StackId)
}

/// Remembers that `id` is the node of frame `key` called by `parent`. Returns the id to use: another thread may
/// have been first.
pub fn insert(key: Key, parent: StackId, id: StackId) -> StackId {
    insert_at(key.hash(parent), key, parent, id)
}

/// The same, as for [`find_at`].
pub fn insert_at(hash: u64, key: Key, parent: StackId, id: StackId) -> StackId {
    StackId(NODES.insert(Entry { hash, key: key.0, parent: parent.0 }, id.0))
}

/// A node with this hash may be looked for or inserted soon.
#[inline(always)]
pub fn expect(hash: u64) {
    NODES.prefetch(hash);
}

/// Forgets all nodes: their places in the code may mean something else from here on.
pub fn clear() {
    NODES.clear();
}

/// Maps the next levels, for when no memory can be mapped any more.
#[cold]
pub fn reserve() {
    NODES.reserve(3);
}

/// In a forked child, where the kernel has made all slots 0.
pub fn forked() {
    NODES.forked();
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
