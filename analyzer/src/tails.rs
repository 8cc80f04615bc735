//! Cuts the unused, sparse ends of recording files whose process is gone.
//!
//! A file is made as large as it may ever become, so that the recorder need not grow it; copying it would write
//! those zeros out. A file that may still be written is never touched.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use recording::layout::{CHUNK, FileHeader};

/// Cuts every recording file in `directory` that nobody writes any more; returns how many were left because their
/// process still runs, or may.
pub fn cut(directory: &Path) -> io::Result<usize> {
    let mut left = 0;
    for path in recording_files(directory)? {
        let Ok(header) = header(&path) else { continue };
        if may_be_written(&header) {
            left += 1;
            continue;
        }
        let used = header.next_chunk.saturating_mul(CHUNK as u64);
        let len = fs::metadata(&path)?.len();
        if used != 0 && used < len {
            OpenOptions::new().write(true).open(&path)?.set_len(used)?;
        }
    }
    Ok(left)
}

/// The files that hold a process each.
pub fn recording_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    let named = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "unfreed");
    Ok(entries.into_iter().map(|entry| entry.path()).filter(named).collect())
}

/// The process that writes this file, if it runs, or may for all that can be seen from here.
pub fn writer(path: &Path) -> Option<u32> {
    header(path).ok().filter(may_be_written).map(|header| header.pid)
}

fn header(path: &Path) -> io::Result<FileHeader> {
    let mut start = Vec::new();
    File::open(path)?.take(CHUNK as u64).read_to_end(&mut start)?;
    FileHeader::decode(&start).map_err(|why| io::Error::other(format!("{why:?}")))
}

fn may_be_written(header: &FileHeader) -> bool {
    let Ok(namespace) = fs::metadata("/proc/self/ns/pid") else { return true };
    // A number of another pid namespace says nothing here.
    header.pid_namespace != namespace.ino() || is_running(header.pid, header.start_ticks)
}

fn is_running(pid: u32, start_ticks: u64) -> bool {
    let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
    };
    // The name in parentheses may hold anything; the fields behind it begin with the third, the state.
    let Some((_, fields)) = stat.rsplit_once(')') else { return true };
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
    // A zombie with more than one thread is a process whose first thread ended.
    let gone = matches!(fields.first(), Some(&("Z" | "X"))) && number(20).is_none_or(|threads| threads <= 1);
    !gone && number(22).is_none_or(|start| start == start_ticks || start_ticks == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_an_earlier_one_of_its_number_does_not() {
        let stat = fs::read_to_string("/proc/self/stat").expect("/proc");
        let start = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_ascii_whitespace().nth(19));
        let start: u64 = start.and_then(|text| text.parse().ok()).expect("field 22");
        assert!(is_running(std::process::id(), start));
        assert!(is_running(std::process::id(), 0), "start unknown");
        assert!(!is_running(std::process::id(), start - 1));
        assert!(!is_running(u32::MAX, start));
    }
}
