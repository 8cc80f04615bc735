//! Which bytes of a file a pack holds: files of running processes are sparse, and of a module only some sections are
//! needed. All others read as 0.
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

/// Holes that are shorter are stored as zeros, which take next to nothing.
const SHORTEST_HOLE: u64 = 64 << 10;
/// Holes of a file at most, or a little more.
const MOST_HOLES: u64 = 4096;
/// What is written at a time, and left out if it is all 0.
const PAGE: usize = 4096;
const BUFFER: usize = 32 * PAGE;

/// Offset and length of each stretch, ascending and apart.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
#[serde(transparent)]
pub struct Extents(pub Vec<(u64, u64)>);

impl Extents {
    /// The data in the first `size` bytes of a file.
    pub fn of_file(file: &File, size: u64) -> io::Result<Extents> {
        let shortest = SHORTEST_HOLE.max(size / MOST_HOLES);
        let mut extents = Extents::default();
        let mut at = 0;
        while at < size {
            let Some(begin) = seek(file, at, libc::SEEK_DATA)? else { break };
            let end = seek(file, begin, libc::SEEK_HOLE)?.unwrap_or(size).max(begin + 1);
            if begin < size {
                extents.add(begin, end.min(size) - begin, shortest);
            }
            at = end;
        }
        Ok(extents)
    }

    /// Adds a stretch that begins behind those that are there, or within the last one. A gap below `shortest` is included.
    pub fn add(&mut self, offset: u64, len: u64, shortest: u64) {
        match self.0.last_mut() {
            Some((last, length)) if offset < *last + *length + shortest => {
                *length = (*length).max(offset + len - *last)
            }
            _ => self.0.push((offset, len)),
        }
    }

    /// Bytes in all stretches.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, len)| len).sum()
    }

    /// Whether they make sense for a file of `size` bytes.
    pub fn fit(&self, size: u64) -> bool {
        let mut at = 0;
        self.0.iter().all(|&(offset, len)| {
            let from = std::mem::replace(&mut at, offset.saturating_add(len));
            from <= offset && at <= size
        })
    }

    /// The bytes of all stretches of a file, one behind the other; 0 for what is no longer there.
    pub fn read<'a>(&'a self, file: &'a File) -> impl Read + 'a {
        Stretches { file, left: self.0.iter(), at: 0, end: 0 }
    }

    /// Makes of their bytes a file of `size` bytes with holes; `file` is empty. Where the bytes end too early, or are
    /// damaged, the file ends too, and it is said why.
    pub fn restore(&self, from: &mut dyn Read, file: &File, size: u64) -> io::Result<Option<io::Error>> {
        let mut buffer = vec![0; BUFFER];
        for &(offset, len) in &self.0 {
            let end = offset + len;
            let mut at = offset;
            while at < end {
                let wanted = (end - at).min(BUFFER as u64) as usize;
                let (read, failed) = read_fully(from, &mut buffer[..wanted]);
                write_data(file, &buffer[..read], at)?;
                at += read as u64;
                if read < wanted {
                    file.set_len(at)?;
                    return Ok(Some(failed.unwrap_or_else(|| ErrorKind::UnexpectedEof.into())));
                }
            }
        }
        file.set_len(size)?;
        // Reads the checksum, which is behind the last byte.
        let (more, failed) = read_fully(from, &mut buffer[..1]);
        Ok(failed.or_else(|| (more > 0).then(|| ErrorKind::InvalidData.into())))
    }
}

/// The next data or hole at or behind `offset`; `None` if there is none.
fn seek(file: &File, offset: u64, what: i32) -> io::Result<Option<u64>> {
    let start = i64::try_from(offset).map_err(|_| ErrorKind::FileTooLarge)?;
    // SAFETY: moves the place of a descriptor of our own, which is never read from there.
    let found = unsafe { libc::lseek(file.as_raw_fd(), start, what) };
    match u64::try_from(found) {
        Ok(found) => Ok(Some(found)),
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            error => Err(error),
        },
    }
}

