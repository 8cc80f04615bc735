//! One process in its file: its header, its strings, and where its chunks are. A file may hold further processes, which
//! were forked and could not begin one.
//!
//! Files are sparse and longer than what is used of them; only the chunks handed out when the file was opened are
//! looked at. They are read with `pread`, a chunk at a time: the file may be gigabytes, may still be written, and may
//! be cut by someone while it is read, none of which may end this process. No descriptor is kept, since a run of a
//! build has thousands of files.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use recording::LostKind;
use recording::layout::{self, CHUNK, ChunkKind, FileHeader, HeaderError, SHARDS, flag};

use super::chunks::{ChunkPlace, ChunkReader};
use super::cut::Cut;
use super::liveness::{ProcessState, monotonic_ns};
use super::loss::{Loss, ReadError, Unreadable};
use super::places::with_file;
use super::processes;
use super::run::RunWords;

/// `e_machine` of the recordings that are read.
pub(super) const MACHINE: u32 = 62; // EM_X86_64, the one architecture that is recorded so far

/// What is read of a header.
pub(super) const HEAD: u64 = (layout::HELD_STAMPS + 8 * SHARDS) as u64;

/// What is recorded of one process.
pub struct Recording {
    /// Its file.
    pub path: PathBuf,
    /// The chunk of the file that is its header: 0, but for a process in the file of another one.
    pub process: u32,
    /// The id that the file's name may be made of.
    pub(super) file_id: u64,
    /// Its header when it was opened.
    pub header: FileHeader,
    /// Executable.
    pub exe: Option<PathBuf>,
    /// Command line.
    pub command: Vec<OsString>,
    /// What the recorder itself has to say.
    pub notes: Vec<String>,
    /// Chunks of definitions, by writer, in order.
    pub definitions: Vec<ChunkPlace>,
    /// Chunks of events of each writer, in order.
    pub writers: BTreeMap<u32, Vec<ChunkPlace>>,
    /// Chunks of the live table.
    pub table: Vec<ChunkPlace>,
    /// Chunks of counts, by writer, in order.
    pub counts: Vec<ChunkPlace>,
    /// What of the file cannot be read, as far as the chunks' headers tell.
    pub losses: Vec<Loss>,
    /// Bytes that the file takes on disk, 0 of a further process.
    pub disk_bytes: u64,
    /// What the file's first header says of that, see [`FileHeader::compressed`].
    pub(super) compressed: u64,
    /// Bytes of the file that are its chunks.
    used: u64,
    /// What became of the process.
    pub state: ProcessState,
    /// When it was opened, monotonic ms.
    pub opened_ms: u64,
    /// The moment in which Python began to finalize, if it did.
    pub finalizing: Option<Box<Cut>>,
    /// The moment from which on all events are there, if chunks were used again.
    pub held: Option<Box<Cut>>,
    /// What it shares with the other processes of its run.
    pub words: Arc<RunWords>,
    /// The parent's stamp counters at the fork; 0 if there was no recorded parent.
    pub inherited_stamps: Vec<u64>,
    /// Of a copy that was made while the process ran, what was noted then.
    pub snapshot: Option<Arc<Snapshot>>,
}

/// What is noted of a process that runs while its file is copied.
#[derive(Default, Debug)]
pub struct Snapshot {
    /// Monotonic clock when that began, ms.
    pub began_ms: u64,
    /// Monotonic clock when it was done, ns.
    pub done_ns: u64,
    /// How far the events of each writer were in the live table before that was copied, noted twice: the writer, a chunk's ordinal, and
    /// an offset in the chunk.
    pub positions: [Vec<(u32, u32, usize)>; 2],
}

impl Recording {
    /// Opens a file for the process that began it.
    pub fn open(path: &Path) -> Result<Recording, ReadError> {
        Self::open_all(path).map(|mut processes| processes.swap_remove(0))
    }

