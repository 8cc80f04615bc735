//! `REC@MOMENT`, `--born`, `--process` and `unfreed marks`, on a run of two processes with two marks.
mod support;
mod synthetic;

use std::fs;

use support::{Scratch, output, stderr, stdout};
use synthetic::Recorder;

/// Name, epoch, clock in ms, how often it was said.
const MARKS: [(&str, u64, u64, u64); 2] = [("warm", 3, 20_000, 1), ("end", 5, 80_000, 2)];
const BEGUN_MS: u64 = 1_000;

fn words() -> Vec<u8> {
    let epochs = [(1, BEGUN_MS), (2, 10_000), (3, 20_000), (4, 50_000), (5, 80_000)];
    synthetic::run::words(BEGUN_MS, &epochs, &MARKS)
}

/// Two processes that allocate before, between and after the marks; sizes tell the blocks.
fn recorded() -> Scratch {
    recorded_with(|_| {})
}

fn recorded_with(prepare: fn(&mut Recorder)) -> Scratch {
    let scratch = Scratch::new();
    let mut server = Recorder::new(10);
    prepare(&mut server);
    let stack = server.stack(&[0x1000]);
    let thread = server.writer();
    let at = |server: &mut Recorder, epoch, ms| {
        server.clock(thread, ms);
        server.begin_epoch(thread, epoch);
    };
    at(&mut server, 1, 2_000);
    server.alloc(thread, 0x10000, 1, stack);
    server.alloc(thread, 0x20000, 20, stack);
    at(&mut server, 3, 21_000);
    server.alloc(thread, 0x30000, 300, stack);
    server.alloc(thread, 0x40000, 4_000, stack);
    at(&mut server, 4, 51_000);
    server.free(thread, 0x10000);
    at(&mut server, 5, 81_000);
    server.free(thread, 0x30000);
    server.alloc(thread, 0x50000, 50_000, stack);
    let mut worker = Recorder::new(11);
    worker.header.parent_pid = 10;
    worker.header.monotonic_ns = 59_000_000_000;
    worker.exe = "/usr/bin/worker".into();
    let stack = worker.stack(&[0x1000]);
    let thread = worker.writer();
    worker.clock(thread, 60_000);
    worker.begin_epoch(thread, 4);
    worker.alloc(thread, 0x10000, 600_000, stack);

    for process in [&mut server, &mut worker] {
        process.header.end_monotonic_ns = 90_000_000_000;
    }
    let directory = scratch.join("rec@1/live");
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(directory.join("run"), words()).expect("written");
    server.write(&directory);
    worker.write(&directory);
    scratch
}

