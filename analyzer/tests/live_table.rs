//! The live table tells what the events tell.
mod synthetic;

use std::collections::BTreeMap;

use analyzer::reader::Recording;
use analyzer::replay::{self, ArenaCounts, Moment, Options, Replayed, Source, Totals};
use proptest::prelude::*;
use recording::StackId;
use recording::layout::State;
use synthetic::{Recorder, Scratch};

fn read(recorder: &Recorder, options: Options) -> Replayed {
    let scratch = Scratch::new("table");
    let recording = Recording::open(&recorder.write(&scratch.0)).expect("it is a recording");
    replay::replay(&recording, options, &|_| {})
}

/// Blocks by address, with size, stack and epoch; totals by stack; arenas; bytes.
type Told = (BTreeMap<u64, (u64, StackId, u32)>, BTreeMap<StackId, Totals>, ArenaCounts, u64);

fn told(replayed: &Replayed) -> Told {
    let block = |(address, block): &(recording::Address, replay::Block)| {
        let stack = replayed.sites[block.site as usize].stack;
        (address.0, (block.size, stack, block.birth.epoch()))
    };
    let live = replayed.live.iter().map(block).collect();
    let sites = replayed.sites.iter().map(|site| (site.stack, *site)).collect();
    (live, sites, replayed.arenas, replayed.live_bytes)
}

/// What is read from the table, once it is the same as what is read from the events.
fn both(recorder: &Recorder, until: Moment) -> Replayed {
    let options = |from| Options { from, until, ..Options::default() };
    let (table, events) = (read(recorder, options(Source::Table)), read(recorder, options(Source::Events)));
    assert!(table.is_table && !table.is_inexact && !events.is_table);
    assert_eq!(events.anomalies, Default::default());
    assert_eq!((&table.losses, &events.losses), (&vec![], &vec![]));
    assert_eq!(told(&table), told(&events));
    table
}

fn recorder() -> (Recorder, StackId, usize) {
    let mut r = Recorder::new(1);
    r.keep_table();
    let (stack, writer) = (r.stack(&[0x1000]), r.writer());
    (r, stack, writer)
}

#[test]
fn blocks_of_any_size_and_spacing() {
    let (mut r, stack, writer) = recorder();
    let sizes = [0, 1, 8, 24, 25, 1022, 1023, 5 << 40];
    for (number, size) in (0u64..).zip(sizes) {
        // The last word of a page, so that the size of the large ones is in the next; and one between.
        r.alloc(writer, 0x10_0000 * number + 0x7_ffe0, size, stack);
        r.alloc(writer, 0x10_0000 * number + 0x6_0048, size, stack);
    }
    (0..4).for_each(|number| r.alloc(writer, 0x9000_0008 + 8 * number, 8, stack));
    r.alloc(writer, 0xa000_0000, 1 << 20, StackId::ARENA);
    r.alloc(writer, 0xa000_0030, 300, stack);
    r.alloc(writer, 0xa010_3fe0, 4095, StackId::ARENA);
    let replayed = both(&r, Moment::End);
    assert_eq!((replayed.live.len(), replayed.arenas.arenas, replayed.peak_bytes), (21, 2, None));
}

#[test]
fn a_killed_process_is_told_by_its_log_where_the_table_lags() {
    type Last = fn(&mut Recorder, usize, StackId);
    let lasts: [(Last, u64); 6] = [
        (|r, writer, stack| r.alloc(writer, 0x3_0000, 5, stack), 35),
        (|r, writer, _| r.free(writer, 0x1_0000), 20),
        (|r, writer, _| r.realloc_begin(writer, 0x2_0000), 30),
        (|r, writer, stack| r.alloc(writer, 0x3_0000, 1 << 20, StackId(stack.0)), 30 + (1 << 20)),
        (
            |r, writer, stack| {
                r.alloc(writer, 0x3_0000, 1 << 20, {
                    let _ = stack;
                    StackId::ARENA
                })
            },
            30,
        ),
        (|r, writer, _| r.realloc_undo(writer, 0x2_0000), 30),
    ];
    for (number, (last, unfreed)) in lasts.into_iter().enumerate() {
        let (mut r, stack, writer) = recorder();
        r.header.state = Some(State::Recording);
        r.alloc(writer, 0x1_0000, 10, stack);
        r.alloc(writer, 0x2_0000, 20, stack);
        if number == 5 {
            r.realloc_begin(writer, 0x2_0000);
        }
        r.is_killed_in(|r| last(r, writer, stack));
        assert_eq!(both(&r, Moment::End).live_bytes, unfreed, "{number}");
    }
}

