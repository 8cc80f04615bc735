//! What a report says, before it is printed.
use super::by::By;
use super::courses::Courses;
use super::own::Own;
use super::passing::TemporarySites;
use super::paths::{PathId, Paths};
use super::phase::Phase;
use crate::growth::Lifetimes;
use crate::python::merge::Fit;
use crate::reader::{Loss, ProcessState};
use crate::replay::{Anomalies, ArenaCounts, Inherited, Moment};

/// Counts of a site, a process or a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Counts {
    /// Bytes not freed.
    pub unfreed_bytes: u64,
    /// Blocks not freed.
    pub unfreed_blocks: u64,
    /// Bytes allocated in all.
    pub allocated_bytes: u64,
    /// Blocks allocated in all.
    pub allocations: u64,
    /// Of these, freed.
    pub frees: u64,
}

impl Counts {
    /// Adds `other`; saturates, since a damaged recording may say anything.
    pub fn add(&mut self, other: &Counts) {
        self.unfreed_bytes = self.unfreed_bytes.saturating_add(other.unfreed_bytes);
        self.unfreed_blocks = self.unfreed_blocks.saturating_add(other.unfreed_blocks);
        self.allocated_bytes = self.allocated_bytes.saturating_add(other.allocated_bytes);
        self.allocations = self.allocations.saturating_add(other.allocations);
        self.frees = self.frees.saturating_add(other.frees);
    }
}

/// A process of the run.
#[derive(Clone, Debug)]
pub struct Process {
    /// Name of its file.
    pub file: String,
    /// Process id.
    pub pid: u32,
    /// Its parent's.
    pub parent_pid: u32,
    /// Which of the run's processes that is, if it was recorded.
    pub parent: Option<usize>,
    /// Executable.
    pub exe: Option<String>,
    /// Command line.
    pub command: Vec<String>,
    /// What became of it.
    pub state: ProcessState,
    /// Events of blocks, to the moment if one was named; `None`: not known any more.
    pub events: Option<u64>,
    /// Events that could not be recorded.
    pub lost: u64,
    /// Forked children that could not be recorded.
    pub lost_children: u64,
    /// Blocks that its live table has no place for, if its unfreed blocks are read from that.
    pub lost_blocks: u64,
    /// Events recorded without a stack.
    pub without_stack: u64,
    /// Counts of the whole process.
    pub counts: Counts,
    /// Most bytes live at a time; `None` if not all events are known.
    pub peak_bytes: Option<u64>,
    /// When that was first so: wall clock, ns since 1970.
    pub peak_ns: Option<u64>,
    /// What Python's allocator carves objects from; in no other number.
    pub arenas: ArenaCounts,
    /// The moment of which all this speaks.
    pub at: Moment,
    /// When it began: wall clock, ns since 1970.
    pub began_ns: u64,
    /// First and last moment, monotonic ns.
    pub window_ns: (u64, u64),
    /// When it ended, as far as is known: its last event, if it was killed; or when its recording stopped. Wall clock,
    /// ns since 1970; `None` while it runs.
    pub ended_ns: Option<u64>,
    /// Bytes of log: headers and records, without what is left free in chunks.
    pub log_bytes: u64,
    /// What does not fit together.
    pub anomalies: Anomalies,
    /// What it has of its parent's blocks: they are in its parent's counts, and in no other.
    pub inherited: Inherited,
    /// Out of what this is known, and what is not.
    pub known: Known,
    /// What could not be read.
    pub losses: Vec<Loss>,
    /// What the recorder has to say.
    pub notes: Vec<String>,
    /// Of its Python frames.
    pub python: PythonStacks,
}

/// Out of what a process is known, and what of it is not.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its unfreed blocks were read from its live table: the peak and the threads are not known.
    pub from_table: bool,
    /// Its log was full, or its file could not grow: events are held from here on. Wall clock, ns since 1970; `None`: all of them.
    pub events_since_ns: Option<u64>,
    /// No events are kept at all.
    pub no_events: bool,
    /// How much each stack allocated is known; otherwise [`Counts`] has some other number in its place.
    pub is_counted: bool,
    /// Its log was dropped while it was read.
    pub is_inexact: bool,
    /// What was freed between the moment and the end is not known.
    pub without_freed: bool,
    /// Only blocks allocated since `events_since_ns` are known.
    pub is_partial: bool,
    /// Frees of blocks that were allocated while it was switched off.
    pub unknown_frees: u64,
    /// It was switched off for some time.
    pub was_off: bool,
    /// It does not see marks, nor what is switched.
    pub alone: bool,
    /// Its peak was asked for and is not known: the numbers are of its end.
    pub lacks_peak: bool,
}

/// The Python stacks of a process. Counts are of allocations, those that were freed too; they are all 0 before a report
/// is made.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct PythonStacks {
    /// Versions of its interpreters, those of which no frames are recorded too.
    pub versions: Vec<String>,
    /// Allocations within Python code.
    pub allocations: u64,
    /// Of these, those of which the Python frames could not be followed.
    pub not_walked: u64,
    /// Those with more Python frames than the native stack has evaluation loops for.
    pub mismatched: u64,
    /// Those with more evaluation loops than Python frames: of other interpreters or greenlets.
    pub more_loops: u64,
    /// Counts of the whole process by [`Phase`].
    pub phases: [Counts; 3],
}

