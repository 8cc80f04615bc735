//! Descriptors that are opened and closed by `syscall`, as libuv closes them.

use super::caller;
use super::descriptors::{closing_in_range, of};
use crate::descriptors::{closing, opened};
use crate::real;
use core::ffi::{c_int, c_long};
use recording::resource::Descriptor::{self, *};

/// System calls that open a descriptor, and its kind.
const OPENING: [(c_long, Descriptor); 27] = [
    (libc::SYS_open, File),
    (libc::SYS_openat, File),
    (libc::SYS_openat2, File),
    (libc::SYS_creat, File),
    (libc::SYS_socket, Socket),
    (libc::SYS_accept, Accepted),
    (libc::SYS_accept4, Accepted),
    (libc::SYS_dup, Duplicate),
    (libc::SYS_dup2, Duplicate),
    (libc::SYS_dup3, Duplicate),
    (libc::SYS_epoll_create, Epoll),
    (libc::SYS_epoll_create1, Epoll),
    (libc::SYS_eventfd, Event),
    (libc::SYS_eventfd2, Event),
    (libc::SYS_memfd_create, Memory),
    (libc::SYS_memfd_secret, Memory),
    (libc::SYS_timerfd_create, Timer),
    (libc::SYS_inotify_init, Inotify),
    (libc::SYS_inotify_init1, Inotify),
    (libc::SYS_fanotify_init, Inotify),
    (libc::SYS_pidfd_open, File),
    (libc::SYS_pidfd_getfd, Duplicate),
    (libc::SYS_perf_event_open, File),
    (libc::SYS_userfaultfd, File),
    (libc::SYS_io_uring_setup, File),
    (libc::SYS_signalfd, Signal),
    (libc::SYS_signalfd4, Signal),
];

/// System calls have smaller numbers than this.
pub const NUMBERS: c_long = 512;
/// Those that are looked at, a bit each.
pub static LOOKED_AT: [u64; NUMBERS as usize / 64] = looked_at();

const fn looked_at() -> [u64; NUMBERS as usize / 64] {
    let mut bits = [0; NUMBERS as usize / 64];
    let closing = [libc::SYS_close, libc::SYS_close_range];
    let mut index = 0;
    while index < OPENING.len() + closing.len() {
        let number = if index < OPENING.len() { OPENING[index].0 } else { closing[index - OPENING.len()] };
        bits[number as usize / 64] |= 1 << (number % 64);
        index += 1;
    }
    bits
}

/// `syscall` for those that are looked at: enters [`on_syscall`] with what is on the stack, and two arguments more: the stack
/// pointer at the function's first instruction, and the frame pointer.
///
/// # Safety
/// As for the C function.
#[unsafe(naked)]
pub unsafe extern "C" fn syscall() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "mov rax, rsp",
        "push rbp",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset rbp, 0",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "and rsp, -16",
        "sub rsp, 8",
        "push qword ptr [rbp]",
        "push rax",
        "push qword ptr [rbp + 16]",
        "call {hook}",
        "mov rsp, rbp",
        ".cfi_def_cfa_register rsp",
        "pop rbp",
        ".cfi_adjust_cfa_offset -8",
        ".cfi_restore rbp",
        "ret",
        ".cfi_endproc",
        hook = sym on_syscall,
    )
}

#[allow(clippy::too_many_arguments, reason = "the C function's, and what the stub adds")]
unsafe extern "C" fn on_syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
    sp: usize,
    bp: usize,
) -> c_long {
    let Some(real) = real::syscall() else { return -1 };
    match number {
        libc::SYS_close => closing(a as c_int, sp),
        libc::SYS_close_range => closing_in_range(a, b, c, sp),
        _ => {}
    }
    // SAFETY: the caller's call.
    let result = unsafe { real(number, a, b, c, d, e, f) };
    let is_new = match number {
        libc::SYS_dup2 => a as c_int != b as c_int,
        libc::SYS_signalfd | libc::SYS_signalfd4 => a as c_int == -1,
        _ => true,
    };
    if let Some((_, kind)) = OPENING.iter().find(|(opening, _)| *opening == number && is_new) {
        let kind = match number {
            libc::SYS_open => of(b),
            libc::SYS_openat => of(c),
            _ => *kind,
        };
        opened(result as c_int, kind, caller(sp, bp));
    }
    result
}
