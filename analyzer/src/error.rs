//! Errors for people: one line that names the thing, the reason and what to do, and the exit status that goes with it.
//!
//! Lower layers return their own small types; `commands/` makes a [`Failure`] of them or adds context with anyhow,
//! and `main` prints the chain as one line.
use std::fmt;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A failure that can be told in one line: `THING: REASON; ADVICE`.
#[derive(Debug)]
pub struct Failure {
    /// The file, command or option it is about.
    pub thing: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to do; may be empty.
    pub advice: String,
    /// Exit status of `unfreed`.
    pub status: u8,
}

impl Failure {
    /// A failure of input or usage: status 2.
    pub fn new(thing: impl fmt::Display, reason: impl fmt::Display, advice: impl fmt::Display) -> Failure {
        Failure {
            thing: thing.to_string(),
            reason: reason.to_string(),
            advice: advice.to_string(),
            status: 2,
        }
    }

    /// The same with another exit status.
    pub fn with_status(self, status: u8) -> Failure {
        Failure { status, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.thing, self.reason)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, "; {}", self.advice) }
    }
}

impl std::error::Error for Failure {}

/// What an I/O error means, without Rust's "(os error N)".
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

/// The user whom a path belongs to, or that what of it can be seen does.
pub fn owner(path: &Path) -> Option<u32> {
    path.ancestors().find_map(|path| path.metadata().ok()).map(|metadata| metadata.uid())
}

/// Prints one line to standard error. Nobody can be told if that fails.
pub fn print(message: &str) {
    let line = message.replace(char::is_control, " ");
    let _ = writeln!(std::io::stderr(), "unfreed: {line}");
}

/// Whether the reader of our output went away, which ends the command quietly.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    })
}

/// The exit status of an error.
pub fn status(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Failure>().map_or(2, |failure| failure.status)
}
