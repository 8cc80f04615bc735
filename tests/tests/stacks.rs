//! Allocations on small, borrowed, switched and abandoned stacks.

use e2e::{Outcome, Program, Run, Target};

fn on(kind: &str, blocks: u64, size: u64) -> Outcome {
    let run = Run::of(&Program::c("stacks").arg(kind));
    run.assert_unfreed(&[("leak_on_stack", blocks, blocks * size)]);
    run.outcome
}

/// The least that a thread may have, out of which thread-local storage is taken.
#[test]
fn least_of_threads() {
    assert_eq!(on("tiny", 50, 1001).stdout_text(), "size 0\nstarted 50\n");
}

#[test]
fn crash_handler_on_a_signal_stack() {
    assert_eq!(on("alternate", 1, 1002).status.code(), Some(7));
}

#[test]
fn coroutines() {
    assert_eq!(on("switched", 300, 1003).stdout_text(), "done 30\n");
}

#[test]
fn jumps_over_frames() {
    assert_eq!(on("jumped", 1000, 1004).stdout_text(), "jumps 1000\n");
}

/// Nothing is mapped above the first frame.
#[test]
fn edge_of_memory() {
    on("edge", 5, 1005);
}

/// As of assembly that does not keep to the ABI.
#[test]
fn misaligned() {
    on("misaligned", 5, 1005);
}

/// The stack ends there, and is no worse for it.
#[test]
fn code_without_unwind_information() {
    on("bare", 5, 1006);
}

#[test]
fn exceptions() {
    let run = Run::of(&Program::new(Target::new("cpp/exceptions.cpp").build()));
    run.assert_unfreed(&[("leak_thrown", 40, 40 * 1001)]);
}
