//! Marks: one moment of all processes of a run, that reports and differences are of.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use e2e::steps::{kept, kept_by_child};
use e2e::{Program, Report, Scratch, Steps, Unfreed, python};
use serde_json::Value;

fn at(recording: &Path, moment: &str) -> PathBuf {
    let mut path = recording.as_os_str().to_owned();
    path.push(format!("@{moment}"));
    path.into()
}

/// Runs `unfreed VERB` to its end, which is well; its standard output.
fn done(program: Program) -> String {
    let outcome = program.run();
    assert!(outcome.status.success(), "{program}: {}", outcome.stderr_text());
    outcome.stdout_text()
}

/// The one line with which it is refused.
fn refused(program: Program) -> String {
    let outcome = program.run();
    assert_eq!(outcome.status.code(), Some(2), "{program}: {}", outcome.stderr_text());
    assert_eq!(outcome.stdout_text(), "", "{program}");
    let told = outcome.stderr_text();
    assert_eq!(told.lines().count(), 1, "{told}");
    told
}

fn mark(recording: impl AsRef<Path>, name: &str) {
    done(Program::unfreed("mark").arg(recording.as_ref()).arg(name));
}

/// What is unfreed in the two functions of the pair.
fn unfreed(recording: &Path, options: &[&str]) -> [Unfreed; 2] {
    let report = Report::with(recording, options);
    report.assert_sound();
    ["leak_step", "leak_child"].map(|function| report.unfreed_in(function))
}

fn both(steps: u64) -> [Unfreed; 2] {
    [kept(steps), kept_by_child(steps)]
}

/// What a pair of processes kept before, between and after two marks.
fn check(recording: &Path) {
    assert_eq!(unfreed(&at(recording, "warm"), &[]), both(2));
    assert_eq!(unfreed(&at(recording, "end"), &[]), both(5));
    assert_eq!(unfreed(recording, &[]), both(6));
    assert_eq!(unfreed(recording, &["--born", "warm..end"]), both(3));
    assert_eq!(unfreed(recording, &["--born", "..warm"]), both(2));
    assert_eq!(unfreed(recording, &["--born", "end.."]), both(1));
    assert_eq!(unfreed(&at(recording, "warm"), &["--born", "warm.."]), both(0));
    let taken = |recording: &Path| Report::of(recording).unfreed_in("take_block").blocks;
    assert_eq!((taken(&at(recording, "warm")), taken(&at(recording, "end"))), (1, 0));

    let diff = Program::unfreed("diff").arg(at(recording, "warm")).arg(at(recording, "end"));
    let diff: Value = serde_json::from_str(&done(diff.arg("--format").arg("json"))).expect("JSON");
    let changes: Vec<_> = diff["sites"].as_array().expect("a list").iter().collect();
    let change = |function: &str| {
        let of = |change: &&&Value| change["stack"][0]["function"] == function;
        let change = changes.iter().find(of).unwrap_or_else(|| panic!("{function} changed: {changes:?}"));
        ["delta_blocks", "delta_bytes"].map(|name| change[name].as_i64().expect("a number"))
    };
    assert_eq!(change("leak_step"), [3, 3 * 3001]);
    assert_eq!(change("leak_child"), [3, 3 * 5003]);
    assert_eq!(change("take_block"), [-1, -7001]);
}

fn pair_with_marks(directory: &Path) -> Steps {
    let mut steps = Steps::start(directory);
    ["pair", "keep", "keep", "take"].into_iter().for_each(|step| steps.step(step));
    mark(directory, "warm");
    ["keep", "keep", "give", "keep"].into_iter().for_each(|step| steps.step(step));
    mark(steps.pid().to_string(), "end");
    steps.step("keep");
    steps
}

#[test]
fn of_processes_that_run_and_have_exited() {
    let scratch = Scratch::new("marks");
    let steps = pair_with_marks(scratch.path());
    check(scratch.path());
    steps.end();
    check(scratch.path());
}

#[test]
fn of_processes_that_were_killed() {
    let scratch = Scratch::new("marks");
    pair_with_marks(scratch.path()).kill();
    check(scratch.path());
    // It is over: the mark stands for its end.
    mark(scratch.path(), "over");
    assert_eq!(unfreed(&at(scratch.path(), "over"), &[]), both(6));
    assert_eq!(unfreed(scratch.path(), &["--born", "over.."]), both(0));
}

/// The unfreed blocks are known at each mark, whatever became of the events.
#[test]
fn of_a_log_that_is_full() {
    for limit in ["0", "1M"] {
        let scratch = Scratch::new("marks");
        let mut steps =
            Steps::of(&Program::c("steps").recorded_to(scratch.path()).env("UNFREED_MAX_LOG", limit));
        ["pair", "keep", "keep"].into_iter().for_each(|step| steps.step(step));
        mark(scratch.path(), "warm");
        ["keep", "work", "work", "work", "work"].into_iter().for_each(|step| steps.step(step));
        mark(scratch.path(), "end");
        ["work", "work", "work", "work", "keep"].into_iter().for_each(|step| steps.step(step));
        let check = || {
            for (moment, options, parent, child) in [
                ("warm", &[][..], 2, 2),
                ("end", &[], 403, 3),
                ("end", &["--born", "warm.."], 401, 1),
                ("end", &["--born", "..warm"], 2, 2),
            ] {
                let found = unfreed(&at(scratch.path(), moment), options);
                assert_eq!(found, [kept(parent), kept_by_child(child)], "{limit}: {moment} {options:?}");
            }
            assert_eq!(unfreed(scratch.path(), &[]), [kept(804), kept_by_child(4)], "{limit}");
            assert_eq!(
                unfreed(scratch.path(), &["--born", "end.."]),
                [kept(401), kept_by_child(1)],
                "{limit}"
            );
        };
        check();
        steps.kill();
        check();
    }
}

