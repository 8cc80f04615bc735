//! mmap, munmap and mremap: recorded where that is asked for; elsewhere each hook is a jump.

use super::{caller, gated, unless_wanted};
use crate::config::MAPPINGS;
use crate::mappings;
use crate::real::resources as real;
use core::ffi::c_int;

/// What mmap and mremap return when they fail.
const FAILED: usize = usize::MAX;

/// Exports a function of up to six arguments that enters `$hook` with two more, on the stack: the stack pointer at the
/// function's first instruction, and the frame pointer.
macro_rules! gated_long {
    ($name:ident, $symbol:literal, $hook:path) => {
        #[doc = concat!("The hook of the C function `", $symbol, "`.")]
        ///
        /// # Safety
        /// As for the C function.
        #[cfg_attr(unfreed_preload, unsafe(export_name = $symbol))]
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                "endbr64",
                unless_wanted!(),
                "mov rax, rsp",
                "push rbp",
                ".cfi_adjust_cfa_offset 8",
                ".cfi_rel_offset rbp, 0",
                "mov rbp, rsp",
                ".cfi_def_cfa_register rbp",
                "and rsp, -16",
                "push qword ptr [rbp]",
                "push rax",
                "call {hook}",
                "mov rsp, rbp",
                ".cfi_def_cfa_register rsp",
                "pop rbp",
                ".cfi_adjust_cfa_offset -8",
                ".cfi_restore rbp",
                "ret",
                ".cfi_endproc",
                wanted = sym MAPPINGS,
                real = sym real::address::$name,
                none = const crate::real::NONE,
                hook = sym $hook,
            )
        }
    };
}

gated_long!(mmap, "mmap", on_mmap);
gated_long!(mmap64, "mmap64", on_mmap64);
gated_long!(mremap, "mremap", on_mremap);
gated!(munmap, "munmap", MAPPINGS, real::address::munmap, on_munmap, "rdx", "rcx");

type Mmap = unsafe extern "C" fn(usize, usize, usize, usize, usize, usize) -> usize;

macro_rules! on_mmap {
    ($($hook:ident $real:path;)*) => {$(
        #[allow(clippy::too_many_arguments, reason = "the C function's, and what the stub adds")]
        unsafe extern "C" fn $hook(
            at: usize,
            size: usize,
            protection: usize,
            flags: usize,
            file: usize,
            offset: usize,
            sp: usize,
            bp: usize,
        ) -> usize {
            map($real(), [at, size, protection, flags, file, offset], sp, bp)
        }
    )*};
}

on_mmap! {
    on_mmap real::mmap;
    on_mmap64 real::mmap64;
}

fn map(real: Option<Mmap>, arguments: [usize; 6], sp: usize, bp: usize) -> usize {
    let Some(real) = real else { return FAILED };
    let [at, size, protection, flags, file, offset] = arguments;
    // What was there goes.
    let replaces = flags as c_int & libc::MAP_FIXED != 0 && MAPPINGS.is();
    let replaced = replaces && mappings::unmapping(at, size, sp);
    // SAFETY: the caller's call.
    let result = unsafe { real(at, size, protection, flags, file, offset) };
    if result == FAILED {
        if replaced {
            mappings::not_moved(at, sp);
        }
    } else if flags as c_int & libc::MAP_ANONYMOUS != 0 && MAPPINGS.is() {
        mappings::mapped(result, size, caller(sp, bp));
    }
    result
}

unsafe extern "C" fn on_mremap(
    old: usize,
    old_size: usize,
    size: usize,
    flags: usize,
    to: usize,
    _: usize,
    sp: usize,
    bp: usize,
) -> usize {
    let Some(real) = real::mremap() else { return FAILED };
    // With a size of 0 or where the old place stays, it is a further one, of the same memory.
    let stays = old_size == 0 || flags as c_int & libc::MREMAP_DONTUNMAP != 0;
    let is_recorded = !stays && MAPPINGS.is() && mappings::moving(old, sp);
    // SAFETY: the caller's call.
    let result = unsafe { real(old, old_size, size, flags, to) };
    if is_recorded && result == FAILED {
        mappings::not_moved(old, sp);
    } else if is_recorded {
        mappings::moved(result, size, caller(sp, bp));
    }
    result
}

unsafe extern "C" fn on_munmap(at: usize, size: usize, sp: usize, _bp: usize) -> c_int {
    let Some(real) = real::munmap() else { return -1 };
    let is_recorded = MAPPINGS.is() && mappings::unmapping(at, size, sp);
    // SAFETY: the caller's call.
    let result = unsafe { real(at, size) };
    if is_recorded && result != 0 {
        mappings::not_moved(at, sp);
    }
    result
}
