//! Harness of the end-to-end tests: real programs under the real `libunfreed.so`.
//!
//! A test compiles a target (one behaviour each, with telltale sizes), runs it plain and recorded, and compares:
//! standard output and exit status must be the same, and the report must say exactly what was left unfreed.
//!
//! - [`artifacts`]: what is built once: `unfreed`, its library, the targets.
//! - [`growth`]: what `unfreed growth` says.
//! - [`ledger`]: a program that is killed, and what it held.
//! - [`libcs`]: other C libraries that targets can be built for.
//! - [`limits`]: numbers that must not be exceeded.
//! - [`process`]: starts and ends programs, with a limit of time.
//! - [`report`]: what `unfreed report` says.
//! - [`python`]: the interpreters of this machine, and packages for them.
//! - [`replay`], [`live_table`]: what the events and the live tables of a recording say to a reader that shares only the format with
//!   `unfreed`.
//! - [`service`]: servers and requests.
//! - [`steps`]: a program that does one thing at a time.
//! - [`terminal`]: a program on a terminal, and what it draws.
//! - [`scratch`]: directories that are gone when a test has passed.

pub mod artifacts;
mod cgroup;
pub mod growth;
pub mod ledger;
pub mod libcs;
pub mod limits;
pub mod live_table;
pub mod process;
pub mod python;
pub mod replay;
pub mod report;
pub mod scratch;
pub mod service;
pub mod steps;
pub mod terminal;

use std::path::Path;

pub use artifacts::Target;
pub use cgroup::MemoryGroup;
pub use libcs::Libc;
pub use process::{Outcome, Program};
pub use python::Interpreter;
pub use replay::ProcessFile;
pub use report::Report;
pub use scratch::Scratch;
pub use service::Service;
pub use steps::Steps;
pub use terminal::Terminal;

/// Unfreed blocks that have a function on their stack.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Unfreed {
    /// How many.
    pub blocks: u64,
    /// How large together.
    pub bytes: u64,
}

/// A recorded run of a program that was compared with its plain run.
pub struct Run {
    /// The recorded run.
    pub outcome: Outcome,
    /// What `unfreed report` says of it.
    pub report: Report,
    /// Its files, read independently.
    pub files: Vec<ProcessFile>,
    directory: Scratch,
}

impl Run {
    /// Runs `program` plain and recorded and checks what holds for every program: the same output and status,
    /// nothing lost, and no sequence of events that cannot be.
    pub fn of(program: &Program) -> Run {
        Run::of_with(program, &[])
    }

    /// The same with options of `unfreed report`: a Python program has so many stacks that all of them are too many.
    pub fn of_with(program: &Program, options: &[&str]) -> Run {
        let plain = program.run();
        let run = Run::recorded_with(program, options);
        assert_eq!(plain.stdout_text(), run.outcome.stdout_text(), "standard output of {program}");
        assert_eq!(plain.status, run.outcome.status, "status of {program}: {}", run.outcome.stderr_text());
        assert_eq!(plain.stderr_text(), run.outcome.stderr_text(), "standard error of {program}");
        run.assert_sound();
        run
    }

    /// Only the recorded run, for programs whose end is not the same each time.
    pub fn recorded(program: &Program) -> Run {
        Run::recorded_with(program, &[])
    }

    /// The same with options of `unfreed report`.
    pub fn recorded_with(program: &Program, options: &[&str]) -> Run {
        let directory = Scratch::new("recording");
        let outcome = program.clone().recorded_to(directory.path()).run();
        let report = Report::with(directory.path(), options);
        let files = replay::read_directory(directory.path());
        Run { outcome, report, files, directory }
    }

    /// Where the recording is.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Nothing lost, nothing impossible, and the live tables say what the events say.
    pub fn assert_sound(&self) {
        self.report.assert_sound();
        for file in &self.files {
            assert_eq!(
                file.impossible,
                Vec::<String>::new(),
                "impossible sequences in {}",
                file.path.display()
            );
            if file.has_all_events() {
                file.assert_table();
            }
        }
    }

    /// Checks `(function, blocks, bytes)` of each: what is unfreed with that function on the stack.
    pub fn assert_unfreed(&self, expected: &[(&str, u64, u64)]) {
        for &(function, blocks, bytes) in expected {
            assert_eq!(self.report.unfreed_in(function), Unfreed { blocks, bytes }, "unfreed in {function}");
        }
    }

    /// The file of the process with this command line argument at `index`, or a failed test.
    pub fn file_of_pid(&self, pid: u32) -> &ProcessFile {
        let mut found = self.files.iter().filter(|file| file.header.pid == pid);
        let file = found.next().unwrap_or_else(|| panic!("no file of process {pid}"));
        assert!(found.next().is_none(), "process {pid} has two files");
        file
    }
}