#[test]
fn a_realloc_that_came_back_as_the_process_was_killed() {
    for to in [0x2_0000, 0x2_0000 + 32, 0x9_0000] {
        for filler in [0, 70_000] {
            let (mut r, stack, writer) = recorder();
            let other = r.writer();
            r.alloc(writer, 0x2_0000, 20, stack);
            r.alloc(other, 0x5_0000, 300, stack);
            r.realloc_begin(writer, 0x2_0000);
            // A signal handler turns the chunk meanwhile.
            (0..filler).for_each(|_| {
                r.alloc(writer, 0x7_0000, 1, stack);
                r.free(writer, 0x7_0000)
            });
            r.is_killed_in(|r| r.realloc_end(writer, to, 4000, stack));
            assert_eq!(both(&r, Moment::End).live_bytes, 4300, "{to:x}");
        }
    }
}

#[test]
fn the_set_before_exit() {
    let (mut r, stack, writer) = recorder();
    for number in 0..10 {
        r.alloc(writer, 0x1_0000 + 64 * number, 100, stack);
        r.alloc(writer, 0x8_0000 + 16 * number, 8, stack);
    }
    r.finalize();
    for number in 0..10 {
        r.free(writer, 0x1_0000 + 64 * number);
        r.alloc(writer, 0x1_0000 + 64 * number, 7 + 50 * number, stack);
    }
    r.realloc_begin(writer, 0x8_0000);
    r.realloc_end(writer, 0x9_0000, 40, stack);
    let table = |until| {
        let options = |from| Options { from, until, ..Options::default() };
        let (table, events) = (read(&r, options(Source::Table)), read(&r, options(Source::Events)));
        assert_eq!(told(&table).0, told(&events).0);
        table.live_bytes
    };
    assert_eq!([table(Moment::BeforeExit), table(Moment::End)], [1080, 10 * 7 + 50 * 45 + 9 * 8 + 40]);
}

#[test]
fn what_is_read_of_which() {
    let (mut r, stack, writer) = recorder();
    r.alloc(writer, 0x1_0000, 100, stack);
    let is_table = |r: &Recorder, options| read(r, options).is_table;
    let default = Options::default();
    assert!(!is_table(&r, default), "all events of a process that is gone");
    assert!(is_table(&r, Options { from: Source::Table, ..default }));
    r.header.reused = 1;
    assert!(is_table(&r, default) && is_table(&r, Options { until: Moment::Epoch(1), ..default }));
    assert!(is_table(&r, Options { by_thread: true, ..default }));
    assert!(!is_table(&r, Options { from: Source::Events, ..default }));
    r.header.flags = 0;
    assert!(!is_table(&r, Options { from: Source::Table, ..default }), "there is none");
}

#[test]
fn threads_are_known_of_what_was_allocated_since_events_are_held() {
    let (mut r, stack, first) = recorder();
    let second = r.writer();
    r.alloc(first, 0x1_0000, 1, stack);
    r.alloc(second, 0x2_0000, 20, stack);
    r.hold();
    r.alloc(first, 0x3_0000, 300, stack);
    r.alloc(second, 0x4_0000, 4_000, stack);
    r.free(second, 0x1_0000);
    r.free(second, 0x3_0000);
    r.alloc(first, 0x1_0000, 50_000, stack);
    let of = |options| {
        let replayed = read(&r, options);
        assert_eq!((replayed.anomalies.impossible(), replayed.peak_bytes), (0, None));
        let thread = |block: &replay::Block| replayed.sites[block.site as usize].thread;
        let mut blocks: Vec<_> = replayed.live.iter().map(|(_, block)| (block.size, thread(block))).collect();
        blocks.sort_unstable();
        blocks
    };
    let by_thread = Options { by_thread: true, ..Options::default() };
    assert_eq!(of(by_thread), [(20, replay::UNKNOWN_THREAD), (4_000, 1), (50_000, 0)]);
    let events = Options { from: Source::Events, ..Options::default() };
    assert_eq!(of(events), [(4_000, 0), (50_000, 0)]);
}

