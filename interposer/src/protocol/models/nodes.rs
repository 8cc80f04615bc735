//! An id that is found is that of a node which was written before, whatever is inserted, grown and cleared meanwhile.

use super::{check, check_to};
use crate::protocol::nodes::{Entry, Memory, Slot, Table};
use crate::sync::AtomicU64;
use core::convert::Infallible;
use core::sync::atomic::Ordering::Relaxed;
use loom::thread;
use std::sync::Arc;

/// One or two levels, of two and of four slots, of which so many are looked at.
struct Slots<const PROBES: usize, const VALUE_FIRST: bool>;

impl<const PROBES: usize, const VALUE_FIRST: bool, const LEVELS: usize> Memory<LEVELS>
    for Slots<PROBES, VALUE_FIRST>
{
    type Error = Infallible;
    const BITS: [u32; LEVELS] = {
        let mut bits = [1; LEVELS];
        if LEVELS > 1 {
            bits[1] = 2;
        }
        bits
    };
    const PROBES: usize = PROBES;

    fn map(slots: usize) -> Result<usize, Infallible> {
        Ok(Box::leak((0..slots).map(|_| Slot::new()).collect::<Box<[Slot]>>()).as_ptr() as usize)
    }

    fn unmap(at: usize, slots: usize) {
        // SAFETY: made by `map` of so many, and seen by nobody else.
        drop(unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(at as *mut Slot, slots)) });
    }

    fn clear(at: usize, slots: usize) -> bool {
        if VALUE_FIRST {
            return false;
        }
        // SAFETY: made by `map` of so many, and never unmapped again.
        let slots = unsafe { core::slice::from_raw_parts(at as *const Slot, slots) };
        slots.iter().for_each(Slot::clear_check_first);
        true
    }

    fn prefetch(_: usize) {}
}

struct Nodes<M, const LEVELS: usize> {
    table: Table<M, LEVELS>,
    /// The keys of the nodes that were written, by id.
    written: [AtomicU64; 5],
}

/// All nodes begin at one slot.
fn entry(key: u64) -> Entry {
    Entry { hash: 0, key, parent: 0 }
}

impl<M: Memory<LEVELS> + 'static, const LEVELS: usize> Nodes<M, LEVELS> {
    /// No nodes, but memory for them.
    fn new() -> Arc<Self> {
        let nodes = Nodes { table: Table::new(), written: core::array::from_fn(|_| AtomicU64::new(0)) };
        nodes.intern(1, 4);
        nodes.table.clear();
        Arc::new(nodes)
    }

    /// What a writer does with a frame; `id` is its next one.
    fn intern(&self, key: u64, id: u32) {
        let id = self.table.find(entry(key)).unwrap_or_else(|| {
            self.written[id as usize].store(key, Relaxed);
            self.table.insert(entry(key), id)
        });
        self.assert_is(id, key);
    }

    fn assert_is(&self, id: u32, key: u64) {
        assert_eq!(self.written[id as usize].load(Relaxed), key, "id {id} is another node's, or of none");
    }

    fn assert_right(&self, keys: &[u64]) {
        for &key in keys {
            self.table.find(entry(key)).into_iter().for_each(|id| self.assert_is(id, key));
        }
    }

    fn intern_elsewhere(self: &Arc<Self>, key: u64, id: u32) -> thread::JoinHandle<()> {
        let nodes = self.clone();
        thread::spawn(move || nodes.intern(key, id))
    }
}

/// Each of three threads interns a node.
fn interning<const LEVELS: usize>(keys: [u64; 3]) -> Arc<Nodes<Slots<2, true>, LEVELS>> {
    let nodes = Nodes::new();
    let others = [nodes.intern_elsewhere(keys[0], 1), nodes.intern_elsewhere(keys[1], 2)];
    nodes.intern(keys[2], 3);
    others.into_iter().for_each(|other| other.join().expect("a thread ends"));
    nodes.assert_right(&keys);
    nodes
}

fn clearing<const VALUE_FIRST: bool>() {
    let nodes = Nodes::<Slots<1, VALUE_FIRST>, 1>::new();
    let other = nodes.intern_elsewhere(10, 1);
    nodes.table.clear();
    nodes.intern(20, 2);
    other.join().expect("a thread ends");
    nodes.assert_right(&[10, 20]);
}

#[test]
fn an_id_is_that_of_its_node() {
    check_to(2, "three threads, one node", || {
        let nodes = interning::<1>([10; 3]);
        assert!(nodes.table.find(entry(10)).is_some(), "what was inserted is found again");
    });
    check_to(2, "three threads, two nodes", || drop(interning::<1>([10, 20, 10])));
    check_to(2, "the table grows", || drop(interning::<2>([10, 20, 30])));
}

#[test]
fn a_cleared_slot_is_of_one_node() {
    check("the value is cleared first", clearing::<true>);
    check("the check is cleared first", clearing::<false>);
}
