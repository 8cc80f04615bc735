//! What the checker keeps for each thread: mapped memory of its own, found through a thread-local pointer.

use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering::*};

use interposer::stack::Capture;

use crate::nodes::{Node, Nodes};
use crate::report::Counts;

/// Valid when all zero.
pub struct Thread {
    pub busy: bool,
    pub cached: Capture,
    pub full: Capture,
    pub nodes: Nodes,
    pub frames: [Node; 1024],
    pub oracle: [u64; 4096],
    pub counts: Counts,
    next: *mut Thread,
}

thread_local! {
    static CURRENT: Cell<*mut Thread> = const { Cell::new(null_mut()) };
}

static ALL: AtomicPtr<Thread> = AtomicPtr::new(null_mut());

/// The calling thread's state; `None` while it is in use, or if there is no memory.
pub fn enter() -> Option<&'static mut Thread> {
    let mut thread = CURRENT.get();
    if thread.is_null() {
        thread = interposer::sys::map_private(size_of::<Thread>()).ok()? as *mut Thread;
        CURRENT.set(thread);
        let push = |head| {
            // SAFETY: fresh memory, which only this thread knows.
            unsafe { (*thread).next = head };
            Some(thread)
        };
        let _ = ALL.fetch_update(AcqRel, Acquire, push);
    }
    // SAFETY: the memory stays mapped, zero is a valid state, and `busy` makes this the only reference.
    let thread = unsafe { &mut *thread };
    if std::mem::replace(&mut thread.busy, true) {
        thread.counts.nested += 1;
        return None;
    }
    Some(thread)
}

/// The sums over all threads. Threads that still run are read as they are.
pub fn totals() -> Counts {
    let mut totals = Counts::default();
    let mut next = ALL.load(Acquire);
    while !next.is_null() {
        // SAFETY: states stay mapped; the counters of running threads may be a little old.
        let thread = unsafe { &*next };
        totals.add(&thread.counts);
        totals.unloads += thread.nodes.unloads as u64;
        totals.modules += thread.nodes.modules as u64;
        next = thread.next;
    }
    totals
}
