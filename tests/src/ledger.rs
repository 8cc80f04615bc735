//! The program of `targets/c/ledger.c`, which is killed, and what it held then: its ledger outlives it, as its recording does.
//!
//! The two may differ only by the one operation that each thread had begun and not finished.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use recording::Address;

use crate::replay::Block;
use crate::{Program, process};

const ROWS: usize = 64;
/// Blocks that a thread holds, at most.
pub const HELD: usize = 512;
/// Words of a row.
const ROW: usize = 4 + 2 * HELD;
/// Only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(60);

/// `struct ledger`, as it was when the program was killed.
pub struct Ledger(Vec<u64>);

/// What a thread was doing.
#[derive(Debug)]
pub struct InFlight {
    /// `enum operation`.
    pub operation: u64,
    /// Of which block.
    pub address: Address,
    /// Of how many bytes it is, or is to be.
    pub size: u64,
}

impl Ledger {
    /// Reads the file.
    pub fn read(path: &Path) -> Ledger {
        let mut bytes = vec![0; 8 * (1 + ROWS * ROW)];
        let file = File::open(path).expect("the ledger is there");
        file.read_exact_at(&mut bytes, 0).expect("the ledger can be read");
        let word = |chunk: &[u8]| u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        Ledger(bytes.chunks_exact(8).map(word).collect())
    }

    /// The rows of the threads of a process.
    fn rows(&self, pid: u32) -> impl Iterator<Item = &[u64]> {
        self.0[1..].chunks_exact(ROW).filter(move |row| row[0] == u64::from(pid))
    }

    /// The processes that have rows.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.0[1..].chunks_exact(ROW).map(|row| row[0] as u32).filter(|pid| *pid != 0)
    }

    /// What the threads of a process were doing.
    pub fn in_flight(&self, pid: u32) -> Vec<InFlight> {
        let all =
            self.rows(pid).map(|row| InFlight { operation: row[1], address: Address(row[2]), size: row[3] });
        all.filter(|row| row.operation != 0).collect()
    }

    /// The blocks that a process held, with their sizes.
    pub fn held(&self, pid: u32) -> HashMap<Address, u64> {
        let entries = self.rows(pid).flat_map(|row| row[4..].chunks_exact(2));
        entries.filter(|entry| entry[0] != 0).map(|entry| (Address(entry[0]), entry[1])).collect()
    }
}

/// The program, with this ledger; in its first shape by threads, in its second one by processes.
pub fn program(ledger: &Path, shape: [&str; 2]) -> Program {
    Program::c("ledger").arg(ledger).arg(shape[0]).arg(shape[1])
}

/// The first word of the ledger; 0 until the program has made it.
pub fn operations(ledger: &Path) -> u64 {
    let Ok(file) = File::open(ledger) else { return 0 };
    let mut word = [0; 8];
    file.read_exact_at(&mut word, 0).map_or(0, |()| u64::from_le_bytes(word))
}

/// Starts the program, which works for ever or does so many operations and waits.
pub fn start(program: &Program, directory: &Path, most_operations: Option<u64>) -> Child {
    std::fs::create_dir(directory).expect("the directory can be made");
    let mut program = program.clone();
    if let Some(most) = most_operations {
        program = program.arg(most.to_string());
    }
    let mut command = program.recorded_to(directory).command();
    command.stdin(Stdio::null()).process_group(0);
    command.spawn().expect("the program starts")
}

/// Waits until the program has done so many.
pub fn wait_for_operations(wanted: u64, ledger: &Path, child: &mut Child) {
    let begun = Instant::now();
    while operations(ledger) < wanted {
        assert!(begun.elapsed() < LIMIT && still_runs(child), "the program stopped working");
        thread::yield_now();
    }
}

/// Kills the program with all its processes.
pub fn kill(child: Child) {
    // SAFETY: no memory is touched; the group was begun for this child, which is not yet waited for.
    assert_eq!(unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) }, 0);
    let status = process::wait(child, LIMIT).expect("a killed program ends");
    assert_eq!(status.signal(), Some(libc::SIGKILL));
}

fn still_runs(child: &mut Child) -> bool {
    child.try_wait().expect("a child can be asked").is_none()
}

/// Waits until none of the killed processes has the recording's files open: the first one's end is not that of all.
pub fn wait_for_files(directory: &Path, ledger: &Ledger) {
    let begun = Instant::now();
    let is_there = |pid: u32| {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        maps.contains(&directory.display().to_string())
    };
    while ledger.pids().any(is_there) {
        assert!(begun.elapsed() < LIMIT, "a killed process is still there");
        thread::yield_now();
    }
}

/// The blocks that are recorded are those of the ledger, but for what was in flight.
pub fn compare(pid: u32, recorded: &HashMap<Address, Block>, ledger: &Ledger) {
    let (held, in_flight) = (ledger.held(pid), ledger.in_flight(pid));
    for (address, size) in &held {
        let found = recorded.get(address).map(|block| block.size);
        assert_eq!(found, Some(*size), "block {address:x?} of the ledger; in flight: {in_flight:x?}");
    }
    // An allocation in flight may be recorded and not yet in the ledger, once for each thread.
    let mut expected: Vec<u64> =
        in_flight.iter().filter(|row| row.operation != 2).map(|row| row.size).collect();
    for (address, block) in recorded {
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