    /// Opens a file for all its processes, of which there is one at least: the one that began it is the first.
    pub fn open_all(path: &Path) -> Result<Vec<Recording>, ReadError> {
        Self::open_file(path).map_err(|why| ReadError { path: path.to_path_buf(), why })
    }

    /// The same process as its file is now.
    pub fn again(&self) -> Option<Recording> {
        let processes = Self::open_all(&self.path).ok()?;
        let again = processes.into_iter().find(|process| process.header.file_id == self.header.file_id)?;
        Some(Recording { words: Arc::clone(&self.words), state: self.state.clone(), ..again })
    }

    fn open_file(path: &Path) -> Result<Vec<Recording>, Unreadable> {
        // Asked before it is opened: the opening of a named pipe waits for a writer.
        let metadata = with_file(path, |path| fs::metadata(path)).map_err(Unreadable::Io)?;
        if !metadata.is_file() {
            return Err(Unreadable::NotAFile);
        }
        let file = with_file(path, |path| File::open(path)).map_err(Unreadable::Io)?;
        let metadata = file.metadata().map_err(Unreadable::Io)?;
        let len = metadata.len();
        let mut head = vec![0; len.min(HEAD) as usize];
        file.read_exact_at(&mut head, 0).map_err(Unreadable::Io)?;
        let header = FileHeader::decode(&head).map_err(|error| match error {
            HeaderError::NotARecording if layout::MAGIC.starts_with(&head) => Unreadable::Cut(len),
            HeaderError::NotARecording if head.iter().take(8).all(|&byte| byte == 0) => Unreadable::NotBegun,
            HeaderError::NotARecording => Unreadable::NotARecording,
            HeaderError::Cut => Unreadable::Cut(len),
            HeaderError::NewerVersion(version) => Unreadable::NewerVersion(version),
        })?;
        if header.machine != MACHINE {
            return Err(Unreadable::OtherArchitecture(header.machine));
        }
        let said = header.used_bytes();
        let mut recording = Recording::new(path, header, &head);
        recording.disk_bytes = metadata.blocks() * 512;
        if said > len {
            recording.losses.push(Loss::FileCut(said - len));
        }
        processes::read(recording, &file, said.min(len)).map_err(Unreadable::Io)
    }

    /// A process with this header, which is in `head`, that is in chunk 0 of this file.
    pub(super) fn new(path: &Path, header: FileHeader, head: &[u8]) -> Recording {
        let stamps = (0..SHARDS).map(|shard| layout::inherited_stamp(head, shard).unwrap_or(0));
        let mut recording = Recording {
            path: path.to_path_buf(),
            process: 0,
            file_id: header.file_id,
            exe: None,
            command: Vec::new(),
            notes: Vec::new(),
            definitions: Vec::new(),
            writers: BTreeMap::new(),
            table: Vec::new(),
            counts: Vec::new(),
            losses: Vec::new(),
            disk_bytes: 0,
            compressed: header.compressed,
            used: CHUNK as u64,
            state: ProcessState::Killed,
            opened_ms: monotonic_ns() / 1_000_000,
            finalizing: Cut::finalizing(&header, head).map(Box::new),
            held: Cut::held(&header, head).map(Box::new),
            words: Arc::default(),
            inherited_stamps: stamps.collect(),
            snapshot: None,
            header,
        };
        recording.read_strings(head);
        recording.note_children();
        recording
    }

    fn read_strings(&mut self, head: &[u8]) {
        for (tag, text) in FileHeader::strings(head) {
            let text = text.to_vec();
            match tag {
                layout::STRING_EXE => self.exe = Some(OsString::from_vec(text).into()),
                layout::STRING_COMMAND => {
                    let text = text.strip_suffix(&[0]).unwrap_or(&text);
                    self.command =
                        text.split(|&byte| byte == 0).map(|a| OsString::from_vec(a.to_vec())).collect();
                }
                layout::STRING_NOTE => self.notes.push(String::from_utf8_lossy(&text).into_owned()),
                _ => {}
            }
        }
    }

