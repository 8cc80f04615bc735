//! The thread state of the calling thread, in whichever interpreter it runs.
//!
//! The interpreter's functions are called, since each version keeps it elsewhere. Only threads that have a state
//! reach those that may allocate: the first use of a thread-local variable of a library that was loaded late does.

use core::arch::asm;
use core::ptr::write_volatile;

use super::memory::{is_readable, word};
use super::runtime::States;
use super::version::{FrameForm, Layout};

/// The calling thread's state, 0 if it has none. `asking` is set while the interpreter is asked.
#[inline(always)]
pub fn of_this_thread(states: &States, layout: &Layout, asking: &mut bool) -> u64 {
    // SAFETY: a flag of the caller's. A signal handler and a nested hook read it.
    unsafe { write_volatile(asking, true) };
    // SAFETY: the function may be called at any time; it gives 0 before the interpreter begins and after its end.
    let mut state = unsafe { (states.of_this_thread)() };
    if state != 0 {
        // SAFETY: as above.
        let current = unsafe { (states.current)() };
        if current != state && current != 0 && is_ours(current, states, layout) {
            state = current;
        }
    }
    // SAFETY: as above.
    unsafe { write_volatile(asking, false) };
    state
}

/// Whether the calling thread has the GIL.
#[cold]
pub fn is_current(states: &States, layout: &Layout, asking: &mut bool) -> bool {
    let state = of_this_thread(states, layout, asking);
    // SAFETY: may be called at any time.
    state != 0 && unsafe { (states.current)() } == state
}

/// Whether the current state, which is not the thread's first one, belongs to it all the same.
fn is_ours(current: u64, states: &States, layout: &Layout) -> bool {
    if layout.form == FrameForm::Shim {
        // From 3.12 each thread has a current state of its own.
        return true;
    }
    // Up to 3.11 it is that of the thread with the GIL. In a sub-interpreter a thread has another state than its first.
    // SAFETY: may be called at any time; the first interpreter is there as long as any thread has a state.
    let several = unsafe { (states.next_interpreter)((states.first_interpreter)()) } != 0;
    let thread_id = current + u64::from(layout.thread_id);
    several && is_readable(thread_id, 8) && word(thread_id) == thread_pointer()
}

/// `pthread_self()`: the first word of the thread's control block is its address.
fn thread_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: reads the thread's own word, which the ABI of thread-local storage defines.
    unsafe {
        asm!("mov {}, qword ptr fs:[0]", out(reg) pointer, options(pure, readonly, nostack, preserves_flags))
    };
    pointer
}
