//! A forked child that cannot begin a file goes on in its parent's: counts are exact, and neither disturbs the other.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use e2e::{ProcessFile, Program, Report, Run, Scratch, process};
use recording::LostKind;
use recording::layout::State;

const PARENT: (&str, u64, u64) = ("leak_parent", 2, 20_003);
const CHILD: (&str, u64, u64) = ("leak_child", 5, 100_015);
/// What each process of `ledgers` does at most.
const ALLOCATIONS: u64 = 300_000;
/// Only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(60);

fn joins(way: &str) -> Run {
    Run::of(&Program::c("joins").arg(way))
}

/// Whether a privileged call can be tried; says so where not.
fn is_root() -> bool {
    // SAFETY: asks for a number.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        println!("skipped: only root may change its root directory and user");
    }
    root
}

/// How many files the processes are in.
fn files(run: &Run) -> usize {
    let mut paths: Vec<&PathBuf> = run.files.iter().map(|process| &process.path).collect();
    paths.sort();
    paths.dedup();
    paths.len()
}

/// One child, in the parent's file.
fn assert_joined(run: &Run) {
    run.assert_unfreed(&[PARENT, CHILD]);
    assert_eq!((run.files.len(), files(run)), (2, 1));
    let is_child = |process: &&ProcessFile| process.header.parent_file_id != 0;
    let (children, parents): (Vec<_>, Vec<_>) = run.files.iter().partition(is_child);
    assert_eq!(children[0].header.parent_file_id, parents[0].header.file_id);
    assert_eq!(children[0].header.parent_pid, parents[0].header.pid);
    assert_eq!(children[0].header.state, Some(State::Ended));
    assert_eq!(children[0].unknown_frees, 1, "the block that it inherited");
    assert!(run.files.iter().all(|process| process.live_of_size(7777).is_empty()), "both have freed it");
    for process in run.report.processes() {
        assert!(process["exe"].as_str().is_some_and(|exe| exe.contains("joins")), "{process}");
        assert!(process["cmdline"][1].is_string(), "{process}");
    }
}

#[test]
fn with_another_root_and_user() {
    if is_root() {
        let jail = Scratch::new("jail");
        assert_joined(&Run::of(&Program::c("joins").arg("chroot").arg(jail.path())));
        assert_eq!(fs::read_dir(jail.path()).expect("the new root").count(), 0, "nothing is written there");
    }
}

#[test]
fn with_another_user() {
    if is_root() {
        assert_joined(&closed(&Program::c("joins").arg("user")));
    }
}

#[test]
fn without_a_descriptor_by_limit() {
    assert_joined(&joins("limit"));
}

#[test]
fn without_a_descriptor_left() {
    assert_joined(&joins("taken"));
}

/// Recorded into a directory that is root's alone.
fn closed(program: &Program) -> Run {
    let run = Run::of(program);
    let mode = fs::metadata(run.directory()).expect("the recording").permissions().mode();
    assert_eq!(mode & 0o002, 0, "others may write there");
    run
}

#[test]
fn workers_of_another_user() {
    if is_root() {
        let run = closed(&Program::c("joins").arg("workers"));
        run.assert_unfreed(&[PARENT, ("leak_child", 10 * 15, 10 * 15 * 20_100)]);
        assert_eq!((run.files.len(), files(&run)), (9, 1));
    }
}

#[test]
fn children_of_children() {
    let run = joins("family");
    run.assert_unfreed(&[PARENT, ("leak_child", 2, 40_003), ("leak_grandchild", 3, 90_006)]);
    assert_eq!((run.files.len(), files(&run)), (4, 2));
    let mut parent = 0;
    for _ in 0..4 {
        let child = run.files.iter().find(|process| process.header.parent_file_id == parent);
        parent = child.expect("each is the child of another").header.file_id;
    }
}

#[test]
fn a_child_that_outlives_its_parent() {
    let run = joins("outlives");
    assert_joined(&run);
    let length = fs::metadata(&run.files[0].path).expect("the file").len();
    assert!(length == 1 << 30, "cut to {length} bytes while the child was in it");
}