fn done(scratch: &Scratch, arguments: &[&str]) -> String {
    let output = output(&mut scratch.unfreed(arguments));
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// The unfreed bytes that a report selects, of the one process or of each.
fn selected(scratch: &Scratch, arguments: &[&str]) -> Vec<u64> {
    let all = [&["report"], arguments, &["--by", "process", "--format", "json"]].concat();
    let report: serde_json::Value = serde_json::from_str(&done(scratch, &all)).expect("JSON");
    let sites = report["sites"].as_array().expect("a list");
    let bytes = sites.iter().map(|site| site["unfreed_bytes"].as_u64().expect("a number"));
    bytes.filter(|bytes| *bytes > 0).collect()
}

#[test]
fn moments() {
    let scratch = recorded();
    for (recording, expected) in [
        ("rec@1", &[600_000, 54_020][..]),
        ("rec@1@warm", &[21]),
        ("rec@1@end", &[600_000, 4_320]),
        ("rec@1@+500ms", &[]),
        ("rec@1@+0s", &[]),
        ("rec@1@+10s", &[21]),
        ("rec@1@+55s", &[4_320]),
        ("rec@1@+1m10s", &[600_000, 4_320]),
        ("rec@1@+1m29s", &[600_000, 54_020]),
        ("rec@1/live@warm", &[21]),
        // The run began at 14:13:19 and a bit.
        ("rec@1@14:13:20", &[]),
        ("rec@1@14:13:30", &[21]),
        ("rec@1@14:14:15Z", &[4_320]),
        ("rec@1@2026-09-21T14:14:15Z", &[4_320]),
        ("rec@1@14:14", &[4_321]),
        ("rec@1@peak", &[600_000, 54_020]),
        ("rec@1/live/10.unfreed@end", &[4_320]),
    ] {
        assert_eq!(selected(&scratch, &[recording]), expected, "{recording}");
    }
}

#[test]
fn births() {
    let scratch = recorded();
    for (recording, window, expected) in [
        ("rec@1", "warm..end", &[600_000, 4_000][..]),
        ("rec@1@end", "warm..end", &[600_000, 4_300]),
        ("rec@1", "..warm", &[20]),
        ("rec@1", "end..", &[50_000]),
        ("rec@1@end", "end..", &[]),
        ("rec@1", "+1m..+1m20s", &[]),
        ("rec@1", "+55s..end", &[600_000]),
    ] {
        assert_eq!(selected(&scratch, &[recording, "--born", window]), expected, "{recording} {window}");
    }
}

#[test]
fn processes_by_number_and_name() {
    let scratch = recorded();
    assert_eq!(selected(&scratch, &["rec@1", "--process", "10"]), [54_020]);
    assert_eq!(selected(&scratch, &["rec@1", "--process", "worker"]), [600_000]);
    assert_eq!(selected(&scratch, &["rec@1", "--process", "worker", "--process", "app"]), [600_000, 54_020]);
}

#[test]
fn the_difference_of_two_moments() {
    let scratch = recorded();
    let text = done(&scratch, &["diff", "rec@1@warm", "rec@1@end", "--born", "warm..end"]);
    let (header, _) = text.split_once("\n\n").expect("an empty line");
    assert_eq!(
        header,
        "old rec@1@warm
  1 process, 2 events, lost 0, window 18.9 s, log 12.2 KiB
  as of mark warm, 2026-11-18T11:07:00Z, 19.0 s after the run began
  pid 10 running then: 21 B in 2 blocks  app --flag
new rec@1@end
  2 processes, 6 events, lost 0, window 1m 18s, log 24.3 KiB
  as of mark end, 2026-11-18T11:08:00Z, 1m 19s after the run began
  pid 10 running then: 4320 B in 3 blocks  app --flag
    pid 11 running then: 586 KiB in 1 block  app --flag
unfreed +590 KiB (+2 blocks): 21 B in 2 -> 590 KiB in 4
selected +590 KiB (+3 blocks): 0 B in 0 -> 590 KiB in 3"
    );
}

#[test]
fn the_moment_is_an_option_too() {
    let scratch = recorded();
    for (moment, expected) in [
        ("warm", &[21][..]),
        ("+55s", &[4_320]),
        ("14:13:30", &[21]),
        ("end", &[600_000, 54_020]),
        ("before-exit", &[600_000, 54_020]),
        ("peak", &[600_000, 54_020]),
    ] {
        assert_eq!(selected(&scratch, &["rec@1", "--at", moment]), expected, "{moment}");
    }
    let (named, option) = (done(&scratch, &["report", "rec@1@warm"]), &["report", "rec@1", "--at", "warm"]);
    assert_eq!(done(&scratch, option), named.replace("rec@1@warm\n", "rec@1\n"));
}

#[test]
fn the_peak_of_one_process_and_of_several() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.join("rec")).expect("a directory");
    for (pid, peak_ms) in [(10, 31_000), (11, 22_500)] {
        let mut process = Recorder::new(pid);
        let stack = process.stack(&[0x1000]);
        let thread = process.writer();
        process.alloc(thread, 0x10000, 1_000, stack);
        process.clock(thread, peak_ms);
        process.alloc(thread, 0x20000, 1 << 20, stack);
        process.clock(thread, peak_ms + 1_000);
        process.free(thread, 0x20000);
        process.alloc(thread, 0x30000, 20_000, stack);
        process.write(&scratch.join("rec"));
    }
    let header = |arguments: &[&str]| {
        let text = done(&scratch, arguments);
        text.split_once("\n\n").expect("an empty line").0.to_string()
    };
    assert_eq!(
        header(&["report", "rec", "--peak"]),
        "rec
  2 processes, 4 events, lost 0, window 29.9 s, log 24.3 KiB
  as of the peak of each process, which are different moments
  pid 10 running then: 1025 KiB in 2 blocks  app --flag
    its peak was at 2026-09-21T14:13:49Z, 29.9 s after it began
  pid 11 running then: 1025 KiB in 2 blocks  app --flag
    its peak was at 2026-09-21T14:13:41Z, 21.4 s after it began
unfreed 2050 KiB in 4 blocks, sum of the processes' peaks 2050 KiB
allocated 2050 KiB in 4 blocks, 0 freed"
    );
    assert_eq!(
        header(&["report", "rec/10.unfreed@peak"]),
        "rec/10.unfreed@peak
  1 process, 2 events, lost 0, window 29.9 s, log 12.2 KiB
  as of its peak, the moment when most was unfreed
  pid 10 running then: 1025 KiB in 2 blocks  app --flag
    its peak was at 2026-09-21T14:13:49Z, 29.9 s after it began
unfreed 1025 KiB in 2 blocks, peak 1025 KiB
allocated 1025 KiB in 2 blocks, 0 freed"
    );
    let diff = done(&scratch, &["diff", "rec@+5s", "rec@peak", "--process", "11"]);
    assert!(diff.contains("\nunfreed +1024 KiB (+1 blocks): 1000 B in 1 -> 1025 KiB in 2\n"), "{diff}");
}

