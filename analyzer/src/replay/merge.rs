//! The events of all writers in one order.
//!
//! Each shard's stamps are dense, and all events of an address are in one shard, so an event is due when its stamp is
//! the shard's next. A writer runs until its event is not due, then it is parked until that stamp's turn. Among the
//! writers that can run, the one whose clock is behind goes first, and only as far as the next one's clock: so what
//! happened in different shards is in order to a few milliseconds too, which the peak needs.
//!
//! A killed process leaves a stamp that was drawn but whose event was not stored, at most one a writer: nobody saw
//! its effect. Where all writers are parked, such stamps are looked for once, in what remains of the log, and skipped.
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use recording::layout::{CHUNK, SHARDS};
use recording::{Event, mark, shard_of};

use crate::reader::{Cut, Loss, Recording, Step, Writer};

/// A thread that runs stores an event within microseconds of drawing its stamp; one that was preempted, within this.
const SETTLED_MS: u64 = 1_000;

/// Where an event happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Index of the writer, in the order of `Recording::writers`.
    pub writer: usize,
    /// Number of the thread.
    pub thread: u32,
    /// Monotonic clock, ms, as far as the writer noted it.
    pub clock_ms: u64,
    /// The run's epoch; 0 if it is not known.
    pub epoch: u32,
    /// Whether Python's cyclic collector did it.
    pub collecting: bool,
}

/// Takes the events.
pub trait Sink {
    /// The next event.
    fn event(&mut self, place: Place, event: &Event);
    /// Whether it is of use to announce events by [`Sink::far`] and [`Sink::near`]; asked now and then.
    fn has_much(&self) -> bool {
        false
    }
    /// This event comes soon: what it needs that is known at once can be brought into the caches.
    #[inline(always)]
    fn far(&self, _event: &Event) {}
    /// This event comes very soon, and was announced before: so can what is found by way of that.
    #[inline(always)]
    fn near(&self, _event: &Event) {}
    /// A writer goes on as this thread's.
    fn thread(&mut self, number: u32, tid: u32);
    /// This many more bytes of the log were read.
    fn progress(&mut self, _bytes: u64) {}
    /// Whether the rest need not be read; asked now and then.
    fn is_done(&self) -> bool {
        false
    }
}

/// Stamps that are not where they should be.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Gaps {
    /// Stamps of no event.
    pub missing: u64,
    /// Events whose stamp had passed already.
    pub violations: u64,
}

/// What the ordering found.
#[derive(Default, Debug)]
pub struct Order {
    /// Stamps out of place.
    pub gaps: Gaps,
    /// What could not be read.
    pub losses: Vec<Loss>,
    /// Bytes of event records and their chunks' headers.
    pub bytes_used: u64,
}

/// Feeds all events of a recording to `sink`, in order.
pub fn in_order(recording: &Recording, sink: &mut impl Sink) -> Order {
    let mut merge = Merge::new(recording);
    let reader = recording.chunks();
    let writers = recording.writers.values();
    let mut cursors: Vec<Cursor> =
        writers.map(|chunks| Cursor::new(Writer::new(recording, &reader, chunks))).collect();
    for (index, chunks) in recording.writers.values().enumerate() {
        let clock = chunks.first().map_or(0, |place| place.header.clock_ms);
        merge.ready.push(Reverse((clock, index)));
    }
    loop {
        while let Some(Reverse((_, index))) = merge.ready.pop() {
            merge.run(index, &mut cursors[index], sink);
            if sink.is_done() {
                break;
            }
        }
        if sink.is_done() || merge.parked == 0 || !merge.unblock(&cursors) {
            break;
        }
    }
    let bytes_used = cursors.iter().map(|cursor| cursor.writer.bytes_used).sum();
    let mut losses: Vec<Loss> = cursors.into_iter().flat_map(|cursor| cursor.writer.losses).collect();
    losses.sort_unstable();
    Order { gaps: merge.gaps, losses, bytes_used }
}

/// A writer's place in the merge.
struct Cursor<'r> {
    writer: Writer<'r>,
    /// An event that was read but is not due yet.
    head: Option<Event>,
    thread: u32,
    clock_ms: u64,
    epoch: u32,
    collecting: bool,
}

