//! What a program held to its end is in the report, though the interpreter frees its globals when it ends.

use std::fs;

use e2e::{Interpreter, Report, Run, Unfreed, artifacts, python, report};

/// `sys.getsizeof(b"")`.
const BYTES_HEADER: u64 = 33;
const ALL: Unfreed = Unfreed { blocks: 100, bytes: 100 * (5000 + BYTES_HEADER) };

const AT_END: &[&str] = &["--at", "end", "--by", "line"];

/// What the line marked "held" holds.
fn held(report: &Report) -> Unfreed {
    let source =
        fs::read_to_string(artifacts::sources().join("python/held.py")).expect("the source can be read");
    let line = source.lines().position(|text| text.ends_with("# held")).expect("the line is marked") + 1;
    let is_it = |site: &&serde_json::Value| {
        report::python_frames(site).next().is_some_and(|frame| {
            frame["line"] == line
                && frame["file"].as_str().is_some_and(|file| file.ends_with("python/held.py"))
        })
    };
    report.sites().iter().filter(is_it).fold(Unfreed::default(), |sum, site| Unfreed {
        blocks: sum.blocks + report::number(site, "unfreed_blocks"),
        bytes: sum.bytes + report::number(site, "unfreed_bytes"),
    })
}

fn ends(python: &Interpreter, way: &str) -> Run {
    let run = Run::of_with(&python.program("held.py").arg(way), python::BY_LINE);
    assert_eq!(held(&run.report), ALL, "{python}: {way}");
    run
}

/// The interpreter takes itself apart: the report is of the moment before, and that of the end has nothing.
fn orderly(python: &Interpreter, way: &str) {
    let run = ends(python, way);
    assert_eq!(run.report.processes()[0]["at"], "before-exit", "{python}: {way}");
    let at_end = Report::with(run.directory(), AT_END);
    assert_eq!(held(&at_end), Unfreed::default(), "{python}: {way}");
    assert_eq!(at_end.processes()[0]["at"], "end", "{python}: {way}");
}

/// It does not: both are the same.
fn at_once(python: &Interpreter, way: &str) {
    let run = ends(python, way);
    assert_eq!(run.report.processes()[0]["at"], "end", "{python}: {way}");
    assert_eq!(held(&Report::with(run.directory(), AT_END)), ALL, "{python}: {way}");
}

#[test]
fn end_of_the_program() {
    python::on_each(|python| orderly(python, "return"));
}

#[test]
fn end_without_finalization() {
    python::on_each(|python| at_once(python, "os_exit"));
}

#[test]
fn other_orderly_ends() {
    if let Some(python) = python::newest() {
        orderly(python, "exit");
        orderly(python, "exception");
    }
}

#[test]
fn ends_by_signals() {
    if let Some(python) = python::newest() {
        at_once(python, "kill");
        at_once(python, "terminate");
    }
}

/// A process that becomes another program has two recordings.
#[test]
fn another_program() {
    if let Some(python) = python::newest() {
        assert_eq!(ends(python, "exec").files.len(), 2, "{python}");
    }
}
