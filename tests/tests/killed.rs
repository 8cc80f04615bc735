//! SIGKILL at a random instant, a hundred times: what the recording says is unfreed is what the program held.
//!
//! The program keeps a ledger in a file (see `targets/c/ledger.c`) which outlives it as the recording does. The two may
//! differ only by the one operation that each thread had begun and not finished.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use e2e::{ProcessFile, Program, Report, Scratch, process, replay};
use recording::Address;

const THREADS: usize = 6;
const HELD: usize = 512;
const KILLS: u64 = 100;
/// Only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(60);

/// `struct ledger`, as it was when the program was killed.
struct Ledger(Vec<u64>);

/// What a thread was doing.
#[derive(Debug)]
struct InFlight {
    operation: u64,
    address: Address,
    size: u64,
}

impl Ledger {
    fn words() -> usize {
        1 + 3 * THREADS + 2 * THREADS * HELD
    }

    fn read(file: &File) -> Ledger {
        let mut bytes = vec![0; 8 * Ledger::words()];
        file.read_exact_at(&mut bytes, 0).expect("the ledger can be read");
        let word = |chunk: &[u8]| u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        Ledger(bytes.chunks_exact(8).map(word).collect())
    }

    fn in_flight(&self) -> Vec<InFlight> {
        let rows = self.0[1..1 + 3 * THREADS].chunks_exact(3);
        let all = rows.map(|row| InFlight { operation: row[0], address: Address(row[1]), size: row[2] });
        all.filter(|row| row.operation != 0).collect()
    }

    fn held(&self) -> HashMap<Address, u64> {
        let rows = self.0[1 + 3 * THREADS..].chunks_exact(2);
        rows.filter(|row| row[0] != 0).map(|row| (Address(row[0]), row[1])).collect()
    }
}

/// The first word of the ledger; 0 until the program has made it.
fn operations(ledger: &Path) -> u64 {
    let Ok(file) = File::open(ledger) else { return 0 };
    let mut word = [0; 8];
    file.read_exact_at(&mut word, 0).map_or(0, |()| u64::from_le_bytes(word))
}

/// Starts the program, which works for ever or does so many operations and waits.
fn start(ledger: &Path, directory: &Path, most_operations: Option<u64>) -> Child {
    std::fs::create_dir(directory).expect("the directory can be made");
    let mut program = Program::c("ledger").arg(ledger);
    if let Some(most) = most_operations {
        program = program.arg(most.to_string());
    }
    let mut command = program.recorded_to(directory).command();
    command.stdin(Stdio::null()).process_group(0);
    command.spawn().expect("the program starts")
}

fn wait_for_operations(wanted: u64, ledger: &Path, child: &mut Child) {
    let begun = Instant::now();
    while operations(ledger) < wanted {
        assert!(begun.elapsed() < LIMIT && still_runs(child), "the program stopped working");
        thread::yield_now();
    }
}

fn kill(mut child: Child) {
    child.kill().expect("the program can be killed");
    let status = process::wait(child, LIMIT).expect("a killed program ends");
    assert_eq!(status.signal(), Some(libc::SIGKILL));
}

fn still_runs(child: &mut Child) -> bool {
    child.try_wait().expect("a child can be asked").is_none()
}

/// Whether the difference between ledger and recording is explained by what was in flight.
fn compare(file: &ProcessFile, ledger: &Ledger) {
    let (held, in_flight) = (ledger.held(), ledger.in_flight());
    for (address, size) in &held {
        let recorded = file.live.get(address).map(|block| block.size);
        assert_eq!(recorded, Some(*size), "block {address:x?} of the ledger; in flight: {in_flight:x?}");
    }
    // An allocation in flight may be recorded and not yet in the ledger, once for each thread.
    let mut expected: Vec<u64> =
        in_flight.iter().filter(|row| row.operation != 2).map(|row| row.size).collect();
    for (address, block) in &file.live {
        let own = block.size % 16 == 5;
        let being_freed = in_flight.iter().any(|row| row.operation != 1 && row.address == *address);
        if !own || held.contains_key(address) || being_freed {
            continue;
        }
        let found = expected.iter().position(|size| *size == block.size);
        let found =
            found.unwrap_or_else(|| panic!("{address:x?} {block:x?} is not in the ledger; {in_flight:x?}"));
        expected.swap_remove(found);
    }
}

#[test]
fn a_hundred_times() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for kill in 0..KILLS {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let scratch = Scratch::new("killed");
        let (ledger, directory) = (scratch.path().join("ledger"), scratch.path().join("recording"));
        let mut child = start(&ledger, &directory, None);
        wait_for_operations(1000 + (random >> 33) % 100_000, &ledger, &mut child);
        self::kill(child);
        let files = replay::read_directory(&directory);
        assert_eq!(files.len(), 1, "kill {kill}");
        assert_eq!(files[0].impossible, Vec::<String>::new(), "kill {kill}");
        assert_eq!(files[0].unknown_frees, 0, "kill {kill}");
        compare(&files[0], &Ledger::read(&File::open(&ledger).expect("the ledger is there")));
        let report = Report::of(&directory);
        report.assert_sound();
        assert_eq!(report.total("unfreed_blocks"), files[0].live.len() as u64, "kill {kill}");
        assert_eq!(report.total("unfreed_bytes"), files[0].live_bytes(), "kill {kill}");
    }
}

/// A recording is read while its process goes on writing: what is read is a state that the process was in.
#[test]
fn read_while_it_is_written() {
    const READINGS: u64 = 8;
    const STEP: u64 = 20_000;
    let scratch = Scratch::new("live");
    let (ledger, directory) = (scratch.path().join("ledger"), scratch.path().join("recording"));
    let mut child = start(&ledger, &directory, Some(READINGS * STEP));
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
