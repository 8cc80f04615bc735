//! How many requests there were, and in how many of them a site allocated: read from the events of each writer by
//! itself, without any order between them and without pairing frees with allocations.
//!
//! A request begins where a thread's stacks come to be beneath a function that begins one, see [`crate::servers`]. What
//! the thread allocates until its stacks leave the function that works on it is the request's. Between two calls of a function that
//! the user named nothing may be allocated: then the second begins where the first place in that function is reached again, or the stack that came first.
use recording::{Event, StackId};

use super::cells::Cells;
use super::scale::{Pace, Walk, allocates};
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
    /// How time goes on in it.
    pub pace: &'a Pace,
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
        for (number, chunks) in recording.writers.values().enumerate() {
            self.count_writer(number, Writer::new(recording, &reader, chunks), &mut kinds, &mut seen);
        }
        kinds
    }

    fn count_writer(&self, number: usize, mut writer: Writer, kinds: &mut [Requests], seen: &mut Seen) {
        let (mut clock_ms, mut epoch, mut thread, mut walk) = (0, 0, 0, Walk::default());
        let mut states = vec![State::default(); kinds.len()];
        seen.last.fill(0);
        seen.busy = 0;
        writer.run(|step| {
            let stack = match step {
                Step::End => return true,
                Step::Chunk { thread: other, clock_ms: clock, epoch: said, .. } => {
                    clock_ms = clock.max(clock_ms);
                    epoch = said.max(epoch);
                    if other != thread {
                        thread = other;
                        states.fill(State::default());
                    }
                    return true;
                }
                Step::Event(Event::Clock(clock)) => {
                    clock_ms = clock;
                    return true;
                }
                Step::Event(Event::Thread { number: other, .. }) => {
                    if other != thread {
                        thread = other;
                        states.fill(State::default());
                    }
                    return true;
                }
                Step::Event(Event::Mark(mark)) => {
                    if let Some(begun) = mark.checked_sub(recording::mark::EPOCH) {
                        epoch = u32::try_from(begun).unwrap_or(u32::MAX);
                    }
                    return true;
                }
                Step::Event(event) => match allocates(&event) {
                    Some(stack) => stack,
                    None => return true,
                },
            };
            let tick = self.pace.allocated(number, &mut walk, clock_ms);
            let moment = (Birth::new(epoch, clock_ms), tick);
            self.allocation(stack, moment, &mut states, kinds, seen);
            true
        });
    }

    #[inline(always)]
    fn allocation(
        &self,
        stack: StackId,
        (birth, tick): (Birth, u64),
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
        let is_inside = self.span.contains(birth);
        let cell = self.cells.at(tick);
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
            let calls = if begins { state.calls(progress, stack) } else { 0 };
            if calls > 0 {
                seen.next += 1;
                state.request = seen.next;
                kinds[kind].begun[cell] += if is_inside { calls } else { 0 };
            }
            state.begins = begins;
            kinds[kind].has_extent |= works;
            let Some(site) = site.filter(|_| works && state.request != 0 && is_inside) else { continue };
            let last = &mut seen.last[site as usize * kinds.len() + kind];
            if *last != state.request {
                *last = state.request;
                kinds[kind].sites[site as usize][cell] += calls.max(1);
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
    /// Where the function was that begins it when it first allocated, and the whole stack.
    first: Option<(Progress, StackId)>,
    since: Since,
}

/// What the function that begins a request allocated since it first did.
#[derive(Clone, Copy, Default)]
enum Since {
    /// Nothing.
    #[default]
    Nothing,
    /// The same once more: the same call, or the next.
    Again,
    /// The same again and again: calls.
    Calls,
    /// Something else in the same place.
    Other,
    /// It was further.
    Further,
}

impl State {
    /// How many calls of the function that begins requests, which is here now with this stack, have begun since the last that is known of. No
    /// `for` leads back to where a call first allocated: its iterator is made before.
    fn calls(&mut self, now: Option<Progress>, stack: StackId) -> u64 {
        let (calls, since) = match (self.first, now) {
            _ if !self.begins => (1, Since::Nothing),
            (Some((first, first_stack)), Some(now)) => match self.since {
                _ if now.code == first.code && now.instruction > first.instruction => (0, Since::Further),
                Since::Further => (1, Since::Nothing),
                _ if now != first => (1, Since::Nothing),
                _ if stack != first_stack => (0, Since::Other),
                Since::Other => (1, Since::Nothing),
                Since::Nothing => (0, Since::Again),
                Since::Again => (2, Since::Calls),
                Since::Calls => (1, Since::Calls),
            },
            _ => (0, self.since),
        };
        if calls > 0 {
            self.first = now.map(|place| (place, stack));
        }
        self.since = since;
        calls
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
