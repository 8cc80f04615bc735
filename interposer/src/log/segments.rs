//! Where the process's file is mapped: segment by segment, as it grows.
//!
//! Mapped memory counts against a limit on address space, also against one that the program sets later, and takes page
//! tables: so little is mapped ahead, and a segment is unmapped when nothing is written there any more. A further
//! segment needs neither path nor descriptor: `mremap` of no bytes of a shared mapping maps the same file again, from
//! the same offset on.
//!
//! A segment is mapped by whoever needs it first, after the newest one, which stays; so does the first, with the file's
//! header. Others go when the next one is mapped, if all their chunks are handed out (by this process or another that
//! writes to the same file), none of our threads is just taking one, and all that we took were released. Asked
//! in this order: who has taken a chunk of a segment that is handed out was a taker before that, and is one
//! until the chunk is counted.

use super::{file, place};
use crate::protocol::mapped::mapped;
use crate::sys::{self, Errno, Fd};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize};
use recording::layout::CHUNK;

/// Size of a segment: 32 chunks.
pub const SEGMENT: usize = 2 << 20;
/// Most segments: 128 GiB in all.
const SEGMENTS: usize = 65_536;
/// Most bytes of a file.
pub const RESERVE: usize = SEGMENT * SEGMENTS;
/// What a segment's mapping shares with the one before it.
const PAGE: usize = 4096;

/// Stands for the address of a segment that was unmapped.
const GONE: usize = 1;

/// Address of each segment, 0 if it was never mapped.
static ADDRESSES: [AtomicUsize; SEGMENTS] = [const { AtomicUsize::new(0) }; SEGMENTS];
/// Chunks of each segment that this process has taken and not released.
static IN_USE: [AtomicU8; SEGMENTS] = [const { AtomicU8::new(0) }; SEGMENTS];
/// Threads that are taking a chunk, which may not be counted yet.
static TAKERS: AtomicU32 = AtomicU32::new(0);
/// The segment that was mapped last.
static NEWEST: AtomicUsize = AtomicUsize::new(0);
/// Those between the first and this are gone.
static OLDEST: AtomicUsize = AtomicUsize::new(1);

const _: () = assert!(SEGMENT / CHUNK < u8::MAX as usize, "a segment's chunks can be counted");

/// How many segments may be mapped: a program with a limit on its address space gives a quarter of it.
fn allowance() -> usize {
    (sys::limit(libc::RLIMIT_AS) / 4 / SEGMENT as u64) as usize
}

/// Maps the first segment of a new file.
pub fn map_first(fd: &Fd) -> sys::Result<usize> {
    if allowance() < 2 {
        return Err(Errno(libc::ENOMEM));
    }
    let at = fd.map_shared(SEGMENT, 0, libc::PROT_NONE)?;
    let _ = sys::advise(at, SEGMENT, libc::MADV_DONTDUMP);
    // Without it the kernel reads ahead where there is nothing to read, and dirties whole large folios.
    let _ = sys::advise(at, SEGMENT, libc::MADV_RANDOM);
    sys::unlock(at, SEGMENT);
    Ok(at)
}

/// Goes on with the file whose first segment is mapped at `first`, or with none (0). Returns the old one's first segment, as
/// (address, size); the others are unmapped unless somebody may still be writing there.
pub fn change(first: usize, in_use: bool) -> (usize, usize) {
    for number in 1..=NEWEST.load(Relaxed) {
        let at = ADDRESSES[number].swap(0, Relaxed);
        IN_USE[number].store(0, Relaxed);
        if at > GONE && !in_use {
            // SAFETY: mapped by `map_after` as this and a page before it, and nobody uses it any more.
            unsafe { sys::unmap(at - PAGE, PAGE + SEGMENT) };
        }
    }
    IN_USE[0].store(0, Relaxed);
    TAKERS.store(0, Relaxed);
    NEWEST.store(0, Relaxed);
    OLDEST.store(1, Relaxed);
    (ADDRESSES[0].swap(first, Relaxed), SEGMENT)
}

/// In a forked child that goes on with its parent's file: what was mapped stays, since somebody may still use it.
pub fn join() {
    TAKERS.store(0, Relaxed);
    for in_use in IN_USE.iter().take(NEWEST.load(Relaxed) + 1) {
        in_use.store(1, Relaxed);
    }
}

/// Where the file begins in memory, 0 if there is none.
#[inline(always)]
pub fn first() -> usize {
    ADDRESSES[0].load(Relaxed)
}

