//! Replay of recordings whose outcome is known, because this test made them.
mod synthetic;

use std::collections::HashMap;

use analyzer::reader::{self, Recording};
use analyzer::replay::{self, ArenaCounts, Moment, Options, Place, Replayed, Sink, Source};
use proptest::prelude::*;
use recording::resource::Resource;
use recording::{Event, StackId};
use synthetic::{Recorder, Scratch};

fn replay(recorder: &Recorder) -> Replayed {
    let scratch = Scratch::new("replay");
    let path = recorder.write(&scratch.0);
    let recording = Recording::open(&path).expect("it is a recording");
    replay::replay(&recording, Options { until: Moment::End, ..Default::default() }, &|_| {})
}

fn replay_before_exit(recorder: &Recorder) -> Replayed {
    let scratch = Scratch::new("replay");
    let recording = Recording::open(&recorder.write(&scratch.0)).expect("it is a recording");
    assert!(recording.finalizing.is_some(), "the moment is in the file");
    replay::replay(&recording, Options::default(), &|_| {})
}

fn live(replayed: &Replayed) -> HashMap<u64, u64> {
    replayed.live.iter().map(|(address, block)| (address.0, block.size)).collect()
}

#[test]
fn frees_of_another_thread_wait_for_the_allocation() {
    let mut r = Recorder::new(1);
    let stack = r.stack(&[0x1000, 0x2000]);
    let (a, b) = (r.writer(), r.writer());
    for i in 0..50_000u64 {
        r.alloc(b, 0x10_0000 + 64 * i, 32, stack);
        r.free(a, 0x10_0000 + 64 * i);
    }
    r.alloc(a, 0x8000, 7, stack);
    let replayed = replay(&r);
    assert_eq!(live(&replayed), HashMap::from([(0x8000, 7)]));
    assert_eq!((replayed.events, replayed.anomalies), (100_001, Default::default()));
    assert_eq!((replayed.sites[0].allocations, replayed.sites[0].frees), (50_001, 50_000));
    // Two where the blocks pass from one shard to the next: without a clock their order is not known there.
    assert!(replayed.peak_bytes <= Some(64), "peak {:?}", replayed.peak_bytes);
}

#[test]
fn the_peak_follows_the_clock_not_the_writers() {
    let mut r = Recorder::new(1);
    let stack = r.stack(&[0x1000]);
    let (a, b) = (r.writer(), r.writer());
    // Both threads hold 1 MiB from 2 s to 3 s, in shards of their own.
    for (writer, address) in [(a, 0x10_0000), (b, 0x5000_0000)] {
        r.clock(writer, 2_000);
        r.alloc(writer, address, 1 << 20, stack);
        r.clock(writer, 3_000);
        r.free(writer, address);
    }
    assert_eq!(replay(&r).peak_bytes, Some(2 << 20));
}

#[test]
fn a_killed_thread_leaves_a_gap_that_is_skipped() {
    let mut r = Recorder::new(1);
    let stack = r.stack(&[0x1000]);
    let (a, b) = (r.writer(), r.writer());
    r.alloc(a, 0x10000, 1, stack);
    r.skip_stamp(0x10000);
    r.alloc(b, 0x10040, 2, stack);
    r.skip_stamp(0x10000);
    r.skip_stamp(0x10000);
    r.free(a, 0x10040);
    let replayed = replay(&r);
    assert_eq!(live(&replayed), HashMap::from([(0x10000, 1)]));
    assert_eq!(replayed.anomalies.gaps.missing, 3);
    assert_eq!(replayed.anomalies.impossible(), 0);
}

#[test]
fn reallocs_move_grow_fail_and_are_cut() {
    let mut r = Recorder::new(1);
    let (first, second) = (r.stack(&[0x1000]), r.stack(&[0x2000]));
    let (a, b) = (r.writer(), r.writer());
    r.alloc(a, 0x10000, 10, first);
    r.realloc_begin(a, 0x10000);
    r.alloc(b, 0x10000, 5, first); // the memory was given back inside realloc, and handed out again
    r.realloc_end(a, 0x20000, 20, second);
    r.realloc_begin(b, 0x10000);
    r.realloc_undo(b, 0x10000);
    r.realloc_begin(a, 0x20000);
    let replayed = replay(&r);
    assert_eq!(live(&replayed), HashMap::from([(0x10000, 5), (0x20000, 20)]));
    assert_eq!(replayed.anomalies, Default::default());
    let site = |stack: StackId| replayed.sites.iter().find(|site| site.stack == stack).expect("a site");
    assert_eq!((site(first).allocations, site(first).frees), (2, 1));
    assert_eq!((site(second).allocations, site(second).frees), (1, 0));
    assert_eq!(replayed.live_bytes, 25);
}

