//! Open descriptors and anonymous mappings: their events in order -> what is open or mapped, as a replay of blocks says what is
//! unfreed. A descriptor is a block of one byte, so that all that sums up, sorts and groups blocks does so with these.
use std::collections::{BTreeMap, HashMap};

use recording::layout::flag;
use recording::resource::{Descriptor, Resource};
use recording::{Address, Event, StackId};

use super::live::{Birth, Block};
use super::merge::{Place, Sink, in_order};
use super::moment::{Moment, Until};
use super::observer::Observer;
use super::replayed::{Options, Replayed};
use super::sites::SiteIndex;
use crate::reader::Recording;

/// What to replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resources {
    /// Open descriptors.
    Descriptors,
    /// Anonymous mappings.
    Mappings,
}

impl Resources {
    /// Whether these were recorded.
    pub fn are_in(self, recording: &Recording) -> bool {
        recording.has(match self {
            Resources::Descriptors => flag::DESCRIPTORS,
            Resources::Mappings => flag::MAPPINGS,
        })
    }
}

/// What is open or mapped.
#[derive(Default)]
pub struct Held {
    /// As of blocks: the addresses are those of [`Resource`]s.
    pub replayed: Replayed,
    /// What kind each of [`Replayed::live`] is, in their order, if it is a descriptor of a known kind.
    pub kinds: Vec<Option<Descriptor>>,
}

impl Held {
    /// Leaves those descriptors that a process has, which may close them where nobody looks.
    pub fn retain(&mut self, is_there: impl Fn(u32) -> bool) {
        let is_there = |address: Address| match Resource::of(address) {
            Some(Resource::Descriptor(number)) => is_there(number),
            _ => true,
        };
        let live = std::mem::take(&mut self.replayed.live).into_iter();
        let both = live.zip(std::mem::take(&mut self.kinds)).filter(|((address, _), _)| is_there(*address));
        (self.replayed.live, self.kinds) = both.unzip();
    }
}

/// Replays the events of resources of one process, while an observer looks on; `progress` is told of bytes read. Those that were
/// opened before the first event that is held are not known.
pub fn held(
    recording: &Recording,
    of: Resources,
    options: &Options,
    observer: &mut impl Observer,
    progress: &dyn Fn(u64),
) -> Held {
    let until = if options.until == Moment::Peak { Moment::End } else { options.until };
    let mut state = Holding {
        of,
        by_thread: options.by_thread,
        until: Until::of(recording, until),
        descriptors: HashMap::new(),
        mappings: BTreeMap::new(),
        moving: vec![Vec::new(); recording.writers.len()],
        unmapped: vec![Vec::new(); recording.writers.len()],
        index: SiteIndex::new(recording),
        out: Replayed::default(),
        observer,
        progress,
    };
    let order = in_order(recording, &mut state);
    let mut held = state.finish();
    held.replayed.losses = order.losses;
    held.replayed.bytes_used = order.bytes_used;
    held.replayed = held.replayed.with_header(recording);
    held
}

struct Holding<'p, O> {
    of: Resources,
    by_thread: bool,
    until: Until<'p>,
    descriptors: HashMap<u32, (Block, u64)>,
    /// By first address; none overlaps another.
    mappings: BTreeMap<u64, Block>,
    /// For each writer what it is moving, the latest last; of files too.
    moving: Vec<Vec<u64>>,
    /// For each writer what it unmapped last.
    unmapped: Vec<Vec<(u64, Block)>>,
    index: SiteIndex,
    out: Replayed,
    observer: &'p mut O,
    progress: &'p dyn Fn(u64),
}

impl<O: Observer> Sink for Holding<'_, O> {
    fn event(&mut self, place: Place, event: &Event) {
        let resource = event.place().and_then(|(address, _)| Resource::of(address));
        match (resource, self.of) {
            (Some(Resource::Descriptor(_)), Resources::Descriptors) => {}
            (Some(Resource::Mapping(_)), Resources::Mappings) => {}
            _ => return self.out.last_clock_ms = self.out.last_clock_ms.max(place.clock_ms),
        }
        if self.until.is_before(&place, event) {
            return;
        }
        self.out.events += 1;
        match (resource, *event) {
            (Some(Resource::Descriptor(number)), Event::Alloc { size, stack, .. }) => {
                self.open(place, number, size, stack);
            }
            (Some(Resource::Descriptor(number)), Event::Free { .. }) => self.close(place, number),
            (Some(Resource::Mapping(at)), Event::Alloc { size, stack: StackId::UNMAPPED, .. }) => {
                self.unmapped[place.writer] = self.unmap(place, at, size);
            }
            (Some(Resource::Mapping(at)), Event::Alloc { size, stack, .. }) => {
                self.map(place, at, size, stack);
            }
            (Some(Resource::Mapping(at)), Event::ReallocBegin { .. }) => {
                self.moving[place.writer].push(at);
            }
            (Some(Resource::Mapping(at)), Event::ReallocEnd { size, stack, .. }) => {
                // Memory of a file is moved too, and is no matter of ours.
                if let Some(old) = self.moving[place.writer].pop()
                    && let Some(block) = self.mappings.remove(&old)
                {
                    self.gone(place, Resource::Mapping(old), block);
                    self.map(place, at, size, stack);
                }
            }
            (Some(Resource::Mapping(at)), Event::ReallocUndo { .. }) => self.undo(place, at),
            _ => {}
        }
    }

    fn thread(&mut self, number: u32, tid: u32) {
        self.out.threads.entry(number).or_default().tid = tid;
    }

    fn progress(&mut self, bytes: u64) {
        (self.progress)(bytes);
    }

    fn is_done(&self) -> bool {
        self.until.is_passed()
    }
}

