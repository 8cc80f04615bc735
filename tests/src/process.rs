//! Starting programs and waiting for them: with a limit of time, and ending only what was started here.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{env, fmt};

use crate::artifacts;

/// Far above what any target takes; only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(120);

/// A command to run.
#[derive(Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    preloaded: Vec<PathBuf>,
}

/// How a program ended.
pub struct Outcome {
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// Its status.
    pub status: ExitStatus,
}

impl Outcome {
    /// Standard output as text.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl Program {
    /// The program at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Program {
        Program { path: path.into(), arguments: Vec::new(), environment: Vec::new(), preloaded: Vec::new() }
    }

    /// The program that a C target of this name compiles to.
    pub fn c(name: &str) -> Program {
        Program::new(artifacts::Target::new(&format!("c/{name}.c")).build())
    }

    /// `unfreed` with this verb.
    pub fn unfreed(verb: &str) -> Program {
        Program::new(artifacts::unfreed()).arg(verb).env("UNFREED_CACHE", "")
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Program {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Program {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Loads a library into it, recorded or not.
    pub fn preload(mut self, library: impl Into<PathBuf>) -> Program {
        self.preloaded.push(library.into());
        self
    }

    /// The same program, recorded into `directory`.
    pub fn recorded_to(mut self, directory: &Path) -> Program {
        self.preloaded.insert(0, artifacts::library().to_owned());
        self.env("UNFREED_DIR", directory)
    }

    /// The variables that were set for it.
    pub fn environment(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// As a command of the standard library.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env_remove("LD_PRELOAD");
        for name in
            env::vars_os().map(|(name, _)| name).filter(|name| name.as_bytes().starts_with(b"UNFREED_"))
        {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if !self.preloaded.is_empty() {
            command.env("LD_PRELOAD", env::join_paths(&self.preloaded).expect("a path without a colon"));
        }
        command
    }

    /// Runs it to its end. A hang ends its process group and fails the test.
    pub fn run(&self) -> Outcome {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{self}: {error}"));
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let status = wait(child, LIMIT).unwrap_or_else(|| panic!("{self}: still running after {LIMIT:?}"));
        let text = "the reading thread ends";
        Outcome { status, stdout: stdout.join().expect(text), stderr: stderr.join().expect(text) }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", argument.display()))
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        }
        bytes
    })
}

/// Waits for a child that leads its own process group; `None`, and the group is ended, when it takes longer.
pub fn wait(mut child: Child, limit: Duration) -> Option<ExitStatus> {
    let group = -(child.id() as i32);
    let (sender, receiver) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let status = child.wait().expect("a child can be waited for");
        // The receiver is gone when the limit was reached.
        let _ = sender.send(status);
    });
    let status = receiver.recv_timeout(limit).ok();
    if status.is_none() {
        // SAFETY: no memory is touched; the group was begun for this child and is not yet reaped.
        unsafe { libc::kill(group, libc::SIGKILL) };
    }
    waiter.join().expect("the waiting thread ends");
    status
}

/// The signal that ended a program, if one did.
pub fn signal_of(outcome: &Outcome) -> Option<i32> {
    outcome.status.signal()
}
