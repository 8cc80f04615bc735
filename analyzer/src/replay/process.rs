//! Replays one process: pairs frees with allocations, keeps what is live, and counts for each stack.
//!
//! What cannot be is counted and gone on from: a block handed out twice, a free of a block that is not live. Neither
//! stops the replay, and neither is silent.
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use recording::{Address, Event, LostKind, StackId, layout::IDS_PER_CHUNK};

use super::arenas::{ArenaCounts, Arenas};
use super::live::{Block, Live};
use super::merge::{Gaps, Moment, Sink, in_order};
use crate::reader::{Cut, Loss, Recording};

/// What to keep apart, and how far to go.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Totals for each stack and thread rather than for each stack.
    pub by_thread: bool,
    /// The moment of which to speak: later events are only counted. `None`: the end.
    pub until: Option<&'a Cut>,
}

/// What one stack allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Totals {
    /// The stack.
    pub stack: StackId,
    /// The thread if [`Options::by_thread`], else 0.
    pub thread: u32,
    /// Blocks allocated.
    pub allocations: u64,
    /// Of these, freed.
    pub frees: u64,
    /// Bytes allocated.
    pub allocated_bytes: u64,
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
    /// The blocks that are live at the end, without arenas.
    pub live: Vec<(Address, Block)>,
    /// Totals of each stack; [`Block::site`] is an index here.
    pub sites: Vec<Totals>,
    /// The threads, by number.
    pub threads: BTreeMap<u32, Thread>,
    /// The memory from which Python's allocator carves objects, live at the end.
    pub arenas: ArenaCounts,
    /// Events of blocks, to the end of the recording; a realloc is two.
    pub events: u64,
    /// Events that could not be recorded.
    pub lost: u64,
    /// Events that were recorded without a stack.
    pub without_stack: u64,
    /// Most bytes live at a time.
    pub peak_bytes: u64,
    /// Bytes live at the end.
    pub live_bytes: u64,
    /// The last clock seen, ms; 0 if none.
    pub last_clock_ms: u64,
    /// Bytes of event records and their chunks' headers.
    pub bytes_used: u64,
    /// What does not fit together.
    pub anomalies: Anomalies,
    /// What could not be read.
    pub losses: Vec<Loss>,
}

/// Replays the events of one process; `progress` is told of bytes read.
pub fn replay<'a>(recording: &'a Recording, options: Options<'a>, progress: &'a dyn Fn(u64)) -> Replayed {
    let mut state = Replay::new(recording, options, progress);
    let order = in_order(recording, &mut state);
    let mut replayed = state.finish();
    replayed.anomalies.gaps = order.gaps;
    replayed.bytes_used = order.bytes_used;
    replayed.losses = recording.losses.clone();
    replayed.losses.extend(order.losses);
    replayed.lost = replayed.lost.saturating_add(recording.lost());
    replayed.without_stack = recording.header.lost[LostKind::Stack as usize];
    replayed
}

/// The block of a realloc between its begin and its end; `None` if it was not live.
type Pending = Option<Address>;

struct Replay<'p> {
    options: Options<'p>,
    forked: bool,
    live: Live,
    arenas: Arenas,
    index: SiteIndex,
    /// For each writer, the latest last: a signal handler may interrupt a realloc and begin one of its own.
    pending: Vec<Vec<Pending>>,
    out: Replayed,
    progress: &'p dyn Fn(u64),
}