#[test]
fn a_realloc_that_was_killed_after_its_block_was_given_away() {
    let mut r = Recorder::new(1);
    let stack = r.stack(&[0x1000]);
    let (a, b) = (r.writer(), r.writer());
    for address in [0x10000, 0x20000, 0x30000] {
        r.alloc(a, address, address >> 16, stack);
    }
    r.realloc_begin(a, 0x10000); // another thread has got its place, and keeps it
    r.alloc(b, 0x10000, 50, stack);
    r.realloc_begin(a, 0x20000); // another thread had it for a while
    r.alloc(b, 0x20000, 60, stack);
    r.free(b, 0x20000);
    r.realloc_begin(a, 0x30000); // nobody else has had it
    let replayed = replay(&r);
    assert_eq!(live(&replayed), HashMap::from([(0x10000, 50), (0x30000, 3)]));
    assert_eq!(replayed.anomalies, Default::default());
    assert_eq!((replayed.sites[0].allocations, replayed.sites[0].frees, replayed.live_bytes), (5, 3, 53));
}

#[test]
fn what_python_frees_at_exit_is_there_before() {
    let mut r = Recorder::new(1);
    let stack = r.stack(&[0x1000]);
    let (a, b) = (r.writer(), r.writer());
    r.alloc(a, 0x10000, 100, stack);
    r.alloc(b, 0x20000, 20, stack);
    r.free(a, 0x20000);
    r.finalize();
    r.free(b, 0x10000);
    r.alloc(a, 0x10000, 5, stack);
    r.free(a, 0x10000);
    r.alloc(a, 0x30000, 7000, stack);
    let before = replay_before_exit(&r);
    assert_eq!(live(&before), HashMap::from([(0x10000, 100)]));
    assert_eq!((before.sites[0].allocations, before.sites[0].frees, before.peak_bytes), (2, 1, Some(120)));
    assert_eq!((before.events, before.anomalies), (7, Default::default()));
    assert_eq!(live(&replay(&r)), HashMap::from([(0x30000, 7000)]));
}

#[test]
fn reallocs_around_the_moment_of_exit() {
    let mut r = Recorder::new(1);
    let stack = r.stack(&[0x1000]);
    let (a, b) = (r.writer(), r.writer());
    for address in [0x10000, 0x20000, 0x30000, 0x40000] {
        r.alloc(a, address, address >> 16, stack);
    }
    r.realloc_begin(a, 0x10000); // begun before, ended after
    r.realloc_begin(b, 0x20000); // begun before, given up after
    r.finalize();
    r.realloc_end(a, 0x50000, 50, stack);
    r.realloc_undo(b, 0x20000);
    r.realloc_begin(a, 0x30000); // both after
    r.realloc_end(a, 0x60000, 60, stack);
    r.realloc_begin(a, 0x60000); // of a block that was not there before
    r.realloc_end(a, 0x60000, 61, stack);
    let before = replay_before_exit(&r);
    assert_eq!(live(&before), HashMap::from([(0x10000, 1), (0x20000, 2), (0x30000, 3), (0x40000, 4)]));
    assert_eq!(before.anomalies, Default::default());

    // The counter of the new block's shard was read late: only the end came before.
    r.realloc_begin(b, 0x40000);
    r.realloc_end(b, 0x70000, 70, stack);
    r.finalize_shard(0x70000);
    let before = replay_before_exit(&r);
    assert_eq!(live(&before), HashMap::from([(0x10000, 1), (0x20000, 2), (0x30000, 3), (0x70000, 70)]));
    assert_eq!((before.anomalies, before.live_bytes), (Default::default(), 76));
}

#[test]
fn arenas_are_in_no_sum() {
    let mut r = Recorder::new(1);
    let stack = r.stack(&[0x1000]);
    let writer = r.writer();
    r.alloc(writer, 0x10_0000, 0x10_0000, StackId::ARENA);
    r.alloc(writer, 0x10_0030, 500, stack); // within the first
    r.alloc(writer, 0x1f_fff0, 16, stack);
    r.alloc(writer, 0x20_0000, 4, stack); // behind it
    r.alloc(writer, 0x40_0000, 0x10_0000, StackId::ARENA);
    r.alloc(writer, 0x40_0030, 1, stack);
    r.free(writer, 0x40_0030);
    r.free(writer, 0x40_0000);
    r.alloc(writer, 0x40_0030, 2, stack); // the arena is gone
    r.alloc(writer, 0x70_0000, 100, StackId::ARENA); // their table, which grows
    r.realloc_begin(writer, 0x70_0000);
    r.realloc_end(writer, 0x71_0000, 200, StackId::ARENA);
    let replayed = replay(&r);
    assert_eq!(replayed.arenas, ArenaCounts { arenas: 2, bytes: (1 << 20) + 200, filled_bytes: 516 });
    assert_eq!((replayed.live.len(), replayed.live_bytes, replayed.sites.len()), (4, 522, 1));
    assert_eq!(
        (replayed.peak_bytes, replayed.anomalies, replayed.events),
        (Some(522), Default::default(), 12)
    );
}

