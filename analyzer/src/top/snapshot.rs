//! What there is to show at one moment: values, made by the source and drawn by the view.
use std::collections::VecDeque;
use std::sync::Arc;

use super::scan::Held;
use crate::top::order::TopBy;

/// All of it.
#[derive(Clone, Default, Debug)]
pub struct Snapshot {
    /// The recording, as it was typed.
    pub recording: String,
    /// Wall clock, ns since 1970.
    pub at_ns: u64,
    /// The processes, in the order in which they began.
    pub processes: Vec<Process>,
    /// What makes a site.
    pub by: TopBy,
    /// The sites that hold something, or did within the window.
    pub sites: Vec<Site>,
    /// Of all that counts: the processes that run, or ran last.
    pub total: Site,
    /// Stacks whose site is not known as yet: how many, and what they hold.
    pub nameless: (u64, Held),
    /// How long the readings go back from which rates are, ms.
    pub window_ms: u64,
    /// How long ago the table was read, ms.
    pub age_ms: u64,
    /// What the recording takes on the disk, bytes.
    pub disk_bytes: u64,
    /// Events that could not be recorded.
    pub lost: u64,
    /// No process runs: this is what they held as they ended.
    pub has_ended: bool,
}

/// A site.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Site {
    /// Tells it from others, also in other snapshots of the same kind of sites.
    pub key: u64,
    /// What to call it.
    pub name: Arc<str>,
    /// What its stacks hold.
    pub held: Held,
    /// Bytes per minute, if that is known.
    pub growth: Option<f64>,
    /// Bytes at the last readings, the last one last.
    pub series: VecDeque<u64>,
}

/// A process.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Process {
    /// Its number, as it knows it itself.
    pub pid: u32,
    /// Its command line, short.
    pub command: String,
    /// What became of it, in words.
    pub state: String,
    /// Whether it runs.
    pub runs: bool,
    /// What it holds; `None`: it was not read as yet.
    pub held: Option<Held>,
    /// Bytes per minute, if that is known.
    pub growth: Option<f64>,
    /// Its resident memory, bytes, as far as the kernel tells.
    pub resident: Option<u64>,
}

impl Snapshot {
    /// How many processes run.
    pub fn running(&self) -> usize {
        self.processes.iter().filter(|process| process.runs).count()
    }

    /// The sum of what the processes have resident, if it is known of one.
    pub fn resident(&self) -> Option<u64> {
        let known = self.processes.iter().filter_map(|process| process.resident);
        known.reduce(|sum, more| sum.saturating_add(more))
    }
}

/// The stacks of a site, largest first.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Opened {
    /// The site.
    pub key: u64,
    /// Its name.
    pub name: Arc<str>,
    /// How many stacks it has; those in `lines` are the largest.
    pub stacks: usize,
    /// What to show.
    pub lines: Vec<Line>,
}

/// A line of a stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// What it is.
    pub kind: LineKind,
    /// A function, or the line's whole text.
    pub text: String,
    /// Where that is.
    pub place: String,
}

/// What a line of a stack is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineKind {
    /// Begins a stack.
    Title,
    /// A frame of Python code.
    Python,
    /// A frame of machine code.
    Native,
    /// What is to be said of the stack.
    Note,
}
