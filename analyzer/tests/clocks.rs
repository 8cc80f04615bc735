//! Clocks that cannot be, and recordings that hold next to nothing: no verb fails, and what is said makes sense.
mod support;
mod synthetic;

use std::fs;

use recording::layout::State;
use recording::run;
use support::{Scratch, output, stderr, stdout};
use synthetic::Recorder;

/// The wall clock at two marks, ns: forwards, backwards by an hour, and values that no clock shows.
const WALL_CLOCKS: [(u64, u64); 4] = [
    (1_790_000_010_000_000_000, 1_790_000_040_000_000_000),
    (1_790_000_010_000_000_000, 1_789_996_440_000_000_000),
    (1_790_000_010_000_000_000, 0),
    (u64::MAX, u64::MAX - 1),
];

const VERBS: [&[&str]; 20] = [
    &["report", "rec"],
    &["report", "rec@warm"],
    &["report", "rec@end"],
    &["report", "rec@peak"],
    &["report", "rec@+0s"],
    &["report", "rec@+20s"],
    &["report", "rec@17:20"],
    &["report", "rec", "--born", "warm..end"],
    &["report", "rec", "--born", "end..warm"],
    &["report", "rec", "--by", "age"],
    &["report", "rec", "--lifetimes"],
    &["diff", "rec@warm", "rec@end"],
    &["diff", "rec@end", "rec@warm"],
    &["growth", "rec"],
    &["growth", "rec@end", "--since", "warm", "--per", "mark"],
    &["growth", "rec", "--since", "end", "--per", "minute", "--limit", "1M"],
    &["check", "rec", "--max-growth", "1/minute"],
    &["rss", "rec"],
    &["top", "rec", "1", "1"],
    &["marks", "rec"],
];

/// A process with a block before, between and behind two marks, as `change` makes it.
fn recorded(wall: (u64, u64), change: impl FnOnce(&mut Recorder)) -> Scratch {
    let scratch = Scratch::new();
    let mut process = Recorder::new(7);
    change(&mut process);
    let directory = scratch.join("rec/live");
    fs::create_dir_all(&directory).expect("a directory");
    let marks = [("warm", 2, 11_000, 1), ("end", 3, 41_000, 1)];
    let mut words = synthetic::run::words(1_000, &[(1, 1_000), (2, 11_000), (3, 41_000)], &marks);
    for (mark, ns) in [wall.0, wall.1].into_iter().enumerate() {
        let at = run::MARKS + run::MARK * mark + run::MARK_REALTIME;
        words[at..at + 8].copy_from_slice(&ns.to_le_bytes());
    }
    fs::write(directory.join("run"), words).expect("written");
    process.write(&directory);
    scratch
}

/// Blocks at these times, ms.
fn blocks(process: &mut Recorder, times: &[(u32, u64)]) {
    let stack = process.stack(&[0x1000]);
    let thread = process.writer();
    for (number, &(epoch, ms)) in times.iter().enumerate() {
        process.clock(thread, ms);
        process.begin_epoch(thread, epoch);
        process.alloc(thread, 0x10000 * (number as u64 + 1), 100, stack);
    }
}

const USUAL: [(u32, u64); 3] = [(1, 2_000), (2, 12_000), (3, 42_000)];

/// Does everything; what each verb has printed.
fn everything(scratch: &Scratch) -> Vec<String> {
    let verb = |arguments: &&[&str]| {
        let output = output(&mut scratch.unfreed(arguments));
        let (text, errors) = (stdout(&output), stderr(&output));
        assert!(matches!(output.status.code(), Some(0..=3)), "{arguments:?}: {} {errors}", output.status);
        assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
        text
    };
    VERBS.iter().map(verb).collect()
}

#[test]
fn a_wall_clock_that_is_set_changes_no_order() {
    for wall in WALL_CLOCKS {
        let told = everything(&recorded(wall, |process| blocks(process, &USUAL)));
        assert!(told[1].contains("100 B in 1 block") && told[2].contains("200 B in 2 blocks"), "{wall:?}");
        assert!(told[11].contains("unfreed +100 B (+1 block"), "{wall:?}: {}", told[11]);
        let marks: Vec<&str> = told[19].lines().map(|line| line[..9].trim()).collect();
        assert_eq!(marks, ["10.0 s", "40.0 s"], "{wall:?}: {}", told[19]);
    }
}

#[test]
fn a_process_may_begin_at_any_time_of_day() {
    for wall in [0, 1, u64::MAX] {
        everything(&recorded(WALL_CLOCKS[0], |process| {
            process.header.realtime_ns = wall;
            blocks(process, &USUAL);
        }));
    }
}

#[test]
fn clocks_that_run_backwards_are_read() {
    let backwards = [(1, 42_000), (2, 12_000), (3, 500), (3, 0), (3, u64::MAX >> 20)];
    for (begin, end) in [(1_000_000_000, 0), (50_000_000_000, 1), (u64::MAX, 2), (0, u64::MAX)] {
        everything(&recorded(WALL_CLOCKS[1], |process| {
            process.header.monotonic_ns = begin;
            process.header.end_monotonic_ns = end;
            blocks(process, &backwards);
        }));
    }
}

#[test]
fn a_process_that_was_killed_at_once_grows_by_nothing() {
    for times in [&[][..], &[(1, 1_000)]] {
        let scratch = recorded(WALL_CLOCKS[0], |process| {
            process.header.state = Some(State::Recording);
            process.header.end_monotonic_ns = 0;
            process.header.monotonic_ns = 1_000_000_000;
            if !times.is_empty() {
                blocks(process, times);
            }
        });
        let told = everything(&scratch);
        assert!(told[13].contains("  window 0 ms: too short to tell what grows\n"), "{}", told[13]);
        assert!(!told[13].contains("GROWING"), "{}", told[13]);
        let short = output(&mut scratch.unfreed(&["check", "rec", "--max-growth", "1/minute"]));
        assert_eq!(short.status.code(), Some(3), "it cannot be told: {}", stdout(&short));
    }
}
