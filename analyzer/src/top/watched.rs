//! The processes that are watched: their recordings, brought up to date, and what was read of each.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::kernel;
use super::scan::Scan;
use crate::aggregate::PythonNames;
use crate::reader::{
    Definitions, Follower, ProcessState, Recording, Run, live, running, state_of, with_file,
};

/// A process.
pub struct Watched {
    /// Its recording.
    pub recording: Recording,
    /// Its id here, if it ran when that was asked.
    pub pid: Option<u32>,
    /// What its stacks hold.
    pub scan: Scan,
    /// Whether it was read as it ended, and need not be read again.
    pub is_settled: bool,
    /// Whether it was read at all.
    pub is_read: bool,
    /// What its stacks are.
    pub definitions: Definitions,
    /// What of it was named.
    pub names: PythonNames,
    /// Its number in the ledger, which is never another's.
    pub number: usize,
    /// Its resident memory, bytes, as far as the kernel tells.
    pub resident: Option<u64>,
    /// Which of the files that are written it is in.
    file: Option<usize>,
}

/// All processes, in the order in which they began.
pub struct Processes {
    /// Each of them.
    pub all: Vec<Watched>,
    path: PathBuf,
    /// Those that are written.
    files: Vec<(PathBuf, Follower)>,
    directories: Directories,
    numbers: usize,
    /// Bytes on the disk of all files.
    pub disk_bytes: u64,
    /// What keeps a pack's files where they are.
    run: Run,
}

impl Processes {
    /// Those of a run, that was opened at `path`.
    pub fn new(path: &Path, run: Run) -> Processes {
        let mut processes = Processes {
            all: Vec::new(),
            path: path.to_path_buf(),
            files: Vec::new(),
            directories: Directories::default(),
            numbers: 0,
            disk_bytes: 0,
            run: Run::default(),
        };
        // What appears from now on is not in the run.
        processes.directories.have_changed(path);
        processes.replace(run);
        processes
    }

    /// Whether another one may have appeared since the last time that this was asked.
    pub fn may_be_more(&mut self) -> bool {
        self.run.packed.is_none() && self.directories.have_changed(&self.path)
    }

    /// The same run, opened again.
    pub fn replace(&mut self, mut run: Run) {
        let here: HashMap<usize, u32> = match run.packed {
            Some(_) => HashMap::new(),
            None => running(&run.recordings).into_iter().collect(),
        };
        let mut known: HashMap<u64, Watched> =
            self.all.drain(..).map(|watched| (watched.recording.header.file_id, watched)).collect();
        for (place, recording) in std::mem::take(&mut run.recordings).into_iter().enumerate() {
            let pid = here.get(&place).copied();
            self.all.push(match known.remove(&recording.header.file_id) {
                Some(before) => Watched { recording, pid, file: None, ..before },
                None => {
                    self.numbers += 1;
                    Watched {
                        recording,
                        pid,
                        scan: Scan::default(),
                        is_settled: false,
                        is_read: false,
                        definitions: Definitions::default(),
                        names: PythonNames::default(),
                        number: self.numbers - 1,
                        resident: None,
                        file: None,
                    }
                }
            });
        }
        self.files.clear();
        if run.packed.is_none() {
            self.follow();
        }
        self.run = run;
    }

    fn follow(&mut self) {
        let mut of_files: BTreeMap<&PathBuf, Vec<usize>> = BTreeMap::new();
        for (place, watched) in self.all.iter().enumerate() {
            of_files.entry(&watched.recording.path).or_default().push(place);
        }
        let runs = |place: &usize| self.all[*place].recording.is_running();
        of_files.retain(|_, places| places.iter().any(runs));
        let follow = |(path, places): (&&PathBuf, &Vec<usize>)| {
            let of_file: Vec<&Recording> = places.iter().map(|&place| &self.all[place].recording).collect();
            (PathBuf::clone(path), Follower::new(&of_file))
        };
        self.files = of_files.iter().map(follow).collect();
        for (file, places) in of_files.into_values().collect::<Vec<_>>().into_iter().enumerate() {
            places.into_iter().for_each(|place| self.all[place].file = Some(file));
        }
    }

    /// Brings those that run up to date. True if one of them does not run any more, or there is another one.
    pub fn look(&mut self) -> bool {
        self.disk_bytes = self.on_disk();
        let mut of_files: Vec<Vec<&mut Recording>> = self.files.iter().map(|_| Vec::new()).collect();
        for watched in &mut self.all {
            if let Some(file) = watched.file {
                of_files[file].push(&mut watched.recording);
            }
        }
        let mut changed = false;
        for ((path, follower), mut of_file) in self.files.iter_mut().zip(of_files) {
            // A file that is gone is not read any more; what was read of it stays.
            changed |= follower.look(path, &mut of_file).unwrap_or(false);
        }
        if self.run.packed.is_some() {
            return false;
        }
        for watched in &mut self.all {
            let Some(pid) = watched.pid else { continue };
            watched.resident = kernel::resident(pid);
            if !watched.recording.is_running() {
                continue;
            }
            let state = state_of(&watched.recording, pid);
            if state != ProcessState::Running {
                watched.recording.state = state;
                watched.pid = None;
                changed = true;
            }
        }
        changed
    }

    /// Where each process is, by its number in the ledger.
    pub fn places(&self) -> Vec<Option<usize>> {
        let mut places = vec![None; self.numbers];
        self.all.iter().enumerate().for_each(|(place, watched)| places[watched.number] = Some(place));
        places
    }

    fn on_disk(&self) -> u64 {
        let files: BTreeSet<&PathBuf> = self.all.iter().map(|watched| &watched.recording.path).collect();
        let size = |path: &&PathBuf| {
            with_file(path, |path| fs::metadata(path)).map_or(0, |file| 512 * file.blocks())
        };
        files.iter().map(size).sum()
    }
}

/// The files of a recording, as far as their names tell: a directory that has not changed is not read again.
#[derive(Default)]
struct Directories {
    changed: Vec<Option<SystemTime>>,
    names: BTreeSet<OsString>,
}

impl Directories {
    /// Whether there is a file that was not there.
    fn have_changed(&mut self, path: &Path) -> bool {
        let directories = [path.to_path_buf(), live(path)];
        let times: Vec<_> =
            directories.iter().map(|path| fs::metadata(path).and_then(|it| it.modified()).ok()).collect();
        if times == self.changed {
            return false;
        }
        self.changed = times;
        let entries = directories.iter().filter_map(|path| fs::read_dir(path).ok()).flatten().flatten();
        let names: BTreeSet<OsString> = entries.map(|entry| entry.file_name()).collect();
        let more = !names.is_subset(&self.names);
        self.names = names;
        more
    }
}