#[test]
fn a_process_is_named_by_its_number() {
    let scratch = Scratch::new("marks");
    let steps = pair_with_marks(scratch.path());
    let pid = PathBuf::from(steps.pid().to_string());
    check(&pid);
    let report = Report::of(scratch.path());
    let child =
        report.processes().iter().find(|process| process["parent_pid"] == steps.pid()).expect("a child");
    let child = PathBuf::from(child["pid"].to_string());
    assert_eq!(unfreed(&at(&child, "end"), &[]), [kept(0), kept_by_child(5)], "the child alone");
    let number = steps.pid().to_string();
    assert_eq!(unfreed(scratch.path(), &["--process", &number])[0], kept(6), "the parent alone");
    assert_eq!(unfreed(scratch.path(), &["--process", &number])[1], kept_by_child(0));
    steps.end();
    assert!(refused(Program::unfreed("report").arg(&pid)).contains("there is none"));
}

/// Who opens its recording anew hears of marks too.
#[test]
fn of_a_program_that_executes_another() {
    let scratch = Scratch::new("marks");
    let mut steps = Steps::start(scratch.path());
    ["keep", "exec", "keep"].into_iter().for_each(|step| steps.step(step));
    mark(scratch.path(), "warm");
    ["keep", "exec", "keep"].into_iter().for_each(|step| steps.step(step));
    assert_eq!(unfreed(&at(scratch.path(), "warm"), &[])[0], kept(2));
    assert_eq!(unfreed(scratch.path(), &["--born", "warm.."])[0], kept(2));
    let pid = PathBuf::from(steps.pid().to_string());
    assert_eq!(unfreed(&pid, &[])[0], kept(1), "what the program that runs has kept");
    steps.end();
    assert_eq!(unfreed(scratch.path(), &[])[0], kept(4));
}

/// In C by the header, which does nothing where the program is not recorded.
#[test]
fn of_the_programs_themselves() {
    let mut plain = Steps::of(&Program::c("steps"));
    plain.step("mark");
    plain.end();
    let scratch = Scratch::new("marks");
    let mut steps = Steps::start(scratch.path());
    ["pair", "keep", "mark", "keep", "mark", "keep"].into_iter().for_each(|step| steps.step(step));
    steps.end();
    assert_eq!(unfreed(&at(scratch.path(), "said"), &[]), both(1));
    let listed = done(Program::unfreed("marks").arg(scratch.path()));
    assert!(listed.ends_with("Z  said  (said 2 times)\n") && listed.lines().count() == 1, "{listed}");
}

#[test]
fn of_python_programs_themselves() {
    const PROGRAM: &str = "
import ctypes, os
before = bytearray(1_000_003)
ctypes.CDLL(None).unfreed_mark(b'warm')
after = bytearray(2_000_003)
os._exit(0)
";
    for python in python::oldest_and_newest() {
        let scratch = Scratch::new("marks");
        let program = python.bare().arg("-c").arg(PROGRAM);
        assert!(program.recorded_to(scratch.path()).run().status.success());
        let largest = |recording: &Path, options: &[&str]| {
            let report = Report::with(recording, &[options, &["-n", "1"]].concat());
            report.sites()[0]["unfreed_bytes"].as_u64().expect("a number")
        };
        assert_eq!(largest(&at(scratch.path(), "warm"), &[]), 1_000_004, "{python}");
        assert_eq!(largest(scratch.path(), &["--born", "warm.."]), 2_000_004, "{python}");
    }
}

#[test]
fn what_is_refused() {
    let scratch = Scratch::new("marks");
    let steps = pair_with_marks(scratch.path());
    let of = |verb: &str| Program::unfreed(verb).arg(scratch.path());
    assert!(refused(of("mark").arg("warm")).contains("has a mark 'warm' already; choose another name"));
    let unknown = refused(Program::unfreed("report").arg(at(scratch.path(), "wram")));
    assert!(unknown.contains("there is no mark 'wram'; its marks are warm, end"), "{unknown}");
    let own = std::process::id().to_string();
    for verb in ["report", "on", "off", "marks"] {
        let told = refused(Program::unfreed(verb).arg(&own));
        assert!(told.contains(&format!("process {own}: is not recorded")), "{told}");
    }
    // SAFETY: takes no argument and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        for recording in [scratch.path().to_owned(), PathBuf::from(steps.pid().to_string())] {
            let mut command = Program::unfreed("mark").arg(&recording).arg("mine").command();
            let output = command.uid(65_534).gid(65_534).output().expect("unfreed starts");
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), told.lines().count()), (Some(2), 1), "{told}");
            assert!(told.contains("of user 0"), "{told}");
        }
    } else {
        eprintln!("skipped: another user needs root");
    }
    steps.end();
}
