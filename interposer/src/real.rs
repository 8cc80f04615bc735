//! The functions behind ours: the next definition of each name in the loader's search order.
//!
//! Found by walking the loader's list of objects and their symbol tables: no libc function is called, nothing is
//! allocated, no lock is taken, so that the first call may come before any constructor. Walked once, while the
//! process has one thread: the pointers found are those of objects that are never unloaded.

use crate::hooks::operators;
use crate::symbols::Objects;
use core::ffi::{c_char, c_int, c_long, c_void};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What is stored for a function that nobody defines.
pub const NONE: usize = 1;

/// Functions behind ours that we may call. `or`: another name that a C library may have for one.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $symbol:literal $(or $other:literal)?: fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        /// Address of each function, 0 until looked up.
        #[allow(non_upper_case_globals)]
        pub mod address {
            use core::sync::atomic::AtomicUsize;
            $(
                /// Of the function of this name.
                pub static $name: AtomicUsize = AtomicUsize::new(0);
            )*
        }
        pub(super) fn look_up_all(objects: $crate::symbols::Objects) {
            $(
                let found = objects.symbol($symbol)$(.or_else(|| objects.symbol($other)))?;
                let found = found.unwrap_or($crate::real::NONE);
                address::$name.store(found, core::sync::atomic::Ordering::Relaxed);
            )*
        }
        $(
            $(#[$doc])*
            #[inline(always)]
            pub fn $name() -> Option<unsafe extern "C" fn($($arg),*) $(-> $ret)?> {
                let mut at = address::$name.load(core::sync::atomic::Ordering::Relaxed);
                if at <= $crate::real::NONE {
                    if at == 0 {
                        $crate::real::resolve();
                        at = address::$name.load(core::sync::atomic::Ordering::Relaxed);
                    }
                    if at <= $crate::real::NONE {
                        return None;
                    }
                }
                // SAFETY: 0 would be None; any other value is the address of the function of this C name, whose
                // signature the C library's headers give.
                unsafe { core::mem::transmute::<usize, Option<unsafe extern "C" fn($($arg),*) $(-> $ret)?>>(at) }
            }
        )*
    };
}

/// Functions of files and memory, called where descriptors and mappings are recorded.
pub mod resources;

use functions;

functions! {
    /// `malloc`.
    malloc = b"malloc": fn(usize) -> *mut c_void;
    /// `calloc`.
    calloc = b"calloc": fn(usize, usize) -> *mut c_void;
    /// `realloc`.
    realloc = b"realloc": fn(*mut c_void, usize) -> *mut c_void;
    /// `free`.
    free = b"free": fn(*mut c_void);
    /// `memalign`.
    memalign = b"memalign": fn(usize, usize) -> *mut c_void;
    /// `aligned_alloc`.
    aligned_alloc = b"aligned_alloc": fn(usize, usize) -> *mut c_void;
    /// `posix_memalign`.
    posix_memalign = b"posix_memalign": fn(*mut *mut c_void, usize, usize) -> c_int;
    /// `valloc`.
    valloc = b"valloc": fn(usize) -> *mut c_void;
    /// `pvalloc`.
    pvalloc = b"pvalloc": fn(usize) -> *mut c_void;
    /// `malloc_usable_size`.
    malloc_usable_size = b"malloc_usable_size": fn(*mut c_void) -> usize;
    /// `free_sized` (C23).
    free_sized = b"free_sized": fn(*mut c_void, usize);
    /// `free_aligned_sized` (C23).
    free_aligned_sized = b"free_aligned_sized": fn(*mut c_void, usize, usize);
    /// `prctl`.
    prctl = b"prctl": fn(c_int, usize, usize, usize, usize) -> c_int;
    /// `syscall`.
    syscall = b"syscall": fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long;
    /// `setuid`.
    setuid = b"setuid": fn(u32) -> c_int;
    /// `seteuid`.
    seteuid = b"seteuid": fn(u32) -> c_int;
    /// `setreuid`.
    setreuid = b"setreuid": fn(u32, u32) -> c_int;
    /// `setresuid`.
    setresuid = b"setresuid": fn(u32, u32, u32) -> c_int;
    /// `chroot`.
    chroot = b"chroot": fn(*const c_char) -> c_int;
}

/// The kernel's clock, in the object that it maps into every process; the loader lists it before us.
static VDSO_CLOCK_GETTIME: AtomicUsize = AtomicUsize::new(0);

/// `clock_gettime` of the kernel's own object, if it is there.
#[inline(always)]
pub fn vdso_clock_gettime() -> Option<unsafe extern "C" fn(c_int, *mut libc::timespec) -> c_int> {
    // SAFETY: 0 is None; any other value is the address of the function of this signature.
    unsafe { core::mem::transmute(VDSO_CLOCK_GETTIME.load(Relaxed)) }
}

