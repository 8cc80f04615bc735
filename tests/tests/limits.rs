//! No space, limits of the process. The program does what it does without, and what is recorded is the program up to one
//! moment, or to its end with the newest events, where no others find room: see `targets/c/history.c`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use e2e::{Program, Report, Run, Scratch, artifacts, replay};
use recording::layout::{State, StopCause};
use recording::{Address, Event};

const THREADS: usize = 4;
const OPERATIONS: usize = 60_000;

/// `struct row` of the program.
#[derive(Clone, Copy, Debug)]
struct Row {
    operation: u64,
    before: Address,
    after: Address,
    size: u64,
    began: u64,
    ended: u64,
}

/// What each thread did, by its kernel id.
fn history(ledger: &Path) -> HashMap<u32, Vec<Row>> {
    let bytes = fs::read(ledger).expect("the ledger can be read");
    let row = |chunk: &[u8]| {
        let words: Vec<u64> =
            chunk.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight"))).collect();
        let (before, after) = (Address(words[1]), Address(words[2]));
        Row { operation: words[0], before, after, size: words[3], began: words[4], ended: words[5] }
    };
    let rows: Vec<Row> = bytes.chunks_exact(48).map(row).collect();
    let threads: HashMap<_, _> =
        rows.chunks(OPERATIONS + 1).map(|rows| (rows[0].size as u32, rows[1..].to_vec())).collect();
    assert_eq!(threads.len(), THREADS);
    threads
}

impl Row {
    /// Whether `event` is part `part` of this operation, which has one or two.
    fn is(&self, part: usize, event: &Event) -> bool {
        match (self.operation, part, *event) {
            (1, 0, Event::Alloc { address, size, .. }) | (3, 1, Event::ReallocEnd { address, size, .. }) => {
                address == self.after && size == self.size
            }
            (2, 0, Event::Free { address, .. }) | (3, 0, Event::ReallocBegin { address, .. }) => {
                address == self.before
            }
            _ => false,
        }
    }
}

/// How many of the operations are in the events, which must be those of the first.
fn recorded(rows: &[Row], events: &[Event]) -> usize {
    let parts = |row: &Row| 0..if row.operation == 3 { 2 } else { 1 };
    let mut events = events.iter();
    for (index, row) in rows.iter().enumerate() {
        for part in parts(row) {
            match events.next() {
                None => return index,
                Some(event) => assert!(row.is(part, event), "{event:x?} as part {part} of {row:x?}"),
            }
        }
    }
    rows.len()
}

/// What is left of blocks that were allocated with a size, or freed, each at a time.
fn play(mut changes: Vec<(u64, Address, Option<u64>)>) -> HashMap<Address, u64> {
    changes.sort_unstable();
    let mut live: HashMap<Address, u64> = HashMap::new();
    for (_, address, size) in changes {
        match size {
            Some(size) => _ = live.insert(address, size),
            None => _ = live.remove(&address),
        }
    }
    live
}

/// The recording in `directory` is that of the program up to one moment. Returns how many operations came after it.
fn assert_exact(directory: &Path, ledger: &Path) -> usize {
    let files = replay::read_directory(directory);
    assert_eq!(files.len(), 1, "{}", directory.display());
    assert_eq!(files[0].impossible, Vec::<String>::new());
    let events = replay::histories(&files[0].path);
    let mut changes: Vec<(u64, Address, Option<u64>)> = Vec::new();
    let (mut last_began, mut first_ended, mut lost) = (0, u64::MAX, 0);
    for (tid, rows) in history(ledger) {
        let done = recorded(&rows, events.get(&tid).map_or(&[][..], Vec::as_slice));
        lost += rows.len() - done;
        for row in &rows[..done] {
            last_began = last_began.max(row.began);
            if row.before.0 != 0 {
                changes.push((row.began, row.before, None));
            }
            if row.after.0 != 0 {
                changes.push((row.ended, row.after, Some(row.size)));
            }
        }
        first_ended = rows.get(done).map_or(first_ended, |row| row.ended.min(first_ended));
    }
    // One moment: no operation was over, and is not recorded, before another one that is recorded began.
    assert!(last_began < first_ended, "recorded: began at {last_began}; not recorded: over at {first_ended}");
    let live = play(changes);
    // The C library has blocks of its own, whose sizes are others.
    let own = files[0].live.iter().filter(|(_, block)| block.size % 16 == 5);
    assert_eq!(own.map(|(&address, block)| (address, block.size)).collect::<HashMap<_, _>>(), live);
    let report = Report::of(directory);
    let unfreed = report.unfreed_in("operate");
    assert_eq!((unfreed.blocks, unfreed.bytes), (live.len() as u64, live.values().sum()));
    lost
}

/// What all operations have left.
fn left(ledger: &Path) -> HashMap<Address, u64> {
    let mut changes: Vec<(u64, Address, Option<u64>)> = Vec::new();
    for row in history(ledger).into_values().flatten() {
        changes.extend((row.before.0 != 0).then_some((row.began, row.before, None)));
        changes.extend((row.after.0 != 0).then_some((row.ended, row.after, Some(row.size))));
    }
    play(changes)
}

/// The recording goes on to the end: with the newest events, if the file could not grow. Returns how many chunks made room.
fn assert_goes_on(directory: &Path, ledger: &Path) -> u64 {
    let files = replay::read_directory(directory);
    assert_eq!(files.len(), 1, "{}", directory.display());
    let (file, header) = (&files[0], &files[0].header);
    assert_eq!((header.state, header.stop_cause), (Some(State::Ended), Some(StopCause::None)));
    assert_eq!((header.lost, file.missing, &file.impossible), ([0; 16], 0, &Vec::new()));
    assert!(file.events > 500, "{} reused, {} events", header.reused, file.events);
    let left = left(ledger);
    // What was allocated before the events begin is not there.
    let own: Vec<_> = file.live.iter().filter(|(_, block)| block.size % 16 == 5).collect();
    assert!(own.iter().all(|(address, block)| left.get(address) == Some(&block.size)));
    assert!(!own.is_empty());
    header.reused
}