struct Stretches<'a> {
    file: &'a File,
    left: std::slice::Iter<'a, (u64, u64)>,
    at: u64,
    end: u64,
}

impl Read for Stretches<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.end {
            let Some(&(offset, len)) = self.left.next() else { return Ok(0) };
            (self.at, self.end) = (offset, offset + len);
        }
        let wanted = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let read = match self.file.read_at(&mut buffer[..wanted], self.at)? {
            // It was cut meanwhile.
            0 => {
                buffer[..wanted].fill(0);
                wanted
            }
            read => read,
        };
        self.at += read as u64;
        Ok(read)
    }
}

/// Reads until `buffer` is full, the end or an error.
fn read_fully(from: &mut dyn Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut done = 0;
    while done < buffer.len() {
        match from.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (done, Some(error)),
        }
    }
    (done, None)
}

/// Writes what is not 0.
fn write_data(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    for (number, page) in data.chunks(PAGE).enumerate() {
        if page.iter().any(|&byte| byte != 0) {
            file.write_all_at(page, offset + (number * PAGE) as u64)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use std::os::unix::fs::MetadataExt;

    fn file(name: &str) -> (std::path::PathBuf, File) {
        let path = std::env::temp_dir().join(format!("unfreed-extents-{}-{name}", std::process::id()));
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path);
        (path, file.expect("a file"))
    }

    #[test]
    fn a_sparse_file_is_the_same_again() {
        let (path, sparse) = file("sparse");
        sparse.set_len(1 << 33).expect("it is sparse");
        for offset in [100, 70_000, 1 << 30, (1 << 33) - 1] {
            sparse.write_all_at(b"x", offset).expect("written");
        }
        let extents = Extents::of_file(&sparse, 1 << 33).expect("found");
        assert!(extents.bytes() < 1 << 20 && extents.fit(1 << 33), "{extents:?}");
        let (copy_path, copy) = file("copy");
        let problem = extents.restore(&mut extents.read(&sparse), &copy, 1 << 33).expect("written");
        assert!(problem.is_none(), "{problem:?}");
        for offset in [100, 70_000, 1 << 30, (1 << 33) - 1] {
            let mut byte = [0; 2];
            copy.read_at(&mut byte, offset).expect("read");
            assert_eq!(byte, [b'x', 0], "{offset}");
        }
        assert!(copy.metadata().expect("metadata").blocks() < 1000);
        let short = Extents::of_file(&sparse, 150).expect("found");
        assert_eq!(short.0, [(0, 150)]);
        [path, copy_path].iter().for_each(|path| std::fs::remove_file(path).expect("removed"));
    }

    #[test]
    fn what_ends_too_early_makes_a_shorter_file() {
        let extents = Extents(vec![(10, 5), (100, 5)]);
        assert!(extents.fit(105) && !extents.fit(104));
        assert!(!Extents(vec![(10, 5), (14, 1)]).fit(100));
        assert!(!Extents(vec![(u64::MAX, 5)]).fit(u64::MAX - 1));
        let (path, cut) = file("cut");
        let problem = extents.restore(&mut Cursor::new(b"abcdefg"), &cut, 200).expect("written");
        assert_eq!(problem.map(|why| why.kind()), Some(ErrorKind::UnexpectedEof));
        assert_eq!(cut.metadata().expect("metadata").len(), 102);
        let (_, whole) = file("cut");
        let problem = extents.restore(&mut Cursor::new(b"abcdefghij"), &whole, 200).expect("written");
        assert!(problem.is_none(), "{problem:?}");
        assert_eq!(whole.metadata().expect("metadata").len(), 200);
        let (_, more) = file("cut");
        let problem = extents.restore(&mut Cursor::new(b"abcdefghijk"), &more, 200).expect("written");
        assert_eq!(problem.map(|why| why.kind()), Some(ErrorKind::InvalidData));
        std::fs::remove_file(path).expect("removed");
    }
}
