//! File and chunk headers: fixed places and sizes. All integers are little-endian.
//!
//! The file header is chunk 0. Its first part never changes after the file is begun; the words from
//! [`NEXT_CHUNK`] to [`INHERITED_STAMPS`] are written while the process runs, each by one 8-byte store.
//! A forked process that could not begin a file of its own has such a header in another chunk of its parent's file.

/// Where, below a recording's directory, the files of running processes lie. A process that exits moves its file out of
/// it; one that is killed leaves it there.
pub const LIVE_DIRECTORY: &str = "live";

/// A file in it of this name holds the seccomp filters that processes of the recording installed, for the programs that
/// they may execute. It is no recording, and nothing is lost with it.
pub const FILTERS: &str = "filters";

/// The permissions of a directory whose files have those of `mode`: who may read files may list and enter it, who may write
/// them may add to it and remove what is its own.
pub const fn directory_mode(mode: u32) -> u32 {
    let shared = mode & 0o066;
    let entered = (shared & 0o044) >> 2 | (shared & 0o022) >> 1;
    let sticky = if shared & 0o022 != 0 { 0o1000 } else { 0 };
    0o700 | shared | entered | sticky
}

/// Size of every chunk, the header's included.
pub const CHUNK: usize = 64 << 10;
/// Size of a chunk's own header.
pub const CHUNK_HEADER: usize = 64;
/// Sequence counters in a process. Chosen by measurement: `shard_of` spreads arenas over them.
pub const SHARDS: usize = 256;
/// Stack ids that one definitions chunk may give: no node is shorter than 4 bytes on average, and a power of two
/// lets a reader find the chunk of an id by a shift.
pub const IDS_PER_CHUNK: u32 = 1 << 15;
/// No record together with the clock and stamp gap before it is longer; a writer turns its chunk when less is left.
pub const ROOM: usize = 64;

/// First bytes of a file. Not text, and broken by a transfer that changes line ends.
pub const MAGIC: [u8; 8] = *b"\x89UNF\r\n\x1a\n";
/// The version this crate writes, and the newest that it reads.
pub const VERSION: u32 = 6;

/// The first version with [`COMPRESSED`].
const COMPRESSES: u32 = 6;

/// `u32` version.
pub const AT_VERSION: usize = 8;
/// `u32` `e_machine` of the recorded process.
pub const AT_MACHINE: usize = 12;
/// `u64` random id of this file, or of the process whose header is not chunk 0; never 0.
pub const AT_FILE_ID: usize = 16;
/// `u64` [`AT_FILE_ID`] of the process that forked this one, 0 if that one was not recorded or this is an exec'd image.
pub const AT_PARENT_FILE_ID: usize = 24;
/// `u32` process id, in the process's own pid namespace.
pub const AT_PID: usize = 32;
/// `u32` process id of the parent.
pub const AT_PARENT_PID: usize = 36;
/// `u64` inode of the pid namespace, 0 if unknown.
pub const AT_PID_NAMESPACE: usize = 40;
/// `u64` start of the process, clock ticks since boot (field 22 of `/proc/PID/stat`), 0 if unknown.
pub const AT_START_TICKS: usize = 48;
/// `u64` wall clock at the start of the recording, ns since 1970.
pub const AT_REALTIME: usize = 56;
/// `u64` monotonic clock at the same moment, ns.
pub const AT_MONOTONIC: usize = 64;
/// `u32` user id.
pub const AT_USER: usize = 72;
/// `u32` number of images this process had before this one (exec without fork), as far as known.
pub const AT_RESERVED: usize = 76;

