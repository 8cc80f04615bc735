//! What opens and closes streams and directories, whose descriptors the C library opens where no hook is: they are asked for
//! by `fileno` and `dirfd`, which only read them.

use super::{caller, closing, gated};
use crate::config::DESCRIPTORS;
use crate::descriptors::{self, opened};
use crate::real::resources as real;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use recording::resource::Descriptor::{Directory, File, Pipe};

/// What is asked for a descriptor.
type Ask = unsafe extern "C" fn(*mut c_void) -> c_int;

/// The descriptor of a stream or directory, negative if it has none. errno stays as it is.
fn number(of: *mut c_void, ask: Option<Ask>) -> c_int {
    let (false, Some(ask), Some(errno)) = (of.is_null(), ask, real::errno_location()) else { return -1 };
    // SAFETY: a stream or directory of the program's, which it gives the C library or has just got from it; errno's
    // place is the thread's.
    unsafe {
        let place = errno();
        let before = *place;
        let number = ask(of);
        *place = before;
        number
    }
}

/// Exports functions that return a stream or directory.
macro_rules! opening {
    ($($name:ident $symbol:literal ($($argument:ident),*) $sp:literal $bp:literal => $kind:expr, $ask:path;)*) => {
        $(gated!($name, $symbol, DESCRIPTORS, real::address::$name, hook::$name, $sp, $bp);)*
        mod hook {
            use super::*;
            $(pub(super) unsafe extern "C" fn $name($($argument: usize,)* sp: usize, bp: usize) -> *mut c_void {
                let Some(real) = real::$name() else { return null_mut() };
                // SAFETY: the caller's call.
                let result = unsafe { real($($argument),*) };
                if DESCRIPTORS.is() {
                    opened(number(result, $ask()), $kind, caller(sp, bp));
                }
                result
            })*
        }
    };
}

opening! {
    fopen "fopen" (path, mode) "rdx" "rcx" => File, real::fileno;
    fopen64 "fopen64" (path, mode) "rdx" "rcx" => File, real::fileno;
    tmpfile "tmpfile" () "rdi" "rsi" => File, real::fileno;
    tmpfile64 "tmpfile64" () "rdi" "rsi" => File, real::fileno;
    popen "popen" (command, mode) "rdx" "rcx" => Pipe, real::fileno;
    opendir "opendir" (path) "rsi" "rdx" => Directory, real::dirfd;
}

gated!(freopen, "freopen", DESCRIPTORS, real::address::freopen, on_freopen, "rcx", "r8");
gated!(freopen64, "freopen64", DESCRIPTORS, real::address::freopen64, on_freopen64, "rcx", "r8");
closing!(fclose, "fclose", on_fclose);
closing!(pclose, "pclose", on_pclose);
closing!(closedir, "closedir", on_closedir);

type Freopen = unsafe extern "C" fn(usize, usize, usize) -> *mut c_void;

unsafe extern "C" fn on_freopen(
    path: usize,
    mode: usize,
    stream: usize,
    sp: usize,
    bp: usize,
) -> *mut c_void {
    reopen(real::freopen(), path, mode, stream, (sp, bp))
}

unsafe extern "C" fn on_freopen64(
    path: usize,
    mode: usize,
    stream: usize,
    sp: usize,
    bp: usize,
) -> *mut c_void {
    reopen(real::freopen64(), path, mode, stream, (sp, bp))
}

fn reopen(
    real: Option<Freopen>,
    path: usize,
    mode: usize,
    stream: usize,
    (sp, bp): (usize, usize),
) -> *mut c_void {
    let Some(real) = real else { return null_mut() };
    if DESCRIPTORS.is() {
        descriptors::closing(number(stream as *mut c_void, real::fileno()), sp);
    }
    // SAFETY: the caller's call.
    let result = unsafe { real(path, mode, stream) };
    if DESCRIPTORS.is() {
        opened(number(result, real::fileno()), File, caller(sp, bp));
    }
    result
}

unsafe extern "C" fn on_fclose(stream: *mut c_void, sp: usize) {
    if real::fclose().is_some() && DESCRIPTORS.is() {
        descriptors::closing(number(stream, real::fileno()), sp);
    }
}

unsafe extern "C" fn on_pclose(stream: *mut c_void, sp: usize) {
    if real::pclose().is_some() && DESCRIPTORS.is() {
        descriptors::closing(number(stream, real::fileno()), sp);
    }
}

unsafe extern "C" fn on_closedir(directory: *mut c_void, sp: usize) {
    if real::closedir().is_some() && DESCRIPTORS.is() {
        descriptors::closing(number(directory, real::dirfd()), sp);
    }
}