/// It ended as it does without a recorder.
fn assert_unharmed(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done, errno 0\n", "{said}");
    assert_eq!(output.status.code(), Some(7), "{said}");
}

/// Runs a script of the shell with the harness's names in its environment.
fn shell(script: &str, scratch: &Scratch, shell: &[&str]) -> Output {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["sh", "-ec", script]).env_remove("LD_PRELOAD").env_remove("UNFREED_DIR");
    command.env("SCRATCH", scratch.path()).env("LIBRARY", artifacts::library());
    command.env("PROGRAM", e2e::Target::new("c/history.c").build());
    command.env("OPERATIONS", OPERATIONS.to_string());
    command.output().expect("the shell starts")
}

/// With mounts of its own; `None` where that is not permitted.
fn own_mounts(script: &str, scratch: &Scratch) -> Option<Output> {
    // SAFETY: asks for a number.
    let map: &[&str] = if unsafe { libc::geteuid() } == 0 { &[] } else { &["--map-root-user"] };
    let unshare = [&["unshare", "--mount"], map].concat();
    let test = "mount -t tmpfs -o size=64k tmpfs /mnt";
    if !shell(test, scratch, &unshare).status.success() {
        eprintln!("skipped: a file system cannot be mounted here");
        return None;
    }
    Some(shell(script, scratch, &unshare))
}

fn recording_and_ledger(scratch: &Scratch, number: u32) -> (PathBuf, PathBuf) {
    (scratch.path().join(format!("recording{number}")), scratch.path().join(format!("ledger{number}")))
}

#[test]
fn a_limit_on_the_size_of_files() {
    let scratch = Scratch::new("fsize");
    let script = r#"LD_PRELOAD=$LIBRARY UNFREED_DIR=$SCRATCH/recording1 \
        exec "$PROGRAM" "$SCRATCH/ledger1" "$OPERATIONS""#;
    let (directory, ledger) = recording_and_ledger(&scratch, 1);
    fs::create_dir(&directory).expect("a directory");
    // The ledger is larger than what is left for the recording.
    fs::write(&ledger, vec![0; THREADS * (OPERATIONS + 1) * 48]).expect("the ledger");
    assert_unharmed(&shell(script, &scratch, &["prlimit", "--fsize=1310720"]));
    assert!(assert_goes_on(&directory, &ledger) > 0);
}

#[test]
fn a_full_file_system() {
    let scratch = Scratch::new("full");
    // Two processes share what space there is.
    let script = r#"
        mount -t tmpfs -o size=2m tmpfs /mnt
        for i in 1 2; do
            mkdir "/mnt/recording$i"
            (status=0
            LD_PRELOAD=$LIBRARY UNFREED_DIR=/mnt/recording$i "$PROGRAM" "$SCRATCH/ledger$i" "$OPERATIONS" \
                > "$SCRATCH/out$i" || status=$?
            echo "status $status" >> "$SCRATCH/out$i") &
        done
        wait
        cp -a --sparse=always /mnt/recording? "$SCRATCH""#;
    let Some(output) = own_mounts(script, &scratch) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut reused = 0;
    for number in [1, 2] {
        let out = fs::read_to_string(scratch.path().join(format!("out{number}"))).expect("its output");
        assert_eq!(out, "done, errno 0\nstatus 7\n");
        let (directory, ledger) = recording_and_ledger(&scratch, number);
        reused += assert_goes_on(&directory, &ledger);
    }
    assert!(reused > 0, "there was space for all");
}

/// Limits that the program sets itself are no end of its recording where they leave it what it needs for itself.
#[test]
fn limits_that_the_program_sets() {
    for (name, resource, most) in [
        ("size of files", libc::RLIMIT_FSIZE, 0),
        ("descriptors", libc::RLIMIT_NOFILE, 0),
        ("address space", libc::RLIMIT_AS, 400 << 20),
        ("data", libc::RLIMIT_DATA, 300 << 20),
    ] {
        let scratch = Scratch::new("own-limit");
        let (directory, ledger) = recording_and_ledger(&scratch, 1);
        fs::create_dir(&directory).expect("a directory");
        let program = Program::c("history").arg(&ledger).arg(OPERATIONS.to_string());
        let program = program.arg(resource.to_string()).arg(most.to_string());
        let outcome = program.recorded_to(&directory).run();
        assert_eq!(
            (outcome.stdout_text().as_str(), outcome.status.code()),
            ("done, errno 0\n", Some(7)),
            "{name}"
        );
        assert_eq!(assert_exact(&directory, &ledger), 0, "{name}");
    }
}

/// A thread that cannot be recorded ends the recording: what it does to the blocks of the others would be missing.
#[test]
fn a_thread_without_memory() {
    let program = Program::c("starved");
    let run = Run::recorded(&program);
    let plain = program.run();
    assert_eq!((plain.status.code(), plain.stdout_text()), (Some(0), "done\n".to_owned()));
    assert_eq!((run.outcome.status, run.outcome.stdout_text()), (plain.status, plain.stdout_text()));
    let header = &run.files[0].header;
    assert_eq!((header.state, header.stop_cause), (Some(State::Stopped), Some(StopCause::NoMemory)));
    assert_eq!(header.stop_errno, libc::ENOMEM as u64);
    run.assert_unfreed(&[("leak_before", 3, 3 * 101), ("leak_in_thread", 0, 0)]);
    assert!(run.report.lost() > 5);
}