#[test]
fn a_child_frees_what_it_inherited() {
    let mut parent = Recorder::new(1);
    let stack = parent.stack(&[0x1000]);
    let writer = parent.writer();
    parent.alloc(writer, 0x10000, 10, stack);
    let mut child = parent.fork(2);
    let (stack, writer) = (child.stack(&[0x1000]), child.writer());
    child.free(writer, 0x10000);
    child.alloc(writer, 0x10000, 3, stack);
    let replayed = replay(&child);
    assert_eq!(live(&replayed), HashMap::from([(0x10000, 3)]));
    assert_eq!(replayed.anomalies.inherited_frees, 1);
    assert_eq!((replayed.anomalies.impossible(), replayed.anomalies.gaps.missing), (0, 0));
}

#[test]
fn what_cannot_be_is_counted() {
    let mut r = Recorder::new(1);
    let stack = r.stack(&[0x1000]);
    let writer = r.writer();
    r.alloc(writer, 0x10000, 10, stack);
    r.alloc(writer, 0x10000, 20, stack);
    r.free(writer, 0x20000);
    r.realloc_end(writer, 0x30000, 1, stack);
    r.lost(writer, 5);
    r.header.lost[0] = 2;
    let replayed = replay(&r);
    let anomalies = replayed.anomalies;
    assert_eq!((anomalies.allocated_twice, anomalies.unknown_frees, anomalies.unpaired_reallocs), (1, 1, 1));
    assert_eq!((anomalies.impossible(), replayed.lost), (3, 7));
    assert_eq!(live(&replayed), HashMap::from([(0x10000, 20), (0x30000, 1)]));
}

#[test]
fn definitions_follow_the_map_of_modules() {
    let mut r = Recorder::new(1);
    r.module(0, 1, "/lib/a.so", 0x10000, 0x1000);
    let before = r.node(StackId(0), 0x10500);
    r.module_gone(0, 2);
    r.epoch(2);
    let between = r.node(StackId(0), 0x10500);
    r.epoch(3);
    r.module(1, 3, "/lib/b.so", 0x10000, 0x1000);
    let after = r.node(StackId(0), 0x10500);
    let scratch = Scratch::new("modules");
    let recording = Recording::open(&r.write(&scratch.0)).expect("it is a recording");
    let definitions = reader::Definitions::read(&recording);
    let path = |id| {
        let module = definitions.module_of(definitions.node(id).expect("a node"));
        module.map(|module| definitions.modules[module].path.display().to_string())
    };
    assert_eq!(path(before).as_deref(), Some("/lib/a.so"));
    assert_eq!(path(between), None);
    assert_eq!(path(after).as_deref(), Some("/lib/b.so"));
}