impl PythonStacks {
    /// Adds the allocations of a stack.
    pub fn add(&mut self, fit: Fit, allocations: u64) {
        let count = |count: &mut u64| *count = count.saturating_add(allocations);
        count(&mut self.allocations);
        match fit {
            Fit::Matched => {}
            Fit::NotWalked => count(&mut self.not_walked),
            Fit::MoreEntries => count(&mut self.mismatched),
            Fit::MoreLoops => count(&mut self.more_loops),
        }
    }
}

/// Sums over the processes of a run.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct SumTotals {
    /// Counts.
    pub counts: Counts,
    /// Sum of the processes' peaks; `None` if one is not known.
    pub peak_bytes: Option<u64>,
    /// What Python's allocator carves objects from.
    pub arenas: ArenaCounts,
    /// Counts of the processes with Python, by [`Phase`].
    pub phases: [Counts; 3],
    /// Events of blocks; `None` if those of one are not known.
    pub events: Option<u64>,
    /// Events that could not be recorded.
    pub lost: u64,
    /// Bytes of log.
    pub log_bytes: u64,
    /// From the first process's start to the last one's end, ns.
    pub window_ns: u64,
}

/// An allocation site, or a group of them.
#[derive(Clone, Debug)]
pub struct Site {
    /// Stable hash of what it is.
    pub hash: u64,
    /// Name of the group, unless sites are stacks.
    pub name: Option<String>,
    /// Its counts.
    pub counts: Counts,
    /// Its stack, of those that are this site the largest; of a group the one frame that it is named by.
    pub path: PathId,
    /// Of a group the largest stack, else the same.
    pub largest: PathId,
    /// The phase of a Python program in which all of it was allocated; `None`: several, or no Python.
    pub phase: Option<Phase>,
    /// Exact stacks, with their lines, that are this site; 0 for a group.
    pub stacks: u64,
}

impl Site {
    /// The id that people see: 12 hex digits.
    pub fn id(&self) -> String {
        format!("{:012x}", self.hash >> 16)
    }
}

impl Process {
    /// Whether it had ended at the moment of which the report speaks: the system has its memory back.
    pub fn has_ended(&self) -> bool {
        let is_gone = matches!(self.state, ProcessState::Exited | ProcessState::Killed | ProcessState::Exec);
        is_gone && matches!(self.at, Moment::End | Moment::BeforeExit)
    }
}

impl Report {
    /// The processes that had ended, if others ran.
    pub fn ended(&self) -> Option<(usize, Counts)> {
        let ended: Vec<&Process> = self.processes.iter().filter(|process| process.has_ended()).collect();
        let mut counts = Counts::default();
        ended.iter().for_each(|process| counts.add(&process.counts));
        (!ended.is_empty() && ended.len() < self.processes.len()).then_some((ended.len(), counts))
    }

    /// The wall clock at a monotonic time, both ns, as the first process saw it.
    pub fn realtime_ns(&self, monotonic_ns: u64) -> Option<u64> {
        let first = self.processes.iter().min_by_key(|process| process.window_ns.0)?;
        let since = i128::from(monotonic_ns) - i128::from(first.window_ns.0);
        u64::try_from(i128::from(first.began_ns) + since).ok()
    }

    /// The same of each site: of classes of blocks only what is unfreed.
    pub fn has_counted_sites(&self) -> bool {
        self.is_counted() && !self.by.is_class()
    }

    /// Whether it is known how much was allocated and freed.
    pub fn is_counted(&self) -> bool {
        self.processes.iter().all(|process| process.known.is_counted)
    }

    /// The frame that a site is named after, by its number in `paths`.
    pub fn headline(&self, site: &Site) -> Option<u32> {
        self.own.headline(&self.paths, site.path)
    }
}

/// A report.
pub struct Report {
    /// Where the recording is.
    pub recording: String,
    /// The moment of it, if one was named, in words.
    pub moment: Option<String>,
    /// Its processes, in the order in which they began.
    pub processes: Vec<Process>,
    /// Files of the directory that could not be read.
    pub unreadable: Vec<String>,
    /// Those of them in which something was recorded, or may have been.
    pub lost_files: Vec<String>,
    /// Files whose symbols are not known, and why.
    pub problems: Vec<String>,
    /// Sums over all processes, whatever the filter.
    pub totals: SumTotals,
    /// What makes a site.
    pub by: By,
    /// Whether a filter is set.
    pub filtered: bool,
    /// Which code is the user's own.
    pub own: Own,
    /// What each suppression of the filter left out, by its place in [`Paths::suppressions`].
    pub suppressed: Vec<Counts>,
    /// Sites, largest first.
    pub sites: Vec<Site>,
    /// Of each process, for each of its [`crate::replay::Totals`]: the place in `sites` of what it is part of; `None` if
    /// that is left out.
    pub members: Vec<Vec<Option<usize>>>,
    /// What the sites held over time, if that was asked for.
    pub courses: Option<Courses>,
    /// What they allocated for a short time only, if that was asked for.
    pub temporary: Option<TemporarySites>,
    /// How long the blocks of each lived that were freed, if that was asked for and events were read.
    pub lifetimes: Option<Vec<Lifetimes>>,
    /// Their stacks.
    pub paths: Paths,
}
