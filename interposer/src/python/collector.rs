//! Whether Python's cyclic collector runs, and in which thread: by the interpreter's own flag, `collecting`.
//!
//! A hook of free reads the flag and compares it with what it saw last. The first thread that is found to run Python code
//! while the flag is set is the one that collects: others come to the interpreter only once its finalizers let them.
//! Which of the collections it is its statistics say, right before the flag: the sum of their counts.
//!
//! Only the main interpreter's flag is looked at. A library that may be unloaded takes it along: then only hooks that its
//! own code calls read it.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};

use super::Runtime;
use super::memory::{is_plausible, is_readable, word};

/// The flag's values, and what stands for one that may not be read.
pub const OFF: u32 = 0;
/// It collects.
pub const RUNS: u32 = 1;
const UNASKED: u32 = 2;

static NONE: AtomicU32 = AtomicU32::new(OFF);
static NOT_FOR_ALL: AtomicU32 = AtomicU32::new(UNASKED);

/// The flag for hooks that the interpreter's code calls.
static FLAG: AtomicPtr<AtomicU32> = AtomicPtr::new((&raw const NONE).cast_mut());
/// The flag for all others.
static LASTING: AtomicPtr<AtomicU32> = AtomicPtr::new((&raw const NONE).cast_mut());
/// Who collects: the lower 16 bits of which collection it is, and an address that stands for the thread.
static COLLECTS: AtomicU64 = AtomicU64::new(0);
const THREAD_BITS: u32 = 48;
/// The collection that runs, or ran, is the one with which the interpreter ends.
static IS_LAST: AtomicBool = AtomicBool::new(false);

/// From the flag back to the statistics of three generations: collections, collected, uncollectable.
const STATISTICS: u64 = 3 * GENERATION;
/// Of one of a generation's or its statistics.
const GENERATION: u64 = 24;
/// From the flag back to `generation0`, which points to `generations`.
const GENERATION_0: u64 = STATISTICS + GENERATION + 8;
/// From the flag back to `generations`.
const GENERATIONS: u64 = GENERATION_0 + 3 * GENERATION;

/// The flag, for any hook.
#[inline(always)]
pub fn state() -> u32 {
    // SAFETY: the address of a static word, or of the flag of an interpreter whose memory stays until it finalizes.
    unsafe { (*LASTING.load(Relaxed)).load(Relaxed) }
}

/// The flag, for a hook that the interpreter's code calls.
#[inline(always)]
pub fn state_for_interpreter() -> u32 {
    // SAFETY: as above; while the interpreter's code runs it is not unloaded.
    unsafe { (*FLAG.load(Relaxed)).load(Relaxed) }
}

/// Whether the calling thread, for which `thread` stands, is in the collector now that the flag is `now`; `None` if that
/// is not known. `is_running` is asked whether it runs Python code.
#[cold]
pub fn is_in_it(now: u32, thread: u64, is_running: impl FnOnce() -> bool) -> Option<bool> {
    match now {
        OFF => Some(false),
        RUNS => is_collecting(thread, is_running),
        UNASKED => None,
        _ => {
            // It is not what it was taken for.
            forget();
            None
        }
    }
}

fn is_collecting(thread: u64, is_running: impl FnOnce() -> bool) -> Option<bool> {
    let mine = collection() << THREAD_BITS | thread;
    let known = COLLECTS.load(Acquire);
    if known >> THREAD_BITS == mine >> THREAD_BITS {
        return Some(known == mine);
    }
    let is_first = is_running() && COLLECTS.compare_exchange(known, mine, AcqRel, Relaxed).is_ok();
    is_first.then_some(true)
}

/// Which collection it is; one that follows another is never the same.
fn collection() -> u64 {
    let flag = FLAG.load(Relaxed) as u64;
    if flag == &raw const NONE as u64 {
        return 0;
    }
    (0..3).fold(1, |sum, generation| sum.wrapping_add(word(flag - STATISTICS + generation * GENERATION)))
}

/// The interpreter is initialised. `is_lasting`: its library is never unloaded.
#[cold]
pub fn initialized(runtime: &Runtime, is_lasting: bool) {
    let Some(flag) = runtime.collecting().filter(|&flag| is_sound(runtime, flag)) else { return };
    COLLECTS.store(0, Relaxed);
    IS_LAST.store(false, Relaxed);
    let lasting = if is_lasting { flag as *mut AtomicU32 } else { (&raw const NOT_FOR_ALL).cast_mut() };
    FLAG.store(flag as *mut AtomicU32, Release);
    LASTING.store(lasting, Release);
}

/// The interpreter finalizes; each of its hooks says so. Its last full collection comes before it takes its modules apart, or where the
/// collector is disabled right after: up to the end of that the flag is there.
#[cold]
pub fn finalizing() {
    match state_for_interpreter() {
        RUNS => IS_LAST.store(true, Relaxed),
        _ if IS_LAST.load(Relaxed) => forget(),
        _ => {}
    }
}

/// The flag is not there any more.
#[cold]
pub fn forget() {
    FLAG.store((&raw const NONE).cast_mut(), Relaxed);
    LASTING.store((&raw const NONE).cast_mut(), Relaxed);
}

/// Whether what is around the flag is what should be. Where the interpreter says itself where the flag is, that is enough.
fn is_sound(runtime: &Runtime, flag: u64) -> bool {
    let is_said = || runtime.layout.is_some_and(|layout| layout.collecting.is_said);
    is_plausible(flag & !4)
        && flag & 3 == 0
        && is_readable(flag - GENERATIONS, GENERATIONS + 4)
        && (is_said() || word(flag - GENERATION_0) == flag - GENERATIONS)
        && word(flag) as u32 <= RUNS
}
