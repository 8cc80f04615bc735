//! The file: chunks where they belong, and the header in front.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use recording::layout::{
    self, CHUNK, CHUNK_HEADER, ChunkHeader, ChunkKind, FileHeader, LOST_KINDS, State, flag,
};

/// When the process began, and its first event, monotonic ms.
pub const BEGUN_MS: u64 = 1_000;
/// The epoch of the run in which all of it happens.
pub const EPOCH: u32 = 1;
const REALTIME_NS: u64 = 1_790_000_000_000_000_000;
const PID: u32 = 4242;

/// A chunk that is being filled.
pub struct Page {
    /// Its bytes.
    pub bytes: Box<[u8]>,
    number: u64,
}

/// A recording's file.
pub struct File {
    file: fs::File,
    chunks: u64,
}

impl File {
    /// A new one.
    pub fn create(path: &Path) -> io::Result<File> {
        Ok(File { file: fs::File::create_new(path)?, chunks: 1 })
    }

    /// The next chunk.
    pub fn page(&mut self) -> Page {
        self.chunks += 1;
        Page { bytes: vec![0; CHUNK].into_boxed_slice(), number: self.chunks - 1 }
    }

    /// A filled chunk's place is taken by the next one.
    pub fn turn(&mut self, page: &mut Page) -> io::Result<()> {
        self.write(page)?;
        page.bytes.fill(0);
        page.number = self.chunks;
        self.chunks += 1;
        Ok(())
    }

    /// Writes a chunk to where it belongs.
    pub fn write(&self, page: &Page) -> io::Result<()> {
        self.file.write_all_at(&page.bytes, page.number * CHUNK as u64)
    }

    /// The header, which says that the process exited at `end_ms`; the size of the file.
    pub fn end(self, id_blocks: u32, end_ms: u64) -> io::Result<u64> {
        let header = FileHeader {
            version: layout::VERSION,
            machine: 62,
            file_id: 1,
            parent_file_id: 0,
            pid: PID,
            parent_pid: 1,
            pid_namespace: 1,
            start_ticks: 77,
            realtime_ns: REALTIME_NS,
            monotonic_ns: BEGUN_MS * 1_000_000,
            user: 1000,
            next_chunk: self.chunks,
            state: Some(State::Ended),
            stop_cause: None,
            stop_errno: 0,
            end_monotonic_ns: end_ms * 1_000_000,
            lost: [0; LOST_KINDS],
            finalizing_monotonic_ns: 0,
            processes: 0,
            reused: 0,
            held_monotonic_ns: 0,
            unknown_frees: 0,
            flags: flag::TABLE,
            compressed: 0,
        };
        let mut bytes = vec![0; CHUNK];
        let fixed = header.to_bytes();
        bytes[..fixed.len()].copy_from_slice(&fixed);
        for (at, value) in [
            (layout::NEXT_CHUNK, header.next_chunk),
            (layout::STATE, State::Ended as u64),
            (layout::END_MONOTONIC, header.end_monotonic_ns),
            (layout::NEXT_ID_BLOCK, u64::from(id_blocks)),
            (layout::FLAGS, header.flags),
        ] {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let mut at = layout::STRINGS;
        for (tag, text) in [(layout::STRING_EXE, "/opt/generated"), (layout::STRING_COMMAND, "generated\0")] {
            bytes[at] = tag;
            bytes[at + 2..at + 4].copy_from_slice(&(text.len() as u16).to_le_bytes());
            bytes[at + 4..at + 4 + text.len()].copy_from_slice(text.as_bytes());
            at += 4 + text.len();
        }
        self.file.write_all_at(&bytes, 0)?;
        Ok(self.chunks * CHUNK as u64)
    }
}

impl Page {
    /// Begins it with its header.
    pub fn begin(&mut self, kind: ChunkKind, writer: u32, ordinal: u32, first_id: u32, clock_ms: u64) {
        let (thread, tid) = (writer, PID + writer);
        let header =
            ChunkHeader { kind, writer, ordinal, thread, tid, clock_ms, first_id, epoch: EPOCH, process: 0 };
        for (word, place) in header.to_words().iter().zip(self.bytes[..CHUNK_HEADER].as_chunks_mut().0) {
            *place = word.to_le_bytes();
        }
    }
}