    fn note_children(&mut self) {
        match self.header.lost[LostKind::Children as usize] {
            0 => {}
            1 => self.notes.push("a forked child could not be recorded".to_string()),
            count => self.notes.push(format!("{count} forked children could not be recorded")),
        }
    }

    /// A chunk of the file is its.
    pub(super) fn add_chunk(&mut self, place: ChunkPlace) {
        self.used += CHUNK as u64;
        match place.header.kind {
            ChunkKind::Definitions => self.definitions.push(place),
            ChunkKind::Events => self.writers.entry(place.header.writer).or_default().push(place),
            ChunkKind::LiveTable => self.table.push(place),
            ChunkKind::Counts => self.counts.push(place),
        }
    }

    /// Its chunks of all kinds.
    pub(super) fn all_chunks(&self) -> impl Iterator<Item = &ChunkPlace> {
        let events = self.writers.values().flatten();
        self.definitions.iter().chain(&self.table).chain(&self.counts).chain(events)
    }

    /// All chunks were added.
    pub(super) fn sort_chunks(&mut self) {
        self.definitions.sort_by_key(|place| (place.header.writer, place.header.ordinal, place.number));
        self.counts.sort_by_key(|place| (place.header.writer, place.header.ordinal, place.number));
        for (&writer, chunks) in &mut self.writers {
            chunks.sort_by_key(|place| (place.header.ordinal, place.number));
            let mut expected = 0;
            for place in chunks.iter() {
                // Where chunks are used again any may be missing.
                if place.header.ordinal > expected && self.header.reused == 0 {
                    self.losses.push(Loss::MissingChunk(writer, expected));
                }
                expected = place.header.ordinal.saturating_add(1);
            }
        }
    }

    /// Events that the process counted as lost.
    pub fn lost(&self) -> u64 {
        let kinds = [LostKind::Nested, LostKind::NoWriter, LostKind::AfterStop];
        kinds.iter().fold(0, |sum, &kind| sum.saturating_add(self.header.lost[kind as usize]))
    }

    /// Bytes that there are to read. More than the log, since chunks are seldom full in a short run.
    pub fn log_bytes(&self) -> u64 {
        self.used
    }

    /// Bytes of its chunks of events.
    pub fn event_bytes(&self) -> u64 {
        self.writers.values().map(|chunks| (chunks.len() * CHUNK) as u64).sum()
    }

    /// Monotonic clock of its machine when it was read, ns: now, unless it comes out of a pack.
    pub fn read_ns(&self) -> u64 {
        self.snapshot.as_ref().map_or_else(monotonic_ns, |snapshot| snapshot.done_ns)
    }

    /// Whether the process still writes.
    pub fn is_running(&self) -> bool {
        self.state == ProcessState::Running
    }

    /// Opens the file again to read chunks of it.
    pub fn chunks(&self) -> ChunkReader {
        ChunkReader::open(&self.path, self.compressed)
    }

    /// Whether a bit of [`flag`] is set.
    pub fn has(&self, flag: u64) -> bool {
        self.header.flags & flag != 0
    }

    /// Whether it has its unfreed blocks in a live table.
    pub fn has_table(&self) -> bool {
        self.has(flag::TABLE)
    }

    /// Whether it has all its events.
    pub fn has_all_events(&self) -> bool {
        !self.has(flag::NO_EVENTS) && self.header.reused == 0
    }

    /// Whether it began as a fork of a recorded process, so that it holds blocks which its own file does not list.
    pub fn is_forked(&self) -> bool {
        self.header.parent_file_id != 0
    }

    /// Name of the executable without its directory, or of the command, or `?`.
    pub fn program(&self) -> String {
        let exe = self.exe.as_deref().and_then(Path::file_name);
        let command = self.command.first().and_then(|first| Path::new(first).file_name());
        exe.or(command).map_or_else(|| "?".to_string(), |name| name.to_string_lossy().into_owned())
    }
}

/// Reads until `buffer` is full or the file ends; returns how much.
pub(crate) fn read_fully(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
