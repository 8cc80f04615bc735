//! prctl and syscall: looked at for a seccomp filter that is about to be installed.
//!
//! All other calls jump on to the real function with the registers and the stack as the caller left them.

use super::syscalls;
use crate::real;
use crate::sandbox::{self, Request};
use core::ffi::{c_int, c_long};

/// The hook of the C function of this name: enters its hook for the option that installs a filter, and as long as the real
/// one is not looked up.
///
/// # Safety
/// As for the C function.
#[cfg_attr(unfreed_preload, unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn prctl() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "endbr64",
        "cmp edi, {filter}",
        "je {hook}",
        "mov r11, qword ptr [rip + {real}]",
        "cmp r11, {none}",
        "jbe {hook}",
        "jmp r11",
        ".cfi_endproc",
        hook = sym on_prctl,
        filter = const libc::PR_SET_SECCOMP,
        real = sym real::address::prctl,
        none = const real::NONE,
    )
}

/// The hook of the C function of this name: as [`prctl`] for the two calls that install a filter, and where descriptors are
/// recorded for those that open and close them.
///
/// # Safety
/// As for the C function.
#[cfg_attr(unfreed_preload, unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn syscall() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "endbr64",
        "cmp byte ptr [rip + {wanted}], 0",
        "je 2f",
        "cmp rdi, {numbers}",
        "jae 2f",
        "bt qword ptr [rip + {looked_at}], rdi",
        "jc {descriptors}",
        "2:",
        "cmp edi, {seccomp}",
        "je {hook}",
        "cmp edi, {prctl}",
        "je {hook}",
        "mov r11, qword ptr [rip + {real}]",
        "cmp r11, {none}",
        "jbe {hook}",
        "jmp r11",
        ".cfi_endproc",
        wanted = sym crate::config::DESCRIPTORS,
        numbers = const syscalls::NUMBERS,
        looked_at = sym syscalls::LOOKED_AT,
        descriptors = sym syscalls::syscall,
        hook = sym on_syscall,
        seccomp = const libc::SYS_seccomp,
        prctl = const libc::SYS_prctl,
        real = sym real::address::syscall,
        none = const real::NONE,
    )
}

/// Calls the real function, and tells of the filter before. `is_success` is asked of the result.
fn installing<R: Copy>(
    request: Option<Request>,
    call: impl FnOnce() -> R,
    is_success: impl FnOnce(R) -> bool,
) -> R {
    let filter = request.and_then(sandbox::announced);
    let result = call();
    if let Some(filter) = filter
        && !is_success(result)
    {
        sandbox::refused(filter);
    }
    result
}

unsafe extern "C" fn on_prctl(option: c_int, mode: usize, filter: usize, more: usize, last: usize) -> c_int {
    let Some(real) = real::prctl() else { return -1 };
    let request = if option == libc::PR_SET_SECCOMP { by_prctl(mode, filter) } else { None };
    // SAFETY: the caller's call.
    installing(request, || unsafe { real(option, mode, filter, more, last) }, |result| result == 0)
}

unsafe extern "C" fn on_syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    let Some(real) = real::syscall() else { return -1 };
    let (request, has_result) = match number {
        libc::SYS_prctl if a == libc::PR_SET_SECCOMP as usize => (by_prctl(b, c), false),
        // With this flag the result is a descriptor.
        libc::SYS_seccomp => (by_seccomp(a, c), b as u64 & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0),
        _ => (None, false),
    };
    let is_success = |result| result == 0 || has_result && result > 0;
    // SAFETY: the caller's call.
    installing(request, || unsafe { real(number, a, b, c, d, e, f) }, is_success)
}

fn by_prctl(mode: usize, filter: usize) -> Option<Request> {
    match mode as u32 {
        libc::SECCOMP_MODE_STRICT => Some(Request::Strict),
        libc::SECCOMP_MODE_FILTER => Some(Request::Filter(filter)),
        _ => None,
    }
}

fn by_seccomp(operation: usize, filter: usize) -> Option<Request> {
    match operation as u32 {
        libc::SECCOMP_SET_MODE_STRICT => Some(Request::Strict),
        libc::SECCOMP_SET_MODE_FILTER => Some(Request::Filter(filter)),
        _ => None,
    }
}
