//! Filters over exec: the kernel keeps them, and the recorder in the new image knows nothing of them.
//!
//! So each filter is written, before it is installed, to the one file for that in the recording's `live/`, which all its
//! processes share: how many filters the thread had before, the number of instructions, and these. A new image that has
//! more filters than that takes it for one of its own, by calls that the loader has made before: a program that came so
//! far is not ended by them. That may be one filter too many, of a relative, and none too few. Filters that were
//! installed outside of the recording are not there; those of containers give errors, which end nothing.

use super::bpf::Instruction;
use super::{UNKNOWN, enter, new_filter};
use crate::config::{DIRECTORY, DIRECTORY_MAX};
use crate::sys::{self, Fd};
use core::slice;
use core::sync::atomic::Ordering::Release;
use recording::layout::{FILTERS, LIVE_DIRECTORY};

/// Room for the file's path.
const PATH_MAX: usize = DIRECTORY_MAX + 32;
/// A file of more is not added to.
const SIZE_MAX: u64 = 16 << 20;
/// A link or a pipe in the file's place is not ours.
const FLAGS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// What stands before a filter: how many the thread had, and the number of instructions.
type Head = [u64; 2];

fn open(flags: i32) -> sys::Result<Fd> {
    let mut path = [0; PATH_MAX];
    let parts = [DIRECTORY.path(), b"/", LIVE_DIRECTORY.as_bytes(), b"/", FILTERS.as_bytes()];
    for (place, byte) in path.iter_mut().zip(parts.iter().copied().flatten()) {
        *place = *byte;
    }
    Fd::open(&path, flags | FLAGS, 0o600)
}

/// Writes down a filter that is about to be installed, unless it stands there.
#[cold]
pub fn write(program: &[Instruction]) {
    let head = [count(b"/proc/thread-self/status\0").unwrap_or(0), program.len() as u64];
    let flags = libc::O_RDWR | libc::O_APPEND;
    let create = |_| {
        let file = open(flags | libc::O_CREAT)?;
        // Whatever the umask is.
        let _ = file.set_mode(0o600);
        Ok::<_, sys::Errno>(file)
    };
    let Ok(file) = open(flags).or_else(create) else { return };
    let bytes = bytes_of(program);
    let mut size = 0;
    while let Some(known) = next_head(&file) {
        size += 16 + 8 * known[1];
        // The same filter is also another's who had no more filters.
        let may_be_it = known[0] <= head[0] && known[1] == head[1];
        match skip(&file, known[1], may_be_it.then_some(bytes)) {
            Some(true) => return,
            Some(false) => {}
            None => break,
        }
    }
    if size <= SIZE_MAX {
        let head = head.map(u64::to_le_bytes);
        let _ = file.write_both(head.as_flattened(), bytes);
    }
}

/// Looks for the filters under which this image was started.
#[cold]
pub fn read() {
    let file = open(libc::O_RDONLY);
    if file.as_ref().is_err_and(|errno| *errno == sys::Errno(libc::ENOENT)) {
        return;
    }
    let own = count(b"/proc/self/status\0").unwrap_or(u64::MAX);
    let Ok(file) = file else {
        // What another user has noted: nothing can be recorded there either.
        if own != 0 {
            UNKNOWN.installed.store(true, Release);
            enter(&UNKNOWN);
        }
        return;
    };
    while let Some([before, len]) = next_head(&file) {
        if before >= own {
            match skip(&file, len, None) {
                Some(_) => continue,
                None => return,
            }
        }
        let fill = |program: &mut [Instruction]| {
            // SAFETY: any bytes are instructions.
            let bytes =
                unsafe { slice::from_raw_parts_mut(program.as_mut_ptr().cast::<u8>(), size_of_val(program)) };
            let len = bytes.len();
            file.read_all(bytes).is_ok_and(|read| read.len() == len)
        };
        let Some(filter) = new_filter(len as usize, fill) else { return };
        filter.installed.store(true, Release);
        enter(filter);
    }
}

fn bytes_of(program: &[Instruction]) -> &[u8] {
    // SAFETY: instructions are eight bytes without padding.
    unsafe { slice::from_raw_parts(program.as_ptr().cast::<u8>(), size_of_val(program)) }
}

fn next_head(file: &Fd) -> Option<Head> {
    let mut head = [[0; 8]; 2];
    let whole = file.read_all(head.as_flattened_mut()).is_ok_and(|read| read.len() == 16);
    let head = head.map(u64::from_le_bytes);
    (whole && head[1] <= super::MOST as u64).then_some(head)
}

/// Reads over a program of `len` instructions; whether it is `wanted`, which is as long. `None` if the file ends.
fn skip(file: &Fd, len: u64, wanted: Option<&[u8]>) -> Option<bool> {
    let mut piece = [0; 256];
    let mut left = len as usize * size_of::<Instruction>();
    let mut rest = wanted.unwrap_or(&[]);
    let mut is_same = wanted.is_some();
    while left > 0 {
        let size = left.min(piece.len());
        let got = file.read_all(piece.get_mut(..size)?).ok().filter(|got| got.len() == size)?;
        if is_same {
            is_same = rest.get(..size) == Some(got);
            rest = rest.get(size..).unwrap_or(&[]);
        }
        left -= size;
    }
    Some(is_same)
}

/// How many filters the kernel has for a thread, by its `status`; `None` where it does not say (before Linux 5.9).
fn count(status: &[u8]) -> Option<u64> {
    let file = Fd::open_read(status).ok()?;
    let mut piece = [0; 256];
    let mut line = Line::default();
    loop {
        let read = file.read(&mut piece).ok().filter(|read| *read > 0)?;
        if let Some(number) = piece.get(..read)?.iter().find_map(|&byte| line.number_at_end(byte)) {
            return Some(number);
        }
    }
}

/// The name of the line with the number of filters.
const NAME: &[u8] = b"Seccomp_filters:";

/// How much of a line was read.
#[derive(Default)]
struct Line {
    /// Bytes of it that are [`NAME`]'s.
    matched: usize,
    is_other: bool,
    number: u64,
}

impl Line {
    /// The next byte; the number at the end of the line that has it.
    fn number_at_end(&mut self, byte: u8) -> Option<u64> {
        if byte == b'\n' {
            let line = core::mem::take(self);
            return (!line.is_other && line.matched == NAME.len()).then_some(line.number);
        }
        match NAME.get(self.matched) {
            Some(&expected) if expected == byte => self.matched += 1,
            Some(_) => self.is_other = true,
            None if byte.is_ascii_digit() => {
                self.number = self.number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            }
            None => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_how_many_filters_there_are() {
        let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
        let line = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
        assert_eq!(
            count(b"/proc/self/status\0"),
            line.map(|number| number.trim().parse().expect("a number"))
        );
    }

    #[test]
    fn only_the_line_of_the_number_counts() {
        let read = |text: &str| {
            text.bytes().scan(Line::default(), |line, byte| Some(line.number_at_end(byte))).flatten().next()
        };
        assert_eq!(read("Seccomp:\t2\nSeccomp_filters:\t31\nSpeculation:\t7\n"), Some(31));
        assert_eq!(read("xSeccomp_filters:\t1\nSeccomp_filter:\t2\n"), None);
        assert_eq!(read("Seccomp_filters:\t1"), None, "the line is not whole");
    }
}