impl<'r> Cursor<'r> {
    fn new(writer: Writer<'r>) -> Cursor<'r> {
        Cursor { writer, head: None, thread: 0, clock_ms: 0, epoch: 0, collecting: false }
    }
}

/// Whose turn is a stamp that is not the next.
enum Turn {
    /// It goes on nonetheless.
    Now,
    /// It waits.
    Later,
    /// It is left out.
    Never,
}

/// The stamp from which on all events of a shard are there.
fn first_stamp(recording: &Recording, shard: usize) -> u64 {
    let inherited = recording.inherited_stamps.get(shard).copied().unwrap_or(0);
    recording.held.as_ref().map_or(inherited, |held| held.stamp(shard).max(inherited))
}

struct Merge<'r> {
    /// The stamp that is due in each shard.
    next: [u64; SHARDS],
    /// Of the events with stamps before these only some are there.
    held: Option<&'r Cut>,
    /// The least stamp that a parked writer waits for, in each shard.
    wake_at: [u64; SHARDS],
    waiting: Vec<BinaryHeap<Reverse<(u64, usize)>>>,
    /// Writers that can run, by clock.
    ready: BinaryHeap<Reverse<(u64, usize)>>,
    /// The clock of each parked writer.
    clocks: Vec<u64>,
    parked: usize,
    gaps: Gaps,
    /// Of a process that still runs, the clock from which on a missing stamp may be of an event that was stored after
    /// its writer's last chunk was read. What waits for such a one is later than this reading.
    horizon_ms: Option<u64>,
    /// Of a process that still runs, the latest clock of an event in each shard: a thread that only frees notes no
    /// clock, but what it waits for is no older than what came before.
    reached_ms: [u64; SHARDS],
    /// Stamps known to be of no event, once they were looked for.
    missing: Option<Missing>,
}