/// `u64` chunks handed out, the header's included. What lies beyond was never used. In chunk 0 only, for all processes
/// of the file.
pub const NEXT_CHUNK: usize = 128;
/// `u64` [`State`] of the recording.
pub const STATE: usize = 136;
/// `u64` [`StopCause`] of a recording that stopped early.
pub const STOP_CAUSE: usize = 144;
/// `u64` errno with which it stopped, 0 if none.
pub const STOP_ERRNO: usize = 152;
/// `u64` monotonic clock when it stopped or ended, ns.
pub const END_MONOTONIC: usize = 160;
/// 16 `u64` counters, see [`crate::LostKind`].
pub const LOST: usize = 168;
/// Number of counters at [`LOST`].
pub const LOST_KINDS: usize = 16;
/// `u64` blocks of stack ids handed out, one a definitions chunk.
pub const NEXT_ID_BLOCK: usize = 296;
/// `u64` monotonic clock when Python began to finalize, ns; 0 if it did not, or was initialised again. Stored after
/// [`FINALIZING_STAMPS`].
pub const FINALIZING_MONOTONIC: usize = 304;
/// `u64` headers of further processes that were begun in the file, with [`CLOSED`]. In chunk 0 only, as is the next one.
pub const PROCESSES: usize = 312;
/// Bit of [`PROCESSES`] that is set when the one process of a file has exited: no other begins in it.
pub const CLOSED: u64 = 1 << 63;
/// `u64` size of the file, bytes, for those who write it: chunks behind it are not there. With [`CUTTING`].
pub const SIZE: usize = 320;
/// Bit of [`SIZE`] that is set while somebody makes the file shorter.
pub const CUTTING: u64 = 1 << 63;
/// `u64` chunks of events that were used again: of the stamps below [`HELD_STAMPS`] not all are there any more.
pub const REUSED: usize = 328;
/// `u64` monotonic clock from which on all events are there, ns; 0: from the beginning.
pub const HELD_MONOTONIC: usize = 336;
/// `u64` frees of blocks that are not in the live table, which are in no chunk: of blocks that were allocated while the process was
/// switched off.
pub const UNKNOWN_FREES: usize = 344;
/// `u64` see [`flag`].
pub const FLAGS: usize = 352;
/// `u64` bytes of the file if its chunks are compressed, see [`crate::compressed`]; 0: they are not. In chunk 0 only.
pub const COMPRESSED: usize = 360;
/// 256 `u64`: the sequence counters from which on all events are there, if [`REUSED`] is not 0.
pub const HELD_STAMPS: usize = FINALIZING_STAMPS + 8 * SHARDS;
/// 256 `u64`: the parent's sequence counters at the moment of the fork, all 0 where there is no parent file.
/// The parent's events below these stamps are what this process inherited.
pub const INHERITED_STAMPS: usize = 512;
/// 256 `u64`: the sequence counters when Python began to finalize: events with these stamps and later came after.
pub const FINALIZING_STAMPS: usize = STRINGS_END;
/// Strings: `u8` tag, `u8` 0, `u16` length, bytes; tag 0 ends the list.
pub const STRINGS: usize = INHERITED_STAMPS + 8 * SHARDS;
/// A string ends before this place.
pub const STRINGS_END: usize = 12 << 10;

/// Tag of the executable's path.
pub const STRING_EXE: u8 = 1;
/// Tag of the command line, arguments ended by NUL bytes.
pub const STRING_COMMAND: u8 = 2;
/// Tag of a reason why nothing or not all is recorded, in words.
pub const STRING_NOTE: u8 = 3;

const _: () =
    assert!(LOST + 8 * LOST_KINDS == NEXT_ID_BLOCK, "the lost counters end where the next word begins");
const _: () = assert!(NEXT_ID_BLOCK < FINALIZING_MONOTONIC && FINALIZING_MONOTONIC < PROCESSES);
const _: () = assert!(COMPRESSED < INHERITED_STAMPS);
const _: () = assert!(HELD_STAMPS + 8 * SHARDS <= CHUNK);
const _: () = assert!(ROOM >= 16 + 16 + 24, "clock, stamp gap and a wide event");
const _: () =
    assert!(IDS_PER_CHUNK as usize >= (CHUNK - CHUNK_HEADER) / 2, "a node takes at least two bytes");

