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

/// Keeps what it is told, and wants no more from some number of events on.
struct Listener {
    told: Vec<Told>,
    most: usize,
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

#[test]
fn the_same_as_in_one_thread() {
    let scratch = Scratch::new("ahead");
    let recording = recording(&scratch);
    let listener = || Listener { told: Vec::new(), most: usize::MAX };
    let (mut one, mut two) = (listener(), listener());
    let orders = [replay::in_order(&recording, &mut one), replay::in_order_ahead(&recording, &mut two)];
    assert!(one.told.len() > 50_000, "{} told", one.told.len());
    let differ = one.told.iter().zip(&two.told).position(|(one, two)| one != two);
    assert_eq!((differ, one.told.len()), (None, two.told.len()));
    let [one, two] = orders.map(|order| (order.gaps, order.losses, order.bytes_used));
    assert_eq!(one, two);
}

#[test]
fn until_no_more_is_wanted() {
    let scratch = Scratch::new("ahead");
    let recording = recording(&scratch);
    let mut all = Listener { told: Vec::new(), most: usize::MAX };
    replay::in_order(&recording, &mut all);
    let mut some = Listener { told: Vec::new(), most: 100 };
    replay::in_order_ahead(&recording, &mut some);
    assert!(some.told.len() >= 100 && all.told.starts_with(&some.told), "{} told", some.told.len());
}