/// An allocator's history: which thread does what with which block.
#[derive(Clone, Debug)]
enum Step {
    Alloc { writer: usize, slot: usize, size: u64 },
    Free { writer: usize, slot: usize },
    Realloc { writer: usize, slot: usize, to: usize, size: u64, fails: bool },
    Killed { slot: usize },
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    let (writer, slot, size) = (0..5usize, 0..200usize, 0..100_000u64);
    prop_oneof![
        4 => (writer.clone(), slot.clone(), size.clone())
            .prop_map(|(writer, slot, size)| Step::Alloc { writer, slot, size }),
        4 => (writer.clone(), slot.clone()).prop_map(|(writer, slot)| Step::Free { writer, slot }),
        2 => (writer, slot.clone(), slot.clone(), size, any::<bool>())
            .prop_map(|(writer, slot, to, size, fails)| Step::Realloc { writer, slot, to, size, fails }),
        1 => slot.prop_map(|slot| Step::Killed { slot }),
        1 => Just(Step::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_history_is_replayed_exactly(steps in prop::collection::vec(step(), 1..2000)) {
        let mut r = Recorder::new(1);
        let stack = r.stack(&[0x1000]);
        (0..5).for_each(|_| _ = r.writer());
        let address = |slot: usize| 0x7f00_0000_0000 + slot as u64 * 0x4_0010 / 16 * 16;
        let mut held: HashMap<u64, u64> = HashMap::new();
        let (mut killed, mut now, mut events) = (0, 1_000, 0);
        for step in steps {
            match step {
                Step::Alloc { writer, slot, size } => {
                    if held.insert(address(slot), size).is_none() {
                        r.alloc(writer, address(slot), size, stack);
                        events += 1;
                    } else {
                        r.free(writer, address(slot));
                        held.remove(&address(slot));
                        events += 1;
                    }
                }
                Step::Free { writer, slot } => {
                    if held.remove(&address(slot)).is_some() {
                        r.free(writer, address(slot));
                        events += 1;
                    }
                }
                Step::Realloc { writer, slot, to, size, fails } => {
                    if !held.contains_key(&address(slot)) || (to != slot && held.contains_key(&address(to))) {
                        continue;
                    }
                    r.realloc_begin(writer, address(slot));
                    if fails {
                        r.realloc_undo(writer, address(slot));
                    } else {
                        held.remove(&address(slot));
                        held.insert(address(to), size);
                        r.realloc_end(writer, address(to), size, stack);
                    }
                    events += 2;
                }
                Step::Killed { slot } => {
                    r.skip_stamp(address(slot));
                    killed += 1;
                }
                Step::Tick => {
                    now += 3;
                    (0..5).for_each(|writer| r.clock(writer, now));
                }
            }
        }
        let replayed = replay(&r);
        prop_assert_eq!(live(&replayed), held);
        prop_assert_eq!(replayed.anomalies.impossible(), 0);
        prop_assert!(replayed.anomalies.gaps.missing <= killed);
        prop_assert_eq!(replayed.events, events);
        prop_assert_eq!(replayed.losses.len(), 0);
    }
}

/// The addresses that were freed, and whether the collector did it.
#[derive(Default)]
struct Frees(Vec<(u64, bool)>);

impl Sink for Frees {
    fn event(&mut self, place: Place, event: &Event) {
        if let Event::Free { address, .. } = event {
            self.0.push((address.0, place.collecting));
        }
    }

    fn thread(&mut self, _number: u32, _tid: u32) {}
}

#[test]
fn what_the_collector_frees_is_told_apart() {
    let mut r = Recorder::new(1);
    let stack = r.stack(&[0x1000]);
    let (a, b) = (r.writer(), r.writer());
    for block in 0..6u64 {
        r.alloc(a, 0x10000 + 64 * block, 32, stack);
    }
    r.free(a, 0x10000);
    r.collector(a, true);
    r.free(a, 0x10040);
    r.free(b, 0x10080);
    r.collector(a, false);
    r.free(a, 0x100c0);
    r.collector(b, true);
    r.free(b, 0x10100);
    // In another chunk, where it is not said again.
    for block in 0..40_000u64 {
        r.alloc(b, 0x80_0000 + 64 * block, 32, stack);
    }
    r.free(b, 0x10140);
    let scratch = Scratch::new("replay");
    let recording = Recording::open(&r.write(&scratch.0)).expect("it is a recording");
    let mut frees = Frees::default();
    replay::in_order(&recording, &mut frees);
    frees.0.sort_unstable();
    let expected = [false, true, false, false, true, false];
    let expected = expected.iter().enumerate().map(|(block, by)| (0x10000 + 64 * block as u64, *by));
    assert_eq!(frees.0, expected.collect::<Vec<_>>());
}

#[test]
fn descriptors_and_mappings_are_no_blocks() {
    let mut r = Recorder::new(1);
    let stack = r.stack(&[0x1000]);
    let a = r.writer();
    r.keep_table();
    r.alloc(a, 0x10000, 32, stack);
    r.open(a, Resource::Descriptor(7), 1, stack);
    r.open(a, Resource::Descriptor(8), 1, stack);
    r.close(a, Resource::Descriptor(8));
    r.open(a, Resource::Mapping(0x7f00_0000_0000), 1 << 20, stack);
    r.open(a, Resource::Mapping(0x7f00_0000_0000), 1 << 19, StackId::UNMAPPED);
    r.free(a, 0x10040);
    r.close(a, Resource::Descriptor(9));
    let scratch = Scratch::new("replay");
    let recording = Recording::open(&r.write(&scratch.0)).expect("it is a recording");
    for from in [Source::Events, Source::Table] {
        let options = Options { until: Moment::End, from, ..Default::default() };
        let replayed = replay::replay(&recording, options, &|_| {});
        assert_eq!(live(&replayed), HashMap::from([(0x10000, 32)]), "{from:?}");
        assert_eq!(replayed.live_bytes, 32);
        if !replayed.is_table {
            assert_eq!((replayed.events, replayed.anomalies.unknown_frees), (2, 1));
            assert_eq!((replayed.sites.len(), replayed.peak_bytes), (1, Some(32)));
        }
    }
}