/// Bits of [`FLAGS`].
pub mod flag {
    /// The live table is kept.
    pub const TABLE: u64 = 1;
    /// There are no events: the live table is all.
    pub const NO_EVENTS: u64 = 2;
    /// The process does not share the run's words: its epochs are its own, and it hears of no mark.
    pub const ALONE: u64 = 4;
    /// It was switched off for some time, or began so.
    pub const WAS_OFF: u64 = 8;
    /// The live table has the unfreed blocks before exit too: those that were not allocated late.
    pub const BEFORE_EXIT: u64 = 16;
    /// Descriptors that are opened and closed are recorded, see [`crate::resource`].
    pub const DESCRIPTORS: u64 = 32;
    /// Anonymous mappings are recorded.
    pub const MAPPINGS: u64 = 64;
}

/// How far a recording got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum State {
    /// The header is not complete.
    Starting = 0,
    /// Events are written, or the process was killed.
    Recording = 1,
    /// Recording ended before the process did, see [`STOP_CAUSE`].
    Stopped = 2,
    /// The process ran its exit handlers.
    Ended = 3,
}

impl State {
    /// The state with this number.
    pub const fn from_number(number: u64) -> Option<State> {
        Some(match number {
            0 => State::Starting,
            1 => State::Recording,
            2 => State::Stopped,
            3 => State::Ended,
            _ => return None,
        })
    }
}

/// Why a recording stopped before its process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum StopCause {
    /// It did not.
    None = 0,
    /// The file could not grow: no space, a limit, or an error of the device.
    CannotGrow = 1,
    /// The file reached the size that was reserved for it.
    Full = 2,
    /// The process has forbidden the system calls by which the file grows (seccomp), and what was kept ready is used up.
    Forbidden = 3,
    /// No memory for another thread.
    NoMemory = 4,
}

impl StopCause {
    /// The cause with this number.
    pub const fn from_number(number: u64) -> Option<StopCause> {
        Some(match number {
            0 => StopCause::None,
            1 => StopCause::CannotGrow,
            2 => StopCause::Full,
            3 => StopCause::Forbidden,
            4 => StopCause::NoMemory,
            _ => return None,
        })
    }
}

/// What a chunk holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ChunkKind {
    /// Modules, stack nodes and map epochs, written by one writer.
    Definitions = 2,
    /// Events of one writer.
    Events = 3,
    /// Pages of the live table, see [`crate::table`].
    LiveTable = 5,
    /// What a writer has allocated from each stack, see [`crate::counts`].
    Counts = 7,
}

/// `u64` in the header of a chunk of events: how far its events are in the live table too, as an offset in the chunk. Of a
/// process that was killed the one behind it, if there is one, may not be.
pub const APPLIED: usize = 48;

/// The first bytes of a chunk; written last, so that a chunk with it is begun.
pub const CHUNK_MAGIC: u32 = 0x4b43_4655;

/// A chunk's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkHeader {
    /// What it holds.
    pub kind: ChunkKind,
    /// The writer whose chunk it is: a thread, or one level of signal handlers on a thread. A writer whose thread
    /// is gone goes on as another thread's.
    pub writer: u32,
    /// Which of the writer's chunks of this kind, from 0.
    pub ordinal: u32,
    /// Number of the thread that begins the chunk, from 0 in the order of their first events.
    pub thread: u32,
    /// Its kernel thread id.
    pub tid: u32,
    /// Monotonic clock when the chunk was begun, ms.
    pub clock_ms: u64,
    /// Definitions: the id of the first node.
    pub first_id: u32,
    /// Definitions: the epoch of the module map of the first records. Events: the run's epoch when it was begun; 0 unknown.
    pub epoch: u32,
    /// The process whose chunk it is: which chunk of the file its header is, 0 for the one that began the file.
    pub process: u32,
}

impl ChunkHeader {
    /// The header as eight words; store the first one last.
    pub const fn to_words(&self) -> [u64; 8] {
        [
            CHUNK_MAGIC as u64 | (self.kind as u64) << 32,
            self.writer as u64 | (self.ordinal as u64) << 32,
            self.thread as u64 | (self.tid as u64) << 32,
            self.clock_ms,
            self.first_id as u64 | (self.epoch as u64) << 32,
            self.process as u64,
            0,
            0,
        ]
    }

