//! The process's file: one sparse file, longer than what is used of it and mapped without access.
//!
//! A chunk is made writable and its blocks are allocated before it is touched, without a path or descriptor, so
//! that it works after chroot, a change of user, or with no descriptor left. A file system that is full gives an
//! error there and never a signal later: not even btrfs, which would look for new blocks whenever a page that it had
//! written back is changed again, but is told to write this file in place. On kernels without `MADV_POPULATE_WRITE`
//! (before 5.14) the file is opened again by its path for `fallocate`.
//!
//! What is here must survive fork: it is the parent's file, until [`begin`] makes the child's own, or [`join`] gives it
//! a part of the parent's. Its first header has the words that all processes in it share.

use super::{place, segments};
use crate::clock;
use crate::protocol::chunks::{NoChunk, Size};
use crate::sys::{self, Errno, Fd};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};
use recording::LostKind;
use recording::layout::{
    AT_FILE_ID, CHUNK, CLOSED, FINALIZING_STAMPS, LOST, NEXT_CHUNK, NEXT_ID_BLOCK, PROCESSES, SHARDS, SIZE,
    STRINGS, STRINGS_END,
};

/// Less is not worth beginning.
const SIZE_MIN: usize = 4 * CHUNK;
/// Apparent size of the file at first: enough for most recordings, so that its path is not needed again; not more,
/// for those who copy it with a tool that does not know sparse files.
const FIRST_SIZE: usize = 1 << 30;
/// Apparent size where the file will not be opened again: what that leaves off is the end of the recording.
const SIZE_AHEAD: usize = 16 << 30;
/// Chunks left at the end when the process exits, for events in later exit handlers.
const CHUNKS_AFTER_EXIT: usize = 64;
/// Of the header chunk, the pages that are used.
const HEADER_SIZE: usize = (FINALIZING_STAMPS + 8 * SHARDS).next_multiple_of(4096);
/// What it needs from the beginning: the first page, and those behind the strings, most of which fit in the first.
const HEADER_PARTS: [(usize, usize); 2] = [(0, PAGE), (STRINGS_END, HEADER_SIZE - STRINGS_END)];
const PAGE: usize = 4096;
const _: () = assert!(STRINGS_END.is_multiple_of(PAGE));
/// Less is not worth keeping ready.
const RESERVE_MIN: usize = 4 * CHUNK;

/// What is writable and allocated ahead: offsets in the file. Nothing while the first is behind the second.
static READY: [AtomicUsize; 2] = [AtomicUsize::new(usize::MAX), AtomicUsize::new(0)];
static ID: AtomicU64 = AtomicU64::new(0);
/// Address of the process's header, 0 if there is none: chunk 0 of its file, or another one of its parent's.
static HEADER: AtomicUsize = AtomicUsize::new(0);
/// Number of that chunk.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Random id of the process's recording, 0 before there is one.
pub fn id() -> u64 {
    ID.load(Relaxed)
}

fn random_id() -> u64 {
    match sys::random() {
        0 => clock::monotonic_ns() ^ (sys::pid() as u64) << 40,
        id => id,
    }
}

/// Begins a new file: its header chunk can then be written. Returns the first segment of the parent's, in a forked
/// child, as [`segments::change`] does; where there can be no new file, the parent's is as it was.
pub fn begin(in_use: bool) -> sys::Result<(usize, usize)> {
    let id = random_id();
    let parents = first_id().unwrap_or(0);
    let begun = create(id).inspect_err(|_| place::set(parents))?;
    let old = segments::change(begun.header, in_use);
    ID.store(id, Relaxed);
    HEADER.store(begun.header, Relaxed);
    PROCESS.store(0, Relaxed);
    READY[0].store(usize::MAX, Relaxed);
    let set = |offset, value| word(offset).map(|word| word.store(value, Relaxed));
    set(NEXT_CHUNK, 1);
    set(NEXT_ID_BLOCK, 1);
    if let Some(size) = word(SIZE) {
        Size(size).set(begun.size);
    }
    Ok(old)
}

/// In a forked child that cannot begin a file: goes on in its parent's, of which it takes a chunk for its header.
pub fn join() -> sys::Result<()> {
    segments::join();
    let processes = shared_word(PROCESSES).ok_or(Errno(libc::ENOENT))?;
    let is_open = processes.fetch_add(1, AcqRel) & CLOSED == 0;
    let chunk = if is_open { new_chunk(HEADER_SIZE) } else { Err(Some(Errno(libc::ENOENT))) };
    match chunk {
        Ok((at, number)) => {
            ID.store(random_id(), Relaxed);
            HEADER.store(at, Relaxed);
            PROCESS.store(number, Relaxed);
            if let Some(ids) = word(NEXT_ID_BLOCK) {
                ids.store(1, Relaxed);
            }
            Ok(())
        }
        Err(errno) => {
            processes.fetch_sub(1, Relaxed);
            Err(errno.unwrap_or(Errno(libc::EFBIG)))
        }
    }
}