impl Sink for Replay<'_> {
    #[inline(always)]
    fn event(&mut self, moment: Moment, event: &Event) {
        if self.options.until.is_some_and(|cut| cut.is_before(event)) {
            self.out.events += 1;
            return self.after_the_moment(moment.writer, event);
        }
        match *event {
            Event::Alloc { address, size, stack, .. } => self.alloc(moment, address, size, stack),
            Event::Free { address, .. } => self.free(address),
            Event::ReallocBegin { address, .. } => self.realloc_begin(moment.writer, address),
            Event::ReallocEnd { address, size, stack, .. } => {
                self.realloc_end(moment.writer);
                self.alloc(moment, address, size, stack);
            }
            Event::ReallocUndo { address, .. } => self.realloc_undo(moment.writer, address),
            Event::ThreadName(name) => {
                let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
                let name = String::from_utf8_lossy(&name[..end]).into_owned();
                self.out.threads.entry(moment.thread).or_default().name = Some(name);
                return;
            }
            Event::Lost(count) => {
                self.out.lost = self.out.lost.saturating_add(count);
                return;
            }
            Event::Clock(_) | Event::Thread { .. } | Event::Mark(_) => return,
        }
        self.out.events += 1;
        self.out.last_clock_ms = self.out.last_clock_ms.max(moment.clock_ms);
    }

    fn thread(&mut self, number: u32, tid: u32) {
        self.out.threads.entry(number).or_default().tid = tid;
    }

    fn progress(&mut self, bytes: u64) {
        (self.progress)(bytes);
    }
}

impl<'p> Replay<'p> {
    fn new(recording: &Recording, options: Options<'p>, progress: &'p dyn Fn(u64)) -> Self {
        Replay {
            options,
            forked: recording.is_forked(),
            live: Live::default(),
            arenas: Arenas::default(),
            index: SiteIndex::new(recording),
            pending: vec![Vec::new(); recording.writers.len()],
            out: Replayed::default(),
            progress,
        }
    }

    /// Reallocs are followed on. Of one that began before the moment and ended after it, the old block is there still.
    /// The two halves may be in shards whose stamps for the moment were taken some instants apart, so that only the
    /// end came before it: then the new block is there, and takes the old one's place.
    fn after_the_moment(&mut self, writer: usize, event: &Event) {
        match *event {
            Event::ReallocBegin { address, .. } => _ = self.begin_moving(writer, address),
            Event::ReallocEnd { .. } => _ = self.pending[writer].pop(),
            Event::ReallocUndo { address, .. } => _ = self.stop_moving(writer, address),
            _ => {}
        }
    }

    #[inline(always)]
    fn alloc(&mut self, moment: Moment, address: Address, size: u64, stack: StackId) {
        if stack == StackId::ARENA {
            self.arenas.add(address, size);
            return;
        }
        let thread = if self.options.by_thread { moment.thread } else { 0 };
        let site = self.index.of(stack, thread, &mut self.out.sites);
        let totals = &mut self.out.sites[site as usize];
        totals.allocations += 1;
        totals.allocated_bytes = totals.allocated_bytes.wrapping_add(size);
        let block = Block { size, time_ms: moment.clock_ms, site, moving: 0 };
        if let Some(before) = self.live.insert(address.0, block) {
            // A realloc that gave the place away has not ended yet, or never will: its process was killed.
            self.out.anomalies.allocated_twice += u64::from(before.moving == 0);
            self.gone(before);
        }
        self.out.live_bytes = self.out.live_bytes.wrapping_add(size);
        self.out.peak_bytes = self.out.peak_bytes.max(self.out.live_bytes);
    }

    /// A block was given back.
    #[inline(always)]
    fn gone(&mut self, block: Block) {
        self.out.sites[block.site as usize].frees += 1;
        self.out.live_bytes = self.out.live_bytes.wrapping_sub(block.size);
    }

    #[inline(always)]
    fn free(&mut self, address: Address) {
        match self.live.remove(&address.0) {
            Some(block) if block.moving == 0 => self.gone(block),
            Some(moving) => {
                self.live.insert(address.0, moving);
                self.unknown();
            }
            None => self.free_of_another(address),
        }
    }

    #[cold]
    fn free_of_another(&mut self, address: Address) {
        if !self.arenas.remove(address) {
            self.unknown();
        }
    }

    fn unknown(&mut self) {
        if self.forked {
            self.out.anomalies.inherited_frees += 1;
        } else {
            self.out.anomalies.unknown_frees += 1;
        }
    }

    fn realloc_begin(&mut self, writer: usize, address: Address) {
        // The table of arenas grows by realloc; the new one is an arena again.
        if !self.begin_moving(writer, address) && !self.arenas.remove(address) {
            self.unknown();
        }
    }

