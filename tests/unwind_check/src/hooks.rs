//! The hooked functions: naked stubs that pass the caller's registers, as in the interposer.

use std::alloc::{GlobalAlloc, Layout};
use std::arch::naked_asm;
use std::ffi::c_void;

use interposer::modules;
use interposer::stack::{Caller, Sink};

use crate::{compare, report, state};

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(alignment: usize, size: usize) -> *mut c_void;
    fn __libc_free(block: *mut c_void);
}

/// The checker's own memory does not come through its hooks.
struct Libc;

// SAFETY: glibc's allocator keeps the contract.
unsafe impl GlobalAlloc for Libc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the alignment is a power of two.
        unsafe { __libc_memalign(layout.align().max(16), layout.size()).cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block is from `alloc`.
        unsafe { __libc_free(block.cast()) }
    }
}

#[global_allocator]
static LIBC: Libc = Libc;

/// Defines `$name`, which calls `$hook` with its own arguments and, in the two registers behind them, the stack
/// pointer at entry and the caller's rbp.
macro_rules! stub {
    ($name:ident, $hook:ident, $sp:literal, $bp:literal) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        extern "C" fn $name() {
            naked_asm!(
                concat!("mov ", $sp, ", rsp"), concat!("mov ", $bp, ", rbp"), "jmp {hook}", hook = sym $hook
            )
        }
    };
}

stub!(malloc, on_malloc, "rsi", "rdx");
stub!(calloc, on_calloc, "rdx", "rcx");
stub!(realloc, on_realloc, "rdx", "rcx");

extern "C" fn on_malloc(size: usize, sp: *const u64, bp: u64) -> *mut c_void {
    take(sp, bp);
    // SAFETY: as the caller asked.
    unsafe { __libc_malloc(size) }
}

extern "C" fn on_calloc(count: usize, size: usize, sp: *const u64, bp: u64) -> *mut c_void {
    take(sp, bp);
    // SAFETY: as the caller asked.
    unsafe { __libc_calloc(count, size) }
}

extern "C" fn on_realloc(block: *mut c_void, size: usize, sp: *const u64, bp: u64) -> *mut c_void {
    take(sp, bp);
    // SAFETY: as the caller asked.
    unsafe { __libc_realloc(block, size) }
}

#[unsafe(no_mangle)]
extern "C" fn free(block: *mut c_void) {
    if modules::freed(block as u64)
        && let Some(thread) = state::enter()
    {
        modules::unloaded(block as u64, |number, epoch| thread.nodes.module_gone(number, epoch));
        thread.busy = false;
    }
    // SAFETY: as the caller asked.
    unsafe { __libc_free(block) }
}

fn take(sp: *const u64, bp: u64) {
    let Some(thread) = state::enter() else { return };
    // SAFETY: the stub gives its stack pointer, which points to the return address.
    let caller = Caller { pc: unsafe { sp.read() }, sp: sp as u64 + 8, bp };
    compare::check(thread, caller);
    thread.busy = false;
}

#[used]
#[unsafe(link_section = ".init_array")]
static INIT: extern "C" fn() = {
    extern "C" fn init() {
        // As the interposer does when recording begins.
        interposer::start::find();
        // SAFETY: the function stays: a preloaded library is not unloaded.
        unsafe { libc::atexit(report::at_exit) };
    }
    init
};
