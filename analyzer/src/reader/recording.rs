//! One process's file: its header, its strings, and where its chunks are.
//!
//! Files are sparse and longer than what is used of them; only the chunks handed out when the file was opened are
//! mapped and looked at.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use recording::layout::{
    self, CHUNK, CHUNK_HEADER, CHUNK_MAGIC, ChunkHeader, ChunkKind, FileHeader, HeaderError,
};

use super::loss::{Loss, ReadError, Unreadable};
use super::mapping::Mapping;

/// `e_machine` of the recordings that are read.
const MACHINE: u32 = 62; // EM_X86_64, the one architecture that is recorded so far

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
    mapping: Mapping,
}

impl Recording {
    /// Opens the file of one process.
    pub fn open(path: &Path) -> Result<Recording, ReadError> {
        Self::open_file(path).map_err(|why| ReadError { path: path.to_path_buf(), why })
    }

    fn open_file(path: &Path) -> Result<Recording, Unreadable> {
        let file = File::open(path).map_err(Unreadable::Io)?;
        let metadata = file.metadata().map_err(Unreadable::Io)?;
        if !metadata.is_file() {
            return Err(Unreadable::NotAFile);
        }
        let len = metadata.len();
        let head = Mapping::new(&file, len.min(CHUNK as u64) as usize).map_err(Unreadable::Io)?;
        let header = FileHeader::decode(head.bytes()).map_err(|error| match error {
            HeaderError::NotARecording if layout::MAGIC.starts_with(head.bytes()) => Unreadable::Cut(len),
            HeaderError::NotARecording => Unreadable::NotARecording,
            HeaderError::Cut => Unreadable::Cut(len),
            HeaderError::NewerVersion(version) => Unreadable::NewerVersion(version),
        })?;
        if header.machine != MACHINE {
            return Err(Unreadable::OtherArchitecture(header.machine));
        }
        let said = header.next_chunk.saturating_mul(CHUNK as u64);
        let used = said.min(len);
        let mapping =
            Mapping::new(&file, used.max(len.min(CHUNK as u64)) as usize).map_err(Unreadable::Io)?;
        let mut recording = Recording {
            path: path.to_path_buf(),
            exe: None,
            command: Vec::new(),
            notes: Vec::new(),
            definitions: Vec::new(),
            writers: BTreeMap::new(),
            losses: Vec::new(),
            disk_bytes: metadata.blocks() * 512,
            header,
            mapping,
        };
        if said > len {
            recording.losses.push(Loss::FileCut(said - len));
        }
        recording.read_strings();
        recording.find_chunks();
        Ok(recording)
    }

    fn read_strings(&mut self) {
        for (tag, text) in FileHeader::strings(self.mapping.bytes()) {
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

    fn find_chunks(&mut self) {
        let bytes = self.mapping.bytes();
        for (number, chunk) in bytes.chunks(CHUNK).enumerate().skip(1) {
            let number = number as u64;
            let magic = chunk.first_chunk::<4>().map(|magic| u32::from_le_bytes(*magic));
            match ChunkHeader::decode(chunk) {
                Some(header) => match header.kind {
                    ChunkKind::Definitions => self.definitions.push(ChunkPlace { number, header }),
                    ChunkKind::Events => {
                        self.writers.entry(header.writer).or_default().push(ChunkPlace { number, header });
                    }
                    _ => self.losses.push(Loss::UnknownChunk(number)),
                },
                None if magic == Some(CHUNK_MAGIC) => self.losses.push(Loss::UnknownChunk(number)),
                None => {} // handed out, but its writer never began it
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
    }

    /// The records of a chunk, as far as the file goes.
    pub fn records(&self, place: &ChunkPlace) -> &[u8] {
        let start = place.number as usize * CHUNK;
        let bytes = self.mapping.bytes();
        bytes.get(start + CHUNK_HEADER..bytes.len().min(start + CHUNK)).unwrap_or(&[])
    }

    /// The parent's stamp counter of a shard at the fork; 0 if there was no recorded parent.
    pub fn inherited_stamp(&self, shard: usize) -> u64 {
        layout::inherited_stamp(self.mapping.bytes(), shard).unwrap_or(0)
    }

    /// Whether it began as a fork of a recorded process, so that it holds blocks which its own file does not list.
    pub fn is_forked(&self) -> bool {
        self.header.parent_file_id != 0
    }

    /// Bytes of the file that hold something.
    pub fn log_bytes(&self) -> u64 {
        self.mapping.bytes().len() as u64
    }

    /// Name of the executable without its directory, or of the command, or `?`.
    pub fn program(&self) -> String {
        let exe = self.exe.as_deref().and_then(Path::file_name);
        let command = self.command.first().and_then(|first| Path::new(first).file_name());
        exe.or(command).map_or_else(|| "?".to_string(), |name| name.to_string_lossy().into_owned())
    }
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
