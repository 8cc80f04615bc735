//! What opens and closes descriptors: recorded where that is asked for; elsewhere each hook is a jump.
//!
//! An opening is recorded after the real call, a closing before it. Arguments are handed on as their registers have them, so
//! that those of functions with a varying number go through.

use super::{caller, closing, gated};
use crate::config::DESCRIPTORS;
use crate::descriptors::{closing_range, opened};
use crate::real::resources as real;
use core::ffi::c_int;
use recording::resource::Descriptor::{self, *};

/// Exports functions that return a descriptor of the kind `$kind`. `$sp` and `$bp` are the registers behind the arguments.
macro_rules! opening {
    ($($name:ident $symbol:literal ($($argument:ident),*) $sp:literal $bp:literal => $kind:expr;)*) => {
        $(gated!($name, $symbol, DESCRIPTORS, real::address::$name, hook::$name, $sp, $bp);)*
        mod hook {
            use super::*;
            $(pub(super) unsafe extern "C" fn $name($($argument: usize,)* sp: usize, bp: usize) -> c_int {
                let Some(real) = real::$name() else { return missing() };
                // SAFETY: the caller's call.
                let result = unsafe { real($($argument),*) };
                if DESCRIPTORS.is() {
                    opened(result, $kind, caller(sp, bp));
                }
                result
            })*
        }
    };
}

opening! {
    open "open" (path, flags, mode) "rcx" "r8" => of(flags);
    open64 "open64" (path, flags, mode) "rcx" "r8" => of(flags);
    open_2 "__open_2" (path, flags) "rdx" "rcx" => of(flags);
    open64_2 "__open64_2" (path, flags) "rdx" "rcx" => of(flags);
    openat "openat" (directory, path, flags, mode) "r8" "r9" => of(flags);
    openat64 "openat64" (directory, path, flags, mode) "r8" "r9" => of(flags);
    openat_2 "__openat_2" (directory, path, flags) "rcx" "r8" => of(flags);
    openat64_2 "__openat64_2" (directory, path, flags) "rcx" "r8" => of(flags);
    creat "creat" (path, mode) "rdx" "rcx" => File;
    creat64 "creat64" (path, mode) "rdx" "rcx" => File;
    mkstemp "mkstemp" (path) "rsi" "rdx" => File;
    mkstemp64 "mkstemp64" (path) "rsi" "rdx" => File;
    mkostemp "mkostemp" (path, flags) "rdx" "rcx" => File;
    mkostemp64 "mkostemp64" (path, flags) "rdx" "rcx" => File;
    mkstemps "mkstemps" (path, suffix) "rdx" "rcx" => File;
    mkstemps64 "mkstemps64" (path, suffix) "rdx" "rcx" => File;
    mkostemps "mkostemps" (path, suffix, flags) "rcx" "r8" => File;
    mkostemps64 "mkostemps64" (path, suffix, flags) "rcx" "r8" => File;
    posix_openpt "posix_openpt" (flags) "rsi" "rdx" => File;
    socket "socket" (domain, kind, protocol) "rcx" "r8" => Socket;
    accept "accept" (socket, address, len) "rcx" "r8" => Accepted;
    accept4 "accept4" (socket, address, len, flags) "r8" "r9" => Accepted;
    dup "dup" (old) "rsi" "rdx" => Duplicate;
    epoll_create "epoll_create" (size) "rsi" "rdx" => Epoll;
    epoll_create1 "epoll_create1" (flags) "rsi" "rdx" => Epoll;
    eventfd "eventfd" (value, flags) "rdx" "rcx" => Event;
    memfd_create "memfd_create" (name, flags) "rdx" "rcx" => Memory;
    timerfd_create "timerfd_create" (clock, flags) "rdx" "rcx" => Timer;
    inotify_init "inotify_init" () "rdi" "rsi" => Inotify;
    inotify_init1 "inotify_init1" (flags) "rsi" "rdx" => Inotify;
}

/// What `open` gives with these flags.
pub fn of(flags: usize) -> Descriptor {
    if flags as c_int & libc::O_DIRECTORY != 0 { Directory } else { File }
}

/// There is no such function: as the C library says it.
#[cold]
fn missing() -> c_int {
    // SAFETY: no system call has this number.
    crate::real::syscall().map_or(-1, |real| unsafe { real(-1, 0, 0, 0, 0, 0, 0) as c_int })
}