impl<O: Observer> Holding<'_, O> {
    /// Counts what is new.
    fn born(&mut self, place: Place, of: Resource, size: u64, stack: StackId) -> Block {
        let thread = if self.by_thread { place.thread } else { 0 };
        let site = self.index.of(stack, thread, &mut self.out.sites);
        let totals = &mut self.out.sites[site as usize];
        totals.allocations += 1;
        totals.allocated_bytes = totals.allocated_bytes.saturating_add(size);
        let block = Block { size, birth: Birth::new(place.epoch, place.clock_ms), site, moving: 0 };
        self.observer.born(of.address(), &block, stack, &place);
        block
    }

    fn gone(&mut self, place: Place, of: Resource, block: Block) {
        self.observer.died(of.address(), &block, &place);
        self.out.sites[block.site as usize].frees += 1;
    }

    fn open(&mut self, place: Place, number: u32, kind: u64, stack: StackId) {
        self.close(place, number);
        let block = self.born(place, Resource::Descriptor(number), 1, stack);
        self.descriptors.insert(number, (block, kind));
    }

    fn close(&mut self, place: Place, number: u32) {
        if let Some((block, _)) = self.descriptors.remove(&number) {
            self.gone(place, Resource::Descriptor(number), block);
        }
    }

    fn map(&mut self, place: Place, at: u64, size: u64, stack: StackId) {
        self.unmap(place, at, size);
        let block = self.born(place, Resource::Mapping(at), size, stack);
        self.mappings.insert(at, block);
    }

    /// Unmaps a range; returns the mappings as they were of which it took something.
    fn unmap(&mut self, place: Place, at: u64, size: u64) -> Vec<(u64, Block)> {
        let end = at.saturating_add(size);
        let before = self.mappings.range(..at).next_back();
        let before = before.filter(|(start, block)| start.saturating_add(block.size) > at);
        let within = self.mappings.range(at..end);
        let touched: Vec<(u64, Block)> =
            before.into_iter().chain(within).map(|(&start, &block)| (start, block)).collect();
        for &(start, block) in &touched {
            self.mappings.remove(&start);
            let rest = [(start, at), (end, start.saturating_add(block.size))];
            let rest: Vec<(u64, u64)> = rest.into_iter().filter(|(from, to)| from < to).collect();
            if rest.is_empty() {
                self.gone(place, Resource::Mapping(start), block);
                continue;
            }
            // What is left is the same memory, and one more mapping if that was torn.
            self.observer.died(Resource::Mapping(start).address(), &block, &place);
            let totals = &mut self.out.sites[block.site as usize];
            totals.allocations += rest.len() as u64 - 1;
            let stack = totals.stack;
            for (from, to) in rest {
                let part = Block { size: to - from, ..block };
                self.observer.born(Resource::Mapping(from).address(), &part, stack, &place);
                self.mappings.insert(from, part);
            }
        }
        touched
    }

    /// What a writer was to unmap or to move is as it was.
    fn undo(&mut self, place: Place, at: u64) {
        if let Some(index) = self.moving[place.writer].iter().rposition(|moving| *moving == at) {
            self.moving[place.writer].remove(index);
            return;
        }
        for (start, block) in std::mem::take(&mut self.unmapped[place.writer]) {
            let stack = self.out.sites[block.site as usize].stack;
            self.map(place, start, block.size, stack);
        }
    }

    fn finish(mut self) -> Held {
        let descriptors = self.descriptors.into_iter();
        let mut open: Vec<_> = descriptors.map(|(number, (block, kind))| (number, block, kind)).collect();
        open.sort_unstable_by_key(|(number, ..)| *number);
        let kinds = open.iter().map(|(.., kind)| Descriptor::from_number(*kind));
        let kinds = kinds.chain(self.mappings.values().map(|_| None)).collect();
        let open = open.into_iter().map(|(number, block, _)| (Resource::Descriptor(number).address(), block));
        let mapped = self.mappings.into_iter().map(|(at, block)| (Resource::Mapping(at).address(), block));
        self.out.live = open.chain(mapped).collect();
        self.out.live_bytes = self.out.live.iter().map(|(_, block)| block.size).fold(0, u64::saturating_add);
        Held { replayed: self.out, kinds }
    }
}
