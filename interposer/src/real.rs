//! The functions behind ours: the next definition of each name in the loader's search order.
//!
//! Found by walking the loader's list of objects and their symbol tables: no libc function is called, nothing is
//! allocated, no lock is taken, so that the first call may come before any constructor. Walked once, while the
//! process has one thread: the pointers found are those of objects that are never unloaded.

use crate::hooks::operators;
use core::arch::asm;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What is stored for a function that nobody defines.
const NONE: usize = 1;

/// A function of the allocator that we may call.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $symbol:literal: fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        /// Address of each function, 0 until looked up.
        #[allow(non_upper_case_globals)]
        mod address {
            use super::AtomicUsize;
            $(pub(super) static $name: AtomicUsize = AtomicUsize::new(0);)*
        }
        fn look_up_all(objects: Objects) {
            $(address::$name.store(objects.symbol($symbol).unwrap_or(NONE), Relaxed);)*
        }
        $(
            $(#[$doc])*
            #[inline(always)]
            pub fn $name() -> Option<unsafe extern "C" fn($($arg),*) $(-> $ret)?> {
                let mut at = address::$name.load(Relaxed);
                if at <= NONE {
                    if at == 0 {
                        resolve();
                        at = address::$name.load(Relaxed);
                    }
                    if at <= NONE {
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

/// The address that a symbol got, null if none: weak, so that the library loads where it is missing; through the
/// global offset table, which the compiler cannot assume to be filled.
macro_rules! weak_address {
    ($symbol:literal) => {{
        let at: usize;
        // SAFETY: reads our own global offset table.
        unsafe {
            asm!(concat!(".weak ", $symbol), concat!("mov {}, qword ptr [rip + ", $symbol, "@GOTPCREL]"),
                 out(reg) at, options(pure, readonly, nostack, preserves_flags))
        };
        at
    }};
}

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
    if DONE.swap(1, Relaxed) == 0
        && let Some(objects) = Objects::after_us()
    {
        look_up_all(objects);
        note_allocator(objects);
        let clock = Objects::all().and_then(|objects| objects.symbol(b"__vdso_clock_gettime"));
        VDSO_CLOCK_GETTIME.store(clock.unwrap_or(0), Relaxed);
    }
}

/// Whether the program's calls of `malloc` reach ours: not where the executable, or a library preloaded before
/// us, defines it.
pub fn malloc_is_ours() -> bool {
    let Some(mut objects) = Objects::all() else { return true };
    let us = dynamic_section();
    while let Some(object) = objects.current() {
        if object.dynamic == us {
            return true;
        }
        if object.symbol(b"malloc").is_some() {
            return false;
        }
        objects = objects.next();
    }
    true
}

/// The code of an allocator that may call public functions of itself: where it begins and ends, 0 if there is none.
static NESTING: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// Whether real functions may call our hooks (musl's calloc calls malloc; no function of glibc does).
#[inline(always)]
pub fn may_call_us() -> bool {
    NESTING[1].load(Relaxed) != 0
}

/// Whether this address is in the code of such an allocator.
pub fn is_nesting_allocator(pc: usize) -> bool {
    (NESTING[0].load(Relaxed)..NESTING[1].load(Relaxed)).contains(&pc)
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

/// Notes what the allocator is. glibc's is known by a name that it alone exports: it never calls public functions.
/// Another that defines C++ operators too is called through its malloc; else they are the C++ runtime's.
fn note_allocator(objects: Objects) {
    let Some(allocator) = objects.defining(b"malloc") else { return };
    if allocator.symbol(b"__libc_malloc").is_none() {
        NESTING[0].store(allocator.bias, Relaxed);
        NESTING[1].store(allocator.end(), Relaxed);
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
    Objects::after_us()?.symbol(name)
}

/// `struct link_map` as `<link.h>` declares it.
#[repr(C)]
struct LinkMap {
    bias: usize,
    name: *const u8,
    dynamic: *const Dynamic,
    next: *const LinkMap,
}

/// `struct r_debug` as `<link.h>` declares it, up to what is used.
#[repr(C)]
struct DebugInterface {
    version: c_int,
    first: *const LinkMap,
}

#[repr(C)]
struct Dynamic {
    tag: i64,
    value: usize,
}

#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: usize,
    size: usize,
}

/// Our own dynamic section, by which our place in the list is known.
fn dynamic_section() -> *const Dynamic {
    let at: *const Dynamic;
    // SAFETY: only computes an address; the linker defines _DYNAMIC in every shared object.
    unsafe { asm!("lea {}, [rip + _DYNAMIC]", out(reg) at, options(pure, nomem, nostack, preserves_flags)) };
    at
}

/// The rest of the loader's list of objects.
#[derive(Clone, Copy)]
struct Objects(*const LinkMap);

/// One object of the list.
struct Object {
    bias: usize,
    dynamic: *const Dynamic,
}

impl Objects {
    /// The loader's list: exported by glibc's loader under one name, by musl's under the other.
    fn all() -> Option<Objects> {
        let glibc = weak_address!("_r_debug") as *const DebugInterface;
        let musl = weak_address!("_dl_debug_addr") as *const *const DebugInterface;
        // SAFETY: a non-null address is that of the loader's variable of this public interface, which it fills
        // before it relocates any object.
        let first = unsafe {
            if !glibc.is_null() {
                (*glibc).first
            } else if !musl.is_null() && !(*musl).is_null() {
                (**musl).first
            } else {
                return None;
            }
        };
        Some(Objects(first))
    }

    /// The objects that the loader searches after us.
    fn after_us() -> Option<Objects> {
        let mut objects = Objects::all()?;
        let all = objects;
        let us = dynamic_section();
        while let Some(object) = objects.current() {
            objects = objects.next();
            if object.dynamic == us {
                return Some(objects);
            }
        }
        // Loaded into a namespace of its own: everything in the base namespace is behind us.
        Some(all)
    }

    fn current(&self) -> Option<Object> {
        // SAFETY: the list's elements are the loader's, in a process that unloads nothing meanwhile.
        let map = unsafe { self.0.as_ref()? };
        Some(Object { bias: map.bias, dynamic: map.dynamic })
    }

    fn next(&self) -> Objects {
        // SAFETY: as in `current`.
        Objects(unsafe { self.0.as_ref() }.map_or(core::ptr::null(), |map| map.next))
    }

    /// The first definition of `name`.
    fn symbol(&self, name: &[u8]) -> Option<usize> {
        self.defining(name)?.symbol(name)
    }

    /// The first object that defines `name`.
    fn defining(&self, name: &[u8]) -> Option<Object> {
        let mut objects = *self;
        while let Some(object) = objects.current() {
            if object.symbol(name).is_some() {
                return Some(object);
            }
            objects = objects.next();
        }
        None
    }
}

const DT_HASH: i64 = 4;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_GNU_HASH: i64 = 0x6fff_fef5;
const DT_VERSYM: i64 = 0x6fff_fff0;
const HIDDEN_VERSION: u16 = 0x8000;

/// The tables of an object that a look-up reads.
struct Tables {
    strings: *const u8,
    symbols: *const Symbol,
    versions: *const u16,
    gnu_hash: *const u32,
    hash: *const u32,
}

#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: usize,
    address: usize,
    physical: usize,
    file_size: usize,
    size: usize,
    align: usize,
}

impl Object {
    /// The end of a shared library in memory.
    fn end(&self) -> usize {
        // SAFETY: a shared library's first segment begins at its load bias with the ELF header.
        unsafe {
            let headers = self.bias + *((self.bias + 32) as *const usize);
            let count = *((self.bias + 56) as *const u16) as usize;
            let headers = core::slice::from_raw_parts(headers as *const ProgramHeader, count);
            let ends = headers.iter().filter(|header| header.kind == libc::PT_LOAD);
            ends.map(|header| self.bias + header.address + header.size).max().unwrap_or(0)
        }
    }

    fn tables(&self) -> Option<Tables> {
        let mut found = [0usize; 5];
        let mut entry = self.dynamic;
        if entry.is_null() {
            return None;
        }
        // SAFETY: a dynamic section is an array that ends with tag 0.
        while let Dynamic { tag: tag @ 1.., value } = unsafe { entry.read() } {
            let kinds = [DT_STRTAB, DT_SYMTAB, DT_VERSYM, DT_GNU_HASH, DT_HASH];
            if let Some(index) = kinds.iter().position(|&kind| kind == tag) {
                // glibc has relocated these values in place, musl and the kernel's object have not.
                found[index] = if value < self.bias { value.wrapping_add(self.bias) } else { value };
            }
            // SAFETY: not past the end, which has tag 0.
            entry = unsafe { entry.add(1) };
        }
        let [strings, symbols, versions, gnu_hash, hash] = found;
        (strings != 0 && symbols != 0).then_some(Tables {
            strings: strings as *const u8,
            symbols: symbols as *const Symbol,
            versions: versions as *const u16,
            gnu_hash: gnu_hash as *const u32,
            hash: hash as *const u32,
        })
    }

    /// The function `name` that this object defines: its default version, else a hidden one.
    fn symbol(&self, name: &[u8]) -> Option<usize> {
        let tables = self.tables()?;
        let mut hidden = None;
        // SAFETY: the tables are those of a loaded object.
        unsafe {
            tables.each_candidate(name, |index| {
                let symbol = tables.symbols.add(index).read();
                let kind = symbol.info & 15;
                let defines = symbol.section != 0 && matches!(kind, 0 | 2 | 10);
                if !defines || !same_name(tables.strings.add(symbol.name as usize), name) {
                    return None;
                }
                let mut at = self.bias.wrapping_add(symbol.value);
                if kind == 10 {
                    // An indirect function: its resolver returns the function.
                    at = core::mem::transmute::<usize, extern "C" fn() -> usize>(at)();
                }
                if !tables.versions.is_null() && tables.versions.add(index).read() & HIDDEN_VERSION != 0 {
                    hidden = Some(at);
                    return None;
                }
                Some(at)
            })
        }
        .or(hidden)
    }
}

impl Tables {
    /// Calls `visit` with the index of each symbol that may have this name, until it gives a result.
    ///
    /// # Safety
    /// The tables must be those of a loaded object.
    unsafe fn each_candidate(
        &self,
        name: &[u8],
        mut visit: impl FnMut(usize) -> Option<usize>,
    ) -> Option<usize> {
        // SAFETY: reads the hash tables as the ELF specification and the GNU extension lay them out.
        unsafe {
            if !self.gnu_hash.is_null() {
                let hash =
                    name.iter().fold(5381u32, |hash, &byte| hash.wrapping_mul(33).wrapping_add(byte.into()));
                let [buckets, first, bloom] = [0, 1, 2].map(|i| self.gnu_hash.add(i).read() as usize);
                let bucket = self.gnu_hash.add(4 + 2 * bloom);
                let chain = bucket.add(buckets);
                if buckets == 0 {
                    return None;
                }
                let mut index = bucket.add(hash as usize % buckets).read() as usize;
                while index >= first {
                    let entry = chain.add(index - first).read();
                    if entry | 1 == hash | 1
                        && let Some(found) = visit(index)
                    {
                        return Some(found);
                    }
                    if entry & 1 != 0 {
                        return None;
                    }
                    index += 1;
                }
            } else if !self.hash.is_null() {
                let symbols = self.hash.add(1).read() as usize;
                return (0..symbols).find_map(visit);
            }
        }
        None
    }
}

/// Whether the NUL-terminated string at `at` is `name`.
///
/// # Safety
/// `at` must point into a string table.
unsafe fn same_name(at: *const u8, name: &[u8]) -> bool {
    // SAFETY: reads no further than the first difference, and the table's string ends with NUL.
    unsafe {
        name.iter().enumerate().all(|(i, &byte)| at.add(i).read() == byte) && at.add(name.len()).read() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_the_loader(name: &core::ffi::CStr) -> usize {
        // SAFETY: asks the loader for a symbol.
        unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) as usize }
    }

    #[test]
    fn functions_are_those_that_the_loader_finds() {
        let malloc = malloc().expect("there is a malloc") as usize;
        let memalign = memalign().expect("there is a memalign") as usize;
        assert_eq!(malloc, by_the_loader(c"malloc"));
        assert_eq!(memalign, by_the_loader(c"memalign"));
        // glibc has two versions of memcpy, and the default one is an indirect function.
        let objects = Objects::after_us().expect("the loader has a list");
        assert_eq!(objects.symbol(b"memcpy"), Some(by_the_loader(c"memcpy")));
        assert_eq!(objects.symbol(b"no_such_function_of_any_library"), None);
    }

    #[test]
    fn the_kernels_clock_is_found_and_runs() {
        let before = crate::clock::precise_ms();
        let coarse = crate::clock::coarse_ms().expect("the kernel maps its clock");
        // The coarse clock lags by a timer tick, at most 10 ms.
        assert!(coarse + 20 >= before && coarse <= crate::clock::precise_ms(), "{coarse} at {before}");
    }
}