/// Exports functions that store two descriptors where the last but `$flags` of their arguments says.
macro_rules! opening_two {
    ($($name:ident $symbol:literal ($($argument:ident),*) $place:ident $sp:literal $bp:literal => $kind:expr;)*) => {
        $(gated!($name, $symbol, DESCRIPTORS, real::address::$name, hook_of_two::$name, $sp, $bp);)*
        mod hook_of_two {
            use super::*;
            $(pub(super) unsafe extern "C" fn $name($($argument: usize,)* sp: usize, bp: usize) -> c_int {
                let Some(real) = real::$name() else { return missing() };
                // SAFETY: the caller's call.
                let result = unsafe { real($($argument),*) };
                if result == 0 && DESCRIPTORS.is() {
                    // SAFETY: the call has stored two descriptors there.
                    let both = unsafe { *($place as *const [c_int; 2]) };
                    both.into_iter().for_each(|one| opened(one, $kind, caller(sp, bp)));
                }
                result
            })*
        }
    };
}

opening_two! {
    pipe "pipe" (ends) ends "rsi" "rdx" => Pipe;
    pipe2 "pipe2" (ends, flags) ends "rdx" "rcx" => Pipe;
    socketpair "socketpair" (domain, kind, protocol, ends) ends "r8" "r9" => Socket;
}

gated!(dup2, "dup2", DESCRIPTORS, real::address::dup2, on_dup2, "rdx", "rcx");
gated!(dup3, "dup3", DESCRIPTORS, real::address::dup3, on_dup3, "rcx", "r8");
gated!(signalfd, "signalfd", DESCRIPTORS, real::address::signalfd, on_signalfd, "rcx", "r8");
gated!(shm_open, "shm_open", DESCRIPTORS, real::address::shm_open, on_shm_open, "rcx", "r8");
gated!(recvmsg, "recvmsg", DESCRIPTORS, real::address::recvmsg, on_recvmsg, "rcx", "r8");
gated!(close_range, "close_range", DESCRIPTORS, real::address::close_range, on_close_range, "rcx", "r8");
gated!(closefrom, "closefrom", DESCRIPTORS, real::address::closefrom, on_closefrom, "rsi", "rdx");
closing!(close, "close", on_close);

unsafe extern "C" fn on_dup2(old: usize, new: usize, sp: usize, bp: usize) -> c_int {
    let Some(real) = real::dup2() else { return missing() };
    // SAFETY: the caller's call.
    let result = unsafe { real(old, new) };
    if old as c_int != new as c_int && DESCRIPTORS.is() {
        opened(result, Duplicate, caller(sp, bp));
    }
    result
}

unsafe extern "C" fn on_dup3(old: usize, new: usize, flags: usize, sp: usize, bp: usize) -> c_int {
    let Some(real) = real::dup3() else { return missing() };
    // SAFETY: the caller's call.
    let result = unsafe { real(old, new, flags) };
    if DESCRIPTORS.is() {
        opened(result, Duplicate, caller(sp, bp));
    }
    result
}

unsafe extern "C" fn on_signalfd(old: usize, mask: usize, flags: usize, sp: usize, bp: usize) -> c_int {
    let Some(real) = real::signalfd() else { return missing() };
    // SAFETY: the caller's call.
    let result = unsafe { real(old, mask, flags) };
    // Else it changes the one that it is given.
    if old as c_int == -1 && DESCRIPTORS.is() {
        opened(result, Signal, caller(sp, bp));
    }
    result
}

type ShmOpen = unsafe extern "C" fn(usize, usize, usize) -> c_int;

/// In older C libraries it is in a library of its own, which may be loaded late.
unsafe extern "C" fn on_shm_open(name: usize, flags: usize, mode: usize, sp: usize, bp: usize) -> c_int {
    let later = || crate::real::next_definition(b"shm_open");
    // SAFETY: a function of this name, with the signature of its header.
    let later = || Some(unsafe { core::mem::transmute::<usize, ShmOpen>(later()?) });
    let Some(real) = real::shm_open().or_else(later) else { return missing() };
    // SAFETY: the caller's call.
    let result = unsafe { real(name, flags, mode) };
    if DESCRIPTORS.is() {
        opened(result, Memory, caller(sp, bp));
    }
    result
}

unsafe extern "C" fn on_recvmsg(socket: usize, message: usize, flags: usize, sp: usize, bp: usize) -> isize {
    let Some(real) = real::recvmsg() else { return missing() as isize };
    // SAFETY: the caller's call.
    let result = unsafe { real(socket, message, flags) };
    if result >= 0 && DESCRIPTORS.is() {
        // SAFETY: the call has filled it in.
        unsafe { received(message, |descriptor| opened(descriptor, Received, caller(sp, bp))) };
    }
    result
}

