//! A log that may be no longer than so much: the oldest events make room for new ones, and what is said to be held is.

use e2e::{ProcessFile, Program, Scratch, replay};
use recording::layout::{CHUNK, State};

/// Threads that allocate and free their own blocks and each other's; 16 remain.
fn churn(max_log: &str) -> Program {
    Program::c("churn").arg("4").arg("200000").env("UNFREED_MAX_LOG", max_log)
}

fn recorded(program: &Program) -> Vec<ProcessFile> {
    let scratch = Scratch::new("bounded");
    let outcome = program.clone().recorded_to(scratch.path()).run();
    assert_eq!((outcome.stdout_text(), outcome.stderr_text()), Default::default());
    assert!(outcome.status.success());
    replay::read_directory(scratch.path())
}

/// Rounds of all threads: an allocation in each, and another one in every sixteenth.
const ROUNDS: u64 = 4 * 200_000;

/// What was allocated is known, whether there are events or not.
fn assert_counted(file: &ProcessFile) {
    let many = file.counts.values().filter(|(allocations, _)| *allocations > 10_000);
    let sum = many.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    let sizes = |rounds: u64| 4 * (0..rounds / 4).map(|round| 17 + round % 8 * 40).sum::<u64>();
    let of_sixteenth = ROUNDS / 16 * 17;
    assert_eq!(sum, (ROUNDS + ROUNDS / 16, sizes(ROUNDS) + of_sixteenth));
}

#[test]
fn the_newest_events_are_held() {
    let files = recorded(&churn("1M"));
    let [file] = &files[..] else { panic!("{} processes", files.len()) };
    assert_eq!(file.impossible, Vec::<String>::new());
    assert_eq!(file.missing, 0, "of those that are said to be held");
    assert_eq!(file.header.state, Some(State::Ended));
    assert_eq!(file.header.lost, [0; 16]);
    // The least that a process may have: 15 chunks and one for each of five writers; what else there is are no events.
    assert!(file.header.reused > 8, "{} chunks were used again", file.header.reused);
    assert!(file.header.next_chunk < 40, "{} chunks", file.header.next_chunk);
    // Of 20 chunks, of which those of the writers may be almost empty, about four bytes an event.
    assert!(file.events as usize > 8 * CHUNK / 4, "{} events", file.events);
    assert_eq!(file.live.values().filter(|block| block.size % 40 == 17).count(), 16);
    assert_counted(file);
}

#[test]
fn a_long_log_holds_all() {
    let files = recorded(&churn("unlimited"));
    let [file] = &files[..] else { panic!("{} processes", files.len()) };
    assert_eq!(file.impossible, Vec::<String>::new());
    assert_eq!((file.missing, file.header.reused, file.header.held_monotonic_ns), (0, 0, 0));
    assert!(file.events >= 2 * ROUNDS);
    assert_eq!(file.counts, file.allocated);
    assert_counted(file);
}

#[test]
fn without_a_log_there_are_no_events() {
    let files = recorded(&churn("0"));
    let [file] = &files[..] else { panic!("{} processes", files.len()) };
    assert_eq!((file.events, file.header.reused), (0, 0));
    assert_eq!(file.header.lost, [0; 16]);
    assert!(!file.parents().is_empty(), "there are stacks");
    assert_counted(file);
}
