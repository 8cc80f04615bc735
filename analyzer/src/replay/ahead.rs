//! The events of a recording, read, decoded and put in order ahead of who takes them, by a second thread where there is one.
//!
//! The one place of a replay that knows of threads. The events come in the order that [`in_order`] gives them, in batches whose
//! memory goes round, so what comes of them is the same as in one thread. What comes in a batch is known before it is taken, so
//! who takes it need not wait for memory.
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::{mem, panic, thread};

use recording::Event;

use super::merge::{Order, Place, Sink, in_order};
use crate::reader::Recording;

/// Events in a batch: few enough to be in a processor's cache when they are taken.
const BATCH: usize = 1 << 10;

/// How many events ahead one is announced, see [`Sink::far`], and again, see [`Sink::near`].
const FAR: usize = 24;
const NEAR: usize = 12;

/// Batches on the way, so that neither thread waits where the other is slower for a moment.
const ON_THE_WAY: usize = 8;

/// Logs below this are read before a second thread is of use.
const FEW: u64 = 2 << 20;

/// Feeds all events of a recording to `sink`, in order; several processors share the work.
pub fn in_order_ahead(recording: &Recording, sink: &mut impl Sink) -> Order {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    match processors > 1 && recording.event_bytes() >= FEW {
        true => in_two_threads(recording, sink),
        false => in_one_thread(recording, sink),
    }
}

/// The same by this thread alone.
pub fn in_one_thread(recording: &Recording, sink: &mut impl Sink) -> Order {
    let mut alone = Alone { sink, batch: None, left: BATCH, pushed: None, fed: None };
    let order = in_order(recording, &mut alone);
    alone.feed();
    order
}

fn in_two_threads(recording: &Recording, sink: &mut impl Sink) -> Order {
    let (full, taken) = sync_channel::<Batch>(ON_THE_WAY);
    let (empty, used) = channel::<Batch>();
    let done = &AtomicBool::new(false);
    thread::scope(|scope| {
        let mut batches = Batches::new(done, move |batch| {
            let empty = used.try_recv().unwrap_or_default();
            if full.send(mem::replace(batch, empty)).is_err() {
                // Who takes them has panicked.
                done.store(true, Ordering::Relaxed);
            }
        });
        let reading = thread::Builder::new().spawn_scoped(scope, move || {
            let order = in_order(recording, &mut batches);
            batches.send();
            order
        });
        // No thread can be had.
        let Ok(reading) = reading else { return in_one_thread(recording, sink) };
        take(taken, empty, done, sink);
        reading.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    })
}

/// Feeds batches to `sink` until there are no more.
fn take(taken: Receiver<Batch>, empty: Sender<Batch>, done: &AtomicBool, sink: &mut impl Sink) {
    let mut place = None;
    for mut batch in taken {
        batch.feed(&mut place, sink);
        if sink.is_done() {
            done.store(true, Ordering::Relaxed);
        }
        // Nobody wants it any more once all is read.
        let _ = empty.send(batch);
    }
}

/// What changes between two events.
enum Turn {
    Place(Place),
    Thread(u32, u32),
    Progress(u64),
}

/// Events, and what changes before that of an index.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    turns: Vec<(usize, Turn)>,
}

impl Batch {
    fn turn(&mut self, turn: Turn) {
        self.turns.push((self.events.len(), turn));
    }

    /// Adds an event, `place` is that of the last one; whether it is full.
    #[inline(always)]
    fn push(&mut self, last: &mut Option<Place>, place: Place, event: &Event) -> bool {
        if *last != Some(place) {
            *last = Some(place);
            self.turn(Turn::Place(place));
        }
        self.events.push(*event);
        self.events.len() >= BATCH
    }