/// A table has what is there of the moment; how much was allocated, and how often, is of the end.
#[test]
fn what_is_not_known_of_a_moment_is_not_told() {
    let scratch = recorded_with(Recorder::keep_table);
    let table =
        |more: &[&str]| done(&scratch, &[&["report", "rec@1@warm", "--from", "table"], more].concat());
    let text = table(&[]);
    let (header, sites) = text.split_once("\n\n").expect("an empty line");
    assert_eq!(
        header,
        "rec@1@warm
  1 process, lost 0, window 18.9 s, log 12.2 KiB
  as of mark warm, 2026-11-18T11:07:00Z, 19.0 s after the run began
  pid 10 running then: 20 B in 1 block  app --flag
    pid 10: what was freed since is not known any more, and left out
unfreed 20 B in 1 block"
    );
    assert!(sites.contains("\n  20 B unfreed in 1 block\n"), "{sites}");
    let lines = table(&["--by", "process"]);
    assert!(lines.contains("      20 B         1           ?           ?     ?  pid 10"), "{lines}");
    let lines = table(&["--format", "csv"]);
    assert!(lines.contains(",20,1,,,,"), "{lines}");
    let report: serde_json::Value = serde_json::from_str(&table(&["--format", "json"])).expect("JSON");
    for of in [&report["totals"], &report["sites"][0]] {
        assert_eq!(of["unfreed_bytes"], 20);
        assert!(["allocated_bytes", "allocations", "frees"].iter().all(|name| of[name].is_null()), "{of}");
    }
    assert!(report["totals"]["events"].is_null() && report["recording"]["processes"][0]["events"].is_null());
}

#[test]
fn where_no_peak_is_known() {
    let scratch = recorded_with(|server| {
        server.keep_table();
        server.hold();
    });
    let text = done(&scratch, &["report", "rec@1", "--peak"]);
    let told = "    pid 10: its peak is not known, as not all of its events are held: as of its end\n";
    assert!(text.contains(told), "{text}");
    let output = output(&mut scratch.unfreed(&["report", "rec@1", "--peak", "--process", "10"]));
    assert_eq!(output.status.code(), Some(2));
    let why = "its peak is not known: not all of its events are held; record with a larger --max-log";
    assert_eq!(stderr(&output), format!("unfreed: rec@1: {why}\n"));
}