impl<'r> Merge<'r> {
    fn new(recording: &'r Recording) -> Merge<'r> {
        Merge {
            next: std::array::from_fn(|shard| first_stamp(recording, shard)),
            held: recording.held.as_deref(),
            wake_at: [u64::MAX; SHARDS],
            waiting: (0..SHARDS).map(|_| BinaryHeap::new()).collect(),
            ready: BinaryHeap::new(),
            clocks: vec![0; recording.writers.len()],
            parked: 0,
            gaps: Gaps::default(),
            horizon_ms: recording.is_running().then(|| recording.opened_ms.saturating_sub(SETTLED_MS)),
            reached_ms: [0; SHARDS],
            missing: None,
        }
    }

    /// Runs a writer until it is parked, ahead of another one's clock, or at its end.
    fn run(&mut self, index: usize, cursor: &mut Cursor, sink: &mut impl Sink) {
        let Cursor { writer, head, thread, clock_ms, epoch, collecting } = cursor;
        let mut limit = self.ready.peek().map_or(u64::MAX, |Reverse((clock, _))| *clock);
        if let Some(event) = head.take() {
            let place = Place {
                writer: index,
                thread: *thread,
                clock_ms: *clock_ms,
                epoch: *epoch,
                collecting: *collecting,
            };
            if !self.apply(place, &event, &mut limit, sink) {
                *head = Some(event);
                return;
            }
        }
        writer.run(|step| {
            let event = match step {
                Step::Event(event) => event,
                Step::Chunk { thread: number, tid, clock_ms: clock, epoch: said } => {
                    *thread = number;
                    *clock_ms = clock.max(*clock_ms);
                    *epoch = said.max(*epoch);
                    *collecting = false;
                    sink.thread(number, tid);
                    sink.progress(CHUNK as u64);
                    return !sink.is_done();
                }
                Step::End => return true,
            };
            match event {
                Event::Clock(clock) => {
                    *clock_ms = clock;
                    if clock > limit {
                        self.ready.push(Reverse((clock, index)));
                        return false;
                    }
                    return true;
                }
                Event::Thread { number, tid } => {
                    *thread = number;
                    *collecting = false;
                    sink.thread(number, tid);
                    return true;
                }
                Event::Mark(number) if number >= mark::EPOCH => {
                    *epoch = u32::try_from(number - mark::EPOCH).unwrap_or(u32::MAX);
                }
                Event::Mark(number @ (mark::COLLECTING | mark::COLLECTED)) => {
                    *collecting = number == mark::COLLECTING;
                }
                _ => {}
            }
            let place = Place {
                writer: index,
                thread: *thread,
                clock_ms: *clock_ms,
                epoch: *epoch,
                collecting: *collecting,
            };
            let applied = self.apply(place, &event, &mut limit, sink);
            if !applied {
                *head = Some(event);
            }
            applied
        });
    }

    /// Hands an event over if it is due; parks the writer if not.
    #[inline(always)]
    fn apply(&mut self, place: Place, event: &Event, limit: &mut u64, sink: &mut impl Sink) -> bool {
        if let Some((address, stamp)) = event.place() {
            let shard = shard_of(address);
            let due = self.next[shard];
            if stamp != due {
                match self.out_of_turn(place, shard, stamp) {
                    Turn::Now => {}
                    Turn::Later => return false,
                    Turn::Never => return true,
                }
            }
            if stamp >= due {
                self.next[shard] = stamp.wrapping_add(1);
                if self.horizon_ms.is_some() {
                    self.reached_ms[shard] = self.reached_ms[shard].max(place.clock_ms);
                }
                if self.next[shard] >= self.wake_at[shard] {
                    *limit = self.wake(shard).min(*limit);
                }
            }
        }
        sink.event(place, event);
        true
    }

    /// A stamp that is not due.
    #[cold]
    fn out_of_turn(&mut self, place: Place, shard: usize, stamp: u64) -> Turn {
        if self.held.is_some_and(|held| stamp < held.stamp(shard)) {
            return Turn::Never;
        }
        if stamp < self.next[shard] {
            self.gaps.violations += 1;
            return Turn::Now;
        }
        if self.skip_missing(shard, stamp, place.clock_ms) {
            return Turn::Now;
        }
        self.waiting[shard].push(Reverse((stamp, place.writer)));
        self.wake_at[shard] = self.wake_at[shard].min(stamp);
        self.clocks[place.writer] = place.clock_ms;
        self.parked += 1;
        Turn::Later
    }

    /// Lets the writers run that wait for the stamp now due. Returns the earliest of their clocks.
    #[cold]
    fn wake(&mut self, shard: usize) -> u64 {
        let mut earliest = u64::MAX;
        while let Some(&Reverse((stamp, writer))) = self.waiting[shard].peek() {
            if stamp > self.next[shard] && !self.skip_missing(shard, stamp, self.clocks[writer]) {
                break;
            }
            self.waiting[shard].pop();
            self.parked -= 1;
            earliest = earliest.min(self.clocks[writer]);
            self.ready.push(Reverse((self.clocks[writer], writer)));
        }
        self.wake_at[shard] = self.waiting[shard].peek().map_or(u64::MAX, |Reverse((stamp, _))| *stamp);
        earliest
    }

    /// Makes `stamp` due if every stamp before it that is not yet seen is known to be of no event.
    fn skip_missing(&mut self, shard: usize, stamp: u64, clock_ms: u64) -> bool {
        let Some(missing) = &self.missing else { return false };
        if self.horizon_ms.is_some_and(|horizon| clock_ms.max(self.reached_ms[shard]) >= horizon) {
            return false;
        }
        if !missing.all(shard, self.next[shard], stamp) {
            return false;
        }
        self.gaps.missing = self.gaps.missing.saturating_add(stamp - self.next[shard]);
        self.next[shard] = stamp;
        true
    }

    /// All writers are parked: finds out which stamps are missing, and lets at least one writer run. `false`: what
    /// remains is later than this reading.
    #[cold]
    fn unblock(&mut self, cursors: &[Cursor]) -> bool {
        if self.missing.is_none() {
            self.missing = Some(Missing::find(&self.next, cursors));
        }
        for shard in 0..SHARDS {
            if !self.waiting[shard].is_empty() {
                self.wake(shard);
            }
        }
        if !self.ready.is_empty() || self.horizon_ms.is_some() {
            return !self.ready.is_empty();
        }
        // Stamps that contradict each other, as only a damaged file has them: the earliest waiting goes on.
        let waiting = self.waiting.iter().enumerate();
        let earliest = waiting.filter_map(|(shard, heap)| {
            heap.peek().map(|&Reverse((stamp, writer))| (self.clocks[writer], writer, shard, stamp))
        });
        if let Some((_, _, shard, stamp)) = earliest.min() {
            self.gaps.missing = self.gaps.missing.saturating_add(stamp - self.next[shard]);
            self.next[shard] = stamp;
            self.wake(shard);
        }
        true
    }
}

/// The stamps of the events that remain, a bit each, from the stamp due in their shard.
struct Missing {
    first: [u64; SHARDS],
    present: Vec<Vec<u64>>,
}

impl Missing {
    fn find(next: &[u64; SHARDS], cursors: &[Cursor]) -> Missing {
        let mut missing = Missing { first: *next, present: vec![Vec::new(); SHARDS] };
        // No more events can remain than bytes; a stamp further on is of a damaged file, and ends a gap anyway.
        let most = cursors.iter().map(|cursor| cursor.writer.bytes_left() + 1).sum();
        for cursor in cursors {
            if let Some(event) = &cursor.head {
                missing.add(event, most);
            }
            let mut rest = cursor.writer.fork();
            rest.run(|step| {
                if let Step::Event(event) = step {
                    missing.add(&event, most);
                }
                true
            });
        }
        missing
    }

    fn add(&mut self, event: &Event, most: u64) {
        let Some((address, stamp)) = event.place() else { return };
        let shard = shard_of(address);
        let Some(at) = stamp.checked_sub(self.first[shard]) else { return };
        if at >= most {
            return;
        }
        let words = &mut self.present[shard];
        let word = (at / 64) as usize;
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        words[word] |= 1 << (at % 64);
    }

    /// Whether no event has a stamp from `from` up to `to`.
    fn all(&self, shard: usize, from: u64, to: u64) -> bool {
        let words = &self.present[shard];
        let start = from.saturating_sub(self.first[shard]);
        let end = to.saturating_sub(self.first[shard]).min(words.len() as u64 * 64);
        (start..end).all(|at| words[(at / 64) as usize] >> (at % 64) & 1 == 0)
    }
}