    /// Feeds it to `sink` and empties it; `place` is where the last event happened.
    fn feed(&mut self, place: &mut Option<Place>, sink: &mut impl Sink) {
        let announced = sink.has_much();
        let mut at = 0;
        let end = self.events.len();
        let turns = self.turns.drain(..).map(|(index, turn)| (index, Some(turn)));
        for (index, turn) in turns.chain([(end, None)]) {
            if let Some(place) = *place {
                match announced {
                    true => announce(&self.events, at..index, place, sink),
                    false => self.events[at..index].iter().for_each(|event| sink.event(place, event)),
                }
            }
            at = index;
            match turn {
                Some(Turn::Place(now)) => *place = Some(now),
                Some(Turn::Thread(number, tid)) => sink.thread(number, tid),
                Some(Turn::Progress(bytes)) => sink.progress(bytes),
                None => {}
            }
        }
        self.events.clear();
    }
}

/// Feeds `these` of the events, each announced before.
fn announce(events: &[Event], these: Range<usize>, place: Place, sink: &mut impl Sink) {
    for index in these {
        let coming = &events[index..];
        if let Some(event) = coming.get(FAR) {
            sink.far(event);
        }
        if let Some(event) = coming.get(NEAR) {
            sink.near(event);
        }
        sink.event(place, &coming[0]);
    }
}

/// Feeds events as they come, and in batches once there is much: that they are announced is worth more then than a batch costs.
struct Alone<'s, S> {
    sink: &'s mut S,
    batch: Option<Batch>,
    /// Events until it is asked again whether there is much.
    left: usize,
    /// Where the last event in a batch happened, and the last one that was fed from one.
    pushed: Option<Place>,
    fed: Option<Place>,
}

impl<S: Sink> Alone<'_, S> {
    #[cold]
    fn look(&mut self) {
        self.left = BATCH;
        self.batch = self.sink.has_much().then(Batch::default);
    }

    #[cold]
    fn feed(&mut self) {
        self.batch.iter_mut().for_each(|batch| batch.feed(&mut self.fed, self.sink));
    }
}

impl<S: Sink> Sink for Alone<'_, S> {
    #[inline(always)]
    fn event(&mut self, place: Place, event: &Event) {
        match &mut self.batch {
            Some(batch) => {
                if batch.push(&mut self.pushed, place, event) {
                    self.feed();
                }
            }
            None => {
                self.sink.event(place, event);
                self.left -= 1;
                if self.left == 0 {
                    self.look();
                }
            }
        }
    }

    fn thread(&mut self, number: u32, tid: u32) {
        match &mut self.batch {
            Some(batch) => batch.turn(Turn::Thread(number, tid)),
            None => self.sink.thread(number, tid),
        }
    }

    fn progress(&mut self, bytes: u64) {
        match &mut self.batch {
            Some(batch) => batch.turn(Turn::Progress(bytes)),
            None => self.sink.progress(bytes),
        }
    }

    fn is_done(&self) -> bool {
        self.sink.is_done()
    }
}

/// Makes batches of what it takes.
struct Batches<'d, S> {
    batch: Batch,
    /// Of the last event.
    place: Option<Place>,
    /// Takes the events out of a batch.
    send: S,
    done: &'d AtomicBool,
}

impl<'d, S: FnMut(&mut Batch)> Batches<'d, S> {
    fn new(done: &'d AtomicBool, send: S) -> Self {
        Batches { batch: Batch::default(), place: None, send, done }
    }

    #[cold]
    fn send(&mut self) {
        (self.send)(&mut self.batch);
        self.batch.events.reserve(BATCH);
    }
}

impl<S: FnMut(&mut Batch)> Sink for Batches<'_, S> {
    #[inline(always)]
    fn event(&mut self, place: Place, event: &Event) {
        if self.batch.push(&mut self.place, place, event) {
            self.send();
        }
    }

    fn thread(&mut self, number: u32, tid: u32) {
        self.batch.turn(Turn::Thread(number, tid));
    }

    fn progress(&mut self, bytes: u64) {
        self.batch.turn(Turn::Progress(bytes));
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }
}