/// An allocator's history: which thread does what with which block.
#[derive(Clone, Debug)]
enum Step {
    AllocOrFree { writer: usize, slot: usize, size: u64 },
    Realloc { writer: usize, slot: usize, to: usize, size: u64, fails: bool },
    Epoch,
}

fn step() -> impl Strategy<Value = Step> {
    let (writer, slot, size) = (0..5usize, 0..200usize, 0..100_000u64);
    prop_oneof![
        8 => (writer.clone(), slot.clone(), size.clone())
            .prop_map(|(writer, slot, size)| Step::AllocOrFree { writer, slot, size }),
        3 => (writer, slot.clone(), slot, size, any::<bool>())
            .prop_map(|(writer, slot, to, size, fails)| Step::Realloc { writer, slot, to, size, fails }),
        1 => Just(Step::Epoch),
    ]
}

/// Three neighbours in a row, of which the first two are as small as their places.
fn address(slot: usize) -> u64 {
    0x7f00_0000_0000 + (slot / 3) as u64 * 0x4_0fe0 + [0, 8, 32][slot % 3]
}

struct History {
    r: Recorder,
    stacks: [StackId; 4],
    /// Whether the block in a slot is an arena.
    held: BTreeMap<usize, bool>,
    epoch: u32,
}

impl History {
    fn new() -> History {
        let mut r = Recorder::new(1);
        r.keep_table();
        r.header.state = Some(State::Recording);
        let stacks = [r.stack(&[0x1000]), r.stack(&[0x2000]), StackId(6), StackId::ARENA];
        (0..5).for_each(|_| _ = r.writer());
        History { r, stacks, held: BTreeMap::new(), epoch: 1 }
    }

    fn block(&self, slot: usize, size: u64) -> (u64, StackId) {
        let stack = if slot % 3 == 2 { size % 4 } else { size % 3 };
        (size % [9, 25, u64::MAX][slot % 3], self.stacks[stack as usize])
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::AllocOrFree { writer, slot, size } => {
                if self.held.remove(&slot).is_some() {
                    return self.r.free(writer, address(slot));
                }
                let (size, stack) = self.block(slot, size);
                self.held.insert(slot, stack == StackId::ARENA);
                self.r.alloc(writer, address(slot), size, stack);
            }
            Step::Realloc { writer, slot, to, size, fails } => {
                if self.held.get(&slot) != Some(&false) || (to != slot && self.held.contains_key(&to)) {
                    return;
                }
                let (size, stack) = self.block(to, size);
                self.r.realloc_begin(writer, address(slot));
                if fails || stack == StackId::ARENA {
                    return self.r.realloc_undo(writer, address(slot));
                }
                self.held.remove(&slot);
                self.held.insert(to, false);
                self.r.realloc_end(writer, address(to), size, stack);
            }
            Step::Epoch => {
                self.epoch += 1;
                (0..5).for_each(|writer| self.r.begin_epoch(writer, self.epoch));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_history_is_in_the_table(steps in prop::collection::vec(step(), 1..2000), last in step()) {
        let mut history = History::new();
        steps.iter().for_each(|step| history.step(step));
        both(&history.r, Moment::End);
        let History { r, stacks, held, epoch } = history;
        let mut killed = History { r, stacks, held, epoch };
        if let Step::AllocOrFree { slot, size, .. } = last {
            let is_held = killed.held.contains_key(&slot);
            let (size, stack) = killed.block(slot, size);
            killed.r.is_killed_in(|r| match is_held {
                true => r.free(0, address(slot)),
                false => r.alloc(0, address(slot), size, stack),
            });
            both(&killed.r, Moment::End);
        }
    }
}
