//! How many requests there were, of a function that the user named, on made-up recordings.
mod synthetic;

use recording::StackId;
use synthetic::{Recorder, flask, growth};

/// Calls of a function in each of which its instructions `calls` allocate; after so many, something is allocated outside.
fn requests(calls: &[i32], count: u64, together: u64) -> u64 {
    let calls: Vec<(i32, u64)> = calls.iter().map(|&at| (at, 0)).collect();
    requests_by(&calls, count, together)
}

/// The same of instructions that allocate in one of several places of the interpreter.
fn requests_by(calls: &[(i32, u64)], count: u64, together: u64) -> u64 {
    let mut r = Recorder::new(71);
    flask::describe(&mut r);
    let outside = flask::merged(&mut r, &[flask::ALLOCATES], &[(2, 3)]);
    let mut stack = |at: i32, place: u64| {
        flask::merged(&mut r, &[flask::ALLOCATES + place], &[(5, 8), (0, at), (1, 7), (2, 3)])
    };
    let stacks: Vec<StackId> = calls.iter().map(|&(at, place)| stack(at, place)).collect();
    let writer = r.writer();
    for call in 0..count {
        r.clock(writer, 2_000 + call);
        for (number, &stack) in stacks.iter().enumerate() {
            r.alloc(writer, 0x7f00_0000_0000 + 0x1_0000 * call + 64 * number as u64, 40, stack);
        }
        if (call + 1) % together == 0 {
            r.alloc(writer, 0x7e00_0000_0000, 20, outside);
            r.free(writer, 0x7e00_0000_0000);
        }
    }
    let said = growth(&r, &["--request", "_get_foo"]);
    said["requests"]["count"].as_u64().expect("a number")
}

#[test]
fn calls_between_which_something_is_allocated() {
    assert_eq!(requests(&[2], 60, 1), 60);
    assert_eq!(requests(&[2, 2, 4, 8], 60, 1), 60);
}

#[test]
fn calls_that_follow_each_other_are_told_by_where_they_begin() {
    assert_eq!(requests(&[2, 4], 60, 60), 60);
    assert_eq!(requests(&[2, 2, 4, 4, 8], 60, 20), 60);
}

#[test]
fn a_loop_in_a_function_is_no_further_call() {
    assert_eq!(requests(&[2, 4, 6, 4, 6, 4, 6], 60, 1), 60);
    assert_eq!(requests(&[2, 4, 6, 4, 6, 4, 6], 60, 30), 60);
}

#[test]
fn calls_that_allocate_in_one_place_are_told_by_what_comes_first() {
    assert_eq!(requests_by(&[(2, 0), (2, 8)], 60, 60), 60);
    assert_eq!(requests_by(&[(2, 0), (2, 8), (2, 8), (2, 16)], 60, 30), 60);
    assert_eq!(requests(&[2], 60, 20), 60, "one block each");
}
