//! The words that all processes of a run share (`live/run`), changed from outside: marks, and what is switched on or off.
//!
//! The recorded processes see a change at their next allocation or free; no signal is sent and none is stopped. Those
//! who change the words this way do it one after another, under a lock of the file; programs set marks of their own
//! at any moment, so slots of marks are claimed as they do it.
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use memmap2::{MmapOptions, MmapRaw};
use recording::layout::LIVE_DIRECTORY;
use recording::run::{self, Mark, Switch};
use recording::table::EPOCHS;

use crate::error::{Failure, owner, reason};
use crate::pack;
use crate::reader::{live, monotonic_ns};

/// The words of a run, mapped.
pub struct Control {
    /// As it was named.
    recording: PathBuf,
    file: File,
    words: MmapRaw,
}

impl Control {
    /// Those of the recording that is, or has, the file or directory `recording`.
    pub fn open(recording: &Path) -> Result<Control, Failure> {
        let metadata = recording.metadata().map_err(|why| refused(recording, recording, &why))?;
        for path in run_files(recording) {
            match OpenOptions::new().read(true).write(true).open(&path) {
                Ok(file) => return Control::map(recording, file),
                Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(why) => return Err(refused(recording, &path, &why)),
            }
        }
        Err(match metadata.is_dir() {
            true => Failure::new(
                recording.display(),
                "nothing has been recorded there, or by an older unfreed",
                "name the directory of 'unfreed run -o', or UNFREED_DIR",
            ),
            false if pack::is_pack(recording) => {
                let advice = "name the recording that it was made of";
                Failure::new(recording.display(), "a pack cannot be marked or switched", advice)
            }
            false => Failure::new(recording.display(), "is not the directory of a recording", ""),
        })
    }

    fn map(recording: &Path, file: File) -> Result<Control, Failure> {
        let failed = |why: &str| Failure::new(recording.display(), format_args!("its live/run {why}"), "");
        let refused = |why: io::Error| refused(recording, recording, &why);
        if file.metadata().map_err(refused)?.len() < run::SIZE as u64 {
            return Err(failed("is cut"));
        }
        // Who made the file took care that there is space for its head; who copied it perhaps not.
        allocate(&file, 0, run::HEAD).map_err(refused)?;
        let words = MmapOptions::new().len(run::SIZE).map_raw(&file).map_err(refused)?;
        let control = Control { recording: recording.to_path_buf(), file, words };
        let head = control.head();
        let is_known = head[..8] == run::MAGIC && u32::from(head[run::AT_VERSION]) == run::VERSION;
        if is_known { Ok(control) } else { Err(failed("is of another version of unfreed, or damaged")) }
    }

    fn failure(&self, why: impl std::fmt::Display, advice: &str) -> Failure {
        Failure::new(self.recording.display(), why, advice)
    }

