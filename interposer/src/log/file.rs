//! The process's file: one sparse file, longer than what is used of it and mapped without access.
//!
//! A chunk is made writable and its blocks are allocated before it is touched, without a path or descriptor, so
//! that it works after chroot, a change of user, or with no descriptor left. A file system that is full gives an
//! error there and never a signal later: not even btrfs, which would look for new blocks whenever a page that it had
//! written back is changed again, but is told to write this file in place. On kernels without `MADV_POPULATE_WRITE` (before 5.14) the file is opened
//! again by its path for `fallocate`.
//!
//! What is here must survive fork: it is the parent's file, until [`begin`] makes the child's own.

use super::{place, segments};
use crate::clock;
use crate::protocol::chunks::{NoChunk, Size};
use crate::sys::{self, Errno, Fd};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU64, AtomicUsize};
use recording::LostKind;
use recording::layout::{CHUNK, FINALIZING_STAMPS, LOST, NEXT_CHUNK, NEXT_ID_BLOCK, SHARDS};

/// Less is not worth beginning.
const SIZE_MIN: usize = 4 * CHUNK;
/// Apparent size of the file at first: enough for most recordings, so that its path is not needed again; not more,
/// for those who copy it with a tool that does not know sparse files.
const FIRST_SIZE: usize = 1 << 30;
/// Chunks left at the end when the process exits, for events in later exit handlers.
const CHUNKS_AFTER_EXIT: usize = 64;
/// Of the header chunk, the pages that are used.
const HEADER_SIZE: usize = (FINALIZING_STAMPS + 8 * SHARDS).next_multiple_of(4096);
/// Allocates and maps the pages of a file.
pub const MADV_POPULATE_WRITE: i32 = 23;
/// Less is not worth keeping ready.
const RESERVE_MIN: usize = 4 * CHUNK;

/// Size of the file.
static SIZE: AtomicU64 = AtomicU64::new(0);
/// What is writable and allocated ahead: offsets in the file. Nothing while the first is behind the second.
static READY: [AtomicUsize; 2] = [AtomicUsize::new(usize::MAX), AtomicUsize::new(0)];
static ID: AtomicU64 = AtomicU64::new(0);

/// Random id of the file, 0 before there is one.
pub fn id() -> u64 {
    ID.load(Relaxed)
}

/// Begins a new file: its header chunk can then be written.
pub fn begin() -> sys::Result<()> {
    let id = match sys::random() {
        0 => clock::monotonic_ns() ^ (sys::pid() as u64) << 40,
        id => id,
    };
    let fd = place::create(id)?;
    fd.write_in_place();
    let result = map(&fd);
    match result {
        Ok(()) => ID.store(id, Relaxed),
        Err(_) => {
            place::remove();
            let (at, size) = forget(false);
            if at != 0 {
                // SAFETY: the file was never in use.
                unsafe { sys::unmap(at, size) };
            }
        }
    }
    result
}

/// Maps the new file and prepares its header chunk.
fn map(fd: &Fd) -> sys::Result<()> {
    let limit = segments::allowance();
    // Never beyond RLIMIT_FSIZE, so that no SIGXFSZ can come of it.
    let mut size = limit.min(FIRST_SIZE).min(file_size_limit());
    while size >= SIZE_MIN && fd.truncate(size as u64).is_err() {
        size = size / 2 / CHUNK * CHUNK;
    }
    if size < SIZE_MIN {
        return Err(Errno(libc::EFBIG));
    }
    Size(&SIZE).set(size);
    segments::begin(fd, limit)?;
    sys::make_writable(segments::first(), CHUNK)?;
    allocate_at(segments::first(), HEADER_SIZE)?;
    if let (Some(chunks), Some(ids)) = (word(NEXT_CHUNK), word(NEXT_ID_BLOCK)) {
        chunks.store(1, Relaxed);
        ids.store(1, Relaxed);
    }
    Ok(())
}

/// In a forked child: leaves the parent's file. Returns the mapping of its header, as (address, size); see
/// [`segments::forget`].
pub fn forget(in_use: bool) -> (usize, usize) {
    ID.store(0, Relaxed);
    Size(&SIZE).set(0);
    READY[0].store(usize::MAX, Relaxed);
    segments::forget(in_use)
}

/// The largest whole number of chunks that a file may have.
fn file_size_limit() -> usize {
    (sys::limit(libc::RLIMIT_FSIZE).min(segments::RESERVE as u64) as usize) / CHUNK * CHUNK
}

/// Makes the file of `size` bytes so long that `end` lies in it. Never makes it shorter, whoever else does the same.
#[cold]
fn extend(size: u64, end: usize) -> sys::Result<usize> {
    let size = (2 * size as usize).max(end).min(segments::limit()).min(file_size_limit());
    if size < end {
        return Err(Errno(libc::EFBIG));
    }
    place::open()?.allocate(size as u64 - 1, 1)?;
    Ok(size)
}

