//! The processes that a Python program starts: each is recorded, and each has the line with what that process kept.

use std::path::Path;

use e2e::{Interpreter, Report, Run, artifacts, python, report};

/// `bytes(20_000)`.
const SIZE: u64 = 20_033;

/// What each process that kept something kept.
fn kept(python: &Interpreter, way: &str) -> Vec<u64> {
    let source = artifacts::sources().join("python/processes.py");
    // A fork of a process with threads is warned of, with the pid.
    let program = python.bare().arg("-Wignore").arg(&source).arg(way);
    let run = Run::of_with(&program, &["--by", "process", "--focus", "^leak$"]);
    let mut kept = Vec::new();
    for process in run.report.sites() {
        let [blocks, bytes] = ["unfreed_blocks", "unfreed_bytes"].map(|name| report::number(process, name));
        assert_eq!(bytes, SIZE * blocks, "{python}: {way}: {process}");
        kept.push(blocks);
    }
    kept.sort();
    for process in run.report.processes() {
        assert_eq!(process["merge_mismatches"], 0, "{python}: {way}: {process}");
        assert_eq!(process["python_bad_frames"], 0, "{python}: {way}: {process}");
    }
    assert_merged(python, &run, &source, kept.iter().sum());
    kept
}

/// The report of all processes has one line with the sum of all.
fn assert_merged(python: &Interpreter, run: &Run, source: &Path, blocks: u64) {
    let merged = Report::with(run.directory(), &["--by", "line", "--focus", "^leak$"]);
    let [line] = merged.sites() else { panic!("{python}: one line: {:#?}", merged.sites()) };
    let found = ["unfreed_blocks", "unfreed_bytes"].map(|name| report::number(line, name));
    assert_eq!(found, [blocks, SIZE * blocks], "{python}: {line}");
    let frame = &line["stack"][0];
    assert_eq!(frame["line"], artifacts::line_with(source, "# the leak"), "{python}: {line}");
}

#[test]
fn multiprocessing_fork() {
    python::on_each(|python| assert_eq!(kept(python, "fork"), [1, 2, 3, 4], "{python}"));
}

#[test]
fn forks_and_programs() {
    for python in python::oldest_and_newest() {
        for way in ["spawn", "forkserver", "os.fork", "thread", "subprocess"] {
            assert_eq!(kept(python, way), [1, 2, 3, 4], "{python}: {way}");
        }
    }
}

/// Which process of the pool does what is not the same each time.
#[test]
fn pool() {
    for python in python::oldest_and_newest() {
        let kept = kept(python, "pool");
        assert_eq!(kept.iter().sum::<u64>(), 1 + 2 + 3 + 4, "{python}: {kept:?}");
        assert!((2..=3).contains(&kept.len()), "{python}: the parent and one or two of the pool: {kept:?}");
    }
}
