//! Which files a recording consists of.
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use recording::layout::LIVE_DIRECTORY;
use recording::run::RUN;

use crate::reader::{self, Run};

/// The files of a recording.
pub struct Sources {
    /// In the order of their names.
    pub files: Vec<Source>,
    /// The name of the one that is the recording, if it is a file and no directory.
    pub only: Option<PathBuf>,
}

/// One of its files.
pub struct Source {
    /// Its path in the recording's directory.
    pub name: PathBuf,
    /// Where it is.
    pub path: PathBuf,
}

impl Sources {
    /// Of a run that was opened at `path`.
    pub fn of(path: &Path, run: &Run) -> io::Result<Sources> {
        let unpacked = run.packed.as_ref().map(|packed| packed.recording());
        let path = unpacked.as_deref().unwrap_or(path);
        if fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
            return Ok(Sources { files: of_directory(path)?, only: None });
        }
        let recording = run.recordings.first().map_or(path, |recording| &recording.path);
        let folder = recording.parent().unwrap_or(Path::new(""));
        let name = Path::new(recording.file_name().unwrap_or_default());
        let is_live =
            folder.canonicalize().is_ok_and(|folder| folder.file_name() == Some(OsStr::new(LIVE_DIRECTORY)));
        let name = if is_live { Path::new(LIVE_DIRECTORY).join(name) } else { name.to_owned() };
        let live = if is_live { folder.to_owned() } else { reader::live(folder) };
        let mut files = others(&live, |_| true)?;
        files.retain(|file| !is_recording(&file.path));
        files.push(Source { name: name.clone(), path: recording.to_owned() });
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Sources { files, only: Some(name) })
    }
}

fn of_directory(directory: &Path) -> io::Result<Vec<Source>> {
    let processes =
        reader::process_files(directory).map_err(|error| io::Error::other(error.why.to_string()))?;
    let named = |path: PathBuf| Some(Source { name: path.strip_prefix(directory).ok()?.to_owned(), path });
    let mut files: Vec<Source> = processes.into_iter().filter_map(named).collect();
    files.extend(others(&reader::live(directory), |_| true)?);
    // If it is itself the directory of what runs.
    files.extend(others(directory, |name| name == RUN)?);
    // What is neither file nor directory cannot be read.
    files.retain(|file| reader::with_file(&file.path, |path| fs::metadata(path)).is_ok_and(|m| m.is_file()));
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files.dedup_by(|a, b| a.name == b.name);
    Ok(files)
}

/// The regular files of a directory that are not of a process, named as in `live/`.
fn others(directory: &Path, wanted: impl Fn(&OsStr) -> bool) -> io::Result<Vec<Source>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if wanted(&name) && !is_recording(&entry.path()) && entry.file_type().is_ok_and(|kind| kind.is_file())
        {
            files.push(Source { name: Path::new(LIVE_DIRECTORY).join(name), path: entry.path() });
        }
    }
    Ok(files)
}

fn is_recording(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "unfreed")
}