/// Looks up all functions, once.
#[cold]
#[inline(never)]
fn resolve() {
    static DONE: AtomicUsize = AtomicUsize::new(0);
    // A second caller meanwhile would be another thread before any thread can have been started.
    if DONE.swap(1, Relaxed) == 0 {
        let objects = Objects::after_us();
        look_up_all(objects);
        resources::look_up_all(objects);
        note_allocator(objects);
        let clock = Objects::all().symbol(b"__vdso_clock_gettime");
        VDSO_CLOCK_GETTIME.store(clock.unwrap_or(0), Relaxed);
    }
}

/// Whether the program's calls of `malloc` reach ours: not where the executable, or a library preloaded before
/// us, defines it.
pub fn malloc_is_ours() -> bool {
    let mut objects = Objects::all();
    while let Some(object) = objects.current() {
        if object.is_us() {
            return true;
        }
        if object.symbol(b"malloc").is_some() {
            return false;
        }
        objects = objects.next();
    }
    true
}

/// Where the code of a module lies that may call public functions of the allocator while it serves one.
pub struct Code([AtomicUsize; 2]);

impl Code {
    /// No code.
    pub const fn none() -> Code {
        Code([AtomicUsize::new(0), AtomicUsize::new(0)])
    }

    /// From here on it is what lies in these addresses.
    pub fn set(&self, range: core::ops::Range<usize>) {
        self.0[0].store(range.start, Relaxed);
        self.0[1].store(range.end, Relaxed);
    }

    /// Whether this address is in it.
    pub fn contains(&self, pc: usize) -> bool {
        (self.0[0].load(Relaxed)..self.0[1].load(Relaxed)).contains(&pc)
    }
}

/// Our own code, where [`Code`]s are used that may jump to a public function as the last thing they do: then we are
/// its caller.
pub static OURS: Code = Code::none();

/// The allocator's code, if it may call public functions of itself.
static NESTING: Code = Code::none();

/// The allocator's code if its functions may call our hooks (musl's calloc calls malloc; no function of glibc does).
#[inline(always)]
pub fn nesting_code() -> Option<&'static Code> {
    (NESTING.0[1].load(Relaxed) != 0).then_some(&NESTING)
}

/// Whether the allocator is glibc's.
#[inline(always)]
pub fn is_glibc() -> bool {
    nesting_code().is_none()
}

/// `malloc_usable_size` of the object that defines `malloc`, 0 if it has none: another allocator's would misread
/// its blocks.
static USABLE_SIZE: AtomicUsize = AtomicUsize::new(0);

/// The bytes that the allocator says its block holds; 0 where it cannot be asked.
///
/// # Safety
/// `block` must be a live block of the real allocator.
#[inline(always)]
pub unsafe fn usable_size(block: usize) -> usize {
    // SAFETY: 0 is None; any other value is the address of the function of this signature.
    let ask: Option<unsafe extern "C" fn(usize) -> usize> =
        unsafe { core::mem::transmute(USABLE_SIZE.load(Relaxed)) };
    // SAFETY: handed to the caller.
    ask.map_or(0, |ask| unsafe { ask(block) })
}

/// Notes what the allocator is. glibc's, which never calls public functions, is known by the name that tells its version:
/// `__libc_malloc` is defined by allocators that replace it as well (tcmalloc).
/// Another that defines C++ operators too is called through its malloc; else they are the C++ runtime's.
fn note_allocator(objects: Objects) {
    let Some(allocator) = objects.defining(b"malloc") else { return };
    if allocator.symbol(b"gnu_get_libc_version").is_none() {
        NESTING.set(allocator.bias..allocator.end());
    }
    USABLE_SIZE.store(allocator.symbol(b"malloc_usable_size").unwrap_or(0), Relaxed);
    if allocator.symbol(b"_Znwm").is_none() {
        operators::note_runtime(|name| objects.symbol(name));
    }
}

/// The definition of `name` behind ours as things are now. For when memory has run out: another thread may be
/// changing the list.
#[cold]
pub fn next_definition(name: &[u8]) -> Option<usize> {
    Objects::after_us().symbol(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_the_loader(name: &core::ffi::CStr) -> usize {
        // SAFETY: asks the loader for a symbol.
        unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) as usize }
    }

    /// Before a process has threads, as these tests are.
    fn look_up() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| while malloc().is_none() {});
    }

    #[test]
    fn functions_are_those_that_the_loader_finds() {
        look_up();
        let malloc = malloc().expect("there is a malloc") as usize;
        let memalign = memalign().expect("there is a memalign") as usize;
        assert_eq!(malloc, by_the_loader(c"malloc"));
        assert_eq!(memalign, by_the_loader(c"memalign"));
        // glibc has two versions of memcpy, and the default one is an indirect function.
        let objects = Objects::after_us();
        assert_eq!(objects.symbol(b"memcpy"), Some(by_the_loader(c"memcpy")));
        assert_eq!(objects.symbol(b"no_such_function_of_any_library"), None);
    }

    #[test]
    fn the_kernels_clock_is_found_and_runs() {
        look_up();
        let before = crate::clock::precise_ms();
        let coarse = crate::clock::coarse_ms().expect("the kernel maps its clock");
        // The coarse clock lags by a timer tick, at most 10 ms.
        assert!(coarse + 20 >= before && coarse <= crate::clock::precise_ms(), "{coarse} at {before}");
    }
}
