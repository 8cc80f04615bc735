//! Whole trees of processes: what of them is recorded, and what it costs on the disk.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use e2e::steps::{kept, kept_by_child};
use e2e::{Program, Report, Run, Scratch};

/// A shell that runs `script`, to which `$1` is a program that allocates.
fn shell(script: &str) -> Program {
    let steps = Program::c("steps");
    Program::new("/bin/sh").arg("-c").arg(script).arg("sh").arg(steps.path())
}

/// The names of the executables that were recorded.
fn recorded(report: &Report) -> BTreeSet<String> {
    let exes = report.processes().iter().map(|process| process["exe"].as_str().expect("it is known"));
    exes.map(|exe| Path::new(exe).file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

fn run(program: &Program) -> Run {
    let run = Run::of(program);
    run.report.assert_sound();
    run
}

const CHAIN: &str = "echo keep | \"$1\"; exec env sh -c 'echo keep | \"$1\"; exec env true' sh \"$1\"";

#[test]
fn every_program_of_a_chain() {
    let run = run(&shell(CHAIN));
    assert_eq!(run.report.unfreed_in("leak_step"), kept(2));
    let recorded = recorded(&run.report);
    assert!(recorded.contains("env") && recorded.contains("true"), "{recorded:?}");
}

/// Programs are told apart by their file's name or its path; what an excluded one executes is judged by itself.
#[test]
fn only_some_programs() {
    let steps = Program::c("steps").path().display().to_string();
    let name = Path::new(&steps).file_name().expect("a name").to_string_lossy().into_owned();
    for (variable, list) in [
        ("UNFREED_ONLY", name.clone()),
        ("UNFREED_ONLY", format!("nothing:{steps}")),
        ("UNFREED_ONLY", "steps-*".to_string()),
        ("UNFREED_EXCLUDE", "sh:dash:bash:busybox:env:true:coreutils".to_string()),
    ] {
        let run = run(&shell(CHAIN).env(variable, &list));
        assert_eq!(run.report.unfreed_in("leak_step"), kept(2), "{variable}={list}");
        assert_eq!(recorded(&run.report), BTreeSet::from([name.clone()]), "{variable}={list}");
    }
}

/// A forked child is of its parent's program.
#[test]
fn children_of_a_selected_program() {
    let program = shell("echo fork | \"$1\"").env("UNFREED_ONLY", "steps-*");
    let run = run(&program);
    assert_eq!(run.report.unfreed_in("leak_child"), kept_by_child(7));
    assert_eq!(run.files.len(), 2);
}

/// Of a program that is not selected nothing is made.
#[test]
fn nothing_is_selected() {
    let scratch = Scratch::new("trees");
    let recording = scratch.path().join("recording");
    let run =
        Program::unfreed("run").arg("--only").arg("nothing").arg("-o").arg(&recording).arg("sh").arg("-c");
    let outcome = run.arg("true; exit 3").run();
    assert_eq!(outcome.status.code(), Some(3));
    let told = outcome.stderr_text();
    assert!(
        told.contains("nothing was recorded; --only and --exclude left no program of the command\n"),
        "{told}"
    );
    let names =
        fs::read_dir(&recording).into_iter().flatten().map(|entry| entry.expect("an entry").file_name());
    let made: Vec<_> = names.filter(|name| !name.as_encoded_bytes().starts_with(b"libunfreed")).collect();
    assert_eq!(made, [] as [&str; 0]);
}

/// A shell that starts many commands: one run, of which each process has its file and takes little.
#[test]
fn many_commands() {
    const COMMANDS: usize = 200;
    let script = format!("i=0; while [ $i -lt {COMMANDS} ]; do /bin/true; i=$((i+1)); done");
    let scratch = Scratch::new("trees");
    let outcome = shell(&script).recorded_to(scratch.path()).run();
    assert!(outcome.status.success(), "{}", outcome.stderr_text());
    let report = Report::of(scratch.path());
    report.assert_sound();
    let commands = report
        .processes()
        .iter()
        .filter(|process| process["exe"].as_str().is_some_and(|exe| exe.ends_with("true")));
    assert_eq!(commands.count(), COMMANDS);
    let entries = fs::read_dir(scratch.path()).expect("a directory").map(|entry| entry.expect("an entry"));
    let blocks: u64 = entries.map(|entry| entry.metadata().expect("known").blocks()).sum();
    let each = blocks * 512 / COMMANDS as u64;
    assert!(each <= 32 << 10, "{each} bytes for each command");
}
