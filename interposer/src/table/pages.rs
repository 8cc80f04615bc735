//! Pages of the table in the process's file: chunks of them, which stay mapped.
//!
//! Chunks are taken in runs, the longer the more there are: among the chunks of events, whose segments are unmapped once they
//! are written, single ones would hold many of them. While there are few, their blocks are allocated page by page. Where
//! there are many, those of long ago leave the process's memory until they are needed again: an allocator that goes on to
//! ever new addresses leaves pages behind that never are.

use super::{Page, Pages};
use crate::log::{chunks, file};
use crate::protocol::runs::{Run, Runs};
use crate::{process, sandbox};
use core::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};
use recording::layout::{CHUNK, ChunkHeader, ChunkKind};
use recording::table::{PAGE, PAGES, TAGS, Tag};

/// Chunks that grow page by page.
const SMALL: u32 = 4;
/// Most chunks in a run: as many as are in a segment.
const RUN: usize = 32;

/// Chunks that stay in the process's memory, the latest ones.
const LATEST: usize = 64;

/// See the module's contract. All zero is one without pages.
pub struct FilePages {
    /// Offsets in the file.
    chunks: Runs,
    /// Addresses.
    pages: Runs,
    /// Chunks begun.
    begun: AtomicU32,
    /// A page that was given back, and in its low bits its number in the chunk; 0 if there is none.
    unused: AtomicUsize,
    /// Addresses of the latest chunks.
    latest: [AtomicUsize; LATEST],
}

/// The tag of a page.
fn tag(page: Page) -> &'static AtomicU64 {
    let chunk = page.at - PAGE * (1 + page.number);
    // SAFETY: the first page of a chunk of the table is allocated and stays mapped.
    unsafe { &*((chunk + TAGS) as *const AtomicU64).add(page.number) }
}

impl FilePages {
    /// None.
    pub const fn new() -> FilePages {
        FilePages {
            chunks: Runs::new(),
            pages: Runs::new(),
            begun: AtomicU32::new(0),
            unused: AtomicUsize::new(0),
            latest: [const { AtomicUsize::new(0) }; LATEST],
        }
    }

    /// Begins anew, for a file that nothing was written to.
    pub fn begin(&self) {
        self.chunks.reset();
        self.pages.reset();
        self.begun.store(0, Relaxed);
        self.unused.store(0, Relaxed);
        self.latest.iter().for_each(|chunk| chunk.store(0, Relaxed));
    }

    /// The next page of a chunk that is not used.
    fn next(&self) -> Option<Page> {
        match self.unused.swap(0, AcqRel) {
            0 => {}
            page => return Some(Page { at: page / PAGE * PAGE, number: page % PAGE }),
        }
        loop {
            let (chunk, number) = self.pages.take(|| self.begin_chunk())?;
            let page = Page { at: chunk + PAGE * (1 + number), number };
            // SAFETY: the first page of a chunk of the table is allocated and stays mapped.
            let ordinal = unsafe { *((chunk + 12) as *const u32) };
            if ordinal >= SMALL {
                return Some(page);
            }
            if file::allocate_at(page.at, PAGE).is_ok() {
                return Some(page);
            }
            // The rest of the chunk cannot be had any more; another chunk may be there.
            chunks::has_not_grown();
        }
    }

    /// Begins a chunk; its pages.
    #[cold]
    fn begin_chunk(&self) -> Option<Run> {
        if !process::is_recording() {
            return None;
        }
        let ordinal = self.begun.fetch_add(1, Relaxed);
        let (at, pages) = self.new_chunk(ordinal).or_else(old_chunk)?;
        let header = ChunkHeader {
            kind: ChunkKind::LiveTable,
            writer: 0,
            ordinal,
            thread: 0,
            tid: 0,
            clock_ms: 0,
            first_id: 0,
            epoch: 0,
            process: file::process(),
        };
        for (index, word) in header.to_words().into_iter().enumerate().rev() {
            // SAFETY: the first page of the chunk is allocated, and nobody else knows of it. The first word, which
            // says that the chunk is begun, is stored last.
            unsafe { ((at + 8 * index) as *mut u64).write_volatile(word) };
        }
        let of_long_ago = self.latest[ordinal as usize % LATEST].swap(at, AcqRel);
        if of_long_ago != 0 {
            file::let_go(of_long_ago, CHUNK);
        }
        Some(Run::new(at, pages))
    }

    /// A new chunk, and how many pages of it there will be; `None` where the file cannot grow.
    fn new_chunk(&self, ordinal: u32) -> Option<(usize, usize)> {
        let count = if sandbox::is_present() { 1 } else { RUN.min(ordinal.max(1) as usize) };
        let begin_run = || file::new_chunks(count).ok().map(|offset| Run::new(offset, count));
        let (offset, number) = self.chunks.take(begin_run)?;
        let size = if ordinal < SMALL { PAGE } else { CHUNK };
        file::open_chunk(offset + number * CHUNK, size).ok().map(|at| (at, PAGES))
    }
}

/// A chunk that had events, and how many pages of it are allocated. `None` when the recording has stopped.
#[cold]
fn old_chunk() -> Option<(usize, usize)> {
    chunks::has_not_grown();
    loop {
        let chunk = chunks::take(false, 2 * PAGE)?;
        if chunk.size >= 2 * PAGE {
            return Some((chunk.at, chunk.size / PAGE - 1));
        }
    }
}

impl Pages for FilePages {
    fn take(&self, said: Tag) -> Option<Page> {
        let file = file::id();
        let page = self.next()?;
        tag(page).store(said.to_word(), Release);
        // Not if a signal handler has forked meanwhile, and this is the child.
        (process::is_recording() && file::id() == file).then_some(page)
    }

    fn give_back(&self, page: Page) {
        tag(page).store(0, Relaxed);
        let _ = self.unused.compare_exchange(0, page.at | page.number, AcqRel, Relaxed);
    }
}