/// A file whose process has exited lies where people tidy, and is cut: nobody goes on in it.
#[test]
fn a_child_that_comes_too_late_is_counted() {
    let run = joins("too_late");
    run.assert_unfreed(&[PARENT]);
    assert_eq!(run.files.len(), 1);
    assert_eq!(run.files[0].header.lost[LostKind::Children as usize], 1);
    let length = fs::metadata(&run.files[0].path).expect("the file").len();
    assert!(length < 8 << 20, "not cut: {length} bytes");
}

/// Here no child: the process needs neither path nor descriptor for more chunks and more mappings, and the file is as
/// long as it may become, since it could not be made longer any more.
#[test]
fn the_process_itself_with_another_root() {
    if is_root() {
        let jail = Scratch::new("jail");
        let run = Run::of(&Program::c("joins").arg("itself").arg(jail.path()));
        run.assert_unfreed(&[PARENT, ("leak_late", 1, 40_001)]);
        assert_eq!(run.files[0].header.stop_cause, Some(recording::layout::StopCause::None));
        let length = fs::metadata(&run.files[0].path).expect("the file").len();
        assert_eq!(length, 16 << 30);
        assert!(run.files[0].events > 6_000_000, "{} events", run.files[0].events);
    }
}

/// What `struct ledger` says of one process: its id, the allocations that it has begun, and those that it has done.
fn ledger(file: &File, process: u64) -> [u64; 3] {
    let mut bytes = [0; 24];
    file.read_exact_at(&mut bytes, 24 * process).expect("the ledger can be read");
    [0, 8, 16].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes")))
}

fn wait_for(process: u64, wanted: u64, file: &File) -> u64 {
    let begun = Instant::now();
    loop {
        let [pid, _, done] = ledger(file, process);
        if done >= wanted {
            return pid;
        }
        assert!(begun.elapsed() < LIMIT, "process {process} stopped at {done} of {wanted}");
        thread::yield_now();
    }
}

/// Until it is gone, or waits for its parent to ask for its status.
fn wait_until_gone(pid: u64) {
    let begun = Instant::now();
    while let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
        if stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with(['Z', 'X'])) {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "process {pid} goes on after SIGKILL");
        thread::yield_now();
    }
}

fn start(place: &Path, directory: &Path) -> Child {
    let program = Program::c("joins").arg("ledgers").arg(place).recorded_to(directory);
    program.command().stdin(Stdio::null()).process_group(0).spawn().expect("the program starts")
}

/// Ends one of the two by SIGKILL, and later the other one: what the recording says is what the ledgers say, but for
/// the one allocation that each was in.
fn killed(order: [u64; 2]) {
    let scratch = Scratch::new("ledgers");
    let (place, directory) = (scratch.path().join("ledger"), scratch.path().join("recording"));
    fs::create_dir(&directory).expect("the directory can be made");
    fs::write(&place, [0; 4096]).expect("the ledger can be made");
    let file = File::open(&place).expect("the ledger is there");
    let child = start(&place, &directory);
    let kill = |process| {
        let pid = wait_for(process, 20_000, &file);
        // SAFETY: no memory is touched; the process was started here, and is alive: it waits when it is done.
        assert_eq!(unsafe { libc::kill(pid as i32, libc::SIGKILL) }, 0);
        wait_until_gone(pid);
    };
    kill(order[0]);
    wait_for(order[1], (ledger(&file, order[1])[2] + 1000).min(ALLOCATIONS), &file);
    kill(order[1]);
    process::wait(child, LIMIT).expect("a killed program ends");
    let report = Report::of(&directory);
    report.assert_sound();
    assert_eq!(report.processes().len(), 2);
    for (process, function) in [(0, "leak_parent"), (1, "leak_child")] {
        let [_, begun, done] = ledger(&file, process);
        let found = report.unfreed_in(function).blocks;
        assert!(
            (done..=begun).contains(&found),
            "{found} blocks of {function}, {done} to {begun} in the ledger"
        );
    }
    for state in report.processes().iter().map(|process| &process["state"]) {
        assert_eq!(state, "killed");
    }
}

#[test]
fn the_parent_is_killed_first() {
    killed([0, 1]);
}

#[test]
fn the_child_is_killed_first() {
    killed([1, 0]);
}
