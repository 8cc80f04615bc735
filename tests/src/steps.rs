//! `targets/c/steps.c` at work: a program that does one thing at a time, and waits in between.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use crate::{Program, Unfreed, process};

/// Only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(60);

/// The program, and the pipes to it.
pub struct Steps {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Steps {
    /// Starts it, recorded into `directory`.
    pub fn start(directory: &Path) -> Steps {
        Steps::of(&Program::c("steps").recorded_to(directory))
    }

    /// Starts it as `program` says.
    pub fn of(program: &Program) -> Steps {
        let mut command = program.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("the program starts");
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Steps { child, input, output }
    }

    /// Has it do something, to its end.
    pub fn step(&mut self, step: &str) {
        let line = format!("{step}\n");
        self.input.write_all(line.as_bytes()).expect("the program reads");
        let mut answer = [0; 5];
        self.output.read_exact(&mut answer).unwrap_or_else(|why| panic!("the program is gone: {why}"));
        assert_eq!(answer, line.as_bytes());
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it exit.
    pub fn end(self) {
        drop(self.input);
        let status = process::wait(self.child, LIMIT).expect("the program ends");
        assert!(status.success(), "{status}");
    }

    /// Ends it by SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        process::wait(self.child, LIMIT).expect("it ends");
    }
}

/// What so many steps `keep` leave in `leak_step`; `work` is a hundred of them.
pub fn kept(count: u64) -> Unfreed {
    Unfreed { blocks: count, bytes: 3001 * count }
}

/// What so many steps `keep` leave in `leak_child`; `fork` is seven of them.
pub fn kept_by_child(count: u64) -> Unfreed {
    Unfreed { blocks: count, bytes: 5003 * count }
}
