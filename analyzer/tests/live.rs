//! Reading what a process that still runs has written so far: this test's own process plays it.
mod synthetic;

use std::os::unix::fs::MetadataExt;

use analyzer::aggregate::{Report, Selection};
use analyzer::reader::{ProcessState, monotonic_ns};
use recording::layout::State;
use synthetic::{Recorder, Scratch};

/// A recorder of this very process.
fn own() -> Recorder {
    let mut r = Recorder::new(std::process::id());
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc is there");
    let fields = stat.rsplit_once(')').expect("a name in parentheses").1;
    r.header.start_ticks =
        fields.split_ascii_whitespace().nth(19).expect("field 22").parse().expect("a number");
    r.header.pid_namespace = std::fs::metadata("/proc/self/ns/pid").expect("a pid namespace").ino();
    r.header.state = Some(State::Recording);
    r.header.end_monotonic_ns = 0;
    r
}

fn report(r: &Recorder) -> Report {
    let scratch = Scratch::new("live");
    let selection = Selection::default();
    analyzer::aggregate::report(&r.write(&scratch.0), &selection).expect("it is a recording")
}

#[test]
fn what_was_not_yet_stored_is_later_not_missing() {
    let now = monotonic_ns() / 1_000_000;
    let mut r = own();
    let stack = r.stack(&[0x1000]);
    let (a, b) = (r.writer(), r.writer());
    r.clock(a, now);
    r.clock(b, now);
    r.alloc(a, 0x10000, 1, stack);
    r.alloc(b, 0x20000, 20, stack);
    // Thread a allocates 0x10040; its chunk was read just before. Thread b frees it, and its chunk is read after.
    r.skip_stamp(0x10040);
    r.free(b, 0x10040);
    r.alloc(b, 0x10080, 300, stack);
    let report = report(&r);
    let process = &report.processes[0];
    assert_eq!(process.state, ProcessState::Running);
    assert_eq!(process.anomalies, Default::default());
    assert_eq!(report.totals.counts.unfreed_bytes, 21);
    assert!(process.losses.is_empty(), "{:?}", process.losses);
}

#[test]
fn a_thread_that_only_frees_has_no_clock() {
    let now = monotonic_ns() / 1_000_000;
    let mut r = own();
    let stack = r.stack(&[0x1000]);
    let (producer, consumer) = (r.writer(), r.writer()); // both began a long time ago
    r.clock(producer, now);
    r.alloc(producer, 0x10000, 1, stack);
    r.free(consumer, 0x10000);
    r.alloc(producer, 0x10040, 20, stack);
    r.skip_stamp(0x10080); // allocated after the producer's chunk was read
    r.free(consumer, 0x10080);
    let report = report(&r);
    assert_eq!(report.processes[0].anomalies, Default::default());
    assert_eq!(report.totals.counts.unfreed_bytes, 20);
}

#[test]
fn what_was_lost_long_ago_does_not_hold_up_the_rest() {
    let now = monotonic_ns() / 1_000_000;
    let mut r = own();
    let stack = r.stack(&[0x1000]);
    let (a, b) = (r.writer(), r.writer());
    r.clock(a, now - 60_000);
    r.alloc(a, 0x10000, 1, stack);
    r.skip_stamp(0x10000);
    r.alloc(a, 0x10040, 20, stack);
    r.clock(b, now);
    r.alloc(b, 0x10080, 300, stack);
    let report = report(&r);
    assert_eq!(report.processes[0].anomalies.gaps.missing, 1);
    assert_eq!(report.totals.counts.unfreed_bytes, 321);
}

#[test]
fn the_same_file_of_a_process_that_is_gone() {
    let mut r = own();
    r.header.start_ticks += 1; // another process had the pid before
    let stack = r.stack(&[0x1000]);
    let (a, b) = (r.writer(), r.writer());
    r.alloc(a, 0x10000, 1, stack);
    r.skip_stamp(0x10040);
    r.alloc(b, 0x10080, 300, stack);
    let report = report(&r);
    assert_eq!(report.processes[0].state, ProcessState::Killed);
    assert_eq!(report.totals.counts.unfreed_bytes, 301);
}

#[test]
fn a_copy_of_a_file_that_is_still_written_does_not_run() {
    let mut r = own();
    // An id of its own: the mapping is seen by the other tests, which play the same process.
    r.header.file_id = 0x5eed_c0f1_ed00_0001;
    let stack = r.stack(&[0x1000]);
    let writer = r.writer();
    r.alloc(writer, 0x10000, 21, stack);
    let scratch = Scratch::new("copied");
    let name = format!("{:016x}.unfreed", r.header.file_id);
    let written = scratch.write(&name, &r.bytes());
    let copies = Scratch::new("copies");
    let copy = copies.write(&name, &r.bytes());
    let file = std::fs::File::open(&written).expect("it was just written");
    // SAFETY: the mapping is never read; nobody changes the file.
    let _mapped = unsafe { memmap2::Mmap::map(&file) }.expect("it can be mapped");
    let state = |path: &std::path::Path| {
        let selection = Selection::default();
        let report = analyzer::aggregate::report(path, &selection).expect("it is a recording");
        assert_eq!(report.totals.counts.unfreed_bytes, 21);
        report.processes[0].state.clone()
    };
    assert_eq!(state(&written), ProcessState::Running);
    assert_eq!(state(&copy), ProcessState::Copied);
}
