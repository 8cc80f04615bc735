//! A log that may be no longer than so much: the oldest events make room for new ones, and what is said to be held is.

use std::os::unix::fs::MetadataExt;

use e2e::ledger::{self, Ledger};
use e2e::limits::hold;
use e2e::{ProcessFile, Program, Report, Scratch, replay};
use recording::layout::{CHUNK, State};

/// Threads that allocate and free their own blocks and each other's; 16 remain.
fn churn(max_log: &str) -> Program {
    Program::c("churn").arg("4").arg("150000").env("UNFREED_MAX_LOG", max_log)
}

fn recorded(program: &Program) -> Vec<ProcessFile> {
    let scratch = Scratch::new("bounded");
    let outcome = program.clone().recorded_to(scratch.path()).run();
    assert_eq!(outcome.stderr_text(), "");
    assert!(outcome.status.success());
    replay::read_directory(scratch.path())
}

/// Rounds of all threads: an allocation in each, and another one in every sixteenth.
const ROUNDS: u64 = 4 * 150_000;

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

#[test]
fn threads_that_come_and_go() {
    let files = recorded(&Program::c("many_threads").env("UNFREED_MAX_LOG", "64K"));
    let file = &files[0];
    assert_eq!((file.missing, &file.impossible), (0, &Vec::new()));
    let table = file.table.as_ref().expect("there is a table");
    assert_eq!(table.impossible, Vec::<String>::new());
    assert_eq!(table.blocks.values().filter(|block| block.size == 10_001).count(), 200);
}

/// The log is the run's: those of all processes together are no longer.
#[test]
fn forked_children_share_it() {
    const PROCESSES: u64 = 4;
    let scratch = Scratch::new("bounded-run");
    let program = Program::c("churn").arg("1").arg("350000").arg(PROCESSES.to_string());
    let outcome = program.env("UNFREED_MAX_LOG", "5M").recorded_to(scratch.path()).run();
    assert!(outcome.status.success());
    let files = replay::read_directory(scratch.path());
    assert_eq!(files.len() as u64, PROCESSES);
    let mut size = 0;
    for file in &files {
        assert_eq!((file.missing, &file.impossible), (0, &Vec::new()), "{}", file.path.display());
        size += file.path.metadata().expect("it is there").blocks() * 512;
    }
    assert!(files.iter().any(|file| file.header.reused > 0), "no chunk was used again");
    // What else there is in a file: header, definitions, the live table, counts, and the rest of a chunk.
    let most = (5 << 20) + PROCESSES * (512 << 10);
    assert!((4 << 20..=most).contains(&size), "{size} bytes");
}

/// A program that uses its oldest chunks again is killed: its live table is what it held, and the events are those that are
/// said to be held.
fn kill_once(shape: [&str; 2], max_log: &str, random: u64) -> u64 {
    let scratch = Scratch::new("bounded-kill");
    let (path, directory) = (scratch.path().join("ledger"), scratch.path().join("recording"));
    let program = ledger::program(&path, shape).env("UNFREED_MAX_LOG", max_log);
    let mut child = ledger::start(&program, &directory, None);
    ledger::wait_for_operations(100_000 + (random >> 33) % 300_000, &path, &mut child);
    ledger::kill(child);
    ledger::wait_for_files(&directory, &Ledger::read(&path));
    let ledger = Ledger::read(&path);
    let mut reused = 0;
    let mut blocks = 0;
    for file in replay::read_directory(&directory) {
        let name = file.path.display();
        assert_eq!(file.impossible, Vec::<String>::new(), "{name}");
        // An event of each thread may be stamped and not written.
        assert!(file.missing <= 7, "{name}: {} events are not held", file.missing);
        let table = file.table.as_ref().expect("there is a table");
        assert_eq!(table.impossible, Vec::<String>::new(), "{name}");
        ledger::compare(file.header.pid, &table.blocks, &ledger);
        for (address, block) in &file.live {
            assert_eq!(
                table.blocks.get(address),
                Some(block),
                "{name}: {address:x?}; {:x?}",
                table.in_flight
            );
        }
        reused += file.header.reused;
        blocks += table.blocks.len() as u64;
    }
    let report = Report::of(&directory);
    report.assert_sound();
    assert_eq!(report.total("unfreed_blocks"), blocks);
    reused
}

fn kill_often(what: &str, shape: [&str; 2], max_log: &str, kills: u64) {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut failed, mut reused) = (0, 0);
    for _ in 0..kills {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        match std::panic::catch_unwind(|| kill_once(shape, max_log, random)) {
            Ok(chunks) => reused += chunks,
            Err(_) => failed += 1,
        }
    }
    hold(&format!("{kills} kills of {what}, {max_log} of log: wrong recordings"), failed, 0, "recordings");
    assert!(max_log == "0" || reused > 0, "no chunk was used again");
}

#[test]
fn killed_threads() {
    kill_often("threads", ["threads", "6"], "1M", 12);
}

#[test]
fn killed_threads_without_a_log() {
    kill_often("threads", ["threads", "6"], "0", 6);
}

#[test]
#[ignore = "the long form, for scripts/limits"]
fn killed_threads_often() {
    kill_often("threads", ["threads", "6"], "1M", 200);
}
