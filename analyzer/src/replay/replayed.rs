//! What is known of one process after its events or its live table were read.
use std::collections::BTreeMap;

use recording::{Address, LostKind};

use super::arenas::ArenaCounts;
use super::live::Block;
use super::merge::Gaps;
use super::moment::Moment;
use super::seen::{Seen, Wanted};
use super::sites::Totals;
use super::source::Source;
use crate::reader::{Loss, Recording};

/// What to keep apart, how far to go, and out of what.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    /// Totals for each stack and thread rather than for each stack.
    pub by_thread: bool,
    /// The moment of which to speak.
    pub until: Moment,
    /// Where the unfreed blocks are read from.
    pub from: Source,
    /// What else to see of the events, if these are read.
    pub wanted: Wanted,
    /// Neither the peak nor when exactly a block was allocated is asked for: a live table tells all.
    pub counts_only: bool,
}

/// A thread of the process.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Thread {
    /// Kernel thread id.
    pub tid: u32,
    /// Its last name.
    pub name: Option<String>,
}

/// What does not fit together.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Anomalies {
    /// Blocks handed out where one was live.
    pub allocated_twice: u64,
    /// Frees of a block that was not live, in a process that inherited none.
    pub unknown_frees: u64,
    /// Ends of a realloc that was not begun.
    pub unpaired_reallocs: u64,
    /// Frees of blocks of the parent, in a forked process; these are in order.
    pub inherited_frees: u64,
    /// Stamps out of place.
    pub gaps: Gaps,
}

impl Anomalies {
    /// Sequences that no program can have caused.
    pub fn impossible(&self) -> u64 {
        self.allocated_twice + self.unknown_frees + self.unpaired_reallocs + self.gaps.violations
    }
}

/// What one process did.
#[derive(Default)]
pub struct Replayed {
    /// Whether this was read from the live table.
    pub is_table: bool,
    /// The log that tells what happened while the table was read was dropped meanwhile.
    pub is_inexact: bool,
    /// The blocks that are live at the end, without arenas.
    pub live: Vec<(Address, Block)>,
    /// Totals of each stack; [`Block::site`] is an index here.
    pub sites: Vec<Totals>,
    /// The threads, by number.
    pub threads: BTreeMap<u32, Thread>,
    /// The memory from which Python's allocator carves objects, live at the end.
    pub arenas: ArenaCounts,
    /// Address and size of each of these, in order.
    pub arena_list: Vec<(Address, u64)>,
    /// The addresses that a forked process freed of what it had inherited, if its events were replayed.
    pub inherited_freed: Vec<u64>,
    /// Events of blocks, to the end of the recording or the moment that was named; a realloc is two.
    pub events: u64,
    /// Events that could not be recorded.
    pub lost: u64,
    /// Events that were recorded without a stack.
    pub without_stack: u64,
    /// Most bytes live at a time; `None` if not all events are known.
    pub peak_bytes: Option<u64>,
    /// When that was first so, monotonic ms; 0 if not all events are known.
    pub peak_ms: u64,
    /// Bytes live at the end.
    pub live_bytes: u64,
    /// The last clock seen, ms; 0 if none.
    pub last_clock_ms: u64,
    /// Bytes of event records and their chunks' headers.
    pub bytes_used: u64,
    /// What else was wanted and seen.
    pub seen: Seen,
    /// What does not fit together.
    pub anomalies: Anomalies,
    /// What could not be read.
    pub losses: Vec<Loss>,
}

impl Replayed {
    /// Of each stack: what was allocated and is not live at the end was freed.
    pub(super) fn count_frees(&mut self) {
        self.sites.iter_mut().for_each(|totals| totals.frees = totals.allocations);
        for (_, block) in &self.live {
            self.sites[block.site as usize].frees -= 1;
        }
    }

    /// Adds what the file's header says.
    pub(super) fn with_header(mut self, recording: &Recording) -> Replayed {
        self.losses.splice(0..0, recording.losses.iter().copied());
        self.lost = self.lost.saturating_add(recording.lost());
        self.without_stack = recording.header.lost[LostKind::Stack as usize];
        self
    }
}
