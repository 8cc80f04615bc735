//! What may not disturb a Python program: ends, forks, signals, deep stacks, interpreters within interpreters.
//!
//! `Run::of` compares output and status with the plain run, and finds nothing lost and nothing impossible.

use std::path::PathBuf;

use e2e::{Interpreter, Program, Run, Target, python};

fn case(python: &Interpreter, name: &str) -> Program {
    python.program("faults.py").arg(name).env("PYTHONWARNINGS", "ignore")
}

/// Only stacks with the handler in C.
const HANDLER: &[&str] = &["--focus", "leak_in_handler"];

fn runs(python: &Interpreter, name: &str) -> Run {
    Run::of_with(&case(python, name), python::BY_LINE)
}

/// What the interpreter itself does in other ways in other versions.
fn with_each(name: &str) {
    python::on_each(|python| drop(runs(python, name)));
}

/// What hardly depends on the version.
fn with_oldest_and_newest(name: &str) {
    python::oldest_and_newest().for_each(|python| drop(runs(python, name)));
}

#[test]
fn daemon_threads_at_exit() {
    with_each("daemon_threads");
}

#[test]
fn exit_without_finalization() {
    with_oldest_and_newest("os_exit");
}

#[test]
fn exit_of_c() {
    with_oldest_and_newest("ended_within_c");
}

#[test]
fn uncaught_exception() {
    with_oldest_and_newest("uncaught");
}

#[test]
fn destructors_at_finalization() {
    with_each("finalizers");
}

/// The main process, and a child and a grandchild of each of three threads.
#[test]
fn fork_in_a_thread() {
    for python in python::oldest_and_newest() {
        assert_eq!(runs(python, "fork_in_thread").files.len(), 7, "{python}");
    }
}

#[test]
fn forked_child_finalizes() {
    for python in python::oldest_and_newest() {
        assert_eq!(runs(python, "fork_and_exit").files.len(), 2, "{python}");
    }
}

#[test]
fn handlers_in_python() {
    with_oldest_and_newest("python_signals");
}

fn storm_library() -> PathBuf {
    Target::new("c/python_storm.c").shared().build()
}

#[test]
fn handlers_in_c() {
    for python in python::oldest_and_newest() {
        let run = Run::of_with(&case(python, "known_signals").arg(storm_library()), HANDLER);
        // Each sixteenth of 320; the handler interrupted Python's `raised`.
        run.assert_unfreed(&[("leak_in_handler", 20, 20 * 10_001)]);
    }
}

/// Signals interrupt the interpreter and the recorder anywhere; the allocator is one that may be called then.
#[test]
fn storm_of_signals() {
    let allocator = Target::new("c/reentrant_allocator.c").shared().build();
    for python in python::oldest_and_newest() {
        let program = case(python, "storm").arg(storm_library()).preload(&allocator);
        let run = Run::recorded_with(&program, HANDLER);
        assert!(
            run.outcome.status.success(),
            "{python}: {} {}",
            run.outcome.status,
            run.outcome.stderr_text()
        );
        run.assert_sound();
        let printed = run.outcome.stdout_text();
        let leaked = printed.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        let leaked = leaked.unwrap_or_else(|| panic!("{python} prints {printed:?}"));
        run.assert_unfreed(&[("leak_in_handler", leaked, leaked * 10_001)]);
    }
}

#[test]
fn fifty_thousand_calls() {
    with_each("recursion");
}

#[test]
fn sub_interpreters() {
    with_each("interpreters");
}

#[test]
fn greenlets() {
    python::on_each(|python| match python.with(&["greenlet"]) {
        Ok(python) => drop(runs(&python, "greenlets")),
        Err(reason) => eprintln!("skipped: no greenlet for {python}: {reason}"),
    });
}

#[test]
fn everything_at_once() {
    with_each("stress");
}

#[test]
fn threads_of_c() {
    with_oldest_and_newest("thread_of_c");
}

/// The recorder has no more memory than the program: events may be lost, and only they.
#[test]
fn no_memory() {
    for python in python::oldest_and_newest() {
        let program = case(python, "low_memory");
        let (plain, run) = (program.run(), Run::recorded_with(&program, python::BY_LINE));
        assert_eq!(plain.stdout_text(), run.outcome.stdout_text(), "{python}: {}", run.outcome.stderr_text());
        assert_eq!(plain.status, run.outcome.status, "{python}");
    }
}

/// With what the interpreter has for those who look for bugs in its use of memory.
#[test]
fn other_allocators() {
    for (variable, value) in [("PYTHONDEVMODE", "1"), ("PYTHONMALLOC", "debug"), ("PYTHONMALLOC", "malloc")] {
        for python in python::oldest_and_newest() {
            Run::of_with(&case(python, "finalizers").env(variable, value), python::BY_LINE);
        }
    }
}

/// Of versions whose frames are not known, native stacks are recorded, and the report says so.
#[test]
fn unknown_versions() {
    python::on_each_of((3, 6)..=(3, 7), |python| {
        let run = Run::of_with(&python.program("held.py").arg("os_exit"), python::BY_LINE);
        let blocks: u64 = run.report.total("unfreed_blocks");
        assert!(blocks > 10_000, "{python}: {blocks} blocks");
        let frames = run.report.sites().iter().flat_map(|site| site["stack"].as_array().expect("a stack"));
        assert!(frames.clone().all(|frame| frame["kind"] == "native") && frames.count() > 0, "{python}");
        let notes = run.report.processes()[0]["notes"].to_string();
        let (major, minor) = python.version;
        assert!(
            notes.contains(&format!("Python {major}.{minor}.{} is not known", python.patch)),
            "{python}: {notes}"
        );
    });
}