    /// Sets a mark: what is allocated from now on, in any process of the run, came after it.
    pub fn mark(&self, name: &str) -> Result<(), Failure> {
        self.lock()?;
        let head = self.head();
        let same = |mark: &Mark| mark.name == name.as_bytes();
        if (0..run::MARK_COUNT).filter_map(|index| Mark::read(&head, index)).any(|mark| same(&mark)) {
            return Err(self.failure(format!("has a mark '{name}' already"), "choose another name"));
        }
        let claimed = self.word(run::NEXT_MARK).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            (next < run::MARK_COUNT as u64).then_some(next + 1)
        });
        let Ok(slot) = claimed else {
            let why = format!("has {} marks, and no place for more", run::MARK_COUNT);
            return Err(self.failure(why, "begin a new recording"));
        };
        let at = run::MARKS + run::MARK * slot as usize;
        let text = at + run::MARK_TEXT;
        for (index, part) in name.as_bytes().chunks(8).enumerate() {
            let mut bytes = [0; 8];
            bytes[..part.len()].copy_from_slice(part);
            self.word(text + 8 * index).store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
        let Some((epoch, now)) = self.begin_epoch() else {
            return Err(self.failure("has lasted too long for another mark", "begin a new recording"));
        };
        let since_1970 =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        for (place, value) in [
            (run::MARK_LENGTH, name.len() as u64),
            (run::MARK_REALTIME, since_1970),
            (run::MARK_MONOTONIC, now),
            (run::MARK_SAID, 1),
        ] {
            self.word(at + place).store(value, Ordering::Relaxed);
        }
        self.word(at + run::MARK_EPOCH).store(u64::from(epoch), Ordering::Release);
        Ok(())
    }

    /// Begins an epoch in all processes of the run: its number, and the monotonic clock, ns. `None`: there were too many.
    pub fn begin_epoch(&self) -> Option<(u32, u64)> {
        let epoch = run::epoch(self.word(run::CONTROL).fetch_add(1, Ordering::AcqRel)) + 1;
        if epoch >= EPOCHS {
            return None;
        }
        // After that: what begins later, by its clock, is of that epoch.
        let now = monotonic_ns();
        let time = run::EPOCH_TIMES + 8 * epoch as usize;
        // On a full disk there is no place for it; a mark has it too.
        if allocate(&self.file, time, 8).is_ok() {
            self.word(time).store(now / 1_000_000, Ordering::Relaxed);
        }
        Some((epoch, now))
    }

    /// Whether processes record that are not switched by themselves.
    pub fn is_on(&self) -> bool {
        self.word(run::CONTROL).load(Ordering::Relaxed) & run::OFF == 0
    }

    /// Switches all processes of the run.
    pub fn switch_all(&self, on: bool) -> Result<(), Failure> {
        self.lock()?;
        for index in 0..run::SWITCH_COUNT {
            self.word(switch_place(index) + 8).store(0, Ordering::Relaxed);
        }
        self.changed(if on { 0 } else { run::OFF });
        Ok(())
    }

    /// Switches these processes, whatever the others do. `is_gone` tells which of the known ones need no switch any more.
    pub fn switch(&self, switches: &[Switch], is_gone: impl Fn(&Switch) -> bool) -> Result<(), Failure> {
        self.lock()?;
        let head = self.head();
        let mut known: Vec<Option<Switch>> =
            (0..run::SWITCH_COUNT).map(|index| Switch::read(&head, index)).collect();
        let is_same = |a: &Switch, b: &Switch| {
            (a.namespace, a.pid, a.start_ticks) == (b.namespace, b.pid, b.start_ticks)
        };
        for new in switches {
            let same = known.iter().position(|known| known.is_some_and(|known| is_same(&known, new)));
            let free = || known.iter().position(|known| known.is_none_or(|known| is_gone(&known)));
            let Some(place) = same.or_else(free) else {
                let why = format!(
                    "{} processes are switched by themselves, and there is no place for more",
                    known.len()
                );
                return Err(self.failure(why, "switch the whole recording"));
            };
            known[place] = Some(*new);
            let [namespace, pid, start] = new.to_words();
            self.word(switch_place(place) + 8).store(0, Ordering::Release);
            self.word(switch_place(place)).store(namespace, Ordering::Relaxed);
            self.word(switch_place(place) + 16).store(start, Ordering::Relaxed);
            self.word(switch_place(place) + 8).store(pid, Ordering::Release);
        }
        self.changed(self.word(run::CONTROL).load(Ordering::Relaxed) & run::OFF);
        Ok(())
    }

    /// Tells the processes to look at the switches again.
    fn changed(&self, off: u64) {
        let next = |control: u64| Some((control & !run::OFF).wrapping_add(run::CHANGE) & !run::OFF | off);
        let _ = self.word(run::CONTROL).fetch_update(Ordering::AcqRel, Ordering::Relaxed, next);
    }

    /// Until this is dropped: the descriptor's lock.
    fn lock(&self) -> Result<(), Failure> {
        // SAFETY: the descriptor is open; no memory is involved.
        if unsafe { libc::flock(self.file.as_raw_fd(), libc::LOCK_EX) } != 0 {
            let why = io::Error::last_os_error();
            return Err(self.failure(format!("cannot be locked: {}", reason(&why)), ""));
        }
        Ok(())
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.words.len());
        // SAFETY: the place is in the mapping, which is page aligned and lives as long as `self`, and is touched by
        // atomic operations alone. A file that somebody cuts meanwhile ends this process by SIGBUS, as it would all
        // that write to it.
        unsafe { AtomicU64::from_ptr(self.words.as_mut_ptr().add(at).cast()) }
    }

    /// All but the times of epochs.
    fn head(&self) -> Vec<u8> {
        let word = |at| self.word(at).load(Ordering::Acquire).to_le_bytes();
        (0..run::HEAD).step_by(8).flat_map(word).collect()
    }
}

fn switch_place(index: usize) -> usize {
    run::SWITCHES + run::SWITCH * index
}

/// Makes sure that there is space for a part of the file. File systems that cannot say so have none to promise.
fn allocate(file: &File, at: usize, len: usize) -> io::Result<()> {
    // SAFETY: the descriptor is open; no memory is involved.
    if unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, at as i64, len as i64) } == 0 {
        return Ok(());
    }
    let why = io::Error::last_os_error();
    match why.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOSYS) => Ok(()),
        _ => Err(why),
    }
}

/// Where the run file is of a recording's directory, of its `live/`, or of a process's file in either.
fn run_files(recording: &Path) -> Vec<PathBuf> {
    let is_process = recording.extension().is_some_and(|extension| extension == "unfreed");
    let directory = match recording.parent().filter(|_| is_process && recording.is_file()) {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => recording,
    };
    let mut files = vec![live(directory).join(run::RUN)];
    if directory.canonicalize().is_ok_and(|path| path.file_name() == Some(OsStr::new(LIVE_DIRECTORY))) {
        files.push(directory.join(run::RUN));
    }
    files
}

/// Why `path` of a recording cannot be changed.
fn refused(recording: &Path, path: &Path, why: &io::Error) -> Failure {
    let advice = match why.kind() {
        io::ErrorKind::PermissionDenied => {
            owner(path).map_or_else(String::new, |owner| format!("it is of user {owner}, who may change it"))
        }
        io::ErrorKind::StorageFull => "free some space".to_string(),
        _ => String::new(),
    };
    Failure::new(recording.display(), reason(why), advice)
}