    /// Whether the block was there.
    fn begin_moving(&mut self, writer: usize, address: Address) -> bool {
        let begun = match self.live.get_mut(&address.0) {
            Some(block) if block.moving == 0 => {
                block.moving = writer as u32 + 1;
                Some(address)
            }
            _ => None,
        };
        self.pending[writer].push(begun);
        begun.is_some()
    }

    fn realloc_end(&mut self, writer: usize) {
        match self.pending[writer].pop() {
            Some(Some(address)) => {
                if let Entry::Occupied(entry) = self.live.entry(address.0)
                    && entry.get().moving == writer as u32 + 1
                {
                    let block = entry.remove();
                    self.gone(block);
                }
            }
            Some(None) => {}
            None => self.out.anomalies.unpaired_reallocs += 1,
        }
    }

    fn realloc_undo(&mut self, writer: usize, address: Address) {
        if !self.stop_moving(writer, address) {
            self.out.anomalies.unpaired_reallocs += 1;
        }
    }

    /// Whether it had begun.
    fn stop_moving(&mut self, writer: usize, address: Address) -> bool {
        // Of a block that was not live nothing is known, not even its address.
        let begun = |pending: &Pending| pending.is_none_or(|begun| begun == address);
        let Some(index) = self.pending[writer].iter().rposition(begun) else { return false };
        if self.pending[writer].remove(index).is_none() {
            return true;
        }
        match self.live.get_mut(&address.0) {
            Some(block) if block.moving == writer as u32 + 1 => block.moving = 0,
            _ => return false,
        }
        true
    }

    fn finish(mut self) -> Replayed {
        // Reallocs that were begun but not ended: the process ended inside them, and their blocks are as they were.
        self.out.live = self.live.into_iter().map(|(address, block)| (Address(address), block)).collect();
        self.out.arenas = self.arenas.counts(&self.out.live);
        self.out
    }
}

/// From a stack to the index of its totals: by table for the ids that the file gave out, by map for the rest.
struct SiteIndex {
    /// For each block of ids, where its table is, from 1; 0 if there is none.
    blocks: Vec<u32>,
    tables: Vec<Vec<u32>>,
    /// Stacks with a thread, ends of stacks, and ids that no chunk defines.
    others: HashMap<(u32, u32), u32>,
}

impl SiteIndex {
    fn new(recording: &Recording) -> SiteIndex {
        let mut index = SiteIndex { blocks: Vec::new(), tables: Vec::new(), others: HashMap::new() };
        for place in &recording.definitions {
            let block = (place.header.first_id / IDS_PER_CHUNK) as usize;
            if index.blocks.len() <= block {
                index.blocks.resize(block + 1, 0);
            }
            if index.blocks[block] == 0 {
                index.tables.push(vec![0; IDS_PER_CHUNK as usize]);
                index.blocks[block] = index.tables.len() as u32;
            }
        }
        index
    }

    #[inline(always)]
    fn of(&mut self, stack: StackId, thread: u32, sites: &mut Vec<Totals>) -> u32 {
        let table = match self.blocks.get((stack.0 / IDS_PER_CHUNK) as usize) {
            Some(&table) if table != 0 && thread == 0 => &mut self.tables[table as usize - 1],
            _ => return self.other(stack, thread, sites),
        };
        let entry = &mut table[(stack.0 % IDS_PER_CHUNK) as usize];
        if *entry == 0 {
            sites.push(Totals::new(stack, 0));
            *entry = sites.len() as u32;
        }
        *entry - 1
    }

    fn other(&mut self, stack: StackId, thread: u32, sites: &mut Vec<Totals>) -> u32 {
        *self.others.entry((stack.0, thread)).or_insert_with(|| {
            sites.push(Totals::new(stack, thread));
            sites.len() as u32 - 1
        })
    }
}

impl Totals {
    fn new(stack: StackId, thread: u32) -> Totals {
        Totals { stack, thread, allocations: 0, frees: 0, allocated_bytes: 0 }
    }
}
