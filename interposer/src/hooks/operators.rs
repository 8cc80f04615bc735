//! C++ operators new and delete.
//!
//! Those of the C++ runtime call malloc and free, and so arrive there: where the runtime's are next in the loader's
//! order, these hooks jump to them and add nothing. A linked allocator that brings its own (jemalloc, tcmalloc,
//! mimalloc) is called through its malloc and free, and the event is recorded here. The same is done where no
//! operator was there at the start, since a C++ runtime that is loaded later may be unloaded again.
//!
//! Where memory runs out the next definition is jumped to after all: it knows the new-handler and the exception,
//! which no frame of ours may stand in the way of.

use super::caller;
use super::malloc::on_free;
use crate::{real, switch, thread};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Exports operators under their mangled names. Each jumps to the next definition if that is the C++ runtime's.
/// Else `delete` jumps to its hook with the stack pointer of the call in `$sp`; `new` calls its hook with the stack
/// pointer and frame pointer of the call in `$sp` and `$bp`, and jumps to the next definition if that gives null.
macro_rules! operators {
    (
        new { $($new:ident $new_symbol:literal => $new_hook:path, $new_sp:literal, $new_bp:literal;)* }
        delete { $($delete:ident $delete_symbol:literal;)* }
    ) => {
        /// Addresses of the runtime's operators, 0 where the hook is to be entered.
        #[allow(non_upper_case_globals)]
        mod runtime {
            use super::AtomicUsize;
            $(pub(super) static $new: AtomicUsize = AtomicUsize::new(0);)*
            $(pub(super) static $delete: AtomicUsize = AtomicUsize::new(0);)*
        }
        /// The definitions behind ours now, 0 if there is none.
        mod next {
            $(pub(super) extern "C" fn $new() -> usize {
                crate::real::next_definition($new_symbol.as_bytes()).unwrap_or(0)
            })*
        }
        /// Notes the operators of the C++ runtime; called while the real functions are looked up.
        pub fn note_runtime(next: impl Fn(&[u8]) -> Option<usize>) {
            $(runtime::$new.store(next($new_symbol.as_bytes()).unwrap_or(0), Relaxed);)*
            $(runtime::$delete.store(next($delete_symbol.as_bytes()).unwrap_or(0), Relaxed);)*
        }
        $(
            #[doc = concat!("The hook of the operator `", $new_symbol, "`.")]
            ///
            /// # Safety
            /// As for the operator.
            #[cfg_attr(unfreed_preload, unsafe(export_name = $new_symbol))]
            #[unsafe(naked)]
            pub unsafe extern "C" fn $new() {
                core::arch::naked_asm!(
                    ".cfi_startproc",
                    "endbr64",
                    "mov rax, qword ptr [rip + {runtime}]",
                    "test rax, rax",
                    "jz 2f",
                    "jmp rax",
                    "2:",
                    "push rdi",
                    ".cfi_adjust_cfa_offset 8",
                    "push rsi",
                    ".cfi_adjust_cfa_offset 8",
                    "push rdx",
                    ".cfi_adjust_cfa_offset 8",
                    concat!("lea ", $new_sp, ", [rsp + 24]"),
                    concat!("mov ", $new_bp, ", rbp"),
                    "call {hook}",
                    "test rax, rax",
                    "jnz 3f",
                    "call {next}",
                    "test rax, rax",
                    "jz 3f",
                    "pop rdx",
                    ".cfi_adjust_cfa_offset -8",
                    "pop rsi",
                    ".cfi_adjust_cfa_offset -8",
                    "pop rdi",
                    ".cfi_adjust_cfa_offset -8",
                    "jmp rax",
                    "3:",
                    ".cfi_adjust_cfa_offset 24",
                    "add rsp, 24",
                    ".cfi_adjust_cfa_offset -24",
                    "ret",
                    ".cfi_endproc",
                    runtime = sym runtime::$new,
                    hook = sym $new_hook,
                    next = sym next::$new,
                )
            }
        )*
        $(
            #[doc = concat!("The hook of the operator `", $delete_symbol, "`.")]
            ///
            /// # Safety
            /// As for the operator.
            #[cfg_attr(unfreed_preload, unsafe(export_name = $delete_symbol))]
            #[unsafe(naked)]
            pub unsafe extern "C" fn $delete() {
                core::arch::naked_asm!(
                    ".cfi_startproc",
                    "endbr64",
                    "mov rax, qword ptr [rip + {runtime}]",
                    "test rax, rax",
                    "jz 2f",
                    "jmp rax",
                    "2:",
                    "mov rsi, rsp",
                    "test spl, 8",
                    "jz 3f",
                    "jmp {hook}",
                    "3: call {hook}",
                    "ret",
                    ".cfi_endproc",
                    runtime = sym runtime::$delete,
                    hook = sym on_free,
                )
            }
        )*
    };
}

operators! {
    new {
        new "_Znwm" => on_new, "rsi", "rdx";
        new_array "_Znam" => on_new, "rsi", "rdx";
        new_nothrow "_ZnwmRKSt9nothrow_t" => on_new, "rsi", "rdx";
        new_array_nothrow "_ZnamRKSt9nothrow_t" => on_new, "rsi", "rdx";
        new_aligned "_ZnwmSt11align_val_t" => on_new_aligned, "rdx", "rcx";
        new_array_aligned "_ZnamSt11align_val_t" => on_new_aligned, "rdx", "rcx";
        new_aligned_nothrow "_ZnwmSt11align_val_tRKSt9nothrow_t" => on_new_aligned, "rdx", "rcx";
        new_array_aligned_nothrow "_ZnamSt11align_val_tRKSt9nothrow_t" => on_new_aligned, "rdx", "rcx";
    }
    delete {
        delete "_ZdlPv";
        delete_array "_ZdaPv";
        delete_nothrow "_ZdlPvRKSt9nothrow_t";
        delete_array_nothrow "_ZdaPvRKSt9nothrow_t";
        delete_sized "_ZdlPvm";
        delete_array_sized "_ZdaPvm";
        delete_aligned "_ZdlPvSt11align_val_t";
        delete_array_aligned "_ZdaPvSt11align_val_t";
        delete_aligned_nothrow "_ZdlPvSt11align_val_tRKSt9nothrow_t";
        delete_array_aligned_nothrow "_ZdaPvSt11align_val_tRKSt9nothrow_t";
        delete_sized_aligned "_ZdlPvmSt11align_val_t";
        delete_array_sized_aligned "_ZdaPvmSt11align_val_t";
    }
}

/// Null when memory has run out.
unsafe extern "C" fn on_new(size: usize, sp: usize, bp: usize) -> *mut c_void {
    caller(sp, bp).expect();
    // SAFETY: an allocation on the caller's behalf; an operator gives distinct blocks for size 0, malloc need not.
    let block = real::malloc().map_or(null_mut(), |real| unsafe { real(size.max(1)) });
    if !block.is_null() {
        thread::allocated(block as usize, size, caller(sp, bp));
    }
    block
}

/// As [`on_new`].
unsafe extern "C" fn on_new_aligned(size: usize, alignment: usize, sp: usize, bp: usize) -> *mut c_void {
    // SAFETY: as in `on_new`.
    let allocate =
        |real: unsafe extern "C" fn(usize, usize) -> *mut c_void| unsafe { real(alignment, size.max(1)) };
    let Some(real) = real::memalign() else { return null_mut() };
    if switch::is_dormant() {
        return thread::pass(sp, || allocate(real));
    }
    let block = thread::quietly(|| allocate(real));
    if !block.is_null() {
        thread::allocated(block as usize, size, caller(sp, bp));
    }
    block
}
