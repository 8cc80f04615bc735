//! What the environment asks for, read once before the first event.
//!
//! `UNFREED_DIR`: the directory of the recording; without it nothing is recorded.

use crate::sys::Fd;
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;

/// Longest path of a directory, its ending NUL included.
pub const DIRECTORY_MAX: usize = 1024;

/// The directory of the recording.
pub struct Directory {
    bytes: UnsafeCell<[u8; DIRECTORY_MAX]>,
    len: UnsafeCell<usize>,
}

// SAFETY: written by `read_environment` alone, which the process's single initialising thread calls once before
// any other thread can pass the state that says so.
unsafe impl Sync for Directory {}

/// Filled by [`read_environment`].
pub static DIRECTORY: Directory =
    Directory { bytes: UnsafeCell::new([0; DIRECTORY_MAX]), len: UnsafeCell::new(0) };

impl Directory {
    /// The path, empty if nothing is to be recorded.
    pub fn path(&self) -> &[u8] {
        // SAFETY: nobody writes once it can be read, see above.
        unsafe { (&*self.bytes.get()).get(..*self.len.get()).unwrap_or(&[]) }
    }

    fn set(&self, path: &[u8]) {
        if path.first() != Some(&b'/') || path.len() >= DIRECTORY_MAX {
            return;
        }
        // SAFETY: called by the single initialising thread.
        unsafe {
            (&mut *self.bytes.get())[..path.len()].copy_from_slice(path);
            *self.len.get() = path.len();
        }
    }
}

const NAME: &[u8] = b"UNFREED_DIR=";

/// Fills [`DIRECTORY`] from the environment that the process was started with.
///
/// # Safety
/// Called by the initialising thread alone. `buffer` is scratch memory.
pub unsafe fn read_environment(buffer: &mut [u8]) {
    if let Ok(file) = Fd::open_read(b"/proc/self/environ\0") {
        if let Some(path) = find(|buffer| file.read(buffer).unwrap_or(0), buffer) {
            DIRECTORY.set(path);
        }
    } else {
        // SAFETY: no other thread changes the environment while the first one initialises.
        unsafe { read_memory() };
    }
}

/// Looks for the variable in NUL-terminated strings of any length.
fn find(mut read: impl FnMut(&mut [u8]) -> usize, buffer: &mut [u8]) -> Option<&[u8]> {
    let (mut kept, mut in_long_string) = (0, false);
    loop {
        let got = read(buffer.get_mut(kept..)?);
        let filled = kept + got;
        let mut start = 0;
        while let Some(len) = buffer.get(start..filled)?.iter().position(|&byte| byte == 0) {
            if !in_long_string && buffer.get(start..start + len)?.starts_with(NAME) {
                return buffer.get(start + NAME.len()..start + len);
            }
            in_long_string = false;
            start += len + 1;
        }
        if got == 0 {
            return None;
        }
        // A string longer than the buffer cannot be ours: its beginning is forgotten.
        in_long_string |= start == 0 && filled == buffer.len();
        kept = if in_long_string { 0 } else { filled - start };
        buffer.copy_within(filled - kept..filled, 0);
    }
}

global_asm!(".weak environ");

/// Looks for the variable in the C library's environment.
///
/// # Safety
/// No other thread may change the environment.
unsafe fn read_memory() {
    let environ: *const *const *const u8;
    // SAFETY: reads our own global offset table.
    unsafe {
        asm!("mov {}, qword ptr [rip + environ@GOTPCREL]", out(reg) environ, options(pure, readonly, nostack))
    };
    // SAFETY: `environ` is null, or points to a null-terminated array of NUL-terminated strings.
    unsafe {
        if environ.is_null() || (*environ).is_null() {
            return;
        }
        let mut entry = *environ;
        while !(*entry).is_null() {
            let text = core::ffi::CStr::from_ptr((*entry).cast()).to_bytes();
            if let Some(path) = text.strip_prefix(NAME) {
                DIRECTORY.set(path);
                return;
            }
            entry = entry.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found when the environment comes in pieces of this size.
    fn found(environment: &[u8], piece: usize) -> Option<Vec<u8>> {
        let mut rest = environment;
        let read = |buffer: &mut [u8]| {
            let len = rest.len().min(piece).min(buffer.len());
            let (now, later) = rest.split_at(len);
            buffer[..len].copy_from_slice(now);
            rest = later;
            len
        };
        find(read, &mut [0; 64]).map(<[u8]>::to_vec)
    }

    #[test]
    fn the_variable_is_found_wherever_reads_end() {
        let long = [b'x'; 200];
        let environment = [b"A=1\0LONG=".as_slice(), &long, b"\0UNFREED_DIR=/some/where\0B=2\0"].concat();
        for piece in 1..80 {
            assert_eq!(found(&environment, piece).as_deref(), Some(b"/some/where".as_slice()), "{piece}");
            assert_eq!(found(b"A=1\0NOT_UNFREED_DIR=/x\0", piece), None, "{piece}");
            // What looks like it within a longer string is not it.
            let within = [&long[..], b"UNFREED_DIR=/x\0"].concat();
            assert_eq!(found(&within, piece), None, "{piece}");
        }
        assert_eq!(found(b"", 10), None);
    }
}
