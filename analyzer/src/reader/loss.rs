//! What could not be read: files that are no recordings, and the parts of recordings that make no sense.
use std::fmt;
use std::io;
use std::path::PathBuf;

use recording::Stop;

use crate::pack::PackError;

/// A file or directory that holds no recording, and why.
#[derive(Debug)]
pub struct ReadError {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: Unreadable,
}

/// Why a path is not a recording that can be read.
#[derive(Debug)]
pub enum Unreadable {
    /// It cannot be opened or read.
    Io(io::Error),
    /// A directory without any process file.
    EmptyDirectory,
    /// Neither a file nor a directory.
    NotAFile,
    /// A copy of this file, which is read.
    CopyOf(PathBuf),
    /// It begins with zeros: its process was killed as it began the file, before its first event.
    NotBegun,
    /// A file that does not begin as a recording does.
    NotARecording,
    /// It ends within its header, after this many bytes.
    Cut(u64),
    /// Written by a newer version of the format.
    NewerVersion(u32),
    /// Recorded on another architecture, whose ELF number this is.
    OtherArchitecture(u32),
    /// A pack that cannot be unpacked, or not all of it.
    Pack(PackError),
}

impl Unreadable {
    /// Whether something was recorded that is not read because of it.
    pub fn may_hold_events(&self) -> bool {
        !matches!(self, Unreadable::CopyOf(_) | Unreadable::NotBegun)
    }

    /// What one can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Unreadable::Io(_) | Unreadable::CopyOf(_) | Unreadable::NotBegun => "",
            Unreadable::EmptyDirectory => {
                "use 'unfreed run -o'; of a service check LD_PRELOAD, UNFREED_DIR, who may write there and the disk's free \
                 space; static, setuid and 32-bit programs cannot be recorded"
            }
            Unreadable::NotAFile | Unreadable::NotARecording => {
                "name a directory that 'unfreed run' wrote, one *.unfreed file in it, or what 'unfreed pack' made of it"
            }
            Unreadable::Cut(_) => "if it is a copy, copy it again",
            Unreadable::NewerVersion(_) => "use the unfreed that recorded it, or a newer one",
            Unreadable::OtherArchitecture(_) => "read it with an unfreed for that architecture",
            Unreadable::Pack(error) => error.advice(),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Io(error) => f.write_str(&crate::error::reason(error)),
            Unreadable::EmptyDirectory => f.write_str("no recording in this directory"),
            Unreadable::NotAFile => f.write_str("neither a file nor a directory"),
            Unreadable::CopyOf(path) => write!(f, "a copy of {}, counted once", path.display()),
            Unreadable::NotBegun => f.write_str("nothing in it: its process was killed as it began the file"),
            Unreadable::NotARecording => f.write_str("not a recording"),
            Unreadable::Cut(0) => f.write_str("the file is empty"),
            Unreadable::Cut(len) => write!(f, "cut within its header, after {len} bytes"),
            Unreadable::NewerVersion(version) => {
                write!(f, "format version {version}, this unfreed reads up to {}", recording::layout::VERSION)
            }
            Unreadable::OtherArchitecture(machine) => write!(f, "recorded on {}", machine_name(*machine)),
            Unreadable::Pack(error) => error.fmt(f),
        }
    }
}

fn machine_name(machine: u32) -> String {
    match machine {
        3 => "x86 (32 bits)".to_string(),
        40 => "ARM (32 bits)".to_string(),
        183 => "aarch64".to_string(),
        243 => "RISC-V".to_string(),
        other => format!("architecture {other} (e_machine)"),
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A file is called what somebody wants: no command for the terminal.
        let path = self.path.display().to_string().replace(char::is_control, " ");
        write!(f, "{path}: {}", self.why)
    }
}

impl std::error::Error for ReadError {}

/// A part of a recording that could not be read. What comes before and after it was used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Loss {
    /// The file is shorter than its header says: this many bytes are missing.
    FileCut(u64),
    /// A chunk stops making sense at this offset of the file.
    Damaged {
        /// Which chunk of the file.
        chunk: u64,
        /// Offset in the file.
        offset: u64,
        /// What is wrong there, in words.
        what: Damage,
    },
    /// A chunk could not be read from the file.
    Unreadable {
        /// Which chunk of the file.
        chunk: u64,
        /// The kind of the error.
        why: io::ErrorKind,
    },
    /// A chunk of a kind that this version does not know.
    UnknownChunk(u64),
    /// A chunk of a process whose header, another chunk, is not there.
    NoProcess {
        /// Which chunk of the file.
        chunk: u64,
        /// Which chunk the header would be.
        process: u32,
    },
    /// A writer's chunk is not there: its writer and ordinal.
    MissingChunk(u32, u32),
}

/// What is wrong in a chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Damage {
    /// The bytes end within a record.
    Cut,
    /// A record of a kind that this version does not know.
    UnknownTag(u8),
    /// A record that contradicts itself.
    Malformed,
}

impl Loss {
    /// What stopped the decoding of chunk `chunk`; `None` for a proper end.
    pub(super) fn of_stop(chunk: u64, stop: Stop) -> Option<Loss> {
        let (at, what) = match stop {
            Stop::End => return None,
            Stop::Cut(at) => (at, Damage::Cut),
            Stop::UnknownTag(at, tag) => (at, Damage::UnknownTag(tag)),
            Stop::Malformed(at) => (at, Damage::Malformed),
        };
        let offset =
            chunk * recording::layout::CHUNK as u64 + recording::layout::CHUNK_HEADER as u64 + at as u64;
        Some(Loss::Damaged { chunk, offset, what })
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::FileCut(bytes) => write!(f, "the file was cut, its last {bytes} bytes are missing"),
            Loss::Damaged { chunk, offset, what: Damage::Cut } => {
                write!(f, "chunk {chunk} ends within a record at offset {offset}")
            }
            Loss::Damaged { chunk, offset, what: Damage::UnknownTag(tag) } => {
                write!(f, "chunk {chunk} is damaged at offset {offset}: unknown record {tag:#04x}")
            }
            Loss::Damaged { chunk, offset, what: Damage::Malformed } => {
                write!(f, "chunk {chunk} is damaged at offset {offset}")
            }
            Loss::Unreadable { chunk, why } => write!(f, "chunk {chunk} cannot be read: {why}"),
            Loss::UnknownChunk(chunk) => write!(f, "chunk {chunk} is of an unknown kind"),
            Loss::NoProcess { chunk, process } => {
                write!(f, "chunk {chunk} is of a process whose header, chunk {process}, is missing")
            }
            Loss::MissingChunk(writer, ordinal) => write!(f, "chunk {ordinal} of writer {writer} is missing"),
        }
    }
}
