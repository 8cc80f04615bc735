//! A program that forbids itself system calls is not disturbed by the recorder's, and is recorded until what was kept
//! ready is used up.

use e2e::{Program, Run};
use recording::layout::{State, StopCause};

fn program(action: &str, way: &str, place: &str) -> Program {
    Program::c("seccomp").arg(action).arg(way).arg(place)
}

const BEFORE: (&str, u64, u64) = ("leak_before", 3, 30_003);
const AFTER: (&str, u64, u64) = ("leak_after", 4, 8_004);
const ELSEWHERE: (&str, u64, u64) = ("leak_elsewhere", 5, 15_005);

/// The only process, which ran no exit handlers that could say so.
fn assert_whole(run: &Run) {
    assert_eq!(run.files.len(), 1);
    assert_eq!(run.files[0].header.state, Some(State::Recording));
    run.assert_unfreed(&[BEFORE, AFTER, ELSEWHERE]);
}

/// Each would be seen: as the end of the program, in its handler, or by waiting for ever.
#[test]
fn whatever_happens_to_a_forbidden_call() {
    for action in ["kill", "kill thread", "errno", "success", "trap", "trace", "notify"] {
        assert_whole(&Run::of(&program(action, "prctl", "main")));
    }
}

#[test]
fn whichever_way_it_is_forbidden() {
    for way in ["syscall", "syscall prctl", "strict", "listener"] {
        assert_whole(&Run::of(&program("kill", way, "main")));
    }
}

#[test]
fn in_one_of_several_threads() {
    assert_whole(&Run::of(&program("kill", "prctl", "thread")));
}

#[test]
fn in_a_forked_child() {
    let run = Run::of(&program("kill", "syscall", "child"));
    assert_eq!(run.files.len(), 2);
    run.assert_unfreed(&[BEFORE, AFTER, ELSEWHERE]);
}

/// A filter that lets recording go on: the file grows, threads that come later are recorded, and so is a child, which
/// cannot begin a file.
#[test]
fn files_alone_are_forbidden() {
    let run = Run::of(&program("kill", "prctl", "files").env("UNFREED_SANDBOX_RESERVE", "0"));
    // The thread before, the two after, the child.
    run.assert_unfreed(&[BEFORE, AFTER, ("leak_elsewhere", 4 * 5, 4 * 15_005)]);
    let first = run.files.iter().find(|file| file.header.parent_file_id == 0).expect("the first process");
    assert_eq!(first.header.state, Some(State::Ended));
}

/// Their memory was prepared.
#[test]
fn threads_that_begin_under_a_filter() {
    let run = Run::of(&program("kill", "prctl", "threads"));
    assert_eq!(run.files.len(), 1);
    run.assert_unfreed(&[BEFORE, AFTER, ("leak_elsewhere", 10 * 5, 10 * 15_005)]);
}

/// The kernel keeps a filter for the program that is executed: its recorder makes no forbidden call either, and says
/// nothing where it can do nothing.
#[test]
fn executed_under_a_filter() {
    for action in ["kill", "trap", "errno"] {
        let run = Run::of(&program(action, "syscall", "exec"));
        run.assert_unfreed(&[BEFORE, ("leak_after", 1, 2001), ELSEWHERE]);
    }
}

/// Whoever of the family executes it.
#[test]
fn executed_by_relatives() {
    let run = Run::of(&program("kill", "syscall", "relatives"));
    run.assert_unfreed(&[BEFORE, ("leak_after", 1, 2001), ELSEWHERE]);
}

/// What the kernel did not install counts for nothing.
#[test]
fn a_filter_that_is_refused() {
    let run = Run::of(&program("kill", "prctl", "in vain").env("UNFREED_SANDBOX_RESERVE", "0"));
    assert_eq!(run.files[0].header.state, Some(State::Ended));
    run.assert_unfreed(&[BEFORE, AFTER, ELSEWHERE]);
}

/// When all is used up that was kept ready, the oldest events make room for new ones.
#[test]
fn beyond_the_reserve() {
    let program = program("kill", "prctl", "main").env("UNFREED_SANDBOX_RESERVE", "1");
    let plain = program.run();
    let run = Run::recorded(&program);
    assert_eq!(plain.stdout_text(), run.outcome.stdout_text());
    assert_eq!(plain.status, run.outcome.status);
    let file = &run.files[0];
    assert_eq!((file.header.stop_cause, file.header.lost), (Some(StopCause::None), [0; 16]));
    assert!(file.header.reused > 0, "the reserve was enough");
    assert_eq!((file.missing, &file.impossible), (0, &Vec::new()));
    run.report.assert_sound();
    run.assert_unfreed(&[BEFORE, AFTER, ELSEWHERE]);
}
