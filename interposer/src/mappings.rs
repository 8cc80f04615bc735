//! Anonymous mappings that the program makes: not those of an allocator, whose blocks are recorded themselves.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use recording::resource::Resource;

use crate::real;
use crate::stack::Caller;
use crate::thread::Thread;
use crate::{process, switch};

const PAGE: usize = 4096;

/// Whether any was recorded, in this process or one that it was forked from.
static ANY: AtomicBool = AtomicBool::new(false);

fn whole_pages(size: usize) -> u64 {
    (size as u64).next_multiple_of(PAGE as u64)
}

/// Whether the hook with this stack pointer was called by an allocator.
fn is_of_allocator(thread: Thread, sp: usize) -> bool {
    // SAFETY: a hook's stack pointer points to its return address.
    let pc = unsafe { *(sp as *const usize) };
    // SAFETY: as above.
    real::nesting_code().is_some_and(|code| code.contains(pc)) || unsafe { thread.is_inner_call(sp) }
}

/// Memory was mapped for `caller`, that of a hook.
pub fn mapped(address: usize, size: usize, caller: Caller) {
    if switch::is_dormant() {
        return;
    }
    let thread = Thread::begun();
    if !is_of_allocator(thread, caller.sp as usize - 8) {
        ANY.store(true, Relaxed);
        thread.opened(Resource::Mapping(address as u64), whole_pages(size), caller);
    }
}

/// Whether something of this process may be recorded, and the hook is not called by an allocator.
fn is_recorded(sp: usize) -> bool {
    ANY.load(Relaxed) && process::has_file() && !is_of_allocator(Thread::current(), sp)
}

/// A range is about to be unmapped, or mapped anew; whether that is recorded. If so and it is not, [`not_moved`] is to be told.
/// `sp` is the stack pointer at the hook's first instruction.
pub fn unmapping(address: usize, size: usize, sp: usize) -> bool {
    let is_recorded = address.is_multiple_of(PAGE) && size != 0 && is_recorded(sp);
    if is_recorded {
        Thread::begun().unmapping(Resource::Mapping(address as u64), whole_pages(size), sp);
    }
    is_recorded
}

/// A mapping is about to be moved or resized; whether that is recorded. If so, [`moved`] or [`not_moved`] is to be told.
pub fn moving(address: usize, sp: usize) -> bool {
    let is_recorded = address.is_multiple_of(PAGE) && is_recorded(sp);
    is_recorded && Thread::begun().moving_mapping(Resource::Mapping(address as u64), sp)
}

/// It is there now.
pub fn moved(address: usize, size: usize, caller: Caller) {
    Thread::begun().moved(Resource::Mapping(address as u64), whole_pages(size), caller);
}

/// It is as it was.
#[cold]
pub fn not_moved(address: usize, sp: usize) {
    Thread::begun().not_moved(Resource::Mapping(address as u64), sp);
}
