//! The allocations with an alignment.

use super::{caller, stub};
use crate::{real, switch, thread};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

stub!(memalign, on_memalign, "rdx", "rcx");
stub!(aligned_alloc, on_aligned_alloc, "rdx", "rcx");
stub!(posix_memalign, on_posix_memalign, "rcx", "r8");
stub!(valloc, on_valloc, "rsi", "rdx");
stub!(pvalloc, on_pvalloc, "rsi", "rdx");

type Aligned = unsafe extern "C" fn(usize, usize) -> *mut c_void;
type Paged = unsafe extern "C" fn(usize) -> *mut c_void;

/// Calls `allocate` and records what it hands out.
#[inline(always)]
fn record(size: usize, sp: usize, bp: usize, allocate: impl FnOnce() -> *mut c_void) -> *mut c_void {
    if switch::is_dormant() {
        return thread::pass(sp, allocate);
    }
    let block = thread::quietly(allocate);
    if !block.is_null() {
        thread::allocated(block as usize, size, caller(sp, bp));
    }
    block
}

#[inline(always)]
fn aligned(real: Option<Aligned>, alignment: usize, size: usize, sp: usize, bp: usize) -> *mut c_void {
    let Some(real) = real else { return null_mut() };
    // SAFETY: the caller's call.
    record(size, sp, bp, || unsafe { real(alignment, size) })
}

#[inline(always)]
fn paged(real: Option<Paged>, size: usize, sp: usize, bp: usize) -> *mut c_void {
    let Some(real) = real else { return null_mut() };
    // SAFETY: the caller's call.
    record(size, sp, bp, || unsafe { real(size) })
}

unsafe extern "C" fn on_memalign(alignment: usize, size: usize, sp: usize, bp: usize) -> *mut c_void {
    aligned(real::memalign(), alignment, size, sp, bp)
}

unsafe extern "C" fn on_aligned_alloc(alignment: usize, size: usize, sp: usize, bp: usize) -> *mut c_void {
    aligned(real::aligned_alloc(), alignment, size, sp, bp)
}

unsafe extern "C" fn on_valloc(size: usize, sp: usize, bp: usize) -> *mut c_void {
    paged(real::valloc(), size, sp, bp)
}

unsafe extern "C" fn on_pvalloc(size: usize, sp: usize, bp: usize) -> *mut c_void {
    paged(real::pvalloc(), size, sp, bp)
}

unsafe extern "C" fn on_posix_memalign(
    result: *mut *mut c_void,
    alignment: usize,
    size: usize,
    sp: usize,
    bp: usize,
) -> c_int {
    let Some(real) = real::posix_memalign() else { return libc::ENOMEM };
    if switch::is_dormant() {
        // SAFETY: the caller's call.
        return thread::pass(sp, || unsafe { real(result, alignment, size) });
    }
    // SAFETY: the caller's call.
    let error = thread::quietly(|| unsafe { real(result, alignment, size) });
    if error == 0 {
        // SAFETY: it succeeded, so the result is written.
        let block = unsafe { *result };
        if !block.is_null() {
            thread::allocated(block as usize, size, caller(sp, bp));
        }
    }
    error
}
