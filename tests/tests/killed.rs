//! SIGKILL at a random instant: what the recording says is unfreed is what the program held.
//!
//! The program, of one thread, of several, or of several processes, keeps a ledger in a file (see `targets/c/ledger.c`)
//! which outlives it as the recording does. The two may differ only by the one operation that each thread had begun and
//! not finished. Of what was switched off meanwhile the recording has less, and nothing that is not so.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use e2e::ledger::{
    HELD, Ledger, compare, kill, operations, program, start, wait_for_files, wait_for_operations,
};
use e2e::limits::hold;
use e2e::{ProcessFile, Report, Scratch, replay};
use recording::layout::flag;
use recording::run;

const THREADS: usize = 6;

const ONE_THREAD: [&str; 2] = ["threads", "1"];
const SEVERAL_THREADS: [&str; 2] = ["threads", "6"];
const PROCESSES: [&str; 2] = ["processes", "30"];

fn kill_once(shape: [&str; 2], random: u64) {
    let scratch = Scratch::new("killed");
    let (path, directory) = (scratch.path().join("ledger"), scratch.path().join("recording"));
    let mut child = start(&program(&path, shape), &directory, None);
    // At the beginning too.
    let most = if random.is_multiple_of(4) { 100 } else { 100_000 };
    wait_for_operations(1 + (random >> 33) % most, &path, &mut child);
    kill(child);
    wait_for_files(&directory, &Ledger::read(&path));
    let ledger = Ledger::read(&path);
    let files = replay::read_directory(&directory);
    for pid in ledger.pids().filter(|pid| !ledger.held(*pid).is_empty()) {
        assert!(files.iter().any(|file| file.header.pid == pid), "no recording of process {pid}");
    }
    for file in &files {
        assert_eq!(file.impossible, Vec::<String>::new(), "{}", file.path.display());
        // A worker frees the one block that it inherits.
        let inherited = u64::from(file.header.parent_file_id != 0);
        assert!(file.unknown_frees <= inherited, "{} unknown frees", file.unknown_frees);
        file.assert_table();
        compare(file.header.pid, &file.live, &ledger);
    }
    let report = Report::of(&directory);
    report.assert_sound();
    let blocks: usize = files.iter().map(|file| file.live.len()).sum();
    assert_eq!(report.total("unfreed_blocks"), blocks as u64);
    let bytes: u64 = files.iter().map(ProcessFile::live_bytes).sum();
    assert_eq!(report.total("unfreed_bytes"), bytes);
}

/// Each kill checks that nothing is lost and nothing impossible.
fn kill_often(what: &str, shape: [&str; 2], kills: u64) {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut failed = 0;
    for _ in 0..kills {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        failed += u64::from(std::panic::catch_unwind(|| kill_once(shape, random)).is_err());
    }
    hold(&format!("{kills} kills of {what}: wrong recordings"), failed, 0, "recordings");
}

const KILLS: u64 = 33;
/// A thousand in all.
const MANY_KILLS: u64 = 334;

#[test]
fn one_thread() {
    kill_often("one thread", ONE_THREAD, KILLS);
}

#[test]
fn several_threads() {
    kill_often("several threads", SEVERAL_THREADS, KILLS);
}

#[test]
fn several_processes() {
    kill_often("several processes", PROCESSES, KILLS);
}

#[test]
#[ignore = "the long form, for scripts/limits"]
fn one_thread_often() {
    kill_often("one thread", ONE_THREAD, MANY_KILLS);
}

#[test]
#[ignore = "the long form, for scripts/limits"]
fn several_threads_often() {
    kill_often("several threads", SEVERAL_THREADS, MANY_KILLS);
}

#[test]
#[ignore = "the long form, for scripts/limits"]
fn several_processes_often() {
    kill_often("several processes", PROCESSES, MANY_KILLS);
}

/// A recording is read while its process goes on writing: what is read is a state that the process was in.
#[test]
fn read_while_it_is_written() {
    const READINGS: u64 = 8;
    const STEP: u64 = 20_000;
    let scratch = Scratch::new("live");
    let (ledger, directory) = (scratch.path().join("ledger"), scratch.path().join("recording"));
    let mut child = start(&program(&ledger, SEVERAL_THREADS), &directory, Some(READINGS * STEP));
    for reading in 1..=READINGS {
        wait_for_operations(reading * STEP, &ledger, &mut child);
        let report = Report::of(&directory);
        report.assert_sound();
        // An operation is one event at least, but for those that are in flight.
        let events = report.total("events");
        assert!(events + THREADS as u64 >= reading * STEP, "{events} events at reading {reading}");
        let blocks = report.total("unfreed_blocks");
        // No more than the ledger has room for, what is in flight, and what the C library keeps for threads.
        assert!((1..=(THREADS * HELD + 3 * THREADS) as u64).contains(&blocks), "{blocks} blocks");
    }
    kill(child);
}

/// The word of a run that switches it on and off. Stays mapped.
fn control(directory: &Path) -> &'static AtomicU64 {
    let path = directory.join("live").join(run::RUN);
    let file = File::options().read(true).write(true).open(path).expect("the run has its words");
    // SAFETY: a new mapping of a file that is that long; the word is only used atomically.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let at =
            libc::mmap(std::ptr::null_mut(), run::HEAD, protection, libc::MAP_SHARED, file.as_raw_fd(), 0);
        assert_ne!(at, libc::MAP_FAILED);
        &*at.byte_add(run::CONTROL).cast::<AtomicU64>()
    }
}

/// Returns how many blocks were recorded that the program held.
fn switch_and_kill(random: u64) -> usize {
    const SWITCHES: u64 = 60;
    let scratch = Scratch::new("switched");
    let (path, directory) = (scratch.path().join("ledger"), scratch.path().join("recording"));
    let mut child = start(&program(&path, SEVERAL_THREADS), &directory, None);
    wait_for_operations(1, &path, &mut child);
    let control = control(&directory);
    for number in 1..=SWITCHES + random % 2 {
        let state = if number % 2 == 0 { 0 } else { run::OFF };
        let switched = |word: u64| Some(((word & !run::OFF) + run::CHANGE) & !run::OFF | state);
        control.fetch_update(SeqCst, SeqCst, switched).expect("it is always changed");
        // At once, or after some work.
        let more = if number % 3 == 0 { 0 } else { 1 + (random >> 20) % 700 };
        wait_for_operations(operations(&path) + more, &path, &mut child);
    }
    kill(child);
    let ledger = Ledger::read(&path);
    let files = replay::read_directory(&directory);
    assert_eq!(files.len(), 1);
    let file = &files[0];
    assert_eq!(file.impossible, Vec::<String>::new());
    assert_eq!((file.unknown_frees, file.header.flags & flag::WAS_OFF), (0, flag::WAS_OFF));
    assert!(file.header.unknown_frees > 0, "blocks were freed that had not been seen");
    file.assert_table();
    // What is recorded as unfreed is held, or in flight.
    let (held, in_flight) = (ledger.held(file.header.pid), ledger.in_flight(file.header.pid));
    let own = || file.live.iter().filter(|(_, block)| block.size % 16 == 5);
    let doubtful = own().filter(|(address, block)| held.get(address) != Some(&block.size));
    assert!(doubtful.count() <= in_flight.len(), "{in_flight:x?}");
    Report::of(&directory).assert_sound();
    own().count()
}

#[test]
fn switched_on_and_off() {
    let (mut random, mut recorded) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    for _ in 0..4 {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        recorded += switch_and_kill(random);
    }
    assert!(recorded > 0, "what was allocated while it was on is there");
}
