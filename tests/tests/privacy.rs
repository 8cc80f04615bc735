//! What a recording does not hold: what is in the program's memory, its environment, and in Python's code besides names and
//! lines. A command line is recorded.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Stdio};
use std::time::Duration;

use e2e::{Program, Report, Scratch, process as program, python};

/// Only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(60);
/// More than is used of any file here; the rest of a killed process's file is a hole.
const MOST: u64 = 64 << 20;

/// 64 bytes that are in no other file.
fn secret(kind: &str) -> String {
    let secret = format!("{kind}-secret-of-{}-", process::id());
    secret.repeat(64).get(..64).expect("it is longer").to_string()
}

/// Whether any file of the recording holds these bytes.
fn holds(directory: &Path, wanted: &str) -> bool {
    let places = [directory.to_owned(), directory.join("live")];
    let entries = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten();
    let files: Vec<_> =
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect();
    assert!(!files.is_empty());
    files.iter().any(|path| {
        let mut bytes = Vec::new();
        File::open(path).expect("a file").take(MOST).read_to_end(&mut bytes).expect("it can be read");
        bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes())
    })
}

/// Runs a program whose memory and environment hold secrets, and looks for them.
fn check(plain: &Program, not_held: &[&str]) {
    let scratch = Scratch::new("privacy");
    let directory = scratch.path().join("recording");
    let (memory, environment) = (secret("memory"), secret("environment"));
    let recorded = plain.clone().arg("an-argument").env("SECRET", &environment).recorded_to(&directory);
    let mut command = recorded.command();
    let mut child = command.stdin(Stdio::piped()).process_group(0).spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(memory.as_bytes()).expect("it reads");
    program::wait(child, LIMIT).expect("it ends");
    assert!(Report::of(&directory).total("events") > 2000, "{plain}: it has read its secret");
    assert!(holds(&directory, "an-argument"), "{plain}: what is there is found");
    // A part of each would be too much.
    for secret in [&memory[..20], &environment[..20]].iter().chain(not_held) {
        assert!(!holds(&directory, secret), "{plain}: {secret} is in the recording");
    }
}

#[test]
fn of_a_program_that_exits_and_one_that_is_killed() {
    for end in ["exit", "kill"] {
        check(&Program::c("secrets").arg(end), &[]);
    }
}

#[test]
fn of_python() {
    for python in python::oldest_and_newest() {
        check(&python.program("hidden.py"), &["docstring-7c1e", "constant-7c1e"]);
    }
}
