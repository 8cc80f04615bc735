//! Calls of the functions of the real allocator, as their hooks tell of them: those that serve another hook's caller are told
//! apart, modules that are unloaded are seen.

use super::{Entered, Thread, stack_pointer};
use crate::python::{allocators, collector};
use crate::stack::{Caller, Sink};
use crate::table::{Moved, Spacing};
use crate::{intern, modules, real, switch};

/// A hook with this stack pointer at its first instruction has nothing to record: calls the function behind it alone, and
/// nothing of what that does with other hooks is recorded as another's.
#[inline(always)]
pub fn pass<R>(sp: usize, real: impl FnOnce() -> R) -> R {
    // SAFETY: a hook's stack pointer points to its return address.
    let pc = unsafe { *(sp as *const u64) };
    let result = real();
    allocators::malloc_called(pc);
    result
}

/// A block of the real allocator was handed out to `caller`, that of a hook.
#[inline(always)]
pub fn allocated(block: usize, size: usize, caller: Caller) {
    reallocated(block, size, caller, Moved::NOTHING);
}

/// The same, by `realloc` for the block that was `moved`, if there is one.
#[inline(always)]
pub fn reallocated(block: usize, size: usize, caller: Caller, moved: Moved) {
    allocators::malloc_called(caller.pc);
    let (thread, sp) = (Thread::current(), caller.sp as usize - 8);
    // SAFETY: at a hook's first instruction its return address lay below its caller's frame.
    if unsafe { thread.is_inner_call(sp) } {
        return thread.inner_allocated(block, size, sp);
    }
    thread.allocated(block, size, caller, Spacing::of_malloc(), moved, None);
}

/// A block of the real allocator is about to be given back. `sp` is the stack pointer at the hook's first instruction.
#[inline(always)]
pub fn freed(block: usize, sp: usize) {
    if switch::is_dormant() {
        if modules::freed(block as u64) {
            object_unloaded_while_dormant(block);
        }
        return;
    }
    let thread = Thread::current();
    // SAFETY: the stack pointer of a hook.
    if unsafe { thread.is_inner_call(sp) } {
        return thread.inner_freed(block, sp);
    }
    // SAFETY: the block is the program's until it is given to the real allocator after this.
    let usable = || unsafe { real::usable_size(block) };
    let Some(mut entered) = thread.freed(block, sp, collector::state(), usable) else { return };
    if modules::freed(block as u64) {
        object_unloaded(&mut entered, block);
    }
}

/// A block of the real allocator is about to be given to `realloc`. `sp` is as for [`freed`].
#[inline(always)]
pub fn moving(block: usize, sp: usize) -> Moved {
    let thread = Thread::current();
    // SAFETY: the stack pointer of a hook.
    if unsafe { thread.is_inner_call(sp) } {
        return thread.inner_moving(block, sp);
    }
    // SAFETY: as in `freed`.
    thread.moving(block, sp, || unsafe { real::usable_size(block) })
}

/// The realloc of this block of the real allocator failed: it is as it was.
#[cold]
#[inline(never)]
pub fn realloc_failed(moved: Moved, sp: usize) {
    let thread = Thread::current();
    // SAFETY: the stack pointer of a hook.
    if unsafe { thread.is_inner_call(sp) } {
        return thread.inner_realloc_failed(sp);
    }
    thread.realloc_failed(moved, sp);
}

/// The loader gives back its description of an object that it has unmapped.
#[cold]
#[inline(never)]
fn object_unloaded(entered: &mut Entered, block: usize) {
    let before = modules::epoch();
    let mut definer = entered.0.definer();
    modules::unloaded(block as u64, |number, epoch| definer.module_gone(number, epoch));
    if modules::epoch() != before {
        intern::clear();
    }
}

/// The same where nothing is recorded: no interpreter is to be looked for in it any more.
#[cold]
#[inline(never)]
fn object_unloaded_while_dormant(block: usize) {
    modules::unloaded(block as u64, |_, _| {});
}

/// Runs a function of the real allocator, which may call others of its own by their public names: such calls are
/// not recorded again.
#[inline(always)]
pub fn quietly<R>(call: impl FnOnce() -> R) -> R {
    let Some(code) = real::nesting_code().filter(|_| !switch::is_dormant()) else { return call() };
    Thread::begun().quietly(code, stack_pointer(), call)
}