    /// Reads a header; `None` where no chunk was begun, or one of a kind that this version does not know.
    pub fn decode(chunk: &[u8]) -> Option<ChunkHeader> {
        if u32_at(chunk, 0)? != CHUNK_MAGIC {
            return None;
        }
        let kind = match chunk.get(4)? {
            2 => ChunkKind::Definitions,
            3 => ChunkKind::Events,
            5 => ChunkKind::LiveTable,
            7 => ChunkKind::Counts,
            _ => return None,
        };
        Some(ChunkHeader {
            kind,
            writer: u32_at(chunk, 8)?,
            ordinal: u32_at(chunk, 12)?,
            thread: u32_at(chunk, 16)?,
            tid: u32_at(chunk, 20)?,
            clock_ms: u64_at(chunk, 24)?,
            first_id: u32_at(chunk, 32)?,
            epoch: u32_at(chunk, 36)?,
            process: u32_at(chunk, 40)?,
        })
    }
}

/// Why a file is not a recording that this version reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderError {
    /// It does not begin with [`MAGIC`].
    NotARecording,
    /// It ends within its header.
    Cut,
    /// It was written by a newer version, whose number this is.
    NewerVersion(u32),
}

/// The fixed part of a file's header, and the words that change, as they were when it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileHeader {
    /// See the `AT_` constant of the same name, here and below.
    pub version: u32,
    /// `e_machine`.
    pub machine: u32,
    /// Random id.
    pub file_id: u64,
    /// Id of the forking process's file, or 0.
    pub parent_file_id: u64,
    /// Process id.
    pub pid: u32,
    /// Parent's process id.
    pub parent_pid: u32,
    /// Inode of the pid namespace.
    pub pid_namespace: u64,
    /// Start of the process, clock ticks since boot.
    pub start_ticks: u64,
    /// Wall clock at the start, ns since 1970.
    pub realtime_ns: u64,
    /// Monotonic clock at the start, ns.
    pub monotonic_ns: u64,
    /// User id.
    pub user: u32,
    /// Chunks handed out.
    pub next_chunk: u64,
    /// How far it got; `None` for a number that this version does not know.
    pub state: Option<State>,
    /// Why it stopped early.
    pub stop_cause: Option<StopCause>,
    /// With which errno.
    pub stop_errno: u64,
    /// Monotonic clock at the stop or end, ns.
    pub end_monotonic_ns: u64,
    /// Lost counters.
    pub lost: [u64; LOST_KINDS],
    /// Monotonic clock when Python began to finalize, ns; 0 if it did not.
    pub finalizing_monotonic_ns: u64,
    /// Further processes in the file.
    pub processes: u64,
    /// Chunks of events that were used again.
    pub reused: u64,
    /// Monotonic clock from which on all events are there, ns; 0: from the beginning.
    pub held_monotonic_ns: u64,
    /// Frees of blocks that were allocated while it was switched off.
    pub unknown_frees: u64,
    /// See [`flag`].
    pub flags: u64,
    /// Bytes of the file if its chunks are compressed; 0: they are not.
    pub compressed: u64,
}

