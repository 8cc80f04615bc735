//! A program's descriptors are its own, whatever it does with them: none is held, taken or written to by the recorder.

use e2e::{Program, Run, Scratch};

fn run(way: &str) -> Run {
    let scratch = Scratch::new("descriptors");
    Run::of(&Program::c("descriptors").arg(way).arg(scratch.path().join("file")))
}

/// The program's own file takes the numbers, and holds what the program wrote.
#[test]
fn all_closed_and_taken_again() {
    let run = run("close all");
    assert!(
        run.outcome.stdout_text().ends_with("3000 bytes, 1 right, 3000\n"),
        "{}",
        run.outcome.stdout_text()
    );
    run.assert_unfreed(&[("leak_here", 1, 10_001)]);
}

#[test]
fn first_free_number() {
    assert_eq!(run("first").outcome.stdout_text(), "3\n");
}

/// Two forks, another session and directory, and everything closed.
#[test]
fn daemon() {
    let run = run("daemon");
    assert_eq!(run.outcome.stdout_text(), "daemon 0 1 2\n");
    run.assert_unfreed(&[("be_daemon", 6, 60_006), ("leak_here", 7, 70_007)]);
}

#[test]
fn started_without_standard_files() {
    let scratch = Scratch::new("descriptors");
    let script = r#""$0" closed "$1" <&- >&- 2>&-; echo "status $?"; cat "$1""#;
    let program = Program::new("/bin/sh").arg("-c").arg(script).arg(Program::c("descriptors").path());
    let run = Run::of(&program.arg(scratch.path().join("file")));
    assert_eq!(run.outcome.stdout_text(), "status 0\nfiles 0 1 2\nerror\noutput\n");
    run.assert_unfreed(&[("leak_here", 2, 20_002)]);
}
