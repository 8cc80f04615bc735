//! Records longer than a register: modules, and what is said of Python interpreters and their code.
//!
//! Each begins with eight bytes, which are the ones to store last: tag, three bytes of its own, u32 length of the
//! whole record. None is longer than [`LONGEST`].

use crate::layout::{u32_at, u64_at};
use crate::record::{CODE_LINES, CODE_OBJECT, EVAL_LOOP, INTERPRETER, MODULE, Stop};

/// Bytes of the longest record.
pub const LONGEST: usize = 8 << 10;
const HEADER: usize = 8;

/// A mapped file. After the header (number of segments, length of the build-id, 0): [`Module::FIXED`] less eight
/// bytes of numbers, the segments, the build-id, the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Module<'a> {
    /// Number within the process.
    pub number: u32,
    /// The epoch in which it was first seen.
    pub epoch: u32,
    /// Address in memory minus address in the file (load bias).
    pub bias: u64,
    /// Device and inode of `path` when it was first seen, 0 if unknown.
    pub device: u64,
    /// See `device`.
    pub inode: u64,
    /// Raw segments, see [`Module::segments`].
    pub raw_segments: &'a [u8],
    /// The build-id as read from memory, empty if there is none.
    pub build_id: &'a [u8],
    /// Path as the loader has it.
    pub path: &'a [u8],
}

/// A loaded segment of a module (PT_LOAD), addresses as in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// First address; add the load bias.
    pub address: u64,
    /// Bytes in memory.
    pub size: u64,
    /// Offset in the file.
    pub offset: u64,
    /// `p_flags`: 1 execute, 2 write, 4 read.
    pub flags: u64,
}

/// Code of a Python function, class or module. After the header (0, 0, 0): number, interpreter, first line, size
/// of the line table, u16 lengths of file and name; the file, the name, the first part of the line table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodeObject<'a> {
    /// Number within the process, from 1; never given to another one.
    pub number: u32,
    /// Number of its [`Interpreter`].
    pub interpreter: u32,
    /// `co_firstlineno`.
    pub first_line: i32,
    /// Bytes of the whole line table.
    pub lines_size: u32,
    /// `co_filename` in UTF-8.
    pub file: &'a [u8],
    /// `co_qualname` in UTF-8; `co_name` before Python 3.11.
    pub name: &'a [u8],
    /// The line table's first bytes: `co_lnotab` before Python 3.10, then `co_linetable`.
    pub lines: &'a [u8],
}

/// More of a code object's line table. After the header (0, 0, 0): the code object's number, the offset, the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodeLines<'a> {
    /// The code object's number.
    pub number: u32,
    /// Where in the table the bytes begin.
    pub offset: u32,
    /// The bytes.
    pub lines: &'a [u8],
}

/// A Python interpreter of the process. After the header (flags, 0, 0): number, version, the text of the version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interpreter<'a> {
    /// Number within the process.
    pub number: u32,
    /// `PY_VERSION_HEX`, as 0x030B07F0 of 3.11.7; 0 if unknown.
    pub version: u32,
    /// Its frames are recorded; else it is of a version or build that is not known.
    pub walked: bool,
    /// The objects that it keeps in pools of its own are recorded.
    pub objects: bool,
    /// What `Py_GetVersion` says.
    pub text: &'a [u8],
}

/// Where the code of an interpreter's evaluation loop is; there may be several parts. After the header (0, 0, 0):
/// the interpreter's number, 0, the addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EvalLoop {
    /// The interpreter's number.
    pub interpreter: u32,
    /// First address in memory.
    pub begin: u64,
    /// The address behind the last.
    pub end: u64,
}

impl Segment {
    /// Bytes on disk.
    pub const SIZE: usize = 32;

    /// As on disk.
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        for (place, word) in bytes.chunks_exact_mut(8).zip([self.address, self.size, self.offset, self.flags])
        {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

impl<'a> Module<'a> {
    /// Bytes before the segments.
    pub const FIXED: usize = HEADER + 32;

    /// The loaded segments.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + 'a {
        self.raw_segments.chunks_exact(Segment::SIZE).filter_map(|raw| {
            Some(Segment {
                address: u64_at(raw, 0)?,
                size: u64_at(raw, 8)?,
                offset: u64_at(raw, 16)?,
                flags: u64_at(raw, 24)?,
            })
        })
    }

    /// Writes the record into `out` and returns its length; 0 if it does not fit or the module has more segments
    /// or a longer build-id than a record holds.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let (segments, build_id) = (self.raw_segments.len() / Segment::SIZE, self.build_id.len());
        let (Ok(segments), Ok(build_id)) = (u8::try_from(segments), u8::try_from(build_id)) else { return 0 };
        let numbers = [self.number as u64 | (self.epoch as u64) << 32, self.bias, self.device, self.inode];
        write(MODULE, [segments, build_id], &numbers, &[self.raw_segments, self.build_id, self.path], out)
    }

    fn read(record: &'a [u8]) -> Option<Module<'a>> {
        let segments = usize::from(*record.get(1)?) * Segment::SIZE;
        let build_id = usize::from(*record.get(2)?);
        let (raw_segments, rest) = record.get(Self::FIXED..)?.split_at_checked(segments)?;
        let (build_id, path) = rest.split_at_checked(build_id)?;
        Some(Module {
            number: u32_at(record, 8)?,
            epoch: u32_at(record, 12)?,
            bias: u64_at(record, 16)?,
            device: u64_at(record, 24)?,
            inode: u64_at(record, 32)?,
            raw_segments,
            build_id,
            path,
        })
    }
}

impl<'a> CodeObject<'a> {
    /// Bytes before the file.
    pub const FIXED: usize = HEADER + 24;

