//! Makes files smaller that nobody writes any more: each chunk is compressed, see [`recording::compressed`].
//!
//! A file is replaced by another one as a whole, or not at all: whoever reads it meanwhile has the one or the other. Where it cannot be told
//! that nobody writes it, where it would not become smaller, or where there is no space for both, it stays as it is.
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use recording::compressed::{ENTRIES, Entry, REST};
use recording::layout::{CHUNK, CHUNK_HEADER, CHUNK_MAGIC, COMPRESSED, FileHeader, MAGIC, VERSION};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use crate::aggregate::in_parallel;
use crate::progress::{self, Progress};
use crate::reader;
use crate::temporary::Temporary;

/// Of zstd: one of those that are fast. The program has ended, but whoever started it waits.
const LEVEL: i32 = -1;
/// Chunks that one thread compresses one after the other, and such runs whose results are in memory at once.
const RUN: u64 = 32;
const RUNS: usize = 4;
/// Not worth it: what came so far takes more than this part of what it did.
const WORTH: f64 = 0.95;
const PAGE: usize = 4096;
/// Which signal tells of a lease: of `fcntl.h`, the same on all architectures.
const F_SETSIG: i32 = 10;
const _: () = assert!(ENTRIES.is_multiple_of(PAGE));

/// Compresses the files in `directory` that nobody writes any more.
pub fn compress(directory: &Path) -> io::Result<()> {
    let files = reader::process_files(directory).map_err(|error| io::Error::other(error.to_string()))?;
    // Those in `live/` belong to processes that run, or of which that is not known.
    let settled: Vec<_> = files.iter().filter(|path| reader::settled(path).is_none()).collect();
    let size = |path: &&PathBuf| fs::metadata(path).map_or(0, |file| file.len());
    let bar = progress::bytes("compressing", settled.iter().map(size).sum());
    for path in settled {
        if let Some(original) = Original::open(path) {
            original.compress(path, &bar)?;
        }
    }
    Ok(())
}

/// A file that nobody writes any more.
struct Original {
    file: File,
    metadata: fs::Metadata,
    header: FileHeader,
    head: Vec<u8>,
}

impl Original {
    /// `None`: it is not to be compressed.
    fn open(path: &Path) -> Option<Original> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)
            .ok()?;
        let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
        let mut head = vec![0; ENTRIES];
        file.read_exact_at(&mut head, 0).ok()?;
        let header = FileHeader::decode(&head).ok()?;
        let is_ours = header.version == VERSION && header.compressed == 0;
        (is_ours && !may_be_written(&file)).then_some(Original { file, metadata, header, head })
    }

    fn compress(&self, path: &Path, bar: &Progress) -> io::Result<()> {
        let (temporary, to) = Temporary::beside(path)?;
        to.set_permissions(self.metadata.permissions())?;
        let made = to.metadata()?;
        let owner = |metadata: &fs::Metadata| (metadata.uid(), metadata.gid());
        if owner(&made) != owner(&self.metadata) {
            fchown(&to, Some(self.metadata.uid()), Some(self.metadata.gid()))?;
        }
        match self.write(&to, bar)? {
            true => temporary.keep(path),
            false => Ok(()),
        }
    }

    /// Whether what was written takes less than the original, which has chunks.
    fn write(&self, to: &File, bar: &Progress) -> io::Result<bool> {
        let takes = self.metadata.blocks() * 512;
        let chunks = self.header.used_bytes().min(self.metadata.len()).div_ceil(CHUNK as u64);
        let runs: Vec<Range<u64>> =
            (1..chunks).step_by(RUN as usize).map(|first| first..chunks.min(first + RUN)).collect();
        let mut end = ENTRIES as u64;
        for runs in runs.chunks(RUNS) {
            for entries in in_parallel(runs, |run| self.entries(run.clone())) {
                let Some(entries) = entries? else { return Ok(false) };
                // Nor does it become longer than a file may be.
                if (end + entries.len() as u64).next_multiple_of(PAGE as u64) >= takes {
                    return Ok(false);
                }
                to.write_all_at(&entries, end)?;
                end += entries.len() as u64;
            }
            let read = runs.last().map_or(0, |run| run.end - 1) * CHUNK as u64;
            if (end - ENTRIES as u64) as f64 > WORTH * read as f64 {
                return Ok(false);
            }
            bar.inc(runs.iter().map(|run| (run.end - run.start) * CHUNK as u64).sum());
        }
        if end == ENTRIES as u64 {
            return Ok(false);
        }
        let mut head = self.head.clone();
        head[COMPRESSED..COMPRESSED + 8].copy_from_slice(&end.to_le_bytes());
        for (number, page) in
            head.chunks(PAGE).enumerate().filter(|(_, page)| page.iter().any(|&byte| byte != 0))
        {
            to.write_all_at(page, (number * PAGE) as u64)?;
        }
        Ok(true)
    }

    /// The entries of these chunks, one behind the other. `None`: one of them is no chunk, a reader is to see the file as it is.
    fn entries(&self, numbers: Range<u64>) -> io::Result<Option<Vec<u8>>> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        let (mut entries, mut chunk) = (Vec::new(), vec![0; CHUNK]);
        let mut frame = Vec::with_capacity(zstd::zstd_safe::compress_bound(REST));
        for number in numbers {
            let len = reader::read_fully(&self.file, &mut chunk, number * CHUNK as u64)?;
            let Some((header, rest)) = chunk[..len].split_first_chunk::<CHUNK_HEADER>() else { break };
            match u32::from_le_bytes([header[0], header[1], header[2], header[3]]) {
                CHUNK_MAGIC => {}
                _ if header.starts_with(&MAGIC) => {}
                // Not begun.
                0 => continue,
                _ => return Ok(None),
            }
            let used = rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            frame.clear();
            compressor.compress_to_buffer(&rest[..used], &mut frame)?;
            let number = u32::try_from(number).map_err(io::Error::other)?;
            let entry = Entry { number, frame: frame.len() as u32, header: *header };
            entries.extend_from_slice(&entry.to_bytes());
            entries.extend_from_slice(&frame);
        }
        Ok(Some(entries))
    }
}

/// Whether somebody has the file open or mapped to write to it, of whatever pid namespace. Who has not does not come any more: a
/// process finds the way to its file in its own mapping of it. A lease is given only where there is nobody.
fn may_be_written(file: &File) -> bool {
    let set = |command: i32, value: i32| {
        // SAFETY: changes what the kernel knows of a descriptor of our own.
        unsafe { libc::fcntl(file.as_raw_fd(), command, value) == 0 }
    };
    // Who comes in between is told of by a signal that is ignored.
    let is_free = set(F_SETSIG, libc::SIGURG) && set(libc::F_SETLEASE, libc::F_RDLCK);
    !(is_free && set(libc::F_SETLEASE, libc::F_UNLCK))
}
