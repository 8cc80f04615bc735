//! Threads: the order of events across them, their ends, and many of them.

use e2e::{Program, Run, Target};

/// A block that realloc gives back is another thread's before realloc returns.
#[test]
fn realloc_race() {
    for _ in 0..5 {
        let run = Run::of(&Program::c("races").arg("realloc"));
        run.assert_unfreed(&[("leak_race", 400, 400 * 2001), ("passed_on", 0, 0)]);
        assert_eq!(run.files[0].unknown_frees, 0);
    }
}

#[test]
fn freed_by_another_thread() {
    for _ in 0..3 {
        let run = Run::of(&Program::c("races").arg("across"));
        run.assert_unfreed(&[("leak_race", 100, 100 * 2001), ("passed_on", 0, 0)]);
        assert_eq!(run.files[0].unknown_frees, 0);
    }
}

#[test]
fn destructors_of_keys() {
    let run = Run::of(&Program::c("thread_end"));
    // Three rounds of the first key and one of each of the others, in each of 16 threads.
    run.assert_unfreed(&[
        ("leak_at_end", 16 * 5, 16 * (3 * 10_001 + 2 * 10_002)),
        ("again", 48, 48 * 10_001),
    ]);
}

#[test]
fn destructors_of_thread_locals() {
    let run = Run::of(&Program::new(Target::new("cpp/thread_local.cpp").build()));
    run.assert_unfreed(&[("leak_in_destructor", 20, 20 * 10_001)]);
}

#[test]
fn two_thousand_threads() {
    let run = Run::of(&Program::c("many_threads"));
    run.assert_unfreed(&[("leak_in_thread", 200, 200 * 10_001)]);
    assert!(run.files[0].threads.len() >= 2001, "{} threads", run.files[0].threads.len());
    // What a thread had is used again: far less than a chunk for each of them.
    let chunks = run.files[0].header.next_chunk;
    assert!(chunks < 200, "{chunks} chunks for 2,001 threads");
}

/// A thread that dies in the recorder would leave it locked.
#[test]
fn cancelled() {
    let run = Run::of(&Program::c("cancel"));
    run.assert_unfreed(&[("leak_cancel", 3, 30_003)]);
}

/// Nothing in the process grows with them.
#[test]
fn many_blocks_and_a_child() {
    let run = Run::of(&Program::c("many_blocks"));
    // Sizes 8 to 47 in turn; each thousandth is kept.
    run.assert_unfreed(&[("hold", 300, 300 * 8)]);
    assert_eq!(run.files.len(), 2);
}
