//! An interpreter's own allocators, with our hooks in front of them.
//!
//! An interpreter has three: RAW is malloc; MEM and OBJ are pymalloc, which cuts small blocks out of arenas and asks
//! malloc for large ones. [`install`] puts [`crate::hooks::python`] in front of MEM and OBJ by the interpreter's own
//! PyMem_SetAllocator, and in front of what maps arenas; the functions behind stay in use.
//!
//! An interpreter that is initialised may set its allocators anew (`PYTHONMALLOC`, `-X dev`), after calls of malloc
//! and before its first object. So until it is initialised each malloc by its code looks for that: [`malloc_called`].
//! What is behind the hooks of one [`Behind`] never changes, since what was put before them may still call them.

use super::{Runtime, collector};
use crate::hooks::python as hooks;
use crate::real::{self, Code};
use crate::symbols::Object;
use crate::{config, modules, process, python};
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::mem::{MaybeUninit, transmute};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicUsize};

/// Given the context and bytes.
pub type Malloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
/// Given the context, elements, and the bytes of each.
pub type Calloc = unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void;
/// Given the context, a block or null, and bytes.
pub type Realloc = unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void;
/// Given the context, and a block or null.
pub type Free = unsafe extern "C" fn(*mut c_void, *mut c_void);
/// Given the context, an arena and its bytes.
pub type FreeArena = unsafe extern "C" fn(*mut c_void, *mut c_void, usize);

/// `PyMemAllocatorEx`: functions, and what they are given first.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Allocator {
    /// What the functions are given first.
    pub ctx: *mut c_void,
    /// As in C.
    pub malloc: Malloc,
    /// As in C.
    pub calloc: Calloc,
    /// As in C, but that a block of no size is a block.
    pub realloc: Realloc,
    /// As in C.
    pub free: Free,
}

/// `PYMEM_DOMAIN_MEM`.
const MEM: c_int = 1;
/// `PYMEM_DOMAIN_OBJ`.
const OBJ: c_int = 2;

/// `PyObjectArenaAllocator`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ArenaAllocator {
    /// What the functions are given first.
    pub ctx: *mut c_void,
    /// Maps an arena.
    pub alloc: Malloc,
    /// Unmaps it.
    pub free: FreeArena,
}

/// What is behind our hooks of an allocator: the `ctx` of these hooks.
#[repr(C, align(64))]
pub struct Behind<T> {
    functions: UnsafeCell<MaybeUninit<T>>,
    /// Address of a word that is not 0 from when the interpreter finalizes.
    finalizing: AtomicUsize,
    /// The functions' code.
    pub code: Code,
}

// SAFETY: the functions are written before the hooks that are given this are put in front, and never again.
unsafe impl<T> Sync for Behind<T> {}

const _: () = assert!(size_of::<Behind<Allocator>>() == 64, "what a hook reads lies in one cache line");

impl<T: Copy> Behind<T> {
    const fn unused() -> Behind<T> {
        Behind {
            functions: UnsafeCell::new(MaybeUninit::uninit()),
            finalizing: AtomicUsize::new(0),
            code: Code::none(),
        }
    }

    /// The functions behind.
    #[inline(always)]
    pub fn functions(&self) -> &T {
        // SAFETY: written before hooks get this as their `ctx`, and before `finalizing` is.
        unsafe { (*self.functions.get()).assume_init_ref() }
    }

    /// Whether the interpreter finalizes.
    #[inline(always)]
    pub fn is_finalizing(&self) -> bool {
        // SAFETY: a word of the interpreter's, or of ours; its hooks do not run when its library is unmapped.
        unsafe { *(self.finalizing.load(Relaxed) as *const usize) != 0 }
    }

    /// The place among these that has these functions, or the next unused one, filled. `code` is an address in the
    /// functions' code, `finalizing` that of a word that is not 0 from when the interpreter finalizes.
    fn take(
        places: &'static [Behind<T>],
        used: &AtomicUsize,
        functions: T,
        code: usize,
        finalizing: usize,
    ) -> Option<&'static Behind<T>> {
        let is_same = |place: &&Behind<T>| {
            place.finalizing.load(Acquire) == finalizing && words(place.functions()) == words(&functions)
        };
        if let Some(place) = places.iter().find(is_same) {
            return Some(place);
        }
        let place = places.get(used.fetch_add(1, Relaxed).min(places.len()))?;
        // SAFETY: nobody else has this place, and nobody reads it before its `finalizing` is written.
        unsafe { (*place.functions.get()).write(functions) };
        place.code.set(modules::code_around(code).unwrap_or(0..0));
        place.finalizing.store(finalizing, Release);
        Some(place)
    }
}

/// A table of functions as words.
fn words<T>(functions: &T) -> &[usize] {
    // SAFETY: such a table is of pointers alone.
    unsafe {
        core::slice::from_raw_parts((&raw const *functions).cast(), size_of::<T>() / size_of::<usize>())
    }
}

/// Places for what may be behind MEM and OBJ, of all interpreters: most have one or two.
static DOMAINS: [Behind<Allocator>; 32] = [const { Behind::unused() }; 32];
static USED_DOMAINS: AtomicUsize = AtomicUsize::new(0);
static ARENAS: [Behind<ArenaAllocator>; 16] = [const { Behind::unused() }; 16];
static USED_ARENAS: AtomicUsize = AtomicUsize::new(0);
/// The word of an interpreter that does not say whether it finalizes.
static NEVER: AtomicUsize = AtomicUsize::new(0);

