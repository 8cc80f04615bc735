//! The words that all processes of a run share: the file `live/run`, mapped by each of them, see [`recording::run`].
//!
//! Who comes first makes it under another name and renames it, so that whoever finds it finds it whole. It is mapped before
//! the first event, stays mapped over fork, and is opened anew by what a process executes. Who cannot have it, or finds
//! something else in its place, has a page of its own there, which its forked children share: it hears of no mark.
//!
//! Others write to it too: what is read from it is an epoch, a bit or a name, and nothing that is followed. Like a recording
//! it must not be cut while it is mapped, and lies where those do: one of another user, who could do that, is not used,
//! unless that is root or the owner of the directory.

use crate::log::place;
use crate::sys::{self, Errno, Fd};
use crate::{clock, config};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};
pub use recording::run::epoch;
use recording::run::{
    AT_BEGUN, AT_VERSION, CONTROL, EPOCH_TIMES, HEAD, MAGIC, NEXT_MARK, NEXT_TICK, OFF, SIZE, VERSION,
    tick_ms,
};
use recording::table::EPOCHS;

/// Words in place of the file, where not even memory can be had for them.
#[repr(C, align(64))]
struct Words([AtomicU64; NEXT_MARK / 8]);

static NONE: Words = {
    let mut words = [const { AtomicU64::new(0) }; NEXT_MARK / 8];
    words[CONTROL / 8] = AtomicU64::new(1);
    words[NEXT_TICK / 8] = AtomicU64::new(u64::MAX);
    Words(words)
};

/// Where the words are.
static WORDS: AtomicPtr<u8> = AtomicPtr::new((&raw const NONE).cast_mut().cast());
/// How many bytes of them there are: all, [`HEAD`], or those of [`NONE`].
static LENGTH: AtomicUsize = AtomicUsize::new(size_of::<Words>());
/// The page of epoch times that was allocated last, as an offset.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

const PAGE: usize = 4096;
/// Of the first words, what is not 0 in a new file.
const FIRST: usize = NEXT_TICK + 8;
/// Nothing is due later than this, unless the clock began anew.
const LATEST_TICK_MS: u64 = 2 * tick_ms(EPOCHS - 1);

/// The word at this offset, if it is mapped.
pub fn word(offset: usize) -> Option<&'static AtomicU64> {
    (offset.is_multiple_of(8) && offset + 8 <= LENGTH.load(Acquire)).then(|| word_at(offset))
}

/// The word at an offset that is always there.
#[inline(always)]
fn word_at(offset: usize) -> &'static AtomicU64 {
    // SAFETY: the words begin at an aligned place that is mapped for ever, and are as long as callers say.
    unsafe { &*WORDS.load(Relaxed).add(offset).cast::<AtomicU64>() }
}

/// The control word as it is now.
#[inline(always)]
pub fn control() -> u64 {
    word_at(CONTROL).load(Relaxed)
}

/// Whether the process does not share the run's words.
pub fn is_alone() -> bool {
    LENGTH.load(Relaxed) < SIZE
}

/// Begins another epoch if the time for it has come. Asked before the control word is read for a block, or blocks that follow
/// a long pause would seem to be from before it.
#[inline(always)]
pub fn tick(now_ms: u64) {
    if now_ms >= word_at(NEXT_TICK).load(Relaxed) {
        tick_is_due(now_ms);
    }
}

#[cold]
#[inline(never)]
fn tick_is_due(now_ms: u64) {
    let next = word_at(NEXT_TICK);
    let due = next.load(Relaxed);
    let now = epoch(control());
    let following = if now + 1 < EPOCHS { now_ms + tick_ms(now) } else { u64::MAX };
    if now_ms >= due
        && next.compare_exchange(due, following, Relaxed, Relaxed).is_ok()
        && following != u64::MAX
    {
        next_epoch(now_ms);
    }
}

/// Begins another epoch; returns which.
pub(crate) fn next_epoch(now_ms: u64) -> u32 {
    // The number of changes lies above it, and does not change with the last epoch: before that ticks have ended.
    let begun = epoch(word_at(CONTROL).fetch_add(1, Relaxed)).wrapping_add(1);
    let at = EPOCH_TIMES + 8 * begun as usize;
    if begun < EPOCHS
        && let Some(time) = word(at)
        && is_allocated(at & !(PAGE - 1))
    {
        time.store(now_ms, Relaxed);
    }
    begun
}

/// Whether the page at this offset has room in the file, which it may get now.
fn is_allocated(offset: usize) -> bool {
    if ALLOCATED.load(Relaxed) == offset {
        return true;
    }
    let at = WORDS.load(Relaxed) as usize + offset;
    let allocated = match sys::advise(at, PAGE, sys::MADV_POPULATE_WRITE) {
        // Unknown to the kernel.
        Err(Errno(libc::EINVAL)) => {
            place::open_run().and_then(|file| file.allocate(offset as u64, PAGE as u64)).is_ok()
        }
        result => result.is_ok(),
    };
    if allocated {
        ALLOCATED.store(offset, Relaxed);
    }
    allocated
}

