//! How many requests there were, and in how many of them a site allocated: read from the events of each writer by
//! itself, without any order between them and without pairing frees with allocations.
//!
//! A request begins where a thread's stacks come to be beneath a function that begins one, see [`crate::servers`]. What
//! the thread allocates until its stacks leave the function that works on it is the request's. Between two calls of a function that
//! the user named nothing may be allocated: then the second begins where the first place in that function is reached again.
use recording::{Event, StackId};

use super::cells::Cells;
use crate::fast_map::FastMap;
use crate::reader::{Recording, Step, Writer};
use crate::replay::{Birth, BornIn};
use crate::servers::{Handlers, Mask};

/// What a stack means to the counting of requests.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// What it is beneath; `None`: it is not whole, so that nobody knows.
    pub mask: Option<Mask>,
    /// The site that is counted for it.
    pub site: Option<u32>,
    /// How far the function is that begins the request, if that is known and its calls may follow each other.
    pub progress: Option<Progress>,
}

/// Where a function of Python is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Number of its code object.
    pub code: u32,
    /// Offset of the instruction that is executed.
    pub instruction: i32,
}

/// Requests of one kind in one process.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Requests {
    /// Those that began in each bucket.
    pub begun: Vec<u64>,
    /// For each site that is counted, by bucket: those in which it allocated, where it did so first.
    pub sites: Vec<Vec<u64>>,
    /// What a request does can be told from what others do.
    pub has_extent: bool,
}

impl Requests {
    /// All.
    pub fn count(&self) -> u64 {
        self.begun.iter().sum()
    }
}

/// What is counted.
pub struct Counting<'a> {
    /// By stack.
    pub stacks: &'a FastMap<u32, Meaning>,
    /// How many sites are counted.
    pub sites: usize,
    /// Kinds of servers.
    pub kinds: usize,
    /// The part of the process's time to count in.
    pub span: &'a BornIn,
    /// Its cells.
    pub cells: &'a Cells,
}

impl Counting<'_> {
    /// Counts the requests of each kind in one process.
    pub fn count(&self, recording: &Recording) -> Vec<Requests> {
        let reader = recording.chunks();
        let masks = self.stacks.values().filter_map(|meaning| meaning.mask);
        let met = masks.fold(0, |met, mask| met | Handlers::concerned(mask));
        let kind = |kind: usize| match met >> kind & 1 {
            0 => Requests::default(),
            _ => Requests {
                begun: vec![0; self.cells.len()],
                sites: vec![vec![0; self.cells.len()]; self.sites],
                has_extent: false,
            },
        };
        let mut kinds: Vec<Requests> = (0..self.kinds).map(kind).collect();
        let mut seen = Seen { next: 0, busy: 0, last: vec![0; self.sites * self.kinds] };
        for chunks in recording.writers.values() {
            self.count_writer(Writer::new(recording, &reader, chunks), &mut kinds, &mut seen);
        }
        kinds
    }

    fn count_writer(&self, mut writer: Writer, kinds: &mut [Requests], seen: &mut Seen) {
        let (mut clock_ms, mut epoch, mut thread) = (0, 0, 0);
        let mut states = vec![State::default(); kinds.len()];
        seen.last.fill(0);
        seen.busy = 0;
        writer.run(|step| {
            let stack = match step {
                Step::End => return true,
                Step::Chunk { thread: number, clock_ms: clock, epoch: said, .. } => {
                    clock_ms = clock.max(clock_ms);
                    epoch = said.max(epoch);
                    if number != thread {
                        thread = number;
                        states.fill(State::default());
                    }
                    return true;
                }
                Step::Event(Event::Clock(clock)) => {
                    clock_ms = clock;
                    return true;
                }
                Step::Event(Event::Thread { number, .. }) => {
                    if number != thread {
                        thread = number;
                        states.fill(State::default());
                    }
                    return true;
                }
                Step::Event(Event::Mark(number)) => {
                    if let Some(begun) = number.checked_sub(recording::mark::EPOCH) {
                        epoch = u32::try_from(begun).unwrap_or(u32::MAX);
                    }
                    return true;
                }
                Step::Event(Event::Alloc { stack, .. } | Event::ReallocEnd { stack, .. }) => stack,
                Step::Event(_) => return true,
            };
            self.allocation(stack, clock_ms, epoch, &mut states, kinds, seen);
            true
        });
    }

    #[inline(always)]
    fn allocation(
        &self,
        stack: StackId,
        clock_ms: u64,
        epoch: u32,
        states: &mut [State],
        kinds: &mut [Requests],
        seen: &mut Seen,
    ) {
        let Some(&Meaning { mask: Some(mask), site, progress }) = self.stacks.get(&stack.0) else { return };
        // Most allocations are neither of a request nor the first after one.
        let mut concerned = Handlers::concerned(mask) | seen.busy;
        if concerned == 0 {
            return;
        }
        let is_inside = self.span.contains(Birth::new(epoch, clock_ms));
        let cell = self.cells.at(clock_ms);
        while concerned != 0 {
            let kind = concerned.trailing_zeros() as usize;
            concerned &= concerned - 1;
            let (begins, works) = (Handlers::begins(mask, kind), Handlers::works_on(mask, kind));
            let state = &mut states[kind];
            if !begins && !works {
                *state = State::default();
                seen.busy &= !(1 << kind);
                continue;
            }
            seen.busy |= 1 << kind;
            if begins && (!state.begins || state.calls_again(progress)) {
                seen.next += 1;
                state.request = seen.next;
                (state.first, state.is_further) = (progress, false);
                kinds[kind].begun[cell] += u64::from(is_inside);
            }
            state.begins = begins;
            kinds[kind].has_extent |= works;
            let Some(site) = site.filter(|_| works && state.request != 0 && is_inside) else { continue };
            let last = &mut seen.last[site as usize * kinds.len() + kind];
            if *last != state.request {
                *last = state.request;
                kinds[kind].sites[site as usize][cell] += 1;
            }
        }
    }
}

/// The request that a thread works on, by kind.
#[derive(Clone, Copy, Default)]
struct State {
    /// Its stacks are beneath what begins a request.
    begins: bool,
    /// The request's number, from 1; 0: none.
    request: u64,
    /// Where the function was that begins it when it first allocated.
    first: Option<Progress>,
    /// It has been further since.
    is_further: bool,
}

impl State {
    /// Whether the function that begins the request, which is here now, was called once more. No `for` leads back to where it first
    /// allocated: its iterator is made before.
    fn calls_again(&mut self, now: Option<Progress>) -> bool {
        let (Some(first), Some(now)) = (self.first, now) else { return false };
        let is_further = now.code == first.code && now.instruction > first.instruction;
        let is_first = now == first && !self.is_further;
        self.is_further |= is_further;
        !is_further && !is_first
    }
}

/// The requests of one writer that were seen.
struct Seen {
    next: u64,
    /// Bits of the kinds whose [`State`] is not the first one.
    busy: u32,
    /// By site and kind, the last one in which it allocated.
    last: Vec<u64>,
}
