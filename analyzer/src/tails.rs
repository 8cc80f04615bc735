//! What processes that are gone left to do: the unused, sparse ends of their files are cut off, and the files moved out
//! of `live/`; what was noted for programs that they might have executed is removed.
//!
//! A file is made as large as it may ever become, so that the recorder need not grow it; copying it would write
//! those zeros out. A file that may still be written is never touched.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use recording::layout::{CHUNK, CUTTING, FILTERS, FileHeader, SIZE};
use recording::run::RUN;

use crate::reader::{self, Recording};

/// Tidies every recording file in `directory` that nobody writes any more.
pub fn tidy(directory: &Path) -> io::Result<()> {
    for path in reader::process_files(directory).map_err(|error| io::Error::other(error.to_string()))? {
        match tidy_file(&path) {
            // Its process exited meanwhile, and moved it.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    let live = reader::live(directory);
    let is_no_process = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name() == FILTERS || entry.file_name() == RUN)
    };
    if fs::read_dir(&live).is_ok_and(|mut entries| entries.all(is_no_process)) {
        let _ = fs::remove_file(live.join(FILTERS));
        // The run's marks stay, and so does the directory with them.
        let _ = fs::remove_dir(live);
    }
    Ok(())
}

fn tidy_file(path: &Path) -> io::Result<()> {
    let Ok(headers) = headers(path) else { return Ok(()) };
    if headers.iter().any(may_be_written) {
        return Ok(());
    }
    let used = headers[0].next_chunk.saturating_mul(CHUNK as u64);
    if used != 0 && used < fs::metadata(path)?.len() {
        cut_file(path, used)?;
    }
    reader::settled(path).map_or(Ok(()), |settled| fs::rename(path, settled))
}

/// Cuts a file in the way that its writers know: a forked child that has not begun yet may be about to go on in it.
fn cut_file(path: &Path, used: u64) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let put = |at: usize, word: u64| file.write_all_at(&word.to_le_bytes(), at as u64);
    let len = file.metadata()?.len();
    put(SIZE, used | CUTTING)?;
    let is_unused = header(path).is_ok_and(|header| header.next_chunk.saturating_mul(CHUNK as u64) <= used);
    let cut = if is_unused { file.set_len(used) } else { Ok(()) };
    put(SIZE, if is_unused && cut.is_ok() { used } else { len })?;
    cut
}

/// A process that writes this file, if one runs, or may for all that can be seen from here.
pub fn writer(path: &Path) -> Option<u32> {
    headers(path).ok()?.into_iter().find(may_be_written).map(|header| header.pid)
}

/// Of all processes of the file: one at least.
fn headers(path: &Path) -> io::Result<Vec<FileHeader>> {
    let first = header(path)?;
    if first.processes == 0 {
        return Ok(vec![first]);
    }
    let processes = Recording::open_all(path).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(processes.into_iter().map(|process| process.header).collect())
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

    #[test]
    fn filters_are_removed_when_no_file_is_left_beside_them() {
        let directory = std::env::temp_dir().join(format!("unfreed-filters-{}", std::process::id()));
        let live = reader::live(&directory);
        fs::create_dir_all(&live).expect("a directory");
        let other = live.join("other");
        for path in [&live.join(FILTERS), &other] {
            fs::write(path, [0; 16]).expect("a file");
        }
        tidy(&directory).expect("it can be read");
        assert!(live.join(FILTERS).exists());
        fs::remove_file(other).expect("it is there");
        tidy(&directory).expect("it can be read");
        assert!(!live.exists());
        fs::remove_dir_all(directory).expect("it can be removed");
    }
}
