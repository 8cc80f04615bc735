//! malloc, calloc, realloc, reallocarray, free and what is another name of it.

use super::{caller, stub};
use crate::{real, thread};
use core::ffi::c_void;
use core::ptr::null_mut;

// Unmangled only in the real library: a test binary must not hook itself. There they are ordinary functions.
stub!(malloc, on_malloc, "rsi", "rdx");
stub!(calloc, on_calloc, "rdx", "rcx");
stub!(realloc, on_realloc, "rdx", "rcx");
stub!(reallocarray, on_reallocarray, "rcx", "r8");

unsafe extern "C" fn on_malloc(size: usize, sp: usize, bp: usize) -> *mut c_void {
    let Some(real) = real::malloc() else { return null_mut() };
    // SAFETY: the caller's call.
    let block = unsafe { real(size) };
    if !block.is_null() {
        thread::allocated(block as usize, size, caller(sp, bp), false);
    }
    block
}

unsafe extern "C" fn on_calloc(count: usize, size: usize, sp: usize, bp: usize) -> *mut c_void {
    let Some(real) = real::calloc() else { return null_mut() };
    // SAFETY: the caller's call.
    let block = thread::quietly(|| unsafe { real(count, size) });
    if !block.is_null() {
        thread::allocated(block as usize, count.wrapping_mul(size), caller(sp, bp), false);
    }
    block
}

unsafe extern "C" fn on_realloc(old: *mut c_void, size: usize, sp: usize, bp: usize) -> *mut c_void {
    let Some(real) = real::realloc() else { return null_mut() };
    // With size 0 some allocators free the block and return null, and others return a block of no size.
    let resizes = !old.is_null() && size != 0;
    if !old.is_null() {
        thread::freed(old as usize, resizes);
    }
    // SAFETY: the caller's call.
    let block = thread::quietly(|| unsafe { real(old, size) });
    if !block.is_null() {
        thread::allocated(block as usize, size, caller(sp, bp), resizes);
    } else if resizes {
        thread::realloc_failed(old as usize);
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

/// The hook of `free`.
///
/// # Safety
/// As for the C function.
#[cfg_attr(unfreed_preload, unsafe(no_mangle))]
pub unsafe extern "C" fn free(block: *mut c_void) {
    if block.is_null() {
        return;
    }
    thread::freed(block as usize, false);
    if let Some(real) = real::free() {
        // SAFETY: the caller's call.
        unsafe { real(block) };
    }
}

/// The hook of `cfree`, an old name of `free`.
///
/// # Safety
/// As for `free`.
#[cfg_attr(unfreed_preload, unsafe(no_mangle))]
pub unsafe extern "C" fn cfree(block: *mut c_void) {
    // SAFETY: the caller's call.
    unsafe { free(block) };
}

/// The hook of `free_sized` (C23).
///
/// # Safety
/// As for the C function.
#[cfg_attr(unfreed_preload, unsafe(no_mangle))]
pub unsafe extern "C" fn free_sized(block: *mut c_void, size: usize) {
    let Some(real) = real::free_sized() else {
        // SAFETY: the caller's call, and without the real function this is what it means.
        return unsafe { free(block) };
    };
    if !block.is_null() {
        thread::freed(block as usize, false);
    }
    // SAFETY: the caller's call.
    thread::quietly(|| unsafe { real(block, size) });
}

/// The hook of `free_aligned_sized` (C23).
///
/// # Safety
/// As for the C function.
#[cfg_attr(unfreed_preload, unsafe(no_mangle))]
pub unsafe extern "C" fn free_aligned_sized(block: *mut c_void, alignment: usize, size: usize) {
    let Some(real) = real::free_aligned_sized() else {
        // SAFETY: the caller's call, and without the real function this is what it means.
        return unsafe { free(block) };
    };
    if !block.is_null() {
        thread::freed(block as usize, false);
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
