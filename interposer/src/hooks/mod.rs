//! The exported C functions: call the real one, hand the event over. No logic of their own.
//!
//! Allocating hooks begin with a stub of a few instructions that hands on the stack and frame pointer as they were
//! at the call, so that unwinding starts at the caller and no frame of ours is ever on a recorded stack.
//!
//! A block is recorded as given back before the real call and as handed out after it. There are no hooks of
//! `dlopen`, `fork` or `exit`: each would change what the program sees. `prctl` and `syscall` are looked at and jump on;
//! before a change of user or root the file is made ready.

pub mod aligned;
pub mod constructors;
pub mod malloc;
pub mod mark;
pub mod operators;
pub mod python;
pub mod rights;
pub mod sandbox;

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

/// The caller of a stub: behind its call instruction.
#[inline(always)]
fn caller(sp: usize, bp: usize) -> Caller {
    // SAFETY: at the stub's first instruction the stack pointer pointed to the return address.
    let pc = unsafe { *(sp as *const u64) };
    Caller { pc, sp: sp as u64 + 8, bp: bp as u64 }
}
