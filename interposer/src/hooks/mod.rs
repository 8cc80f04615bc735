//! The exported C functions: call the real one, hand the event over. No logic of their own.
//!
//! Allocating hooks begin with a stub of a few instructions that hands on the stack and frame pointer as they were
//! at the call, so that unwinding starts at the caller and no frame of ours is ever on a recorded stack.
//!
//! A block is recorded as given back before the real call and as handed out after it. There are no hooks of
//! `dlopen`, `fork` or `exit`: each would change what the program sees. `prctl` and `syscall` are looked at and jump on;
//! before a change of user or root the file is made ready. What opens and maps jumps on, but where that is recorded too.

pub mod aligned;
pub mod constructors;
pub mod descriptors;
pub mod malloc;
pub mod mappings;
pub mod mark;
pub mod operators;
pub mod python;
pub mod rights;
pub mod sandbox;
pub mod streams;
pub mod syscalls;

use crate::stack::Caller;

/// Exports a C function that enters `$hook` with one or two more arguments, in the registers named: the stack
/// pointer at the function's first instruction, and the frame pointer. Only in the real library under its own
/// name: a test binary must not hook itself. `unexported`: one that is found by its address alone.
macro_rules! stub {
    ($name:ident, $hook:path, $($register:literal),+) => {
        /// The hook of the C function of this name.
        ///
        /// # Safety
        /// As for the C function.
        #[cfg_attr(unfreed_preload, unsafe(no_mangle))]
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name() {
            stub!(enter $hook, $($register),+)
        }
    };
    (unexported $name:ident, $hook:path, $($register:literal),+) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            stub!(enter $hook, $($register),+)
        }
    };
    (enter $hook:path, $sp:literal $(, $bp:literal)?) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            "endbr64",
            concat!("mov ", $sp, ", rsp"),
            $(concat!("mov ", $bp, ", rbp"),)?
            "test spl, 8",
            "jz 2f",
            "jmp {hook}",
            // Called with the stack off by 8, as some assembly does: compiled code may not be entered so, and
            // one more return address puts it right.
            "2: call {hook}",
            "ret",
            ".cfi_endproc",
            hook = sym $hook
        )
    };
}
pub(crate) use stub;

/// The instructions of a hook that jump on to `{real}` unless `{wanted}` is set; or there is no real one, or it is not looked up.
macro_rules! unless_wanted {
    () => {
        "cmp byte ptr [rip + {wanted}], 0
        jne 3f
        mov r11, qword ptr [rip + {real}]
        cmp r11, {none}
        jbe 3f
        jmp r11
        3:"
    };
}
pub(crate) use unless_wanted;

/// Exports a C function that jumps on to the real one where what it does is not to be recorded (`$wanted`), and else enters
/// `$hook` as [`stub`] does. `$hook` is entered too where there is no real one, or it is not looked up.
macro_rules! gated {
    ($name:ident, $symbol:literal, $wanted:path, $real:path, $hook:path, $sp:literal, $bp:literal) => {
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
                $crate::hooks::unless_wanted!(),
                concat!("mov ", $sp, ", rsp"),
                concat!("mov ", $bp, ", rbp"),
                "test spl, 8",
                "jz 2f",
                "jmp {hook}",
                // As for other stubs.
                "2: call {hook}",
                "ret",
                ".cfi_endproc",
                wanted = sym $wanted,
                real = sym $real,
                none = const $crate::real::NONE,
                hook = sym $hook,
            )
        }
    };
}
pub(crate) use gated;

/// Exports a C function of one argument that enters `$hook` with it and the stack pointer at its first instruction, if that
/// is to be recorded, and jumps on to the real one with nothing of ours on the stack: it may be where a thread is
/// cancelled. `$hook` looks the real one up.
macro_rules! closing {
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
                $crate::hooks::unless_wanted!(),
                "push rdi",
                ".cfi_adjust_cfa_offset 8",
                "push rbp",
                ".cfi_adjust_cfa_offset 8",
                ".cfi_rel_offset rbp, 0",
                "lea rsi, [rsp + 16]",
                "mov rbp, rsp",
                ".cfi_def_cfa_register rbp",
                "and rsp, -16",
                "call {hook}",
                "mov rsp, rbp",
                ".cfi_def_cfa_register rsp",
                "pop rbp",
                ".cfi_adjust_cfa_offset -8",
                ".cfi_restore rbp",
                "pop rdi",
                ".cfi_adjust_cfa_offset -8",
                "mov r11, qword ptr [rip + {real}]",
                "cmp r11, {none}",
                "jbe 4f",
                "jmp r11",
                "4: mov eax, -1",
                "ret",
                ".cfi_endproc",
                wanted = sym $crate::config::DESCRIPTORS,
                real = sym $crate::real::resources::address::$name,
                none = const $crate::real::NONE,
                hook = sym $hook,
            )
        }
    };
}
pub(crate) use closing;

/// The caller of a stub: behind its call instruction.
#[inline(always)]
fn caller(sp: usize, bp: usize) -> Caller {
    // SAFETY: at the stub's first instruction the stack pointer pointed to the return address.
    let pc = unsafe { *(sp as *const u64) };
    Caller { pc, sp: sp as u64 + 8, bp: bp as u64 }
}
