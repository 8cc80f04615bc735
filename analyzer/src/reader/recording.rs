//! One process's file: its header, its strings, and where its chunks are.
//!
//! Files are sparse and longer than what is used of them; only the chunks handed out when the file was opened are
//! looked at. They are read with `pread`, a chunk at a time: the file may be gigabytes, may still be written, and may
//! be cut by someone while it is read, none of which may end this process. No descriptor is kept, since a run of a
//! build has thousands of files.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use recording::LostKind;
use recording::layout::{
    self, CHUNK, CHUNK_HEADER, CHUNK_MAGIC, ChunkHeader, ChunkKind, FileHeader, HeaderError, SHARDS,
};

use super::cut::Cut;
use super::liveness::{ProcessState, monotonic_ns};
use super::loss::{Loss, ReadError, Unreadable};

/// `e_machine` of the recordings that are read.
const MACHINE: u32 = 62; // EM_X86_64, the one architecture that is recorded so far

/// What is read of chunk 0.
const HEAD: u64 = (layout::FINALIZING_STAMPS + 8 * SHARDS) as u64;

/// Where a chunk is, and its header.
#[derive(Clone, Copy, Debug)]
pub struct ChunkPlace {
    /// Its number in the file.
    pub number: u64,
    /// Its header.
    pub header: ChunkHeader,
}

/// The file of one process.
pub struct Recording {
    /// Where it is.
    pub path: PathBuf,
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
    /// What of the file cannot be read, as far as the chunks' headers tell.
    pub losses: Vec<Loss>,
    /// Bytes that the file takes on disk.
    pub disk_bytes: u64,
    /// Bytes of the file that were handed out and are there.
    used: u64,
    /// What became of the process.
    pub state: ProcessState,
    /// When it was opened, monotonic ms.
    pub opened_ms: u64,
    /// The moment in which Python began to finalize, if it did.
    pub finalizing: Option<Box<Cut>>,
    /// The parent's stamp counters at the fork; 0 if there was no recorded parent.
    pub inherited_stamps: Vec<u64>,
}

/// Reads chunks of one file.
pub struct ChunkReader {
    file: io::Result<File>,
}

impl Recording {
    /// Opens the file of one process.
    pub fn open(path: &Path) -> Result<Recording, ReadError> {
        Self::open_file(path).map_err(|why| ReadError { path: path.to_path_buf(), why })
    }

