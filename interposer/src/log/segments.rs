//! Where the process's file is mapped: segment by segment, as it grows.
//!
//! Mapped memory counts against a limit on address space, also against one that the program sets later, so little
//! is mapped ahead. A further segment needs neither path nor descriptor: `mremap` of no bytes of a shared mapping
//! maps the same file again, from the same offset on.
//!
//! A segment is mapped by whoever needs it first; who comes second gives its mapping back. None is unmapped before
//! fork.

use super::place;
use crate::protocol::mapped::mapped;
use crate::sys::{self, Errno, Fd};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use recording::layout::CHUNK;

/// Size of a segment: 256 chunks.
pub const SEGMENT: usize = 16 << 20;
/// Most segments: 16 GiB in all.
const SEGMENTS: usize = 1024;
/// Most bytes of a file.
pub const RESERVE: usize = SEGMENT * SEGMENTS;
/// What a segment's mapping shares with the one before it.
const PAGE: usize = 4096;

/// Address of each segment, 0 if it is not mapped.
static ADDRESSES: [AtomicUsize; SEGMENTS] = [const { AtomicUsize::new(0) }; SEGMENTS];
/// How far the file may be mapped.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// The most that may be mapped: a program with a limit on its address space gives a quarter of it.
pub fn allowance() -> usize {
    (sys::limit(libc::RLIMIT_AS) / 4).min(RESERVE as u64) as usize / CHUNK * CHUNK
}

/// Maps the first segment of a new file of which `limit` bytes may be mapped.
pub fn map_first(fd: &Fd, limit: usize) -> sys::Result<usize> {
    let size = limit.min(SEGMENT);
    let at = fd.map_shared(size, 0, libc::PROT_NONE)?;
    let _ = sys::advise(at, size, libc::MADV_DONTDUMP);
    // Without it the kernel reads ahead where there is nothing to read, and dirties whole large folios.
    let _ = sys::advise(at, size, libc::MADV_RANDOM);
    Ok(at)
}

/// Goes on with the file whose first segment is mapped at `first`, or with none. Returns the old one's first segment, as
/// (address, size); the others are unmapped unless somebody may still be writing there.
pub fn change(first: usize, limit: usize, in_use: bool) -> (usize, usize) {
    let old = (ADDRESSES[0].swap(first, Relaxed), LIMIT.swap(limit, Relaxed).min(SEGMENT));
    for address in &ADDRESSES[1..] {
        let at = address.swap(0, Relaxed);
        if at == 0 {
            break;
        }
        if !in_use {
            // SAFETY: mapped by `map` as this and a page before it, and nobody uses it any more.
            unsafe { sys::unmap(at - PAGE, PAGE + SEGMENT) };
        }
    }
    old
}

/// How far the file may be mapped.
pub fn limit() -> usize {
    LIMIT.load(Relaxed)
}

/// Where the file begins in memory, 0 if there is none.
#[inline(always)]
pub fn first() -> usize {
    ADDRESSES[0].load(Relaxed)
}

/// The address of the chunk at `offset`, whose segment is mapped if it was not.
pub fn address(offset: usize) -> sys::Result<usize> {
    let number = offset / SEGMENT;
    let address = || ADDRESSES.get(number).map_or(0, |address| address.load(Acquire));
    if address() == 0 {
        for missing in 1..=number {
            map(missing)?;
        }
    }
    match address() {
        0 => Err(Errno(libc::ENOMEM)),
        at => Ok(at + offset % SEGMENT),
    }
}

/// The offset in the file that is mapped at `address`.
pub fn offset(address: usize) -> Option<usize> {
    let inside = |at: usize| at != 0 && (at..at + SEGMENT).contains(&address);
    let number = ADDRESSES.iter().position(|at| inside(at.load(Relaxed)))?;
    Some(number * SEGMENT + address - ADDRESSES[number].load(Relaxed))
}

/// Maps segment `number`, if it is not, from the last page of its predecessor on, which is.
#[cold]
fn map(number: usize) -> sys::Result<()> {
    let (Some(before), Some(place)) = (ADDRESSES.get(number - 1), ADDRESSES.get(number)) else {
        return Err(Errno(libc::ENOMEM));
    };
    let size = PAGE + SEGMENT;
    let map = || {
        let last_page = before.load(Acquire) + SEGMENT - PAGE;
        let again = |_| place::open()?.map_shared(size, (number * SEGMENT - PAGE) as u64, libc::PROT_NONE);
        Ok(sys::map_again(last_page, size).or_else(again)? + PAGE)
    };
    // SAFETY: nobody else has seen this mapping.
    mapped(place, map, |at| unsafe { sys::unmap(at - PAGE, size) }).map(drop)
}
