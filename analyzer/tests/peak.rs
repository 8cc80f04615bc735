//! The unfreed set when most was unfreed, of recordings whose peak is known because these tests made them.
mod synthetic;

use std::collections::HashMap;

use analyzer::reader::Recording;
use analyzer::replay::{self, Moment, Options, Replayed, Source};
use synthetic::{Recorder, Scratch};

fn at_peak(recorder: &Recorder) -> Replayed {
    let scratch = Scratch::new("peak");
    let recording = Recording::open(&recorder.write(&scratch.0)).expect("it is a recording");
    replay::replay(&recording, Options { until: Moment::Peak, ..Options::default() }, &|_| {})
}

fn live(replayed: &Replayed) -> HashMap<u64, u64> {
    replayed.live.iter().map(|(address, block)| (address.0, block.size)).collect()
}

/// Numbers that look random, by a linear congruence.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed), |last| {
        Some(last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    })
    .map(|state| state >> 33)
    .skip(1)
}

#[test]
fn the_peak_of_a_ledger() {
    for seed in 0..20 {
        let mut r = Recorder::new(1);
        let stack = r.stack(&[0x1000]);
        let a = r.writer();
        let mut random = numbers(seed);
        let mut next = || random.next().expect("it is endless");
        let (mut ledger, mut bytes) = (HashMap::new(), 0);
        let (mut peak, mut peak_bytes, mut peak_ms) = (HashMap::new(), 0, 0);
        let (mut allocations, mut allocations_then) = (0, 0);
        for step in 0..3_000 {
            let ms = 1_000 + step / 7;
            r.clock(a, ms);
            let (address, is_growing) = (0x10000 + 64 * (next() % 512), step < 1_500);
            let size = 1 + next() % 1_000;
            match (ledger.get(&address).copied(), next() % 4) {
                (None, 0..2) if is_growing => r.alloc(a, address, size, stack),
                (None, 0) => r.alloc(a, address, size, stack),
                (Some(_), 0) => {
                    r.realloc_begin(a, address);
                    r.realloc_end(a, address, size, stack);
                }
                (Some(before), 1) => {
                    r.free(a, address);
                    ledger.remove(&address);
                    bytes -= before;
                    continue;
                }
                _ => continue,
            }
            allocations += 1;
            bytes = bytes - ledger.insert(address, size).unwrap_or(0) + size;
            if bytes > peak_bytes {
                (peak, peak_bytes, peak_ms, allocations_then) = (ledger.clone(), bytes, ms, allocations);
            }
        }
        let replayed = at_peak(&r);
        assert_eq!(live(&replayed), peak, "seed {seed}");
        assert_eq!((replayed.live_bytes, replayed.peak_bytes), (peak_bytes, Some(peak_bytes)));
        assert_eq!((replayed.peak_ms, replayed.sites[0].allocations), (peak_ms, allocations_then));
        assert_eq!(replayed.anomalies, Default::default());
        assert!(replayed.last_clock_ms > peak_ms, "the end of the recording is known too");
    }
}

#[test]
fn the_first_of_equal_peaks_and_what_follows() {
    let mut r = Recorder::new(1);
    let (first, second) = (r.stack(&[0x1000]), r.stack(&[0x2000]));
    let a = r.writer();
    r.clock(a, 1_100);
    r.alloc(a, 0x10000, 60, first);
    r.alloc(a, 0x20000, 40, first);
    r.clock(a, 1_200);
    r.free(a, 0x10000);
    r.alloc(a, 0x30000, 60, second);
    r.clock(a, 1_300);
    r.free(a, 0x30000);
    r.lost(a, 3);
    let replayed = at_peak(&r);
    assert_eq!(live(&replayed), HashMap::from([(0x10000, 60), (0x20000, 40)]));
    assert_eq!((replayed.peak_ms, replayed.events, replayed.sites.len()), (1_100, 2, 1));
    assert_eq!(replayed.lost, 3, "lost is of the whole recording");
}

#[test]
fn what_python_frees_at_exit_may_be_after_the_peak() {
    let mut r = Recorder::new(1);
    let stack = r.stack(&[0x1000]);
    let a = r.writer();
    r.alloc(a, 0x10000, 100, stack);
    r.finalize();
    r.alloc(a, 0x20000, 5, stack);
    r.free(a, 0x10000);
    assert_eq!(live(&at_peak(&r)), HashMap::from([(0x10000, 100), (0x20000, 5)]));
}

#[test]
fn where_events_are_missing_it_is_the_end() {
    let mut r = Recorder::new(1);
    r.keep_table();
    let stack = r.stack(&[0x1000]);
    let a = r.writer();
    r.alloc(a, 0x10000, 100, stack);
    r.free(a, 0x10000);
    r.hold();
    r.alloc(a, 0x20000, 5, stack);
    let replayed = at_peak(&r);
    assert_eq!((live(&replayed), replayed.peak_bytes), (HashMap::from([(0x20000, 5)]), None));
    let scratch = Scratch::new("peak");
    let recording = Recording::open(&r.write(&scratch.0)).expect("it is a recording");
    let options = Options { until: Moment::Peak, from: Source::Events, ..Options::default() };
    let replayed = replay::replay(&recording, options, &|_| {});
    assert_eq!((live(&replayed), replayed.peak_ms), (HashMap::from([(0x20000, 5)]), 0));
}

#[test]
fn a_program_that_allocates_nothing() {
    let mut r = Recorder::new(1);
    r.writer();
    let replayed = at_peak(&r);
    assert_eq!((replayed.live.len(), replayed.peak_bytes, replayed.peak_ms), (0, Some(0), 0));
}