/// Cuts what the process has not used off the file's end, as it exits. Events after this are still recorded.
pub fn cut_to_size() {
    if let Some(next) = word(NEXT_CHUNK) {
        Size(&SIZE).cut(next, CHUNKS_AFTER_EXIT, |size| {
            place::open().and_then(|fd| fd.truncate(size as u64)).is_ok()
        });
    }
}

/// Hands out a chunk and makes it writable; `None` when the reserved size is used up.
pub fn new_chunk() -> Option<sys::Result<usize>> {
    let offset = match Size(&SIZE).hand_out(word(NEXT_CHUNK)?, segments::limit(), extend) {
        Ok(offset) => offset,
        Err(NoChunk::Full) => return None,
        Err(NoChunk::Busy) => return Some(Err(Errno(libc::EBUSY))),
        Err(NoChunk::Failed(errno)) => return Some(Err(errno)),
    };
    let writable =
        |at| if is_ready(offset, CHUNK) { Ok(at) } else { sys::make_writable(at, CHUNK).map(|()| at) };
    Some(segments::address(offset).and_then(writable))
}

/// Keeps `size` bytes ready behind what was handed out, or as many as can be had, for when nothing can be done any more.
/// Once for each file.
#[cold]
pub fn reserve(size: usize) {
    let Some(next) = word(NEXT_CHUNK) else { return };
    if READY[0].load(Relaxed) != usize::MAX {
        return;
    }
    let from = next.load(Relaxed) as usize * CHUNK;
    let mut size = size.min(segments::limit().saturating_sub(from)) / CHUNK * CHUNK;
    while size >= RESERVE_MIN {
        if make_ready(from, from + size).is_ok() {
            READY[1].store(from + size, Relaxed);
            READY[0].store(from, Release);
            return;
        }
        size = size / 2 / CHUNK * CHUNK;
    }
}

/// Makes this part of the file writable and allocates its blocks: without touching its pages, if the file can still be
/// opened.
fn make_ready(from: usize, to: usize) -> sys::Result<()> {
    if Size(&SIZE).make_room(to, extend).is_err() {
        return Err(Errno(libc::EFBIG));
    }
    let allocated = place::open().and_then(|fd| fd.allocate(from as u64, (to - from) as u64));
    for offset in (from..to).step_by(CHUNK) {
        let at = segments::address(offset)?;
        sys::make_writable(at, CHUNK)?;
        if allocated.is_err() {
            allocate_at(at, CHUNK)?;
        }
    }
    Ok(())
}

fn is_ready(offset: usize, size: usize) -> bool {
    offset >= READY[0].load(Acquire) && offset + size <= READY[1].load(Relaxed)
}

/// Allocates the blocks of `size` bytes at address `at` of the mapping, whole pages.
pub fn allocate_at(at: usize, size: usize) -> sys::Result<()> {
    let by_path = || {
        let offset = segments::offset(at).ok_or(Errno(libc::EINVAL))?;
        place::open()?.allocate(offset as u64, size as u64)
    };
    let is_allocated = || segments::offset(at).is_some_and(|offset| is_ready(offset, size));
    match sys::advise(at, size, MADV_POPULATE_WRITE) {
        // Unknown to the kernel.
        Err(Errno(libc::EINVAL)) => by_path(),
        // Forbidden by the program.
        Err(errno @ Errno(libc::EPERM)) if !is_allocated() => by_path().map_err(|_| errno),
        Err(Errno(libc::EPERM)) => Ok(()),
        // What the kernel says where writing to the page would raise SIGBUS: it has no more to say.
        Err(Errno(libc::EFAULT)) => match by_path() {
            Err(Errno(errno @ (libc::EDQUOT | libc::EIO | libc::EROFS))) => Err(Errno(errno)),
            _ => Err(Errno(libc::ENOSPC)),
        },
        result => result,
    }
}

/// Lets the pages of a full chunk leave the process's memory; what is in them stays in the file.
pub fn release_chunk(at: usize) {
    let _ = sys::advise(at, CHUNK, libc::MADV_DONTNEED);
}

/// The word at `offset` of the file's header; `None` before there is a file.
pub fn word(offset: usize) -> Option<&'static AtomicU64> {
    let base = segments::first();
    if base == 0 || offset > HEADER_SIZE - 8 {
        return None;
    }
    // SAFETY: the header's pages are allocated and mapped as long as the process lives, words are aligned.
    Some(unsafe { &*((base + offset) as *const AtomicU64) })
}

/// The header's bytes, to be filled while the file is begun.
///
/// # Safety
/// Only the initialising thread may hold them.
pub unsafe fn header_bytes() -> &'static mut [u8] {
    // SAFETY: mapped and allocated by `begin`, exclusive by the caller's word.
    unsafe { core::slice::from_raw_parts_mut(segments::first() as *mut u8, HEADER_SIZE) }
}

/// Counts what could not be recorded.
#[cold]
pub fn count_lost(kind: LostKind) {
    count_lost_many(kind, 1);
}

/// Counts `count` times what could not be recorded.
#[cold]
pub fn count_lost_many(kind: LostKind, count: u64) {
    if let Some(counter) = word(LOST + 8 * kind as usize) {
        counter.fetch_add(count, Relaxed);
    }
}
