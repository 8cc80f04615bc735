//! What the processes of a run share, as far as it is read: when epochs began, and the marks.
//!
//! The file is written to by every process of the run, and may be missing: then epochs have no times, and there are no
//! marks.
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use recording::layout::LIVE_DIRECTORY;
use recording::run::{self, MARK_COUNT};
use recording::table::EPOCHS;

use super::places::live;
use super::recording::read_fully;

/// A named moment of all processes of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Its name.
    pub name: String,
    /// Everything of this epoch and later came after it.
    pub epoch: u32,
    /// Wall clock, ns since 1970.
    pub realtime_ns: u64,
    /// Monotonic clock, ns.
    pub monotonic_ns: u64,
    /// How often a program said the name; the moment is the first.
    pub count: u64,
}

/// The words of a run, as they were when they were read.
#[derive(Default, Debug)]
pub struct RunWords {
    /// Monotonic clock when the run began, ms; 0 unknown.
    pub begun_ms: u64,
    /// See [`run::CONTROL`]; 0 unknown.
    pub control: u64,
    /// Bytes of the chunks of events of all the run's files.
    pub log_bytes: u64,
    /// The marks, in the order in which they were begun.
    pub marks: Vec<Mark>,
    /// Monotonic clock at which each epoch began, ms, by its number; none is before the one before it.
    times: Vec<u64>,
}

impl RunWords {
    /// Where the words are of the run that this directory, or this process's file, is of.
    pub fn path(recording: &Path) -> PathBuf {
        let directory =
            if recording.is_dir() { recording } else { recording.parent().unwrap_or(Path::new("")) };
        match directory.file_name() == Some(OsStr::new(LIVE_DIRECTORY)) {
            true => directory.join(run::RUN),
            false => live(directory).join(run::RUN),
        }
    }

    /// Reads them; all are unknown where the file is not there, or is something else.
    pub fn read(recording: &Path) -> RunWords {
        Self::try_read(&Self::path(recording)).unwrap_or_default()
    }

    fn try_read(path: &Path) -> Option<RunWords> {
        // Asked before it is opened: the opening of a named pipe waits for a writer.
        if !std::fs::metadata(path).ok()?.is_file() {
            return None;
        }
        let file = File::open(path).ok()?;
        let mut head = vec![0; run::HEAD];
        let len = read_fully(&file, &mut head, 0).ok()?;
        head.truncate(len);
        let version = u32::from_le_bytes(*head.get(run::AT_VERSION..)?.first_chunk()?);
        if !head.starts_with(&run::MAGIC) || version > run::VERSION {
            return None;
        }
        let word = |at: usize| Some(u64::from_le_bytes(*head.get(at..)?.first_chunk()?));
        let control = word(run::CONTROL)?;
        let mut times = vec![0; 8 * (run::epoch(control).min(EPOCHS - 1) as usize + 1)];
        let len = read_fully(&file, &mut times, run::EPOCH_TIMES as u64).unwrap_or(0);
        let mut last = 0;
        let times = times[..len].as_chunks().0.iter().map(|bytes| {
            last = u64::from_le_bytes(*bytes).max(last);
            last
        });
        let times = times.collect();
        let marks = (0..MARK_COUNT).filter_map(|index| run::Mark::read(&head, index));
        let mut marks: Vec<Mark> = marks.map(|mark| Mark::of(&mark)).collect();
        marks.sort_by_key(|mark| mark.epoch);
        let begun_ms = word(run::AT_BEGUN)?;
        Some(RunWords { begun_ms, control, log_bytes: word(run::LOG_BYTES)?, marks, times })
    }

    /// The epoch of this moment, monotonic ms; 0: before the first one, or unknown.
    pub fn epoch_at(&self, ms: u64) -> u32 {
        // Of those whose beginning is not known the time is that of the one before.
        let begun = self.times.partition_point(|&time| time <= ms);
        let first = self.times.iter().position(|&time| time != 0).unwrap_or(self.times.len());
        if begun > first { begun as u32 - 1 } else { 0 }
    }

    /// When an epoch began, monotonic ms; of one that has not begun, the latest. `None` if no times are known.
    pub fn time_of(&self, epoch: u32) -> Option<u64> {
        let time = self.times.get(epoch as usize).or(self.times.last());
        time.copied().filter(|&time| time != 0)
    }
}

impl Mark {
    fn of(mark: &run::Mark) -> Mark {
        Mark {
            // Programs may say anything, and it is printed.
            name: String::from_utf8_lossy(mark.name).replace(char::is_control, " "),
            epoch: mark.epoch,
            realtime_ns: mark.realtime_ns,
            monotonic_ns: mark.monotonic_ns,
            count: mark.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_epochs() {
        let words = RunWords { times: vec![0, 100, 100, 250, 400], ..RunWords::default() };
        let epochs = [(0, 0), (99, 0), (100, 2), (249, 2), (250, 3), (1_000, 4)];
        assert!(epochs.iter().all(|&(ms, epoch)| words.epoch_at(ms) == epoch));
        assert_eq!([0, 1, 3, 9].map(|epoch| words.time_of(epoch)), [None, Some(100), Some(250), Some(400)]);
        assert_eq!((RunWords::default().epoch_at(7), RunWords::default().time_of(1)), (0, None));
    }
}