/// The descriptors that a `struct msghdr` has got.
///
/// # Safety
/// `recvmsg` must have succeeded with it.
unsafe fn received(message: usize, mut take: impl FnMut(c_int)) {
    /// Offsets of `msg_control` and of `msg_controllen`, which musl has in four bytes.
    const CONTROL: usize = 32;
    const CONTROL_LEN: usize = 40;
    /// Length, level, type.
    const HEADER: usize = 16;
    // SAFETY: handed to the caller; so much of the control messages was stored.
    unsafe {
        let (mut at, mut left) =
            (*((message + CONTROL) as *const usize), *((message + CONTROL_LEN) as *const u32) as usize);
        while at != 0 && left >= HEADER {
            let [len, level, kind] =
                [0, 8, 12].map(|offset| ((at + offset) as *const u32).read_unaligned() as usize);
            if !(HEADER..=left).contains(&len) {
                return;
            }
            if (level, kind) == (libc::SOL_SOCKET as usize, libc::SCM_RIGHTS as usize) {
                (HEADER..len - 3).step_by(4).for_each(|offset| take(((at + offset) as *const c_int).read()));
            }
            let step = len.next_multiple_of(8).min(left);
            (at, left) = (at + step, left - step);
        }
    }
}

unsafe extern "C" fn on_close(descriptor: usize, sp: usize) {
    if real::close().is_some() && DESCRIPTORS.is() {
        crate::descriptors::closing(descriptor as c_int, sp);
    }
}

unsafe extern "C" fn on_close_range(first: usize, last: usize, flags: usize, sp: usize, _bp: usize) -> c_int {
    if DESCRIPTORS.is() {
        closing_in_range(first, last, flags, sp);
    }
    match (real::close_range(), crate::real::syscall()) {
        // SAFETY: the caller's call.
        (Some(real), _) => unsafe { real(first, last, flags) },
        // SAFETY: as above: what the function does where there is one.
        (None, Some(real)) => unsafe { real(libc::SYS_close_range, first, last, flags, 0, 0, 0) as c_int },
        (None, None) => -1,
    }
}

/// `close_range` is about to be called.
pub fn closing_in_range(first: usize, last: usize, flags: usize, sp: usize) {
    if flags & libc::CLOSE_RANGE_CLOEXEC as usize == 0 {
        closing_range(first as u32, last as u32, sp);
    }
}

unsafe extern "C" fn on_closefrom(first: usize, sp: usize, _bp: usize) {
    if DESCRIPTORS.is() {
        closing_range(first as c_int as u32, u32::MAX, sp);
    }
    match (real::closefrom(), crate::real::syscall()) {
        // SAFETY: the caller's call.
        (Some(real), _) => unsafe { real(first) },
        // SAFETY: as above: what the function does where there is one.
        (None, Some(real)) => unsafe {
            real(libc::SYS_close_range, first, u32::MAX as usize, 0, 0, 0, 0);
        },
        (None, None) => {}
    }
}

/// Exports a name of `fcntl`, which may give another number to an open descriptor. All other commands jump on.
macro_rules! duplicating {
    ($name:ident, $symbol:literal, $hook:ident) => {
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
                "cmp byte ptr [rip + {wanted}], 0",
                "je 4f",
                "cmp esi, {duplicate}",
                "je 3f",
                "cmp esi, {closed_at_exec}",
                "je 3f",
                "4: mov r11, qword ptr [rip + {real}]",
                "cmp r11, {none}",
                "jbe 3f",
                "jmp r11",
                "3:",
                "mov rcx, rsp",
                "mov r8, rbp",
                "test spl, 8",
                "jz 2f",
                "jmp {hook}",
                "2: call {hook}",
                "ret",
                ".cfi_endproc",
                wanted = sym DESCRIPTORS,
                real = sym real::address::$name,
                none = const crate::real::NONE,
                duplicate = const libc::F_DUPFD,
                closed_at_exec = const libc::F_DUPFD_CLOEXEC,
                hook = sym $hook,
            )
        }

        unsafe extern "C" fn $hook(
            descriptor: usize,
            command: usize,
            argument: usize,
            sp: usize,
            bp: usize,
        ) -> c_int {
            let Some(real) = real::$name() else { return missing() };
            // SAFETY: the caller's call.
            let result = unsafe { real(descriptor, command, argument) };
            if matches!(command as c_int, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) && DESCRIPTORS.is() {
                opened(result, Duplicate, caller(sp, bp));
            }
            result
        }
    };
}

duplicating!(fcntl, "fcntl", on_fcntl);
duplicating!(fcntl64, "fcntl64", on_fcntl64);
