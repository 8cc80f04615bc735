//! Chunks for those who write: new ones at the end of the file or, when the log of the run is as long as it may be or the
//! file cannot grow, the process's oldest one of events that its writer has left.
//!
//! Before such a chunk is changed the file's header says from which stamps on all events are there without it. A process
//! that has few chunks of events always gets new ones; so does one that has none to use again.
//!
//! The chunks that were left lie in memory that fork wipes, and are marked with whose they are: who forks in the middle
//! leaves nothing to the child.

use super::{events, file, segments};
use crate::process::{self, cannot_grow};
use crate::protocol::held::Held;
use crate::protocol::mapped::mapped;
use crate::protocol::ring::{Ring, VALUE_BITS};
use crate::sys::{self, Errno};
use crate::{clock, config, run, thread};
use core::slice;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, fence};
use recording::layout::{CHUNK, ChunkHeader, HELD_MONOTONIC, HELD_STAMPS, REUSED, SHARDS, StopCause};
use recording::run::LOG_BYTES;

/// A chunk that is the caller's: its header is not begun, and all of it is 0. What of it may not be touched yet is allocated by
/// [`file::allocate_at`].
pub struct Chunk {
    /// Where it is mapped.
    pub at: usize,
    /// Which one of the file it is.
    pub number: u32,
    /// Bytes of it that may be touched.
    pub size: usize,
    /// It was one of events.
    pub is_reused: bool,
}

impl Chunk {
    /// Writes its header, whose first word, which says that it is begun, last.
    pub fn begin(&self, header: ChunkHeader) {
        for (index, word) in header.to_words().into_iter().enumerate().rev() {
            // SAFETY: the first page of the chunk may be touched, and nobody else knows of it.
            unsafe { ((self.at + 8 * index) as *mut u64).write_volatile(word) };
        }
    }
}

/// Chunks of events that a process may have, however long the log is, and as many as it has writers.
const FEW: u64 = 15;
/// Snapshots of stamps.
const SNAPSHOTS: usize = 128;
/// Chunks that were left are looked at for one that can be used, at most.
const LOOKS: u64 = 16;
/// After the file could not grow, so many chunks are taken from the oldest before that is tried again.
const NOT_GROWING: u32 = 64;
/// How much of a chunk is cleared at once.
const PART: usize = 256;

/// Chunks that were left, oldest first. In memory that fork wipes, and behind it are the ring's words.
#[repr(C)]
struct Left {
    /// The process whose they are, by its id.
    process: AtomicU64,
    begin: AtomicU64,
    end: AtomicU64,
    held: Held<SHARDS, SNAPSHOTS>,
}

/// Address of it, 0 before the first chunk was left, [`UNAVAILABLE`] if there is no memory for it.
static LEFT: AtomicUsize = AtomicUsize::new(0);
const UNAVAILABLE: usize = 1;
/// Bytes of events of the process.
static OWN: AtomicU64 = AtomicU64::new(0);
/// See [`NOT_GROWING`].
static WITHOUT_GROWTH: AtomicU32 = AtomicU32::new(0);

/// How a chunk stands in the ring: its number, the allocated pages of it less one, and whose it is.
const PAGES_SHIFT: u32 = 21;
const OWNER_SHIFT: u32 = PAGES_SHIFT + 4;
const PAGE: usize = 4096;
const _: () = assert!(segments::RESERVE / CHUNK <= 1 << PAGES_SHIFT && CHUNK / PAGE <= 16);

/// `size` bytes of it are allocated.
fn value(number: u32, size: usize, process: u64) -> u64 {
    let owner = process >> (64 - (VALUE_BITS - OWNER_SHIFT));
    u64::from(number) | ((size / PAGE - 1) as u64) << PAGES_SHIFT | owner << OWNER_SHIFT
}

/// In a new or forked process, whose id is there.
pub fn begin() {
    OWN.store(0, Relaxed);
    WITHOUT_GROWTH.store(0, Relaxed);
    let at = LEFT.load(Acquire);
    if at > UNAVAILABLE {
        // SAFETY: see `Left::of`.
        unsafe { &*(at as *const Left) }.process.store(file::id(), Relaxed);
    }
}

/// Words of the ring: more than the chunks that may lie in it.
fn words() -> usize {
    (2 * config::max_log() / CHUNK as u64 + 4096).min(1 << 20) as usize
}