/// In a forked child that is not recorded: leaves its parent's file. Returns what [`segments::change`] does.
pub fn leave(in_use: bool) -> (usize, usize) {
    ID.store(0, Relaxed);
    HEADER.store(0, Relaxed);
    PROCESS.store(0, Relaxed);
    READY[0].store(usize::MAX, Relaxed);
    segments::change(0, in_use)
}

/// Random id of who began the file.
pub fn first_id() -> Option<u64> {
    shared_word(AT_FILE_ID).map(|id| id.load(Relaxed))
}

/// Which chunk of the file the process's header is.
pub fn process() -> u32 {
    PROCESS.load(Relaxed)
}

/// A file that nothing is written to yet.
struct Begun {
    header: usize,
    size: usize,
}

/// Makes and maps a new file and prepares its header chunk.
fn create(id: u64) -> sys::Result<Begun> {
    let fd = place::create(id)?;
    fd.write_in_place();
    map(&fd).inspect_err(|_| place::remove())
}

fn map(fd: &Fd) -> sys::Result<Begun> {
    // Never beyond RLIMIT_FSIZE, so that no SIGXFSZ can come of it.
    let mut size = FIRST_SIZE.min(file_size_limit());
    while size >= SIZE_MIN && fd.truncate(size as u64).is_err() {
        size = size / 2 / CHUNK * CHUNK;
    }
    if size < SIZE_MIN {
        return Err(Errno(libc::EFBIG));
    }
    let header = segments::map_first(fd)?;
    let allocate = |(offset, size): (usize, usize)| {
        allocate(header + offset, size, || false, || fd.allocate(offset as u64, size as u64))
    };
    match sys::make_writable(header, CHUNK).and_then(|()| HEADER_PARTS.into_iter().try_for_each(allocate)) {
        Ok(()) => Ok(Begun { header, size }),
        Err(errno) => {
            // SAFETY: nobody has used the new mapping.
            unsafe { sys::unmap(header, segments::SEGMENT) };
            Err(errno)
        }
    }
}

/// The largest whole number of chunks that a file may have.
fn file_size_limit() -> usize {
    (sys::limit(libc::RLIMIT_FSIZE).min(segments::RESERVE as u64) as usize) / CHUNK * CHUNK
}

/// Makes the file of `size` bytes so long that `end` lies in it. Never makes it shorter, whoever else does the same.
#[cold]
fn extend(size: u64, end: usize) -> sys::Result<usize> {
    let size = (2 * size as usize).max(end).min(segments::RESERVE).min(file_size_limit());
    if size < end {
        return Err(Errno(libc::EFBIG));
    }
    place::open()?.allocate(size as u64 - 1, 1)?;
    Ok(size)
}

/// Makes the file very long, for when it cannot be opened any more.
#[cold]
pub fn extend_ahead() {
    if let Some(size) = shared_word(SIZE).map(Size) {
        let _ = size.make_room(SIZE_AHEAD.min(file_size_limit()), extend);
    }
}

/// The process exits. Whether the file is its alone; then no forked child joins it any more.
pub fn close() -> bool {
    let close = |processes: &AtomicU64| processes.compare_exchange(0, CLOSED, AcqRel, Relaxed).is_ok();
    process() == 0 && shared_word(PROCESSES).is_some_and(close)
}

/// Cuts what the process has not used off the file's end, as it exits. Events after this are still recorded. Not for a
/// file with other processes, which could not make it longer again: see [`close`].
pub fn cut_to_size() {
    if let (Some(next), Some(size)) = (shared_word(NEXT_CHUNK), shared_word(SIZE)) {
        let truncate = |size| place::open().and_then(|fd| fd.truncate(size as u64)).is_ok();
        Size(size).cut(next, CHUNKS_AFTER_EXIT, truncate);
    }
}

/// How much of the file is handed out, in bytes.
pub fn handed_out() -> usize {
    shared_word(NEXT_CHUNK).map_or(0, |next| next.load(SeqCst) as usize * CHUNK)
}

/// Hands out a chunk of which `size` bytes may be touched, as address and number; an error without an errno when the
/// reserved size is used up.
pub fn new_chunk(size: usize) -> Result<(usize, u32), Option<Errno>> {
    let offset = new_chunks(1)?;
    let at = open_chunk(offset, size)?;
    Ok((at, (offset / CHUNK) as u32))
}

/// Hands out `count` chunks in a row: the first one's offset in the file. An error as of [`new_chunk`].
pub fn new_chunks(count: usize) -> Result<usize, Option<Errno>> {
    let (file, next) = (shared_word(SIZE).map(Size).ok_or(None)?, shared_word(NEXT_CHUNK).ok_or(None)?);
    let hand_out = || file.hand_out(next, count, segments::RESERVE, extend);
    segments::take(count, hand_out).map_err(|error| match error {
        NoChunk::Full => None,
        NoChunk::Busy => Some(Errno(libc::EBUSY)),
        NoChunk::Failed(errno) => Some(errno),
    })
}

