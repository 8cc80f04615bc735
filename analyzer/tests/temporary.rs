//! What is freed soon after it was allocated, and how long blocks live: of recordings that these tests made.
mod support;
mod synthetic;

use analyzer::reader::Recording;
use analyzer::replay::{self, Moment, Options, ShortLived, Temporary};
use serde_json::Value;
use support::{Scratch, output, stderr, stdout};
use synthetic::Recorder;

fn temporary(recorder: &Recorder, within: u32) -> Temporary {
    let scratch = synthetic::Scratch::new("temporary");
    let recording = Recording::open(&recorder.write(&scratch.0)).expect("it is a recording");
    let mut temporary = Temporary::new(within);
    let options = Options { until: Moment::End, ..Options::default() };
    replay::observe(&recording, &options, &mut temporary, &|_| {});
    temporary
}

#[test]
fn allocations_of_the_same_thread_count() {
    let mut r = Recorder::new(0);
    let (first, second) = (r.stack(&[0x1000]), r.stack(&[0x2000]));
    let (a, b) = (r.writer(), r.writer());
    r.alloc(a, 0x10000, 10, first); // at once
    r.free(a, 0x10000);
    r.alloc(a, 0x10000, 20, first); // one block later
    r.alloc(a, 0x10040, 30, second); // two blocks later
    r.free(a, 0x10000);
    r.alloc(b, 0x10080, 40, second); // at once, by another thread
    r.alloc(a, 0x100c0, 50, first); // never
    r.alloc(a, 0x10100, 60, first); // moved at once, and the new one stays
    r.free(a, 0x10040);
    r.free(a, 0x10080);
    r.realloc_begin(a, 0x10100);
    r.realloc_end(a, 0x10140, 70, second);
    for (within, of_first, of_second) in
        [(1, (2, 70), (1, 40)), (2, (3, 90), (1, 40)), (3, (3, 90), (2, 70)), (100, (3, 90), (2, 70))]
    {
        let found = temporary(&r, within);
        let expected = |(blocks, bytes)| ShortLived { blocks, bytes };
        assert_eq!((found.of(0), found.of(1)), (expected(of_first), expected(of_second)), "{within}");
    }
}

#[test]
fn an_address_that_is_used_again_is_another_block() {
    let mut r = Recorder::new(0);
    let stack = r.stack(&[0x1000]);
    let a = r.writer();
    // Each is freed three blocks later, at addresses that were freed not long before.
    for block in 0..100 {
        r.alloc(a, 0x10000 + 64 * (block % 4), 1, stack);
        if block >= 3 {
            r.free(a, 0x10000 + 64 * ((block - 3) % 4));
        }
    }
    assert_eq!([1, 2, 3, 4, 5].map(|within| temporary(&r, within).of(0).blocks), [0, 0, 0, 97, 97]);
}

fn recorded(prepare: fn(&mut Recorder)) -> Scratch {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.join("rec")).expect("a directory");
    let mut r = Recorder::new(7);
    prepare(&mut r);
    r.module(0, 0, "/opt/app", 0x1_0000, 0x1_0000);
    let (kept, churned) = (r.stack(&[0x1_1000]), r.stack(&[0x1_2000]));
    let a = r.writer();
    for block in 0..10 {
        r.clock(a, 1_000 + 10 * block);
        r.alloc(a, 0x10000 + 64 * block, 32, kept);
        for _ in 0..9 {
            r.alloc(a, 0x2_0000, 100, churned);
            r.free(a, 0x2_0000);
        }
    }
    r.clock(a, 2_000);
    r.free(a, 0x10000);
    r.write(&scratch.join("rec"));
    scratch
}

fn report(scratch: &Scratch, arguments: &[&str]) -> String {
    let output = output(&mut scratch.unfreed(&[&["report", "rec"], arguments].concat()));
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn a_report_of_what_was_freed_soon() {
    let scratch = recorded(|_| {});
    let text = report(&scratch, &["--temporary"]);
    let text = text.split_once("\ntemporary").expect("the sum").1;
    assert_eq!(
        text,
        " 90 of 100 allocations (90.0 %), 9000 B
  that is: freed before their thread had allocated anything more

app+0x1fff  72d3757b2764
  90 temporary of 90 allocations (100.0 %), 9000 B
    app+0x1fff
"
    );
    let text = report(&scratch, &["--temporary=1000", "--by", "function"]);
    let text = text.split_once("\ntemporary").expect("the sum").1;
    assert_eq!(
        text,
        " 91 of 100 allocations (91.0 %), 9032 B
  that is: freed before their thread had allocated 1,000 blocks more

   temporary  share   allocations       bytes  function
          90 100.0%            90      9000 B  app+0x1fff
           1  10.0%            10        32 B  app+0xfff
"
    );
    let json: Value =
        serde_json::from_str(&report(&scratch, &["--temporary", "--format", "json"])).expect("JSON");
    assert_eq!(json["totals"]["temporary"], serde_json::json!({"within": 1, "blocks": 90, "bytes": 9000}));
    assert_eq!(json["sites"][0]["temporary"], serde_json::json!({"blocks": 90, "bytes": 9000}));
    assert_eq!(json["sites"][1]["temporary"]["blocks"], 0);
    let csv = report(&scratch, &["--temporary", "--format", "csv"]);
    assert!(
        csv.contains(",frees,temporary_blocks,temporary_bytes,stack,") && csv.contains(",90,90,9000,"),
        "{csv}"
    );
}

#[test]
fn how_long_blocks_lived() {
    let scratch = recorded(|_| {});
    let text = report(&scratch, &["--lifetimes", "--by", "function"]);
    let told = "  of what was freed half lived less than 1.0 s, nine tenths less than 1.0 s\n";
    assert!(text.contains(told), "{text}");
    let json: Value = serde_json::from_str(&report(&scratch, &["--format", "json"])).expect("JSON");
    let lifetimes = |site: usize| json["sites"][site]["lifetimes"].clone();
    assert_eq!(lifetimes(0), serde_json::json!([{"below_ms": 1024, "blocks": 1}]));
    assert_eq!(lifetimes(1), serde_json::json!([{"below_ms": 1, "blocks": 90}]));
}

#[test]
fn without_events_it_is_not_known() {
    let scratch = recorded(|r| {
        r.keep_table();
        r.header.flags |= recording::layout::flag::NO_EVENTS;
    });
    for option in ["--temporary", "--lifetimes"] {
        let output = output(&mut scratch.unfreed(&["report", "rec", option]));
        assert_eq!(output.status.code(), Some(2));
        let why = "how long anything lived is not known: no events are held; record with a larger --max-log";
        assert_eq!(stderr(&output), format!("unfreed: rec: {why}\n"));
    }
    assert!(!report(&scratch, &["--format", "json"]).contains("lifetimes"));
}

#[test]
fn tenths_of_lifetimes() {
    let mut lifetimes = analyzer::growth::Lifetimes::default();
    assert_eq!(lifetimes.within(5), None);
    lifetimes.add(0, 5);
    lifetimes.add(3, 4);
    lifetimes.add(1_000, 1);
    assert_eq!([1, 5, 6, 9, 10].map(|tenths| lifetimes.within(tenths)), [1, 1, 4, 4, 1024].map(Some));
    lifetimes.add(u64::MAX, 10);
    assert_eq!((lifetimes.within(5), lifetimes.within(6)), (Some(1024), None));
}