/// Of the end of a worker that had ended before the mark, and of a server that ran on.
#[test]
fn what_ended_processes_have_is_told() {
    let scratch = recorded();
    let mut worker = Recorder::new(12);
    worker.header.monotonic_ns = 3_000_000_000;
    worker.header.end_monotonic_ns = 9_000_000_000;
    let stack = worker.stack(&[0x1000]);
    let thread = worker.writer();
    worker.clock(thread, 4_000);
    worker.begin_epoch(thread, 1);
    worker.alloc(thread, 0x10000, 100, stack);
    worker.write(&scratch.join("rec@1/live"));
    let text = done(&scratch, &["report", "rec@1@warm"]);
    assert!(text.contains("\n  of all unfreed 100 B in 1 block in a process that has ended\n"), "{text}");
    let report = done(&scratch, &["report", "rec@1@warm", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["recording"]["ended_processes"]["unfreed_bytes"], 100);
    let text = done(&scratch, &["report", "rec@1"]);
    assert!(!text.contains("of all unfreed"), "none runs: {text}");
}

#[test]
fn marks_are_listed() {
    let scratch = recorded();
    assert_eq!(
        done(&scratch, &["marks", "rec@1"]),
        "   19.0 s  2026-11-18T11:07:00Z  warm\n   1m 19s  2026-11-18T11:08:00Z  end  (said 2 times)\n"
    );
}

#[test]
fn what_is_refused() {
    let scratch = recorded();
    for (arguments, why) in [
        (&["report", "rec@1@wram"][..], "rec@1: there is no mark 'wram'; its marks are warm, end"),
        (&["report", "rec@1", "--born", "x.."], "rec@1: there is no mark 'x'; its marks are warm, end"),
        (&["diff", "rec@1@end", "rec@1@"], "rec@1: there is no mark ''; its marks are warm, end"),
        (&["report", "rec@1", "--born", "end..warm"], "--born: end came after warm; turn them round"),
        (
            &["report", "rec@1@+x"],
            "rec@1: '+x' is no moment; expected a number and a unit, such as 500ms, 90s, 10m, 1h30m or 2d",
        ),
        (&["report", "rec@1@+1m30s"], "rec@1: '+1m30s' is later than its end; the run lasted 1m 29s"),
        (
            &["report", "rec@1@warm", "--at", "end"],
            "rec@1@warm: a process that began to exit before the moment counts as of before that; leave out --at end",
        ),
        (&["report", "rec@1@warm", "--peak"], "rec@1@warm: that is a moment already; leave out --peak"),
        (
            &["report", "rec@1@14:15:00"],
            "rec@1: '14:15:00' is later than its end; the run lasted 1m 29s from 2026-09-21T14:13:19Z on",
        ),
        (
            &["report", "rec@1", "--at", "2026-09-21T14:13:18Z"],
            "rec@1: '2026-09-21T14:13:18Z' is earlier than it; the run began at 2026-09-21T14:13:19Z",
        ),
        (&["report", "rec@1", "--at", "13"], "rec@1: there is no mark '13'; its marks are warm, end"),
        (
            &["mark", "rec@1", "17:20"],
            "invalid value '17:20' for '<NAME>': that is a time of day, and no name; see 'unfreed mark --help'",
        ),
        (&["report", "rec@2@warm"], "rec@2@warm: No such file or directory"),
        (
            &["report", "rec@1", "--process", "x"],
            "rec@1: there is no process 'x'; there are 10 app, 11 worker",
        ),
        (&["mark", "rec@1", "warm"], "rec@1: has a mark 'warm' already; choose another name"),
    ] {
        let output = output(&mut scratch.unfreed(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stderr(&output), format!("unfreed: {why}\n"));
    }
}
