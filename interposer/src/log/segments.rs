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
//! until the chunk is counted. Who takes a chunk again maps its segment again.

use super::{file, place};
use crate::protocol::mapped::{give_up, mapped, mapped_again, present};
use crate::sys::{self, Errno, Fd};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize};
use recording::layout::{AT_FILE_ID, CHUNK};

/// Size of a segment: 32 chunks.
pub const SEGMENT: usize = 2 << 20;
/// Most segments: 128 GiB in all.
const SEGMENTS: usize = 65_536;
/// Most bytes of a file.
pub const RESERVE: usize = SEGMENT * SEGMENTS;
/// What a segment's mapping shares with the one before it.
const PAGE: usize = 4096;
/// Size of the mapping of a segment but the first.
const MAPPED: usize = PAGE + SEGMENT;

/// Address of each segment, see [`mapped`](crate::protocol::mapped).
static ADDRESSES: [AtomicUsize; SEGMENTS] = [const { AtomicUsize::new(0) }; SEGMENTS];
/// Chunks of each segment that this process has taken and not released.
static IN_USE: [AtomicU8; SEGMENTS] = [const { AtomicU8::new(0) }; SEGMENTS];
/// Threads that are taking a chunk, which may not be counted yet.
static TAKERS: AtomicU32 = AtomicU32::new(0);
/// The segment that was mapped last.
static NEWEST: AtomicUsize = AtomicUsize::new(0);

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
        let at = present(&ADDRESSES[number]).filter(|_| !in_use);
        ADDRESSES[number].store(0, Relaxed);
        IN_USE[number].store(0, Relaxed);
        if let Some(at) = at {
            // SAFETY: nobody uses it any more.
            unsafe { unmap(at) };
        }
    }
    IN_USE[0].store(0, Relaxed);
    TAKERS.store(0, Relaxed);
    NEWEST.store(0, Relaxed);
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

/// The chunk at `offset`, which was released, is taken again: its address. Its segment stays mapped until it is released.
pub fn take_again(offset: usize) -> sys::Result<usize> {
    let number = offset / SEGMENT;
    let (Some(place), Some(in_use)) = (ADDRESSES.get(number), IN_USE.get(number)) else {
        return Err(Errno(libc::EINVAL));
    };
    in_use.fetch_add(1, SeqCst);
    // SAFETY: nobody else has seen this mapping.
    match mapped_again(place, || map_one(number), |at| unsafe { unmap(at) }) {
        Ok(Some(at)) => Ok(at + offset % SEGMENT),
        other => {
            in_use.fetch_sub(1, SeqCst);
            Err(other.err().unwrap_or(Errno(libc::EBUSY)))
        }
    }
}

/// The chunk at `offset`, which was taken, is not written to any more.
pub fn release(offset: usize) {
    if let Some(in_use) = IN_USE.get(offset / SEGMENT) {
        in_use.fetch_sub(1, SeqCst);
    }
}

/// The address of a chunk that was taken, at `offset`; its segment is mapped if it was not.
pub fn address(offset: usize) -> sys::Result<usize> {
    let number = offset / SEGMENT;
    loop {
        let newest = NEWEST.load(Acquire);
        if number <= newest {
            let at = present(&ADDRESSES[number]).ok_or(Errno(libc::ENOMEM))?;
            return Ok(at + offset % SEGMENT);
        }
        map_after(newest)?;
    }
}

/// The offset in the file that is mapped at `address`.
pub fn offset(address: usize) -> Option<usize> {
    let inside = |number: usize| {
        let at = present(&ADDRESSES[number])?;
        (at..at + SEGMENT).contains(&address).then(|| number * SEGMENT + address - at)
    };
    (0..=NEWEST.load(Relaxed)).rev().find_map(inside)
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
    let map = || {
        // Not what it was if another thread has mapped the next one meanwhile: then `place` is taken.
        let last_page = before.load(Acquire) + SEGMENT - PAGE;
        let at = match sys::map_again(last_page, MAPPED) {
            Ok(at) => at,
            Err(_) => map_by_path(number + 1, libc::PROT_NONE)?,
        };
        // Of a program that locks all its memory: the log is to leave it.
        sys::unlock(at, MAPPED);
        Ok(at + PAGE)
    };
    // SAFETY: nobody else has seen this mapping.
    let result = mapped(place, map, |at| unsafe { unmap(at) });
    if place.load(Acquire) == 0 {
        return result.map(drop);
    }
    NEWEST.fetch_max(number + 1, Release);
    Ok(())
}

/// Maps a segment that was mapped before, writable. Without a path everything before it is mapped too for a moment.
#[cold]
fn map_one(number: usize) -> sys::Result<usize> {
    if unmap_written() + 1 >= allowance() {
        return Err(Errno(libc::ENOMEM));
    }
    let at = map_by_path(number, libc::PROT_READ | libc::PROT_WRITE).or_else(|_| {
        let before = begin(number);
        let at = sys::map_again(first(), before + MAPPED)?;
        // SAFETY: nobody else has seen this mapping.
        unsafe { sys::unmap(at, before) };
        Ok(at + before)
    })?;
    sys::unlock(at, MAPPED);
    Ok(at + PAGE)
}

/// Maps a segment by the file's path, if that is still this file.
fn map_by_path(number: usize, protection: i32) -> sys::Result<usize> {
    let fd = place::open()?;
    let mut start = [0; AT_FILE_ID + 8];
    let id = fd.read_all(&mut start)?.get(AT_FILE_ID..);
    if id.is_none_or(|id| file::first_id().is_none_or(|first| id != first.to_le_bytes())) {
        return Err(Errno(libc::ENOENT));
    }
    fd.map_shared(MAPPED, begin(number) as u64, protection)
}

/// Where in the file the mapping of a segment begins.
fn begin(number: usize) -> usize {
    number * SEGMENT - PAGE
}

/// Unmaps a segment, not the first.
///
/// # Safety
/// Nobody may use it any more.
unsafe fn unmap(at: usize) {
    // SAFETY: mapped as this and a page before it; the rest is handed to the caller.
    unsafe { sys::unmap(at - PAGE, MAPPED) };
}

/// Unmaps the segments that are written. Returns how many remain, the first not among them.
fn unmap_written() -> usize {
    let handed_out = file::handed_out();
    // What is kept ready could not be mapped again.
    let settled = TAKERS.load(SeqCst) == 0 && !file::is_reserved();
    let newest = NEWEST.load(Acquire);
    let mapped = (1..=newest).filter_map(|number| Some((number, present(&ADDRESSES[number])?)));
    let remains = |&(number, at): &(usize, usize)| {
        let in_use = &IN_USE[number];
        let is_written =
            settled && number != newest && (number + 1) * SEGMENT <= handed_out && in_use.load(SeqCst) == 0;
        let is_used = || in_use.fetch_add(0, SeqCst) != 0;
        // SAFETY: no place in it is in use, and who takes one again finds it gone.
        !(is_written && give_up(&ADDRESSES[number], at, is_used, |at| unsafe { unmap(at) }))
    };
    mapped.filter(remains).count()
}