impl Left {
    /// What this process has left; `None` without memory.
    fn of(process: u64) -> Option<&'static Left> {
        let size = size_of::<Left>() + 8 * words();
        let map = || {
            let at = sys::map_private(size)?;
            if let Err(errno) = sys::advise(at, size, libc::MADV_WIPEONFORK) {
                // SAFETY: nobody else has seen this mapping.
                unsafe { sys::unmap(at, size) };
                return Err(errno);
            }
            // SAFETY: fresh memory, which nobody else has seen.
            unsafe { &*(at as *const Left) }.process.store(process, Relaxed);
            Ok(at)
        };
        // SAFETY: nobody else has seen this mapping.
        let at = mapped(&LEFT, || map().or(Ok::<_, Errno>(UNAVAILABLE)), |at| unsafe { unmap(at, size) });
        let at = at.ok().filter(|at| *at != UNAVAILABLE)?;
        // SAFETY: mapped in this size and never unmapped; zeros are valid.
        let left = unsafe { &*(at as *const Left) };
        (left.process.load(Relaxed) == process).then_some(left)
    }

    fn ring(&self) -> Ring<'_> {
        let first = core::ptr::from_ref(self).wrapping_add(1).cast::<AtomicU64>();
        // SAFETY: the words lie behind this in the same mapping.
        let words = unsafe { slice::from_raw_parts(first, words()) };
        Ring { begin: &self.begin, end: &self.end, words }
    }

    /// A chunk of events has a later one after it in its writer's order: it may be used again.
    fn put(&self, value: u64) {
        let end = self.ring().put(value);
        self.held.took_place(end, self.ring().length(), events::next_stamp, clock::monotonic_ns);
    }

    /// What is in the chunk at this place of the ring will not be there any more.
    fn lose(&self, place: u64) {
        let snapshot = self.held.behind(place);
        let raise = |offset: usize, value: u64| {
            if let Some(word) = file::word(offset).filter(|word| word.load(Relaxed) < value) {
                word.fetch_max(value, Relaxed);
            }
        };
        for shard in 0..SHARDS {
            let stamp = snapshot.map(|snapshot| snapshot.stamps[shard].load(Relaxed));
            raise(HELD_STAMPS + 8 * shard, stamp.unwrap_or_else(|| events::next_stamp(shard)));
        }
        let ns = snapshot.map(|snapshot| snapshot.clock.load(Relaxed));
        raise(HELD_MONOTONIC, ns.unwrap_or_else(clock::monotonic_ns));
        if let Some(reused) = file::word(REUSED) {
            reused.fetch_add(1, Release);
        }
    }

    /// Makes a chunk all 0, its first word first. False in a child that was forked by a handler meanwhile: the chunk is its
    /// parent's.
    fn clear(&self, at: usize, size: usize, process: u64) -> bool {
        let mut is_first = true;
        for part in (at..at + size).step_by(PART) {
            if self.process.load(Relaxed) != process {
                return false;
            }
            // SAFETY: the chunk is the caller's, mapped and allocated.
            unsafe {
                if core::mem::take(&mut is_first) {
                    (part as *mut u64).write_volatile(0);
                    fence(Release);
                }
                core::ptr::write_bytes(part as *mut u8, 0, PART);
            }
        }
        true
    }

    /// The oldest chunk that can be had.
    #[cold]
    fn take(&self, process: u64) -> Option<Chunk> {
        for _ in 0..self.ring().length().min(LOOKS) {
            let (place, value) = self.ring().take()?;
            let number = value as u32 & ((1 << PAGES_SHIFT) - 1);
            let size = PAGE * (1 + (value >> PAGES_SHIFT) as usize % 16);
            if value != self::value(number, size, process) {
                continue;
            }
            let Ok(at) = ready_again(number, size) else {
                self.put(value);
                continue;
            };
            self.lose(place);
            return self.clear(at, size, process).then_some(Chunk { at, number, size, is_reused: true });
        }
        None
    }
}

/// # Safety
/// Nobody may use what was mapped.
unsafe fn unmap(at: usize, size: usize) {
    if at != UNAVAILABLE {
        // SAFETY: handed to the caller.
        unsafe { sys::unmap(at, size) };
    }
}

/// Maps a chunk of this process again, of which `size` bytes are allocated.
fn ready_again(number: u32, size: usize) -> sys::Result<usize> {
    let offset = number as usize * CHUNK;
    let at = segments::take_again(offset)?;
    match file::allocate_at(at, size) {
        Err(errno @ Errno(libc::ENOSPC | libc::EDQUOT | libc::EIO)) => {
            segments::release(offset);
            Err(errno)
        }
        // Where it cannot be asked for it is there all the same.
        _ => Ok(at),
    }
}

/// Prepares for when no memory can be mapped any more.
#[cold]
pub fn reserve() {
    let _ = Left::of(file::id());
}

/// Its writer has turned to another chunk than this one of events, of which `size` bytes are allocated.
pub fn left(number: u32, size: usize) {
    let process = file::id();
    if let Some(left) = Left::of(process).filter(|_| size != 0) {
        left.put(value(number, size, process));
    }
}

/// The run has `size` bytes of events more.
pub fn count(size: usize) {
    OWN.fetch_add(size as u64, Relaxed);
    if let Some(log) = run::word(LOG_BYTES) {
        log.fetch_add(size as u64, Relaxed);
    }
}

/// Whether the log is as long as it may be.
fn is_full() -> bool {
    let log = run::word(LOG_BYTES).map_or(0, |log| log.load(Relaxed));
    log.saturating_add(CHUNK as u64) > config::max_log()
        && OWN.load(Relaxed) >= (FEW + u64::from(thread::writers())) * CHUNK as u64
}

/// Whether the first chunks of a writer may not be there any more.
pub fn are_reused() -> bool {
    file::word(REUSED).is_some_and(|reused| reused.load(Relaxed) != 0)
}

/// The file could not grow.
pub fn has_not_grown() {
    WITHOUT_GROWTH.store(NOT_GROWING, Relaxed);
}

fn grows() -> bool {
    let count = |left: u32| left.checked_sub(1);
    WITHOUT_GROWTH.fetch_update(Relaxed, Relaxed, count).is_err()
}

/// A chunk of which `size` bytes may be touched, or more, for events or something else. `None` when the recording has stopped.
#[cold]
pub fn take(for_events: bool, size: usize) -> Option<Chunk> {
    if !process::is_recording() {
        return None;
    }
    let process = file::id();
    let oldest = || Left::of(process)?.take(process);
    if (for_events && is_full() || !grows())
        && let Some(chunk) = oldest()
    {
        return Some(chunk);
    }
    match file::new_chunk(size) {
        Ok((at, number)) => {
            if for_events {
                count(size);
            }
            Some(Chunk { at, number, size, is_reused: false })
        }
        Err(failed) => {
            has_not_grown();
            oldest().or_else(|| {
                match failed {
                    None => process::stop(StopCause::Full, 0),
                    Some(errno) => cannot_grow(errno),
                }
                None
            })
        }
    }
}
