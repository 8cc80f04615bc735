//! Replays one process: pairs frees with allocations, keeps what is live, and counts for each stack.
//!
//! What cannot be is counted and gone on from: a block handed out twice, a free of a block that is not live. Neither
//! stops the replay, and neither is silent.
use recording::{Address, Event, StackId};

use super::ahead::in_order_ahead;
use super::arenas::Arenas;
use super::live::{Birth, Block, Live};
use super::merge::{Place, Sink};
use super::moment::{Moment, Until};
use super::observer::Observer;
use super::replayed::{Options, Replayed};
use super::sites::SiteIndex;
use crate::memory::prefetch;
use crate::reader::Recording;

/// Of fewer stacks those that are met again and again are in the caches anyway, and to announce events costs more than it brings: so it was of
/// a program with 264,000 stacks, and not of generated ones that are met at random.
const CACHED: usize = 1 << 19;

/// Replays the events of one process; `progress` is told of bytes read.
pub fn from_events(recording: &Recording, options: &Options, progress: &dyn Fn(u64)) -> Replayed {
    observe(recording, options, &mut (), progress)
}

/// The same, while an observer looks on.
pub fn observe(
    recording: &Recording,
    options: &Options,
    observer: &mut impl Observer,
    progress: &dyn Fn(u64),
) -> Replayed {
    match options.until {
        Moment::Peak => observe_to_peak(recording, options, observer, progress),
        _ => observe_until(recording, options, u64::MAX, observer, progress),
    }
}

/// Reads twice: how much the peak is, is known at the end.
fn observe_to_peak(
    recording: &Recording,
    options: &Options,
    observer: &mut impl Observer,
    progress: &dyn Fn(u64),
) -> Replayed {
    let options = Options { until: Moment::End, ..*options };
    if recording.header.reused != 0 {
        return observe_until(recording, &options, u64::MAX, observer, progress);
    }
    let all = observe_until(recording, &options, u64::MAX, &mut (), progress);
    let peak = all.peak_bytes.unwrap_or(u64::MAX);
    let then = observe_until(recording, &options, peak, observer, &|_| {});
    // What is known at the end alone, or is no matter of a moment.
    let Replayed { threads, lost, without_stack, last_clock_ms, bytes_used, anomalies, losses, .. } = all;
    Replayed { threads, lost, without_stack, last_clock_ms, bytes_used, anomalies, losses, ..then }
}

/// Up to the moment, or until so many bytes are live.
fn observe_until(
    recording: &Recording,
    options: &Options,
    most_bytes: u64,
    observer: &mut impl Observer,
    progress: &dyn Fn(u64),
) -> Replayed {
    let mut state = Replay::new(recording, options, most_bytes, observer, progress);
    let order = in_order_ahead(recording, &mut state);
    let mut replayed = state.finish();
    replayed.anomalies.gaps = order.gaps;
    replayed.bytes_used = order.bytes_used;
    replayed.losses = order.losses;
    replayed.with_header(recording)
}

/// The block of a realloc between its begin and its end; `None` if it was not live.
type Pending = Option<Address>;

struct Replay<'p, O> {
    by_thread: bool,
    /// Events after the moment are counted too.
    counts_later: bool,
    /// What Python frees while it finalizes is told of.
    tells_later: bool,
    until: Until<'p>,
    forked: bool,
    /// Not all events are there, so that frees may be of blocks that are not known.
    partial: bool,
    live: Live,
    arenas: Arenas,
    index: SiteIndex,
    /// For each writer, the latest last: a signal handler may interrupt a realloc and begin one of its own.
    pending: Vec<Vec<Pending>>,
    peak_bytes: u64,
    /// Where so many are live, the moment has come.
    most_bytes: u64,
    out: Replayed,
    observer: &'p mut O,
    progress: &'p dyn Fn(u64),
}

impl<O: Observer> Sink for Replay<'_, O> {
    #[inline(always)]
    fn event(&mut self, place: Place, event: &Event) {
        if event.is_of_resource() {
            return;
        }
        if self.until.is_before(&place, event) {
            self.out.events += u64::from(self.counts_later);
            self.out.last_clock_ms = self.out.last_clock_ms.max(place.clock_ms);
            return self.after_the_moment(place, event);
        }
        match *event {
            Event::Alloc { address, size, stack, .. } => self.alloc(place, address, size, stack),
            Event::Free { address, .. } => self.free(place, address),
            Event::ReallocBegin { address, .. } => self.realloc_begin(place.writer, address),
            Event::ReallocEnd { address, size, stack, .. } => {
                self.realloc_end(place);
                self.alloc(place, address, size, stack);
            }
            Event::ReallocUndo { address, .. } => self.realloc_undo(place.writer, address),
            Event::ThreadName(name) => {
                let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
                let name = String::from_utf8_lossy(&name[..end]).replace(char::is_control, " ");
                self.out.threads.entry(place.thread).or_default().name = Some(name);
                return;
            }
            Event::Lost(count) => {
                self.out.lost = self.out.lost.saturating_add(count);
                return;
            }
            Event::Clock(_) | Event::Thread { .. } | Event::Mark(_) => return,
        }
        self.out.events += 1;
        self.out.last_clock_ms = self.out.last_clock_ms.max(place.clock_ms);
    }

    fn thread(&mut self, number: u32, tid: u32) {
        self.out.threads.entry(number).or_default().tid = tid;
    }

    fn has_much(&self) -> bool {
        self.out.sites.len() > CACHED
    }

    #[inline(always)]
    fn far(&self, event: &Event) {
        if let Event::Alloc { stack, .. } | Event::ReallocEnd { stack, .. } = *event {
            self.index.soon(stack);
        }
    }

    #[inline(always)]
    fn near(&self, event: &Event) {
        if let Event::Alloc { stack, .. } | Event::ReallocEnd { stack, .. } = *event
            && let Some(site) = self.index.known(stack)
        {
            prefetch(&self.out.sites, site as usize);
            self.observer.soon(site as usize);
        }
    }

    fn progress(&mut self, bytes: u64) {
        (self.progress)(bytes);
    }

    fn is_done(&self) -> bool {
        self.until.is_passed()
    }
}

