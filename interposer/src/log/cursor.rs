//! A writer's place in its chunk: where the next record goes, and how far blocks are allocated.
//!
//! The chunk of a writer of whom not much is expected is allocated in small pieces: of each writer the first one, since
//! most threads and most forked children write little. All-zero is a cursor without a chunk, which is what fork leaves of
//! it in the child. One that keeps nothing has no chunk either, but room for all.

use super::{chunks, file};
use crate::{process, thread};
use core::sync::atomic::{Ordering::Release, compiler_fence};
use recording::layout::{APPLIED, CHUNK, CHUNK_HEADER, ChunkHeader, ChunkKind, ROOM};
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
    /// Bytes of it that are allocated.
    allocated: usize,
    /// Which of the file's chunks it is.
    number: u32,
    /// Which of the writer's chunks the next one is.
    ordinal: u32,
    /// The chunk is one of events.
    is_of_events: bool,
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

    /// Allocates more of the chunk; false if it is full, or the file cannot grow.
    #[cold]
    pub fn grow(&mut self, bytes: usize) -> bool {
        if !process::is_recording() {
            return false;
        }
        while self.pieces && self.chunk != 0 && self.end < self.chunk + CHUNK {
            if file::allocate_at(self.end, PIECE).is_err() {
                // There may be another chunk.
                chunks::has_not_grown();
                return false;
            }
            if self.is_of_events {
                chunks::count(PIECE);
            }
            self.end += PIECE;
            self.allocated += PIECE;
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

    /// Gives the chunk back, if there is one.
    fn leave(&mut self) {
        let chunk = core::mem::take(&mut self.chunk);
        self.position = 0;
        self.end = 0;
        if chunk == 0 {
            return;
        }
        file::release_chunk(chunk, self.number);
        if self.is_of_events {
            chunks::left(self.number, self.allocated);
        }
    }

    /// Gives the chunk back and begins another with this header (whose ordinal and process are filled in). False if there is
    /// none; the recording has stopped then. [`Memory::Small`]: it grows by pieces.
    #[cold]
    pub fn turn(&mut self, header: ChunkHeader, memory: Memory) -> bool {
        self.leave();
        let size = if memory == Memory::Small { PIECE } else { CHUNK };
        let Some(chunk) = chunks::take(header.kind == ChunkKind::Events, size) else { return false };
        chunk.begin(ChunkHeader { ordinal: self.ordinal, process: file::process(), ..header });
        self.ordinal += 1;
        self.chunk = chunk.at;
        self.number = chunk.number;
        self.is_of_events = header.kind == ChunkKind::Events;
        self.pieces = chunk.size < CHUNK;
        self.allocated = chunk.size;
        self.end = chunk.at + chunk.size;
        self.position = chunk.at + CHUNK_HEADER;
        if chunk.is_reused && memory == Memory::Small {
            file::let_go(chunk.at + PIECE, chunk.size - PIECE);
        }
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