type GetAllocator = unsafe extern "C" fn(c_int, *mut MaybeUninit<Allocator>);
type SetAllocator = unsafe extern "C" fn(c_int, *const Allocator);
type GetArenas = unsafe extern "C" fn(*mut MaybeUninit<ArenaAllocator>);
type SetArenas = unsafe extern "C" fn(*const ArenaAllocator);
type IsInitialized = unsafe extern "C" fn() -> c_int;

/// What sets and tells the allocators of one interpreter.
pub struct Allocators {
    get: GetAllocator,
    set: SetAllocator,
    get_arenas: GetArenas,
    set_arenas: SetArenas,
    is_initialized: IsInitialized,
    /// The interpreter's code.
    code: Code,
    /// Our hooks are in front, but the interpreter was not seen initialised since it may have set others.
    watched: AtomicBool,
}

/// Whether any interpreter is watched.
static WATCHED: AtomicBool = AtomicBool::new(false);

impl Allocators {
    /// Those of the interpreter that `object` defines.
    pub fn of(object: &Object) -> Option<Allocators> {
        let [get, set] = [object.symbol(b"PyMem_GetAllocator")?, object.symbol(b"PyMem_SetAllocator")?];
        let get_arenas = object.symbol(b"PyObject_GetArenaAllocator")?;
        let set_arenas = object.symbol(b"PyObject_SetArenaAllocator")?;
        let is_initialized = object.symbol(b"Py_IsInitialized")?;
        let code = Code::none();
        code.set(modules::code_around(get)?);
        // SAFETY: the interpreter's functions of these names, with the signatures of its headers.
        unsafe {
            Some(Allocators {
                get: transmute::<usize, GetAllocator>(get),
                set: transmute::<usize, SetAllocator>(set),
                get_arenas: transmute::<usize, GetArenas>(get_arenas),
                set_arenas: transmute::<usize, SetArenas>(set_arenas),
                is_initialized: transmute::<usize, IsInitialized>(is_initialized),
                code,
                watched: AtomicBool::new(false),
            })
        }
    }

    /// Puts our hooks in front where they are not; false where there is no place left.
    fn put_in_front(&self, finalizing: usize) -> bool {
        let mut done = true;
        for domain in [MEM, OBJ] {
            let mut now = MaybeUninit::uninit();
            // SAFETY: the function fills the structure for a domain that exists.
            let now = unsafe {
                (self.get)(domain, &raw mut now);
                now.assume_init()
            };
            // Where objects are not recorded it matters only when they are freed.
            if hooks::is_ours(&now) || (domain == MEM && !config::python_objects()) {
                continue;
            }
            match Behind::take(&DOMAINS, &USED_DOMAINS, now, now.malloc as usize, finalizing) {
                // SAFETY: the hooks do what the functions behind do, with any `ctx` of this kind.
                Some(behind) => unsafe { (self.set)(domain, &hooks::allocator(behind, domain == OBJ)) },
                None => done = false,
            }
        }
        if config::python_objects() {
            self.put_in_front_of_arenas(finalizing);
        }
        done
    }

    fn put_in_front_of_arenas(&self, finalizing: usize) {
        let mut now = MaybeUninit::uninit();
        // SAFETY: the function fills the structure.
        let now = unsafe {
            (self.get_arenas)(&raw mut now);
            now.assume_init()
        };
        if hooks::is_ours_for_arenas(&now) {
            return;
        }
        if let Some(behind) = Behind::take(&ARENAS, &USED_ARENAS, now, now.alloc as usize, finalizing) {
            // SAFETY: as for the domains.
            unsafe { (self.set_arenas)(&hooks::arena_allocator(behind)) };
        }
    }
}

fn finalizing_word(runtime: &Runtime) -> usize {
    runtime.finalizing.map_or(&raw const NEVER as usize, |word| word.as_ptr() as usize)
}

/// Puts our hooks in front of an interpreter's allocators; whether its objects are recorded.
#[cold]
pub fn install(runtime: &Runtime) -> bool {
    let Some(allocators) = &runtime.allocators else { return false };
    real::OURS.set(modules::code_around(hooks::is_ours as *const () as usize).unwrap_or(0..0));
    let done = allocators.put_in_front(finalizing_word(runtime));
    allocators.watched.store(true, Relaxed);
    WATCHED.store(true, Relaxed);
    done && config::python_objects()
}

/// malloc was called by the code at `pc`.
#[inline(always)]
pub fn malloc_called(pc: u64) {
    if WATCHED.load(Relaxed) {
        look_again(pc as usize);
    }
}

#[cold]
#[inline(never)]
fn look_again(pc: usize) {
    let watched = |runtime: &&Runtime| {
        runtime.allocators.as_ref().is_some_and(|allocators| allocators.watched.load(Relaxed))
    };
    for runtime in python::runtimes().filter(watched) {
        let Some(allocators) = runtime.allocators.as_ref().filter(|it| it.code.contains(pc)) else {
            continue;
        };
        // SAFETY: the interpreter's code has just called malloc, so it is mapped; these only read a word.
        let (has_state, is_initialized) = unsafe {
            let has_state = runtime.states.is_some_and(|states| (states.of_this_thread)() != 0);
            (has_state, (allocators.is_initialized)() != 0)
        };
        if !has_state {
            allocators.put_in_front(finalizing_word(runtime));
        } else if is_initialized {
            process::initialized();
            python::initialized(runtime);
            allocators.watched.store(false, Relaxed);
            WATCHED.store(python::runtimes().any(|runtime| watched(&runtime)), Relaxed);
        }
    }
}

/// An interpreter finalizes: it may be initialised once more.
#[cold]
pub fn finalizing() {
    process::finalizing();
    collector::finalizing();
    for allocators in python::runtimes().filter_map(|runtime| runtime.allocators.as_ref()) {
        allocators.watched.store(true, Relaxed);
    }
    WATCHED.store(true, Relaxed);
}