    /// Writes the record into `out` and returns its length; 0 if it does not fit.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let (Ok(file), Ok(name)) = (u16::try_from(self.file.len()), u16::try_from(self.name.len())) else {
            return 0;
        };
        let numbers = [
            self.number as u64 | (self.interpreter as u64) << 32,
            self.first_line as u32 as u64 | (self.lines_size as u64) << 32,
            file as u64 | (name as u64) << 16,
        ];
        write(CODE_OBJECT, [0, 0], &numbers, &[self.file, self.name, self.lines], out)
    }

    fn read(record: &'a [u8]) -> Option<CodeObject<'a>> {
        let lengths = u32_at(record, 24)?;
        let (file, rest) = record.get(Self::FIXED..)?.split_at_checked((lengths & 0xffff) as usize)?;
        let (name, lines) = rest.split_at_checked((lengths >> 16) as usize)?;
        Some(CodeObject {
            number: u32_at(record, 8)?,
            interpreter: u32_at(record, 12)?,
            first_line: u32_at(record, 16)? as i32,
            lines_size: u32_at(record, 20)?,
            file,
            name,
            lines,
        })
    }
}

impl<'a> CodeLines<'a> {
    /// Bytes before the line table's.
    pub const FIXED: usize = HEADER + 8;

    /// Writes the record into `out` and returns its length; 0 if it does not fit.
    pub fn write(&self, out: &mut [u8]) -> usize {
        write(CODE_LINES, [0, 0], &[self.number as u64 | (self.offset as u64) << 32], &[self.lines], out)
    }

    fn read(record: &'a [u8]) -> Option<CodeLines<'a>> {
        let lines = record.get(Self::FIXED..)?;
        Some(CodeLines { number: u32_at(record, 8)?, offset: u32_at(record, 12)?, lines })
    }
}

impl<'a> Interpreter<'a> {
    const FIXED: usize = HEADER + 8;

    /// Writes the record into `out` and returns its length; 0 if it does not fit.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let flags = self.walked as u8 | (self.objects as u8) << 1;
        let numbers = [self.number as u64 | (self.version as u64) << 32];
        write(INTERPRETER, [flags, 0], &numbers, &[self.text], out)
    }

    fn read(record: &'a [u8]) -> Option<Interpreter<'a>> {
        let flags = *record.get(1)?;
        Some(Interpreter {
            number: u32_at(record, 8)?,
            version: u32_at(record, 12)?,
            walked: flags & 1 != 0,
            objects: flags & 2 != 0,
            text: record.get(Self::FIXED..)?,
        })
    }
}

impl EvalLoop {
    /// Writes the record into `out` and returns its length; 0 if it does not fit.
    pub fn write(&self, out: &mut [u8]) -> usize {
        write(EVAL_LOOP, [0, 0], &[self.interpreter as u64, self.begin, self.end], &[], out)
    }

    fn read(record: &[u8]) -> Option<EvalLoop> {
        Some(EvalLoop {
            interpreter: u32_at(record, 8)?,
            begin: u64_at(record, 16)?,
            end: u64_at(record, 24)?,
        })
    }
}

fn write(tag: u8, own: [u8; 2], numbers: &[u64], parts: &[&[u8]], out: &mut [u8]) -> usize {
    let len = HEADER + 8 * numbers.len() + parts.iter().map(|part| part.len()).sum::<usize>();
    if len > LONGEST || out.len() < len {
        return 0;
    }
    out[..4].copy_from_slice(&[tag, own[0], own[1], 0]);
    out[4..8].copy_from_slice(&(len as u32).to_le_bytes());
    let mut at = HEADER;
    for number in numbers {
        out[at..at + 8].copy_from_slice(&number.to_le_bytes());
        at += 8;
    }
    for part in parts {
        out[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    len
}

/// Any long record.
pub(crate) enum Long<'a> {
    Module(Module<'a>),
    CodeObject(CodeObject<'a>),
    CodeLines(CodeLines<'a>),
    Interpreter(Interpreter<'a>),
    EvalLoop(EvalLoop),
}

/// The record with this tag at `start`, and where it ends; `None` where the bytes end first.
#[allow(clippy::type_complexity, reason = "cut, malformed or there: each caller needs all three")]
pub(crate) fn read(tag: u8, bytes: &[u8], start: usize) -> Option<Result<(Long<'_>, usize), Stop>> {
    let len = u32_at(bytes, start + 4)? as usize;
    if !(HEADER..=LONGEST).contains(&len) {
        return Some(Err(Stop::Malformed(start)));
    }
    let record = bytes.get(start..start + len)?;
    let long = match tag {
        MODULE => Module::read(record).map(Long::Module),
        CODE_OBJECT => CodeObject::read(record).map(Long::CodeObject),
        CODE_LINES => CodeLines::read(record).map(Long::CodeLines),
        INTERPRETER => Interpreter::read(record).map(Long::Interpreter),
        EVAL_LOOP => EvalLoop::read(record).map(Long::EvalLoop),
        _ => return Some(Err(Stop::UnknownTag(start, tag))),
    };
    Some(long.map(|long| (long, start + len)).ok_or(Stop::Malformed(start)))
}
