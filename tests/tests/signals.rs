//! Allocations in signal handlers, at known points and at any instant.

use e2e::{Program, Run, Target};

#[test]
fn raised_outside_of_the_allocator() {
    let run = Run::of(&Program::c("signals"));
    // The stack goes through the frame of the signal to the function that was interrupted.
    run.assert_unfreed(&[("leak_in_handler", 20, 200_020), ("interrupted", 20, 200_020)]);
}

/// Signals interrupt the recorder itself; the allocator is one that may be called from a handler at any instant.
#[test]
fn storm() {
    let allocator = Target::new("c/reentrant_allocator.c").shared().build();
    let program = Target::new("c/signal_storm.c").link(&allocator.display().to_string()).build();
    let run = Run::recorded(&Program::new(program));
    assert!(run.outcome.status.success(), "{}", run.outcome.status);
    let printed = run.outcome.stdout_text();
    let mut numbers = printed.split_whitespace().map(|word| word.parse::<u64>().expect("a number"));
    let (runs, leaked) = (numbers.next().expect("runs"), numbers.next().expect("leaked"));
    assert!(runs >= 2000, "{runs} signals are no storm");
    run.assert_sound();
    // A handler's stack goes on through what it interrupted, which may be these functions.
    for function in ["leak_outside", "work"] {
        let unfreed = run.report.unfreed_in(function);
        assert!(unfreed.blocks >= 200 && unfreed.blocks <= 200 + leaked, "{function}: {unfreed:?}");
        assert_eq!(unfreed.bytes, 200 * 10_002 + (unfreed.blocks - 200) * 10_001, "{function}");
    }
    run.assert_unfreed(&[("leak_in_handler", leaked, leaked * 10_001), ("handler", leaked, leaked * 10_001)]);
}
