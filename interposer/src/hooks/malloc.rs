//! malloc, calloc, realloc, reallocarray, free and what is another name of it.

use super::{caller, stub};
use crate::table::Moved;
use crate::{real, switch, thread};
use core::ffi::c_void;
use core::ptr::null_mut;

stub!(free, on_free, "rsi");
stub!(cfree, on_free, "rsi");
stub!(free_sized, on_free_sized, "rdx");
stub!(free_aligned_sized, on_free_aligned_sized, "rcx");

stub!(malloc, on_malloc, "rsi", "rdx");
stub!(calloc, on_calloc, "rdx", "rcx");
stub!(realloc, on_realloc, "rdx", "rcx");
stub!(reallocarray, on_reallocarray, "rcx", "r8");

unsafe extern "C" fn on_malloc(size: usize, sp: usize, bp: usize) -> *mut c_void {
    let Some(real) = real::malloc() else { return null_mut() };
    caller(sp, bp).expect();
    // SAFETY: the caller's call.
    let block = unsafe { real(size) };
    if !block.is_null() {
        thread::allocated(block as usize, size, caller(sp, bp));
    }
    block
}

unsafe extern "C" fn on_calloc(count: usize, size: usize, sp: usize, bp: usize) -> *mut c_void {
    let Some(real) = real::calloc() else { return null_mut() };
    if switch::is_dormant() {
        // SAFETY: the caller's call.
        return thread::pass(sp, || unsafe { real(count, size) });
    }
    caller(sp, bp).expect();
    // SAFETY: the caller's call.
    let block = thread::quietly(|| unsafe { real(count, size) });
    if !block.is_null() {
        thread::allocated(block as usize, count.wrapping_mul(size), caller(sp, bp));
    }
    block
}

unsafe extern "C" fn on_realloc(old: *mut c_void, size: usize, sp: usize, bp: usize) -> *mut c_void {
    let Some(real) = real::realloc() else { return null_mut() };
    if switch::is_dormant() {
        // SAFETY: the caller's call.
        return thread::pass(sp, || unsafe { real(old, size) });
    }
    caller(sp, bp).expect();
    // With size 0 some allocators free the block and return null, and others return a block of no size.
    let resizes = !old.is_null() && size != 0;
    let mut moved = Moved::NOTHING;
    if resizes {
        moved = thread::moving(old as usize, sp);
    } else if !old.is_null() {
        thread::freed(old as usize, sp);
    }
    // SAFETY: the caller's call.
    let block = thread::quietly(|| unsafe { real(old, size) });
    if !block.is_null() {
        thread::reallocated(block as usize, size, caller(sp, bp), moved);
    } else if resizes {
        thread::realloc_failed(moved, sp);
    }
    block
}

unsafe extern "C" fn on_reallocarray(
    old: *mut c_void,
    count: usize,
    size: usize,
    sp: usize,
    bp: usize,
) -> *mut c_void {
    // Not the real one: C libraries implement it by calling realloc, which would be recorded twice.
    match count.checked_mul(size) {
        // SAFETY: the caller's call.
        Some(total) => unsafe { on_realloc(old, total, sp, bp) },
        None => {
            out_of_memory();
            null_mut()
        }
    }
}

/// Makes the real allocator set errno to ENOMEM, whose place is the C library's to know.
#[cold]
fn out_of_memory() {
    if let Some(real) = real::malloc() {
        // SAFETY: a size that no allocator can give; if one did, the block would be lost and nothing else.
        unsafe { real(usize::MAX / 2 + 1) };
    }
}

/// # Safety
/// As for `free`; `sp` is the stack pointer at the hook's first instruction.
pub unsafe extern "C" fn on_free(block: *mut c_void, sp: usize) {
    if block.is_null() {
        return;
    }
    thread::freed(block as usize, sp);
    if let Some(real) = real::free() {
        // SAFETY: the caller's call.
        unsafe { real(block) };
    }
}

/// C23; where the real allocator does not have it, it means `free`.
unsafe extern "C" fn on_free_sized(block: *mut c_void, size: usize, sp: usize) {
    let Some(real) = real::free_sized() else {
        // SAFETY: the caller's call.
        return unsafe { on_free(block, sp) };
    };
    if !block.is_null() {
        thread::freed(block as usize, sp);
    }
    // SAFETY: the caller's call.
    thread::quietly(|| unsafe { real(block, size) });
}

/// C23, as [`on_free_sized`].
unsafe extern "C" fn on_free_aligned_sized(block: *mut c_void, alignment: usize, size: usize, sp: usize) {
    let Some(real) = real::free_aligned_sized() else {
        // SAFETY: the caller's call.
        return unsafe { on_free(block, sp) };
    };
    if !block.is_null() {
        thread::freed(block as usize, sp);
    }
    // SAFETY: the caller's call.
    thread::quietly(|| unsafe { real(block, alignment, size) });
}

/// The hook of `malloc_usable_size`: records nothing, but is the real allocator's whoever asks.
///
/// # Safety
/// As for the C function.
#[cfg_attr(unfreed_preload, unsafe(no_mangle))]
pub unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    // SAFETY: the caller's call.
    real::malloc_usable_size().map_or(0, |real| unsafe { real(block) })
}
