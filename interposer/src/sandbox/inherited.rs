//! Filters over exec: the kernel keeps them, and the recorder in the new image knows nothing of them.
//!
//! So each filter is written, before it is installed, to a file in the recording's `live/` that is named after the
//! process. A new image looks for that file first of all, and for one of the process that it was forked from, by calls
//! that the loader has made before: a program that came so far is not ended by them. For each filter the file has the
//! start of the process in clock ticks, the number of instructions, and these. Filters that were installed outside of
//! the recording are in no file; those of containers give errors, which end nothing.

use super::bpf::Instruction;
use super::{enter, new_filter};
use crate::config::{DIRECTORY, DIRECTORY_MAX};
use crate::process::{self, Stat};
use crate::sys::{self, Fd};
use core::slice;
use core::sync::atomic::Ordering::Release;
use recording::layout::{FILTERS, LIVE_DIRECTORY};

/// Room for a path.
const PATH_MAX: usize = DIRECTORY_MAX + 32;
/// Room for `/proc/PID/stat`.
const STAT_MAX: usize = 512;

/// Puts together `parts`, a number, `suffix` and NUL.
fn path<'b>(out: &'b mut [u8], parts: &[&[u8]], number: u64, suffix: &[u8]) -> &'b [u8] {
    let digits = (0..20).rev().map(|place| number / 10u64.pow(place)).skip_while(|rest| *rest == 0);
    let digits = digits.map(|rest| b'0' + (rest % 10) as u8);
    let text = parts.iter().copied().flatten().copied().chain(digits).chain(suffix.iter().copied());
    let mut len = 0;
    for (place, byte) in out.iter_mut().take(PATH_MAX - 1).zip(text) {
        *place = byte;
        len += 1;
    }
    if let Some(end) = out.get_mut(len) {
        *end = 0;
    }
    out.get(..=len).unwrap_or(b"\0")
}

/// The file of process `pid`.
fn file_of(pid: u64, out: &mut [u8]) -> &[u8] {
    path(out, &[DIRECTORY.path(), b"/", LIVE_DIRECTORY.as_bytes(), b"/", FILTERS.as_bytes()], pid, b"")
}

/// Writes down a filter that is about to be installed.
#[cold]
pub fn write(program: &[Instruction]) {
    let mut scratch = [0; PATH_MAX + STAT_MAX];
    let Some(Stat { pid, start_ticks, .. }) = process::stat(b"/proc/self/stat\0", &mut scratch) else {
        return;
    };
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND;
    let Ok(file) = Fd::open(file_of(pid, &mut scratch), flags, 0o600) else { return };
    let mut head = [0; 16];
    let (start, len) = head.split_at_mut(8);
    start.copy_from_slice(&start_ticks.to_le_bytes());
    len.copy_from_slice(&(program.len() as u64).to_le_bytes());
    // SAFETY: instructions are eight bytes without padding.
    let bytes = unsafe { slice::from_raw_parts(program.as_ptr().cast::<u8>(), size_of_val(program)) };
    let _ = file.write(&head).and_then(|_| file.write(bytes));
}

/// Takes down the process's file, as it exits.
pub fn remove() {
    let mut scratch = [0; PATH_MAX + STAT_MAX];
    if let Some(Stat { pid, .. }) = process::stat(b"/proc/self/stat\0", &mut scratch) {
        sys::remove_file(file_of(pid, &mut scratch));
    }
}

/// Looks for the filters under which this image was started.
#[cold]
pub fn read(scratch: &mut [u8]) {
    let Some((paths, scratch)) = scratch.split_at_mut_checked(PATH_MAX) else { return };
    let Some(own) = process::stat(b"/proc/self/stat\0", scratch) else { return };
    if let Ok(file) = Fd::open_read(file_of(own.pid, paths)) {
        read_from(&file, own.start_ticks);
    }
    if let Ok(file) = Fd::open_read(file_of(own.parent, paths))
        && let Some(parent) = process::stat(path(paths, &[b"/proc/"], own.parent, b"/stat"), scratch)
    {
        read_from(&file, parent.start_ticks);
    }
}

/// Enters the filters of a process with this start; what was left behind by another of its id is passed over.
fn read_from(file: &Fd, start_ticks: u64) {
    let mut head = [[0; 8]; 2];
    while file.read_all(head.as_flattened_mut()).is_ok_and(|read| read.len() == 16) {
        let [start, len] = head.map(u64::from_le_bytes);
        let fill = |program: &mut [Instruction]| {
            // SAFETY: any bytes are instructions.
            let bytes =
                unsafe { slice::from_raw_parts_mut(program.as_mut_ptr().cast::<u8>(), size_of_val(program)) };
            let len = bytes.len();
            file.read_all(bytes).is_ok_and(|read| read.len() == len)
        };
        let Some(filter) = new_filter(len as usize, fill) else { return };
        if start == start_ticks {
            filter.installed.store(true, Release);
            enter(filter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fit_or_are_cut() {
        let mut room = [1; PATH_MAX];
        assert_eq!(path(&mut room, &[b"/proc/"], 1203, b"/stat"), b"/proc/1203/stat\0");
        let long = [b'x'; PATH_MAX];
        let cut = path(&mut room, &[&long], 1, b"");
        assert!(cut.len() == PATH_MAX && cut.ends_with(b"x\0"));
        assert!(path(&mut [], &[b"/proc/"], 1, b"") == b"\0");
    }
}