impl<'p, O: Observer> Replay<'p, O> {
    fn new(
        recording: &'p Recording,
        options: &Options,
        most_bytes: u64,
        observer: &'p mut O,
        progress: &'p dyn Fn(u64),
    ) -> Self {
        Replay {
            by_thread: options.by_thread,
            counts_later: matches!(options.until, Moment::End | Moment::BeforeExit) && most_bytes == u64::MAX,
            tells_later: options.until == Moment::BeforeExit,
            until: Until::of(recording, options.until),
            forked: recording.is_forked(),
            partial: recording.header.reused != 0,
            live: Live::default(),
            arenas: Arenas::default(),
            index: SiteIndex::new(recording),
            pending: vec![Vec::new(); recording.writers.len()],
            peak_bytes: 0,
            most_bytes,
            out: Replayed::default(),
            observer,
            progress,
        }
    }

    /// Reallocs are followed on. Of one that began before the moment and ended after it, the old block is there still.
    /// The two halves may be in shards whose stamps for the moment were taken some instants apart, so that only the
    /// end came before it: then the new block is there, and takes the old one's place.
    fn after_the_moment(&mut self, place: Place, event: &Event) {
        let writer = place.writer;
        match *event {
            Event::Free { address, .. } if self.tells_later => {
                if let Some(block) = self.live.get(&address.0) {
                    self.observer.died_later(address, block, &place);
                }
            }
            Event::ReallocBegin { address, .. } => _ = self.begin_moving(writer, address),
            Event::ReallocEnd { .. } => _ = self.pending[writer].pop(),
            Event::ReallocUndo { address, .. } => _ = self.stop_moving(writer, address),
            _ => {}
        }
    }

    #[inline(always)]
    fn alloc(&mut self, place: Place, address: Address, size: u64, stack: StackId) {
        if stack == StackId::ARENA {
            self.arenas.add(address, size);
            return;
        }
        let thread = if self.by_thread { place.thread } else { 0 };
        let site = self.index.of(stack, thread, &mut self.out.sites);
        let totals = &mut self.out.sites[site as usize];
        totals.allocations += 1;
        totals.allocated_bytes = totals.allocated_bytes.wrapping_add(size);
        let block = Block { size, birth: Birth::new(place.epoch, place.clock_ms), site, moving: 0 };
        if let Some(before) = self.live.insert(address.0, block) {
            // A realloc that gave the place away has not ended yet, or never will: its process was killed.
            self.out.anomalies.allocated_twice += u64::from(before.moving == 0);
            self.gone(place, address, before);
        }
        self.observer.born(address, &block, stack, &place);
        self.out.live_bytes = self.out.live_bytes.wrapping_add(size);
        if self.out.live_bytes > self.peak_bytes {
            (self.peak_bytes, self.out.peak_ms) = (self.out.live_bytes, place.clock_ms);
            if self.peak_bytes >= self.most_bytes {
                self.until.pass();
            }
        }
    }

    /// A block was given back.
    #[inline(always)]
    fn gone(&mut self, place: Place, address: Address, block: Block) {
        self.observer.died(address, &block, &place);
        self.out.live_bytes = self.out.live_bytes.wrapping_sub(block.size);
    }

    #[inline(always)]
    fn free(&mut self, place: Place, address: Address) {
        match self.live.remove(&address.0) {
            Some(block) if block.moving == 0 => self.gone(place, address, block),
            Some(moving) => {
                // Perhaps of an arena that is there since.
                self.live.insert(address.0, moving);
                self.free_of_another(address);
            }
            None => self.free_of_another(address),
        }
    }

    #[cold]
    fn free_of_another(&mut self, address: Address) {
        if !self.arenas.remove(address) {
            self.unknown(address);
        }
    }

    fn unknown(&mut self, address: Address) {
        if self.forked {
            self.out.inherited_freed.push(address.0);
            self.out.anomalies.inherited_frees += 1;
        } else if !self.partial {
            self.out.anomalies.unknown_frees += 1;
        }
    }

    fn realloc_begin(&mut self, writer: usize, address: Address) {
        // The table of arenas grows by realloc; the new one is an arena again.
        if !self.begin_moving(writer, address) && !self.arenas.remove(address) {
            self.unknown(address);
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

    fn realloc_end(&mut self, place: Place) {
        let writer = place.writer;
        match self.pending[writer].pop() {
            Some(Some(address)) => {
                let is_moving = |block: &Block| block.moving == writer as u32 + 1;
                if self.live.get(&address.0).is_some_and(is_moving)
                    && let Some(block) = self.live.remove(&address.0)
                {
                    self.gone(place, address, block);
                }
            }
            Some(None) => {}
            None => self.out.anomalies.unpaired_reallocs += u64::from(!self.partial),
        }
    }

    fn realloc_undo(&mut self, writer: usize, address: Address) {
        if !self.stop_moving(writer, address) {
            self.out.anomalies.unpaired_reallocs += u64::from(!self.partial);
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
        self.out.count_frees();
        self.out.arenas = self.arenas.counts(&self.out.live);
        self.out.arena_list = self.arenas.list();
        match self.partial {
            true => self.out.peak_ms = 0,
            false => self.out.peak_bytes = Some(self.peak_bytes),
        }
        self.out
    }
}