/// The address of a chunk that was handed out, of which `size` bytes may be touched then.
pub fn open_chunk(offset: usize, size: usize) -> sys::Result<usize> {
    let open = || {
        let at = segments::address(offset)?;
        if !is_ready(offset, CHUNK) {
            sys::make_writable(at, CHUNK)?;
        }
        allocate_at(at, size)?;
        Ok(at)
    };
    open().inspect_err(|_| segments::release(offset))
}

/// Keeps `size` bytes ready behind what was handed out, or as many as can be had, for when nothing can be done any more.
#[cold]
pub fn reserve(size: usize) {
    let Some(next) = shared_word(NEXT_CHUNK) else { return };
    let from = next.load(Relaxed) as usize * CHUNK;
    let mut size = size.min(segments::RESERVE.saturating_sub(from)) / CHUNK * CHUNK;
    while size >= RESERVE_MIN {
        if make_ready(from, from + size).is_ok() {
            // What was prepared for a filter that was then refused may be in use by now.
            if READY[0].load(Relaxed) == usize::MAX || READY[1].load(Relaxed) < from {
                READY[0].store(usize::MAX, Relaxed);
                READY[1].store(from + size, Relaxed);
                READY[0].store(from, Release);
            } else {
                READY[1].fetch_max(from + size, Release);
            }
            return;
        }
        size = size / 2 / CHUNK * CHUNK;
    }
}

/// Makes this part of the file writable and allocates its blocks: without touching its pages, if the file can still be
/// opened.
fn make_ready(from: usize, to: usize) -> sys::Result<()> {
    let size = shared_word(SIZE).map(Size);
    if size.is_none_or(|size| size.make_room(to, extend).is_err()) {
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

/// Whether something was made ready ahead.
pub fn is_reserved() -> bool {
    READY[0].load(Relaxed) != usize::MAX
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
    let is_ready = || segments::offset(at).is_some_and(|offset| is_ready(offset, size));
    allocate(at, size, is_ready, by_path)
}

/// The same; `by_file` does it where it cannot be done without the file.
fn allocate(
    at: usize,
    size: usize,
    is_ready: impl FnOnce() -> bool,
    by_file: impl FnOnce() -> sys::Result<()>,
) -> sys::Result<()> {
    match sys::advise(at, size, sys::MADV_POPULATE_WRITE) {
        // Unknown to the kernel.
        Err(Errno(libc::EINVAL)) => by_file(),
        // Forbidden by the program.
        Err(errno @ Errno(libc::EPERM)) if !is_ready() => by_file().map_err(|_| errno),
        Err(Errno(libc::EPERM)) => Ok(()),
        // What the kernel says where writing to the page would raise SIGBUS: it has no more to say.
        Err(Errno(libc::EFAULT)) => match by_file() {
            Err(Errno(errno @ (libc::EDQUOT | libc::EIO | libc::EROFS))) => Err(Errno(errno)),
            _ => Err(Errno(libc::ENOSPC)),
        },
        result => result,
    }
}

/// Lets pages that were written leave the process's memory; what is in them stays in the file.
pub fn let_go(at: usize, size: usize) {
    let _ = sys::advise(at, size, libc::MADV_DONTNEED);
}

/// A full chunk's pages leave the process's memory, and its segment with the last of them.
pub fn release_chunk(at: usize, number: u32) {
    let_go(at, CHUNK);
    segments::release(number as usize * CHUNK);
}

/// The word at `offset` of the process's header; `None` before there is one.
pub fn word(offset: usize) -> Option<&'static AtomicU64> {
    word_of(HEADER.load(Relaxed), offset)
}

/// The word at `offset` of the file's header, which all processes in it share.
fn shared_word(offset: usize) -> Option<&'static AtomicU64> {
    word_of(segments::first(), offset)
}

fn word_of(header: usize, offset: usize) -> Option<&'static AtomicU64> {
    if header == 0 || offset > HEADER_SIZE - 8 {
        return None;
    }
    // SAFETY: a header's pages are allocated and mapped as long as it is in use, words are aligned.
    Some(unsafe { &*((header + offset) as *const AtomicU64) })
}

/// The header's bytes, to be filled while it is begun.
///
/// # Safety
/// Only the initialising thread may hold them.
pub unsafe fn header_bytes() -> &'static mut [u8] {
    // SAFETY: mapped and allocated by `begin` or `join`, exclusive by the caller's word.
    unsafe { core::slice::from_raw_parts_mut(HEADER.load(Relaxed) as *mut u8, HEADER_SIZE) }
}

/// Whether the header has room for strings that end at this offset.
pub fn has_room_for_strings(end: usize) -> bool {
    end <= PAGE || allocate_at(HEADER.load(Relaxed) + PAGE, STRINGS_END - PAGE).is_ok()
}

/// The strings of the header; empty before there is one.
///
/// # Safety
/// Not to be used when the process has left this header.
pub unsafe fn header_strings() -> &'static [u8] {
    match HEADER.load(Relaxed) {
        0 => &[],
        // SAFETY: mapped and allocated; strings do not change once they are written, before which nobody asks.
        at => unsafe { core::slice::from_raw_parts((at + STRINGS) as *const u8, STRINGS_END - STRINGS) },
    }
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