/// Has `count` chunks in a row handed out, as the offset of the first one: the segment of each stays mapped until it is
/// released.
pub fn take<E>(count: usize, hand_out: impl FnOnce() -> Result<usize, E>) -> Result<usize, E> {
    TAKERS.fetch_add(1, SeqCst);
    let taken = hand_out();
    if let Ok(&first) = taken.as_ref() {
        for offset in (first..first + count * CHUNK).step_by(CHUNK) {
            IN_USE[(offset / SEGMENT).min(SEGMENTS - 1)].fetch_add(1, SeqCst);
        }
    }
    TAKERS.fetch_sub(1, SeqCst);
    taken
}

/// The chunk that is mapped at `address` is not written to any more.
pub fn release(address: usize) {
    if let Some(offset) = offset(address) {
        IN_USE[offset / SEGMENT].fetch_sub(1, SeqCst);
    }
}

/// The address of a chunk that was taken, at `offset`; its segment is mapped if it was not.
pub fn address(offset: usize) -> sys::Result<usize> {
    let number = offset / SEGMENT;
    loop {
        let newest = NEWEST.load(Acquire);
        if number <= newest {
            let at = ADDRESSES[number].load(Acquire);
            return if at > GONE { Ok(at + offset % SEGMENT) } else { Err(Errno(libc::ENOMEM)) };
        }
        map_after(newest)?;
    }
}

/// The offset in the file that is mapped at `address`.
pub fn offset(address: usize) -> Option<usize> {
    let inside = |number: &usize| {
        let at = ADDRESSES[*number].load(Relaxed);
        at > GONE && (at..at + SEGMENT).contains(&address)
    };
    let mut mapped = (OLDEST.load(Relaxed)..=NEWEST.load(Relaxed)).rev().chain([0]);
    let number = mapped.find(inside)?;
    Some(number * SEGMENT + address - ADDRESSES[number].load(Relaxed))
}

/// Maps the segment after `number`, which was the newest: from its last page on.
#[cold]
fn map_after(number: usize) -> sys::Result<()> {
    let (Some(before), Some(place)) = (ADDRESSES.get(number), ADDRESSES.get(number + 1)) else {
        return Err(Errno(libc::EFBIG));
    };
    if unmap_written() + 1 >= allowance() {
        return Err(Errno(libc::ENOMEM));
    }
    let size = PAGE + SEGMENT;
    let map = || {
        // Not what it was if another thread has mapped the next one meanwhile: then `place` is taken.
        let last_page = before.load(Acquire) + SEGMENT - PAGE;
        let by_path = |_| place::open()?.map_shared(size, (last_offset(number)) as u64, libc::PROT_NONE);
        let at = sys::map_again(last_page, size).or_else(by_path)?;
        // Of a program that locks all its memory: the log is to leave it.
        sys::unlock(at, size);
        Ok(at + PAGE)
    };
    // SAFETY: nobody else has seen this mapping.
    let result = mapped(place, map, |at| unsafe { sys::unmap(at - PAGE, size) });
    if place.load(Acquire) == 0 {
        return result.map(drop);
    }
    NEWEST.fetch_max(number + 1, Release);
    Ok(())
}

/// Of the last page of a segment.
fn last_offset(number: usize) -> usize {
    (number + 1) * SEGMENT - PAGE
}

/// Unmaps the segments that are written. Returns how many remain, the first not among them.
fn unmap_written() -> usize {
    let handed_out = file::handed_out();
    let settled = TAKERS.load(SeqCst) == 0;
    let newest = NEWEST.load(Acquire);
    let (mut remain, mut oldest) = (0, newest);
    for number in (OLDEST.load(Relaxed)..=newest).rev() {
        let at = ADDRESSES[number].load(Acquire);
        if at <= GONE {
            continue;
        }
        let is_written = settled
            && number != newest
            && (number + 1) * SEGMENT <= handed_out
            && IN_USE[number].load(SeqCst) == 0;
        if is_written && ADDRESSES[number].compare_exchange(at, GONE, AcqRel, Relaxed).is_ok() {
            // SAFETY: mapped by `map_after`; no place in it is in use, and none will be given out.
            unsafe { sys::unmap(at - PAGE, PAGE + SEGMENT) };
        } else {
            (remain, oldest) = (remain + 1, number);
        }
    }
    OLDEST.fetch_max(oldest.max(1), Relaxed);
    remain
}
