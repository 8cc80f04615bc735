//! Events that another thread reads ahead are those that one thread reads, in the same order and the same places.
mod synthetic;

use analyzer::reader::Recording;
use analyzer::replay::{self, Place, Sink};
use recording::Event;
use synthetic::{Recorder, Scratch};

/// What a sink is told.
#[derive(Clone, PartialEq, Debug)]
enum Told {
    Event(Place, Event),
    Thread(u32, u32),
    Progress(u64),
}

/// Keeps what it is told, wants no more from some number of events on, and wants them announced from another on.
struct Listener {
    told: Vec<Told>,
    most: usize,
    much: usize,
}

impl Sink for Listener {
    fn event(&mut self, place: Place, event: &Event) {
        self.told.push(Told::Event(place, *event));
    }

    fn thread(&mut self, number: u32, tid: u32) {
        self.told.push(Told::Thread(number, tid));
    }

    fn progress(&mut self, bytes: u64) {
        self.told.push(Told::Progress(bytes));
    }

    fn has_much(&self) -> bool {
        self.told.len() >= self.much
    }

    fn is_done(&self) -> bool {
        self.told.len() >= self.most
    }
}

/// Many threads that free each other's blocks: a log of some MiB, since each has a chunk at least.
fn recording(scratch: &Scratch) -> Recording {
    let mut r = Recorder::new(1);
    let stack = r.stack(&[0x1000, 0x2000]);
    let writers: Vec<usize> = (0..48).map(|_| r.writer()).collect();
    for round in 0..600u64 {
        for (index, &writer) in writers.iter().enumerate() {
            let address = 0x10_0000 + (index as u64) * 0x1_0000 + 64 * (round % 512);
            r.alloc(writer, address, 32 + round, stack);
            r.free(writers[(index + 1) % writers.len()], address);
            if round % 50 == index as u64 {
                r.clock(writer, 1_000 + round);
                r.collector(writer, round % 2 == 0);
                r.thread_name(writer, "another");
            }
        }
    }
    Recording::open(&r.write(&scratch.0)).expect("it is a recording")
}

fn listener(much: usize) -> Listener {
    Listener { told: Vec::new(), most: usize::MAX, much }
}

#[test]
fn the_same_however_they_come() {
    let scratch = Scratch::new("ahead");
    let recording = recording(&scratch);
    let (mut plain, mut direct, mut later) = (listener(0), listener(usize::MAX), listener(20_000));
    let (mut ahead, mut announced) = (listener(usize::MAX), listener(20_000));
    let orders = [
        replay::in_order(&recording, &mut plain),
        replay::in_one_thread(&recording, &mut direct),
        replay::in_one_thread(&recording, &mut later),
        replay::in_order_ahead(&recording, &mut ahead),
        replay::in_order_ahead(&recording, &mut announced),
    ];
    assert!(plain.told.len() > 50_000, "{} told", plain.told.len());
    for (name, other) in [("direct", direct), ("later", later), ("ahead", ahead), ("announced", announced)] {
        let differ = plain.told.iter().zip(&other.told).position(|(one, other)| one != other);
        assert_eq!((name, differ, plain.told.len()), (name, None, other.told.len()));
    }
    let orders = orders.map(|order| (order.gaps, order.losses, order.bytes_used));
    assert!(orders.iter().all(|order| *order == orders[0]));
}

#[test]
fn until_no_more_is_wanted() {
    let scratch = Scratch::new("ahead");
    let recording = recording(&scratch);
    let mut all = listener(usize::MAX);
    replay::in_order(&recording, &mut all);
    let mut some = Listener { most: 100, ..listener(usize::MAX) };
    replay::in_order_ahead(&recording, &mut some);
    assert!(some.told.len() >= 100 && all.told.starts_with(&some.told), "{} told", some.told.len());
}
