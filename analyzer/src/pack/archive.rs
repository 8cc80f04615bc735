//! The container: a tar file whose members are compressed one by one, so that each can be read alone, is checked by its
//! own checksum, and `tar` lists them.
//!
//! A member is found by its place among the others; its name is for people and ends in `.zst`. The first one is the
//! index, whose name begins the file and makes it known.
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use zstd::stream::{read, write};

/// Name of the first member, and the first bytes of a pack.
pub const INDEX: &str = "unfreed-pack/index.json.zst";
/// A larger window is refused, so that whatever a file says takes no more memory.
const WINDOW_LOG: u32 = 23; // 8 MiB, what level 19 uses
/// The highest level with such a window.
pub const HIGHEST_LEVEL: i32 = 19;
const BLOCK: u64 = 512;

/// Writes a pack, member by member.
pub struct Writer {
    out: File,
    level: i32,
}

impl Writer {
    /// To an empty file.
    pub fn new(out: File, level: i32) -> Writer {
        Writer { out, level }
    }

    /// Adds a member with these contents.
    pub fn add(&mut self, name: &str, contents: &mut dyn Read) -> io::Result<()> {
        let start = self.out.stream_position()?;
        // The size is known afterwards.
        self.out.write_all(&[0; BLOCK as usize])?;
        let mut encoder = write::Encoder::new(io::BufWriter::new(&self.out), self.level)?;
        encoder.include_checksum(true)?;
        io::copy(contents, &mut encoder)?;
        encoder.finish()?.flush()?;
        let end = self.out.stream_position()?;
        let size = end - start - BLOCK;
        self.out.write_all_at(header(name, size).as_bytes(), start)?;
        self.out.write_all(&vec![0; (size.next_multiple_of(BLOCK) - size) as usize])
    }

    /// Ends it; returns its size.
    pub fn finish(mut self) -> io::Result<u64> {
        self.out.write_all(&[0; 2 * BLOCK as usize])?;
        self.out.sync_data()?;
        self.out.stream_position()
    }
}

fn header(name: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    let field = &mut header.as_old_mut().name;
    let mut end = name.len().min(field.len() - 1);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    field[..end].copy_from_slice(&name.as_bytes()[..end]);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header
}

/// Where a member's compressed bytes are.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    offset: u64,
    size: u64,
}

/// Whether a file that begins with these bytes is a pack.
pub fn is_pack(start: &[u8]) -> bool {
    start.starts_with(INDEX.as_bytes())
}

/// All members, as far as they are there.
pub fn members(mut file: &File) -> io::Result<Vec<Member>> {
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    let mut archive = tar::Archive::new(file);
    let entries = archive.entries_with_seek()?.raw(true);
    let entries = entries.map_while(Result::ok);
    let members = entries.map(|entry| Member { offset: entry.raw_file_position(), size: entry.size() });
    // The last one of a file that was cut is there in part.
    Ok(members.take_while(|member| member.offset < len).collect())
}

impl Member {
    /// Its contents. They end early, or with an error, where it is damaged.
    pub fn contents<'a>(&self, file: &'a File) -> io::Result<impl Read + 'a> {
        let part = Part { file, at: self.offset, end: self.offset.saturating_add(self.size) };
        let mut decoder = read::Decoder::new(part)?.single_frame();
        decoder.window_log_max(WINDOW_LOG)?;
        Ok(decoder)
    }
}

struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
