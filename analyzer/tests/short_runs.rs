//! Programs whose whole work lies between two ticks of the clock, on made-up recordings: the order of their allocations tells what goes on
//! growing.
mod synthetic;

use synthetic::{Recorder, flask, growth};

/// Blocks of imports, much more than the work.
const IMPORTS: u64 = 40_000;
const CALLS: u64 = 600;

/// A script that imports and then calls a function in a loop of less than a ms; each call allocates a block that is used and one that is kept for
/// so many calls, or until the end. The verdict of what is kept, by default and by the calls.
fn verdicts(kept_for: impl Fn(u64) -> Option<u64>) -> [String; 2] {
    let mut r = Recorder::new(71);
    r.exe = "/opt/flask/bin/python3.11".into();
    flask::describe(&mut r);
    let import = flask::merged(&mut r, &[flask::ALLOCATES], &[(3, 5), (4, 2), (4, 2), (2, 3)]);
    let mut at = |instruction| flask::merged(&mut r, &[flask::ALLOCATES], &[(0, instruction), (2, 9)]);
    let (used, kept) = (at(2), at(6));
    let writer = r.writer();
    for number in 0..IMPORTS {
        r.clock(writer, 2_000 + number / 400);
        r.alloc(writer, 0x7e00_0000_0000 + 64 * number, 60, import);
    }
    let block = |call| 0x7f00_0000_0000 + 0x10_0000 * call;
    let mut ends: Vec<Vec<u64>> = vec![Vec::new(); CALLS as usize];
    for call in 0..CALLS {
        r.alloc(writer, 0x6000, 32, used);
        r.alloc(writer, block(call), 400, kept);
        r.free(writer, 0x6000);
        if let Some(end) = kept_for(call).and_then(|calls| ends.get_mut((call + calls) as usize)) {
            end.push(call);
        }
        ends[call as usize].iter().for_each(|&call| r.free(writer, block(call)));
    }
    [&[][..], &["--request", "_get_foo"]].map(|arguments| {
        let said = growth(&r, arguments);
        let sites = said["sites"].as_array().expect("sites");
        let site = sites.iter().find(|site| site["line"] == 7).expect("the line is there");
        site["verdict"].as_str().expect("a verdict").to_string()
    })
}

#[test]
fn what_each_call_keeps_grows() {
    assert_eq!(verdicts(|_| None), ["GROWING"; 2]);
    assert_eq!(verdicts(|call| (call % 10 > 0).then_some(0)), ["GROWING"; 2], "one of ten");
}

#[test]
fn what_only_the_first_calls_keep_does_not() {
    let verdicts = verdicts(|call| (call > 60).then_some(0));
    assert!(!verdicts.contains(&"GROWING".to_string()), "{verdicts:?}");
}

#[test]
fn what_is_kept_for_some_calls_does_not() {
    let verdicts = verdicts(|_| Some(50));
    assert!(!verdicts.contains(&"GROWING".to_string()), "{verdicts:?}");
}

/// Whether anything grows of a program without Python that lives for less than a ms, and keeps as many blocks.
fn of_a_tool(blocks: u64) -> bool {
    const TOOL: u64 = 0x5555_0000_0000;
    let mut r = Recorder::new(71);
    r.module(0, 1, "/opt/tool", TOOL, 0x1_0000);
    let (used, kept) = (r.stack(&[TOOL + 0x11, TOOL + 0x31]), r.stack(&[TOOL + 0x21, TOOL + 0x31]));
    let writer = r.writer();
    r.clock(writer, 2_000);
    for number in 0..blocks {
        r.alloc(writer, 0x6000, 32, used);
        r.alloc(writer, 0x7f00_0000_0000 + 64 * number, 40, kept);
        r.free(writer, 0x6000);
    }
    let said = growth(&r, &[]);
    said["sites"].as_array().expect("sites").iter().any(|site| site["verdict"] == "GROWING")
}

#[test]
fn what_a_small_tool_allocates_is_its_start() {
    assert!(!of_a_tool(300));
    assert!(of_a_tool(6_000));
}
