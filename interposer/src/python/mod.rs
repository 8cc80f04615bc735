//! Python: the interpreters in this process, and the frames that they execute.
//!
//! An interpreter is a loaded object that defines `Py_GetVersion`: a program or a library, there at the start or
//! loaded later. It is found by its symbols, when the recording begins or when its code is first seen on a stack.
//!
//! The table of interpreters takes no lock. A slot's `link_map` is [`FREE`], [`CLAIMED`] while one thread fills it,
//! then the address of the loader's entry, published by a Release store; readers load it Acquire. When the object
//! is unloaded it becomes [`GONE`], and the slot is not used again: another thread may still look at it.

pub mod allocators;
pub mod code;
pub mod collector;
mod eval_loop;
mod frames;
mod memory;
mod runtime;
mod sink;
mod state;
pub mod version;

pub use frames::Chain;
pub use runtime::{Runtime, States};
pub use sink::Sink;

use core::cell::UnsafeCell;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use crate::link_map::LinkMap;
use crate::log::file;
use crate::modules;
use crate::symbols::{Object, Objects};

/// Interpreters in one process: programs that load several versions at once are rare, four are unheard of.
const MAX: usize = 4;

const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const GONE: u64 = 2;

struct Slot {
    link_map: AtomicU64,
    /// The file in which it is described.
    said: AtomicU64,
    /// It was loaded when the recording began, so it is never unloaded.
    is_lasting: AtomicBool,
    runtime: UnsafeCell<Option<Runtime>>,
}

// SAFETY: `runtime` is written by the thread that claimed the slot, before it is published; after that only read.
unsafe impl Sync for Slot {}

static SLOTS: [Slot; MAX] = [const {
    Slot {
        link_map: AtomicU64::new(FREE),
        said: AtomicU64::new(0),
        is_lasting: AtomicBool::new(false),
        runtime: UnsafeCell::new(None),
    }
}; MAX];

/// How many were ever found: 0 in most programs.
static FOUND: AtomicUsize = AtomicUsize::new(0);

/// Finds the interpreters among the objects that are loaded when the recording begins.
#[cold]
pub fn find_loaded() {
    let mut objects = Objects::all();
    while let Some(object) = objects.current() {
        if look_at(&object, objects.link_map()) {
            modules::watch(objects.link_map());
            let slot = SLOTS.iter().find(|slot| slot.link_map.load(Acquire) == objects.link_map());
            slot.into_iter().for_each(|slot| slot.is_lasting.store(true, Relaxed));
        }
        objects = objects.next();
    }
}

/// The code of the loader's entry `link_map` is on a stack for the first time.
#[cold]
pub fn module_seen(link_map: u64, entry: &LinkMap) {
    look_at(&Object::of(entry), link_map);
}

/// The object of the loader's entry `link_map` was unmapped.
#[cold]
pub fn module_gone(link_map: u64) {
    for slot in &SLOTS {
        if slot.link_map.compare_exchange(link_map, GONE, AcqRel, Relaxed).is_ok() {
            collector::forget();
        }
    }
}

/// How many interpreters were ever found.
#[inline(always)]
pub fn found() -> usize {
    FOUND.load(Acquire)
}

/// The interpreters that are loaded.
#[inline(always)]
pub fn runtimes() -> impl Iterator<Item = &'static Runtime> {
    SLOTS.iter().take(found()).filter_map(Slot::runtime)
}

/// An interpreter is initialised.
#[cold]
fn initialized(runtime: &Runtime) {
    let is_lasting = SLOTS.get(runtime.number as usize).is_some_and(|slot| slot.is_lasting.load(Relaxed));
    collector::initialized(runtime, is_lasting);
}

/// Describes the interpreters that this process's file does not have yet.
#[cold]
pub fn describe(sink: &mut impl Sink) {
    for slot in &SLOTS {
        if let Some(runtime) = slot.runtime()
            && slot.said.swap(file::id(), Relaxed) != file::id()
        {
            runtime.describe(sink);
        }
    }
}

/// Enters the object if it is an interpreter that is not known; whether it is one.
fn look_at(object: &Object, link_map: u64) -> bool {
    let Some(get_version) = object.symbol(b"Py_GetVersion") else { return false };
    if SLOTS.iter().any(|slot| slot.link_map.load(Acquire) == link_map) {
        return true;
    }
    let claims = |slot: &&Slot| slot.link_map.compare_exchange(FREE, CLAIMED, AcqRel, Relaxed).is_ok();
    let Some((index, slot)) = SLOTS.iter().enumerate().find(|(_, slot)| claims(slot)) else { return true };
    // SAFETY: the slot is this thread's until it is published.
    unsafe { *slot.runtime.get() = Some(Runtime::of(object, get_version, index as u32)) };
    slot.link_map.store(link_map, Release);
    FOUND.fetch_max(index + 1, Release);
    if let Some(runtime) = slot.runtime() {
        runtime.objects.store(allocators::install(runtime), Relaxed);
    }
    true
}

impl Slot {
    #[inline(always)]
    fn runtime(&self) -> Option<&'static Runtime> {
        if self.link_map.load(Acquire) <= GONE {
            return None;
        }
        // SAFETY: it is published, and from then on not written; the slots are static.
        unsafe { (*self.runtime.get()).as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_python_has_no_interpreter() {
        find_loaded();
        assert_eq!((found(), runtimes().count()), (0, 0));
    }
}
