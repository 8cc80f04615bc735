//! All processes of a run: a directory of process files, one such file, or a pack.
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::liveness::states;
use super::loss::{ReadError, Unreadable};
use super::places::{process_files, with_file};
use super::recording::Recording;
use super::run::RunWords;
use crate::pack::{self, Unpacked};
use crate::symbols;

/// The processes of a run, in the order in which they began.
#[derive(Default)]
pub struct Run {
    /// The readable files.
    pub recordings: Vec<Recording>,
    /// Those that were not asked for.
    pub others: Vec<Recording>,
    /// Files of the directory that are no recordings.
    pub unreadable: Vec<ReadError>,
    /// What its processes share.
    pub words: Arc<RunWords>,
    /// The pack that it comes out of.
    pub packed: Option<Unpacked>,
}

/// Opens a run directory, one process's file or a pack. At least one recording is there, else it is an error.
pub fn open(path: &Path) -> Result<Run, ReadError> {
    match pack::open(path)? {
        Some(run) => Ok(run),
        None => open_unpacked(path).map(Run::with_states),
    }
}

/// Opens a run directory or one process's file, whatever became of its processes.
pub(crate) fn open_unpacked(path: &Path) -> Result<Run, ReadError> {
    open_files(path).map(|run| run.with_words(path))
}

fn open_files(path: &Path) -> Result<Run, ReadError> {
    let fail = |why| ReadError { path: path.to_path_buf(), why };
    let metadata =
        with_file(path, |path| std::fs::metadata(path)).map_err(|error| fail(Unreadable::Io(error)))?;
    if !metadata.is_dir() {
        let recordings = Recording::open_all(path)?;
        return Ok(Run { recordings, ..Run::default() });
    }
    let files = process_files(path)?;
    if files.is_empty() {
        return Err(fail(Unreadable::EmptyDirectory));
    }
    let mut run = Run::default();
    for file in files {
        match Recording::open_all(&file) {
            Ok(processes) => run.recordings.extend(processes),
            Err(error) => run.unreadable.push(error),
        }
    }
    if run.recordings.is_empty() {
        return Err(run.unreadable.remove(0));
    }
    run.recordings.sort_by_key(|recording| {
        let header = &recording.header;
        (header.monotonic_ns, header.realtime_ns, header.pid, header.file_id)
    });
    run.set_copies_aside();
    Ok(run)
}

impl Run {
    /// Counts each process once, whatever copies and links of its file are there: the one with most in it.
    fn set_copies_aside(&mut self) {
        let mut kept: Vec<Recording> = Vec::new();
        let mut places = HashMap::new();
        for recording in self.recordings.drain(..) {
            let place = *places.entry(recording.header.file_id).or_insert(kept.len());
            let Some(known) = kept.get_mut(place) else {
                kept.push(recording);
                continue;
            };
            let more = recording.log_bytes() > known.log_bytes();
            let copy = if more { std::mem::replace(known, recording) } else { recording };
            // Once for each file.
            if copy.process == 0 {
                self.unreadable
                    .push(ReadError { path: copy.path, why: Unreadable::CopyOf(known.path.clone()) });
            }
        }
        self.recordings = kept;
    }

    fn with_words(mut self, path: &Path) -> Run {
        self.words = Arc::new(RunWords::read(path));
        self.recordings.iter_mut().for_each(|recording| recording.words = Arc::clone(&self.words));
        self
    }

    fn with_states(mut self) -> Run {
        let states = states(&self.recordings);
        for (recording, state) in self.recordings.iter_mut().zip(states) {
            recording.state = state;
        }
        self
    }

    /// A path as people know it: within the pack, not where that was unpacked to.
    pub fn shown(&self, path: &Path) -> PathBuf {
        self.packed.as_ref().map_or_else(|| path.to_path_buf(), |packed| packed.shown(path))
    }

    /// Where symbols are: in the pack too.
    pub fn symbols(&self, options: &symbols::Options) -> symbols::Options {
        self.packed.as_ref().map_or_else(|| options.clone(), |packed| packed.symbols(options))
    }

    /// Bytes that there are to read in all files.
    pub fn log_bytes(&self) -> u64 {
        self.recordings.iter().map(Recording::log_bytes).sum()
    }
}