impl FileHeader {
    /// The immutable part as bytes that begin a file.
    pub fn to_bytes(&self) -> [u8; NEXT_CHUNK] {
        let mut bytes = [0; NEXT_CHUNK];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &MAGIC);
        put(AT_VERSION, &self.version.to_le_bytes());
        put(AT_MACHINE, &self.machine.to_le_bytes());
        put(AT_FILE_ID, &self.file_id.to_le_bytes());
        put(AT_PARENT_FILE_ID, &self.parent_file_id.to_le_bytes());
        put(AT_PID, &self.pid.to_le_bytes());
        put(AT_PARENT_PID, &self.parent_pid.to_le_bytes());
        put(AT_PID_NAMESPACE, &self.pid_namespace.to_le_bytes());
        put(AT_START_TICKS, &self.start_ticks.to_le_bytes());
        put(AT_REALTIME, &self.realtime_ns.to_le_bytes());
        put(AT_MONOTONIC, &self.monotonic_ns.to_le_bytes());
        put(AT_USER, &self.user.to_le_bytes());
        bytes
    }

    /// Reads a header: of a file, or of a further process from the chunk that it begins.
    pub fn decode(file: &[u8]) -> Result<FileHeader, HeaderError> {
        if file.len() < MAGIC.len() || file[..MAGIC.len()] != MAGIC {
            return Err(HeaderError::NotARecording);
        }
        let version = u32_at(file, AT_VERSION).ok_or(HeaderError::Cut)?;
        if version > VERSION {
            return Err(HeaderError::NewerVersion(version));
        }
        Self::decode_words(file, version).ok_or(HeaderError::Cut)
    }

    fn decode_words(file: &[u8], version: u32) -> Option<FileHeader> {
        let mut lost = [0; LOST_KINDS];
        for (kind, counter) in lost.iter_mut().enumerate() {
            *counter = u64_at(file, LOST + 8 * kind)?;
        }
        Some(FileHeader {
            version,
            machine: u32_at(file, AT_MACHINE)?,
            file_id: u64_at(file, AT_FILE_ID)?,
            parent_file_id: u64_at(file, AT_PARENT_FILE_ID)?,
            pid: u32_at(file, AT_PID)?,
            parent_pid: u32_at(file, AT_PARENT_PID)?,
            pid_namespace: u64_at(file, AT_PID_NAMESPACE)?,
            start_ticks: u64_at(file, AT_START_TICKS)?,
            realtime_ns: u64_at(file, AT_REALTIME)?,
            monotonic_ns: u64_at(file, AT_MONOTONIC)?,
            user: u32_at(file, AT_USER)?,
            next_chunk: u64_at(file, NEXT_CHUNK)?,
            state: State::from_number(u64_at(file, STATE)?),
            stop_cause: StopCause::from_number(u64_at(file, STOP_CAUSE)?),
            stop_errno: u64_at(file, STOP_ERRNO)?,
            end_monotonic_ns: u64_at(file, END_MONOTONIC)?,
            lost,
            finalizing_monotonic_ns: u64_at(file, FINALIZING_MONOTONIC)?,
            processes: u64_at(file, PROCESSES)? & !CLOSED,
            reused: u64_at(file, REUSED)?,
            held_monotonic_ns: u64_at(file, HELD_MONOTONIC)?,
            unknown_frees: u64_at(file, UNKNOWN_FREES)?,
            flags: u64_at(file, FLAGS)?,
            compressed: if version < COMPRESSES { 0 } else { u64_at(file, COMPRESSED)? },
        })
    }

    /// Bytes of the file that were used: what lies beyond was never written.
    pub fn used_bytes(&self) -> u64 {
        match self.compressed {
            0 => self.next_chunk.saturating_mul(CHUNK as u64),
            compressed => compressed,
        }
    }

    /// The strings of a file's header, as (tag, bytes); ends where the list ends or is not whole.
    pub fn strings(file: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
        strings(file.get(STRINGS..).unwrap_or(&[]))
    }
}

/// The strings of a list that begins `bytes`, as [`FileHeader::strings`].
pub fn strings(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let tag = *bytes.get(at)?;
        let len = usize::from(u16::from_le_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]));
        let text = bytes.get(at + 4..at + 4 + len)?;
        at += 4 + len;
        (tag != 0 && STRINGS + at <= STRINGS_END).then_some((tag, text))
    })
}

/// The parent's stamp of shard `shard` at the fork, from the header of `file`.
pub fn inherited_stamp(file: &[u8], shard: usize) -> Option<u64> {
    u64_at(file, INHERITED_STAMPS + 8 * shard)
}

/// The stamp of shard `shard` from which on all events are there, from the header of `file`.
pub fn held_stamp(file: &[u8], shard: usize) -> Option<u64> {
    u64_at(file, HELD_STAMPS + 8 * shard)
}

/// The stamp of shard `shard` when Python began to finalize, from the header of `file`.
pub fn finalizing_stamp(file: &[u8], shard: usize) -> Option<u64> {
    u64_at(file, FINALIZING_STAMPS + 8 * shard)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