    fn open_file(path: &Path) -> Result<Recording, Unreadable> {
        // Asked before it is opened: the opening of a named pipe waits for a writer.
        let metadata = std::fs::metadata(path).map_err(Unreadable::Io)?;
        if !metadata.is_file() {
            return Err(Unreadable::NotAFile);
        }
        let file = File::open(path).map_err(Unreadable::Io)?;
        let metadata = file.metadata().map_err(Unreadable::Io)?;
        let len = metadata.len();
        let mut head = vec![0; len.min(HEAD) as usize];
        file.read_exact_at(&mut head, 0).map_err(Unreadable::Io)?;
        let header = FileHeader::decode(&head).map_err(|error| match error {
            HeaderError::NotARecording if layout::MAGIC.starts_with(&head) => Unreadable::Cut(len),
            HeaderError::NotARecording if head.iter().all(|&byte| byte == 0) => Unreadable::NotBegun,
            HeaderError::NotARecording => Unreadable::NotARecording,
            HeaderError::Cut => Unreadable::Cut(len),
            HeaderError::NewerVersion(version) => Unreadable::NewerVersion(version),
        })?;
        if header.machine != MACHINE {
            return Err(Unreadable::OtherArchitecture(header.machine));
        }
        let said = header.next_chunk.saturating_mul(CHUNK as u64);
        let stamps = (0..SHARDS).map(|shard| layout::inherited_stamp(&head, shard).unwrap_or(0));
        let mut recording = Recording {
            path: path.to_path_buf(),
            exe: None,
            command: Vec::new(),
            notes: Vec::new(),
            definitions: Vec::new(),
            writers: BTreeMap::new(),
            losses: Vec::new(),
            disk_bytes: metadata.blocks() * 512,
            used: said.min(len),
            state: ProcessState::Killed,
            opened_ms: monotonic_ns() / 1_000_000,
            finalizing: Cut::finalizing(&header, &head).map(Box::new),
            inherited_stamps: stamps.collect(),
            header,
        };
        if said > len {
            recording.losses.push(Loss::FileCut(said - len));
        }
        recording.read_strings(&head);
        recording.note_children();
        recording.find_chunks(&file).map_err(Unreadable::Io)?;
        Ok(recording)
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

    fn find_chunks(&mut self, file: &File) -> io::Result<()> {
        let mut chunk = [0; CHUNK_HEADER];
        let mut next = 1;
        while next < self.used.div_ceil(CHUNK as u64) {
            let number = next;
            next += 1;
            if read_fully(file, &mut chunk, number * CHUNK as u64)? < CHUNK_HEADER {
                break;
            }
            let magic = chunk.first_chunk::<4>().map(|magic| u32::from_le_bytes(*magic));
            match ChunkHeader::decode(&chunk) {
                Some(header) => match header.kind {
                    ChunkKind::Definitions => self.definitions.push(ChunkPlace { number, header }),
                    ChunkKind::Events => {
                        self.writers.entry(header.writer).or_default().push(ChunkPlace { number, header });
                    }
                    _ => self.losses.push(Loss::UnknownChunk(number)),
                },
                None if magic == Some(CHUNK_MAGIC) => self.losses.push(Loss::UnknownChunk(number)),
                // Handed out, but its writer never began it; or more than that in a file whose header is damaged.
                None => next = next.max(data_after(file, number * CHUNK as u64) / CHUNK as u64),
            }
        }
        self.definitions.sort_by_key(|place| (place.header.writer, place.header.ordinal, place.number));
        for (&writer, chunks) in &mut self.writers {
            chunks.sort_by_key(|place| (place.header.ordinal, place.number));
            let mut expected = 0;
            for place in chunks.iter() {
                if place.header.ordinal > expected {
                    self.losses.push(Loss::MissingChunk(writer, expected));
                }
                expected = place.header.ordinal.saturating_add(1);
            }
        }
        Ok(())
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

    /// Whether the process still writes.
    pub fn is_running(&self) -> bool {
        self.state == ProcessState::Running
    }

    /// Opens the file again to read chunks of it.
    pub fn chunks(&self) -> ChunkReader {
        ChunkReader { file: File::open(&self.path) }
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

impl ChunkReader {
    /// Reads the records of a chunk into `records`, as far as the file goes.
    pub fn read(&self, place: &ChunkPlace, records: &mut Vec<u8>) -> Result<(), Loss> {
        records.resize(CHUNK - CHUNK_HEADER, 0);
        let start = place.number * CHUNK as u64 + CHUNK_HEADER as u64;
        let read = self.file.as_ref().map_err(io::Error::kind);
        match read.and_then(|file| read_fully(file, records, start).map_err(|error| error.kind())) {
            Ok(len) => {
                records.truncate(len);
                Ok(())
            }
            Err(kind) => {
                records.clear();
                Err(Loss::Unreadable { chunk: place.number, why: kind })
            }
        }
    }

    /// The same for a chunk that its process may be writing: what two readings agree on. A record's first bytes may lie
    /// in two cache lines, of which another processor can see one some nanoseconds before the other.
    pub fn read_settled(&self, place: &ChunkPlace, records: &mut Vec<u8>) -> Result<(), Loss> {
        let mut later = Vec::new();
        self.read(place, records)?;
        self.read(place, &mut later)?;
        let agreed = records.iter().zip(&later).take_while(|(a, b)| a == b).count();
        records.truncate(agreed);
        Ok(())
    }
}

/// Reads until `buffer` is full or the file ends; returns how much.
/// Where data is in the file, from `offset` on: holes need not be read.
fn data_after(file: &File, offset: u64) -> u64 {
    let Ok(start) = i64::try_from(offset) else { return offset };
    // SAFETY: moves the place of a descriptor of our own, which is never read from there.
    let found = unsafe { libc::lseek(file.as_raw_fd(), start, libc::SEEK_DATA) };
    if found < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENXIO) {
        return u64::MAX;
    }
    u64::try_from(found).unwrap_or(offset)
}

fn read_fully(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
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

/// The process files of a directory.
pub(super) fn process_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "unfreed") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
