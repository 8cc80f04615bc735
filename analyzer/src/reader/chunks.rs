//! Reads chunks of a file, compressed or not: with `pread`, since it may be cut by someone meanwhile, which must not end this process.
use std::fs::File;
use std::io;
use std::path::Path;

use recording::compressed::{ENTRY, Entry, REST};
use recording::layout::{APPLIED, CHUNK, CHUNK_HEADER, COMPRESSED, ChunkHeader};

use super::loss::Loss;
use super::places::with_file;
use super::recording::read_fully;

/// Where a chunk is, and its header.
#[derive(Clone, Copy, Debug)]
pub struct ChunkPlace {
    /// Its number in the file.
    pub number: u64,
    /// Its header.
    pub header: ChunkHeader,
    /// Where its entry is, if the file is compressed.
    pub(super) entry: Option<u64>,
}

/// Reads chunks of one file.
pub struct ChunkReader {
    file: io::Result<File>,
}

impl ChunkReader {
    /// Opens a file, which may have been moved since its path was known. It says of itself that it is compressed to so many bytes:
    /// another one in its place has its chunks elsewhere.
    pub(super) fn open(path: &Path, compressed: u64) -> ChunkReader {
        let is_same = |file: &File| {
            let mut word = [0; 8];
            read_fully(file, &mut word, COMPRESSED as u64).is_ok() && u64::from_le_bytes(word) == compressed
        };
        let file = with_file(path, |path| File::open(path));
        ChunkReader {
            file: file.and_then(
                |file| {
                    if is_same(&file) { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
                },
            ),
        }
    }

    /// Reads the records of a chunk into `records`, as far as the file goes.
    pub fn read(&self, place: &ChunkPlace, records: &mut Vec<u8>) -> Result<(), Loss> {
        self.bytes(place, CHUNK_HEADER, CHUNK - CHUNK_HEADER, records)
    }

    /// Reads a chunk from `at` on, `len` bytes of it, as far as the file goes.
    fn bytes(&self, place: &ChunkPlace, at: usize, len: usize, bytes: &mut Vec<u8>) -> Result<(), Loss> {
        bytes.resize(len, 0);
        let read = self.file.as_ref().map_err(io::Error::kind).and_then(|file| {
            let read = match place.entry {
                None => read_fully(file, bytes, place.number * CHUNK as u64 + at as u64),
                Some(entry) => decompressed(file, entry).map(|chunk| {
                    let part = chunk.get(at..at + len).unwrap_or(&[]);
                    bytes.clear();
                    bytes.extend_from_slice(part);
                    part.len()
                }),
            };
            read.map_err(|error| error.kind())
        });
        bytes.truncate(read.unwrap_or(0));
        read.map(|_| ()).map_err(|why| Loss::Unreadable { chunk: place.number, why })
    }

    /// Reads a whole chunk, its header included, as far as the file goes.
    pub fn whole(&self, place: &ChunkPlace, bytes: &mut Vec<u8>) -> Result<(), Loss> {
        self.bytes(place, 0, CHUNK, bytes)
    }

    /// The same as [`ChunkReader::read`] for a chunk that its process may be writing: what two readings agree on. A record's
    /// first bytes may lie in two cache lines, of which another processor can see one some nanoseconds before the other.
    pub fn read_settled(&self, place: &ChunkPlace, records: &mut Vec<u8>) -> Result<(), Loss> {
        let mut later = Vec::new();
        self.read(place, records)?;
        self.read(place, &mut later)?;
        let agreed = records.iter().zip(&later).take_while(|(a, b)| a == b).count();
        records.truncate(agreed);
        Ok(())
    }

    /// Whether there is a record at this offset of its records.
    pub fn has_more(&self, place: &ChunkPlace, at: usize) -> bool {
        let mut next = Vec::new();
        let room = at + CHUNK_HEADER < CHUNK;
        room && self.bytes(place, CHUNK_HEADER + at, 1, &mut next).is_ok()
            && next.first().is_some_and(|&tag| tag != 0)
    }

    /// How far the events of a chunk are in the live table, as an offset in the chunk; `None` if it was used again.
    pub fn applied(&self, place: &ChunkPlace) -> Option<usize> {
        let mut header = Vec::new();
        self.bytes(place, 0, CHUNK_HEADER, &mut header).ok()?;
        let same = ChunkHeader::decode(&header)? == place.header;
        let word = u64::from_le_bytes(*header.get(APPLIED..)?.first_chunk()?);
        same.then(|| usize::try_from(word).unwrap_or(CHUNK).min(CHUNK))
    }

    /// Whether a chunk is still what it was: in a running process it may be used again.
    pub fn is_same(&self, place: &ChunkPlace) -> bool {
        self.applied(place).is_some()
    }
}

/// The chunk whose entry is at this offset of a compressed file.
pub(super) fn decompressed(file: &File, entry: u64) -> io::Result<Vec<u8>> {
    let mut bytes = [0; ENTRY];
    let len = read_fully(file, &mut bytes, entry)?;
    let entry_read = Entry::decode(&bytes[..len]).ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut frame = vec![0; (entry_read.frame as usize).min(zstd::zstd_safe::compress_bound(REST))];
    let len = read_fully(file, &mut frame, entry + ENTRY as u64)?;
    let mut chunk = Vec::with_capacity(CHUNK);
    chunk.extend_from_slice(&entry_read.header);
    chunk.extend(zstd::bulk::decompress(&frame[..len], REST)?);
    chunk.resize(CHUNK, 0);
    Ok(chunk)
}
