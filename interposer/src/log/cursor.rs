//! A writer's place in its chunk: where the next record goes, and how far blocks are allocated.
//!
//! The chunk of a writer of whom not much is expected is allocated in small pieces: of each writer the first one, since
//! most threads and most forked children write little. All-zero is a cursor without a chunk, which is what fork leaves of
//! it in the child. One that keeps nothing has no chunk either, but room for all.

use super::file;
use crate::sys::Errno;
use crate::{process, sandbox, thread};
use core::sync::atomic::{Ordering::Release, compiler_fence};
use recording::layout::{APPLIED, CHUNK, CHUNK_HEADER, ChunkHeader, ROOM};
use recording::{Memory, Packed, Wide};

/// A piece of a chunk: a page.
const PIECE: usize = 4 << 10;
/// From so many writers on, what each takes of memory counts for more than the bytes that it writes.
const MANY: u32 = 128;

/// See the module's contract.
#[repr(C)]
pub struct Cursor {
    /// Address of the next record.
    position: usize,
    /// End of the allocated part of the chunk.
    end: usize,
    /// Address of the chunk, 0 if there is none.
    chunk: usize,
    /// Number of the next chunk.
    ordinal: u32,
    /// The chunk grows by pieces.
    pieces: bool,
}

impl Cursor {
    /// Whether `bytes` more can be written.
    #[inline(always)]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.end - self.position >= bytes
    }

    /// Has room for all records, and keeps none.
    pub fn keep_nothing(&mut self) {
        (self.position, self.end) = (0, usize::MAX);
    }

    /// Whether what is put is not kept: [`Cursor::keep_nothing`], or fork has taken the chunk away.
    #[inline(always)]
    pub fn keeps_nothing(&self) -> bool {
        self.position == 0
    }

    /// What the writer needs for its next chunk.
    pub fn memory(&self) -> Memory {
        if self.ordinal == 0 || thread::writers() > MANY { Memory::Small } else { Memory::Whole }
    }

    /// Allocates more of the chunk; false if it is full.
    #[cold]
    pub fn grow(&mut self, bytes: usize) -> bool {
        if !process::is_recording() {
            return false;
        }
        while self.pieces && self.chunk != 0 && self.end < self.chunk + CHUNK {
            match file::allocate_at(self.end, PIECE) {
                Ok(()) => {}
                // The rest of the chunk cannot be had any more; another chunk may be ready.
                Err(Errno(libc::EPERM)) if sandbox::is_present() => return false,
                Err(errno) => {
                    process::cannot_grow(errno);
                    return false;
                }
            }
            self.end += PIECE;
            if self.has_room(bytes) {
                self.let_go_of_full_pages();
                return true;
            }
        }
        false
    }

    /// Where there are many writers, what each has written of its chunk need not be in the process's memory.
    fn let_go_of_full_pages(&self) {
        if thread::writers() > MANY {
            file::let_go(self.chunk, (self.position - self.chunk) / PIECE * PIECE);
        }
    }

    /// Gives the chunk back and begins another with this header (whose ordinal and process are filled in). False if there is
    /// none; the recording has stopped then. [`Memory::Small`]: it grows by pieces.
    #[cold]
    pub fn turn(&mut self, header: ChunkHeader, memory: Memory) -> bool {
        let old = core::mem::take(&mut self.chunk);
        self.position = 0;
        self.end = 0;
        if old != 0 {
            file::release_chunk(old);
        }
        let Some(at) = process::new_chunk() else { return false };
        self.pieces = memory == Memory::Small;
        let size = if self.pieces { PIECE } else { CHUNK };
        if let Err(errno) = file::allocate_at(at, size) {
            process::cannot_grow(errno);
            return false;
        }
        let words = ChunkHeader { ordinal: self.ordinal, process: file::process(), ..header }.to_words();
        self.ordinal += 1;
        for (index, &word) in words.iter().enumerate().rev() {
            // SAFETY: the header lies in the allocated piece of a chunk that is this writer's alone. The first
            // word, which says that the chunk is begun, is stored last.
            unsafe { ((at + 8 * index) as *mut u64).write_volatile(word) };
        }
        self.chunk = at;
        self.end = at + size;
        self.position = at + CHUNK_HEADER;
        true
    }

    /// Ends the writing: every next record finds no room.
    pub fn close(&mut self) {
        self.end = self.position;
        self.pieces = false;
    }

    /// Writes a record; there must be [`ROOM`]. Writes nothing where there is no chunk, also if fork has taken it away
    /// meanwhile.
    #[inline(always)]
    pub fn put(&mut self, record: Packed) {
        let at = self.position;
        if at == 0 {
            return;
        }
        // SAFETY: `has_room(ROOM)` was asked, and ROOM covers sixteen bytes for each record of one event. The
        // first eight bytes are stored last: with them the record is there.
        unsafe {
            if record.len() > 8 {
                ((at + 8) as *mut u64).write_unaligned(record.high());
                compiler_fence(Release);
            }
            (at as *mut u64).write_unaligned(record.low());
        }
        self.position = at + record.len();
        compiler_fence(Release);
    }

    /// Says in the chunk of events that those so far are in the live table.
    #[inline(always)]
    pub fn say_applied(&self) {
        if self.chunk != 0 {
            // SAFETY: the header lies in the allocated piece of a chunk that is this writer's alone.
            unsafe {
                ((self.chunk + APPLIED) as *mut u64).write_volatile((self.position - self.chunk) as u64)
            };
        }
    }

    /// Writes a record in full; there must be [`ROOM`].
    #[cold]
    pub fn put_wide(&mut self, record: Wide) {
        let at = self.position;
        if at == 0 {
            return;
        }
        // SAFETY: as in `put`.
        unsafe {
            ((at + 16) as *mut u64).write_unaligned(record.words[2]);
            ((at + 8) as *mut u64).write_unaligned(record.words[1]);
            compiler_fence(Release);
            (at as *mut u64).write_unaligned(record.words[0]);
        }
        self.position = at + record.len;
        compiler_fence(Release);
    }

    /// Writes a record of any length of at least eight bytes; there must be room for it and [`ROOM`].
    pub fn put_bytes(&mut self, record: &[u8]) {
        let at = self.position;
        let Some((first, rest)) = record.split_first_chunk::<8>() else { return };
        if at == 0 || !self.has_room(record.len() + ROOM) {
            return;
        }
        // SAFETY: there is room in the writer's own chunk; again the first eight bytes are stored last.
        unsafe {
            core::ptr::copy_nonoverlapping(rest.as_ptr(), (at + 8) as *mut u8, rest.len());
            compiler_fence(Release);
            (at as *mut u64).write_unaligned(u64::from_le_bytes(*first));
        }
        self.position = at + record.len();
        compiler_fence(Release);
    }
}
