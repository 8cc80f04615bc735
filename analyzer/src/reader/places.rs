//! Where the files of a recording lie: those of running and killed processes in `DIR/live/`, the others in `DIR`.
//!
//! A process that exits moves its file from the one place to the other, at any moment of a reading.
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use recording::layout::LIVE_DIRECTORY;

use super::loss::{ReadError, Unreadable};

/// The directory of the files that are written to now.
pub fn live(directory: &Path) -> PathBuf {
    directory.join(LIVE_DIRECTORY)
}

/// The process files of a recording.
pub fn process_files(directory: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let fail = |path: &Path, error| ReadError { path: path.to_path_buf(), why: Unreadable::Io(error) };
    let live = live(directory);
    let written = match files(&live) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Vec::new()
        }
        files => files.map_err(|error| fail(&live, error))?,
    };
    let mut all = files(directory).map_err(|error| fail(directory, error))?;
    // What was moved between the two readings is in both.
    let is_moved = |path: &PathBuf| !path.exists() && settled(path).is_some_and(|path| all.contains(&path));
    let written: Vec<_> = written.into_iter().filter(|path| !is_moved(path)).collect();
    all.extend(written);
    all.sort();
    Ok(all)
}

fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    let named = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "unfreed");
    Ok(entries.into_iter().map(|entry| entry.path()).filter(named).collect())
}

/// Where a file that lies in `live/` stays when its process is gone.
pub fn settled(path: &Path) -> Option<PathBuf> {
    let directory = path.parent().filter(|parent| parent.file_name() == Some(OsStr::new(LIVE_DIRECTORY)))?;
    Some(directory.parent()?.join(path.file_name()?))
}

/// Does something with a file, which may have been moved since its path was known.
pub fn with_file<T>(path: &Path, with: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    match (with(path), settled(path)) {
        (Err(error), Some(settled)) if error.kind() == io::ErrorKind::NotFound => {
            with(&settled).map_err(|_| error)
        }
        (result, _) => result,
    }
}