/// Maps the words, before the first event. In the one thread that initialises.
#[cold]
pub fn begin() {
    let Ok((at, length)) = map_file().map(|at| (at, SIZE)).or_else(|_| map_own()) else { return };
    WORDS.store(at as *mut u8, Relaxed);
    LENGTH.store(length, Release);
    // The clock of another boot of the machine.
    let (next, now_ms) = (word_at(NEXT_TICK), clock::precise_ms());
    let due = next.load(Relaxed);
    if due != u64::MAX && due > now_ms + LATEST_TICK_MS {
        let _ = next.compare_exchange(due, now_ms, Relaxed, Relaxed);
    }
}

fn map_file() -> sys::Result<usize> {
    let file = match place::open_run() {
        Err(Errno(libc::ENOENT)) => {
            let created = create();
            // Also where another process was faster.
            place::open_run().map_err(|errno| created.err().unwrap_or(errno))?
        }
        opened => opened?,
    };
    let status = file.status()?;
    let is_whole = status.st_mode & libc::S_IFMT == libc::S_IFREG && status.st_size >= SIZE as i64;
    let owner = status.st_uid;
    if !is_whole || owner != 0 && owner != sys::user() && place::owner() != Some(owner) {
        return Err(Errno(libc::EINVAL));
    }
    // Without access at first: of a program that locks all its memory nothing is read in.
    let at = file.map_shared(SIZE, 0, libc::PROT_NONE)?;
    sys::unlock(at, SIZE);
    let _ = sys::advise(at, SIZE, libc::MADV_DONTDUMP);
    let _ = sys::advise(at, SIZE, libc::MADV_RANDOM);
    let is_ours = || {
        // SAFETY: mapped and readable, and the file is so long.
        let head = unsafe { core::slice::from_raw_parts(at as *const u8, FIRST) };
        head.starts_with(&MAGIC) && head.get(AT_VERSION..AT_VERSION + 4) == Some(&VERSION.to_le_bytes())
    };
    if sys::make_writable(at, SIZE).is_err() || !is_ours() {
        // SAFETY: nobody else has seen this mapping.
        unsafe { sys::unmap(at, SIZE) };
        return Err(Errno(libc::EINVAL));
    }
    Ok(at)
}

/// Memory in the file's place.
fn map_own() -> sys::Result<(usize, usize)> {
    let at = sys::map_shared_memory(HEAD)?;
    let _ = sys::advise(at, HEAD, libc::MADV_DONTDUMP);
    // SAFETY: fresh memory of that size.
    unsafe { core::slice::from_raw_parts_mut(at as *mut u8, FIRST) }.copy_from_slice(&first_words());
    Ok((at, HEAD))
}

fn first_words() -> [u8; FIRST] {
    let begun = clock::precise_ms();
    let control = if config::starts_off() { OFF | 1 } else { 1 };
    let mut words = [0; FIRST];
    let mut put = |at: usize, bytes: &[u8]| {
        words.iter_mut().skip(at).zip(bytes).for_each(|(place, byte)| *place = *byte);
    };
    put(0, &MAGIC);
    put(AT_VERSION, &VERSION.to_le_bytes());
    put(AT_BEGUN, &begun.to_le_bytes());
    put(CONTROL, &control.to_le_bytes());
    put(NEXT_TICK, &(begun + tick_ms(1)).to_le_bytes());
    words
}

/// Makes the file, unless another process is faster.
fn create() -> sys::Result<()> {
    // A larger one would raise SIGXFSZ.
    if sys::limit(libc::RLIMIT_FSIZE) < SIZE as u64 {
        return Err(Errno(libc::EFBIG));
    }
    let file = place::create_run(sys::random() ^ u64::from(sys::pid()))?;
    let filled = fill(&file);
    match filled.and_then(|()| place::publish_run()) {
        Ok(()) => Ok(()),
        Err(errno) => {
            place::remove_new_run();
            Err(errno)
        }
    }
}

fn fill(file: &Fd) -> sys::Result<()> {
    file.write_in_place();
    file.truncate(SIZE as u64)?;
    if file.allocate(0, HEAD as u64).is_err() {
        // What was written has room too.
        for offset in (0..HEAD).step_by(PAGE) {
            file.write_at(&[0], (offset + PAGE - 1) as u64)?;
        }
    }
    let first = first_words();
    file.write_at(first.get(AT_BEGUN..AT_BEGUN + 8).unwrap_or(&[]), (EPOCH_TIMES + 8) as u64)?;
    file.write_at(&first, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_begin_when_they_are_due() {
        let (at, length) = map_own().expect("memory can be had");
        WORDS.store(at as *mut u8, Relaxed);
        LENGTH.store(length, Relaxed);
        assert!(is_alone());
        let due = word(NEXT_TICK).expect("it is mapped").load(Relaxed);
        assert_eq!(epoch(control()), 1);
        tick(due - 1);
        assert_eq!(epoch(control()), 1);
        tick(due);
        tick(due);
        assert_eq!(epoch(control()), 2);
        assert_eq!(word(NEXT_TICK).expect("it is mapped").load(Relaxed), due + tick_ms(1));
        let changes = OFF | 77 << 32;
        word(CONTROL).expect("it is mapped").store(changes | u64::from(EPOCHS - 2), Relaxed);
        for later in 1..4 {
            tick(later << 50);
            assert_eq!(control(), changes | u64::from(EPOCHS - 1), "the last epoch does not end");
        }
        assert!(word(HEAD - 8).is_some() && word(HEAD).is_none() && word(4).is_none());
    }
}
