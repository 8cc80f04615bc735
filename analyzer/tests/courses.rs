//! What sites held over time, as a report draws it and says it as JSON.
mod support;
mod synthetic;

use std::fs;

use serde_json::Value;
use support::{Scratch, output, stderr, stdout};
use synthetic::Recorder;

/// Two processes. The first keeps half of what it allocates each second; the second, which begins later, has its own way up and
/// down, and is killed in between.
fn recorded(prepare: fn(&mut Recorder)) -> Scratch {
    let scratch = Scratch::new();
    fs::create_dir(scratch.join("rec")).expect("a directory");
    let mut first = Recorder::new(0);
    prepare(&mut first);
    first.module(0, 0, "/opt/app", 0x1_0000, 0x1_0000);
    let (growing, passing) = (first.stack(&[0x1_1000]), first.stack(&[0x1_2000]));
    let a = first.writer();
    for second in 0..60 {
        first.clock(a, 1_000 + 1_000 * second);
        first.alloc(a, 0x10000 + 128 * second, 100, growing);
        first.alloc(a, 0x10040 + 128 * second, 100, growing);
        first.free(a, 0x10000 + 128 * second);
        if second == 20 {
            first.alloc(a, 0x5000_0000, 7_000, passing);
        }
        if second == 40 {
            first.free(a, 0x5000_0000);
            first.alloc(a, 0x6000_0000, 1_000, passing);
        }
    }
    first.write(&scratch.join("rec"));
    let mut second = Recorder::new(1);
    second.header.monotonic_ns = 31_000_000_000;
    second.module(0, 0, "/opt/app", 0x1_0000, 0x1_0000);
    let growing = second.stack(&[0x1_1000]);
    let a = second.writer();
    second.clock(a, 31_000);
    second.alloc(a, 0x10000, 6_000, growing);
    second.write(&scratch.join("rec"));
    scratch
}

fn report(scratch: &Scratch, arguments: &[&str]) -> String {
    let output = output(&mut scratch.unfreed(&[&["report", "rec"], arguments].concat()));
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// The lines that draw a course.
fn drawn(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.contains("live bytes over") || line.contains("by when")).collect()
}

fn json(scratch: &Scratch, arguments: &[&str]) -> Value {
    serde_json::from_str(&report(scratch, &[arguments, &["--format", "json"]].concat())).expect("JSON")
}

#[test]
fn a_line_for_each_site() {
    let scratch = recorded(|_| {});
    assert_eq!(
        drawn(&report(&scratch, &[])),
        [
            "  ▂▂▂▂▂▂▃▃▃▃▃▃▇▇▇▇▇███████  live bytes over 1m 00s, 11.7 KiB at most",
            "  ▁▁▁▁▁▁▁▁████████▂▂▂▂▂▂▂▂  live bytes over 1m 00s, 7000 B at most",
        ]
    );
    let mut ascii = scratch.unfreed(&["report", "rec", "-n", "1"]);
    ascii.env("LC_ALL", "C").env("LANG", "C.UTF-8");
    assert!(
        stdout(&output(&mut ascii)).contains("\n  ......::::::*****#######  live bytes over"),
        "{}",
        stdout(&output(&mut ascii))
    );
}

#[test]
fn numbers_for_programs() {
    let scratch = recorded(|_| {});
    let report = json(&scratch, &[]);
    let axis = &report["recording"]["timeline"];
    assert_eq!((&axis["bucket_seconds"], &axis["buckets"]), (&1.024.into(), &59.into()));
    assert_eq!(axis["begin"], "2026-09-21T14:13:20Z");
    let numbers = |site: &Value| -> Vec<u64> {
        let numbers = site["live_bytes"].as_array().expect("a list").iter();
        numbers.map(|number| number.as_u64().expect("a number")).collect()
    };
    let (growing, passing) = (numbers(&report["sites"][0]), numbers(&report["sites"][1]));
    assert_eq!([growing[0], growing[58], passing[18], passing[58]], [200, 12_000, 0, 1_000]);
    // 30 s later the other process has its 6,000 too.
    assert_eq!((growing[28], growing[29]), (3_000, 9_100));
    assert!(passing.iter().filter(|&&bytes| bytes == 7_000).count() == 20);
    // Up to a moment, the same until then.
    let earlier = json(&scratch, &["--at", "+10s"]);
    assert_eq!(numbers(&earlier["sites"][0]).last(), Some(&1_100));
    let lines = json(&scratch, &["--by", "process"]);
    assert_eq!(numbers(&lines["sites"][1]).last(), Some(&6_000));
}

#[test]
fn of_a_table_what_is_unfreed_by_its_birth() {
    let scratch = recorded(Recorder::keep_table);
    let text = report(&scratch, &["--from", "table", "--process", "0", "-n", "1"]);
    let told = "  ████████████████████████  unfreed, by when it was allocated in 1m 00s";
    assert_eq!(drawn(&text), [told], "{text}");
    let report = json(&scratch, &["--from", "table", "--process", "0"]);
    let site = &report["sites"][0];
    assert!(site["live_bytes"].is_null());
    assert_eq!(site["unfreed_bytes_by_birth"][58], 6_000);
}

#[test]
fn what_was_too_short_is_not_drawn() {
    let scratch = recorded(|_| {});
    assert!(drawn(&report(&scratch, &["--at", "+10ms"])).is_empty());
}

#[test]
fn by_size_and_by_age() {
    let scratch = recorded(|_| {});
    let table = |by: &str| {
        let text = report(&scratch, &["--by", by]);
        text.rsplit_once("\n\n").expect("a table").1.to_string()
    };
    assert_eq!(
        table("size"),
        "   unfreed      blocks  share  size
    6000 B          60    46%  65 B to 128 B          ##############
    1000 B           1     7%  513 B to 1024 B        ##
    6000 B           1    46%  4097 B to 8192 B       ##############
"
    );
    // As of 61 s.
    assert_eq!(
        table("age"),
        "   unfreed      blocks  share  age
     900 B           9     6%  1 s to 10 s            ##
  11.7 KiB          52    92%  10 s to 1 min          #############################
     100 B           1     0%  1 min to 10 min
"
    );
    let json = json(&scratch, &["--by", "age", "--older", "30s"]);
    assert_eq!(json["sites"].as_array().map(Vec::len), Some(2));
    assert!(json["sites"][0]["allocations"].is_null() && json["sites"][0]["live_bytes"].is_null());
    let refused = output(&mut scratch.unfreed(&["report", "rec", "--by", "size", "--temporary"]));
    let why = "--temporary: classes of size and age are of unfreed blocks alone; give another --by";
    assert_eq!((refused.status.code(), stderr(&refused)), (Some(2), format!("unfreed: {why}\n")));
}
