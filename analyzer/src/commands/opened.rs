//! From what was typed for REC to the processes that are meant.
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use crate::cli::WhichArgs;
use crate::error::{Failure, owner};
use crate::moments::{is_off, path};
use crate::reader::{self, ReadError, Recording, Run, RunWords, Unreadable};
use crate::subject::Subject;

/// Processes that are named where none of them is meant.
const NAMED: usize = 8;

/// Opens a recording; of a process with those that come from it.
pub(super) fn open(text: &OsStr) -> Result<(Subject, Run), Failure> {
    let subject = Subject::find(text)?;
    let opened = reader::open(&subject.path);
    let is_off = || is_off(RunWords::read(&subject.path).control);
    let off = |why: &str| {
        let advice = format!("'unfreed on {}' switches it on", path(&subject));
        Failure::new(path(&subject), format_args!("{why}: it is off"), advice)
    };
    let mut run = match opened {
        Err(ReadError { why: Unreadable::EmptyDirectory, .. }) if is_off() => {
            return Err(off("nothing is recorded yet"));
        }
        opened => opened.map_err(failure)?,
    };
    if let Some(process) = &subject.process {
        run.keep_family(|recording| process.is_in(recording));
        if run.recordings.is_empty() {
            let why = "it has recorded nothing yet";
            return Err(if is_off() { off(why) } else { Failure::new(path(&subject), why, "") });
        }
    }
    Ok((subject, run))
}

/// Leaves the processes of `--process`.
pub(super) fn only(run: &mut Run, subject: &Subject, which: &WhichArgs) -> Result<(), Failure> {
    let is_named = |recording: &Recording, name: &String| {
        // A script's name stands behind its interpreter's: python3 -m gunicorn.
        let mut words = recording.command.iter().take(3).filter_map(|word| Path::new(word).file_name());
        let is_pid = name.parse() == Ok(recording.header.pid);
        is_pid || recording.program() == *name || words.any(|word| word == name.as_str())
    };
    for name in &which.processes {
        if !run.recordings.iter().any(|recording| is_named(recording, name)) {
            let why = format!("there is no process '{name}'");
            return Err(Failure::new(path(subject), why, named(run)));
        }
    }
    if !which.processes.is_empty() {
        run.keep(|recording| which.processes.iter().any(|name| is_named(recording, name)));
    }
    Ok(())
}

fn named(run: &Run) -> String {
    let name = |recording: &Recording| format!("{} {}", recording.header.pid, recording.program());
    let names: Vec<String> = run.recordings.iter().take(NAMED).map(name).collect();
    let more = if run.recordings.len() > NAMED { " and more" } else { "" };
    format!("there are {}{more}", names.join(", "))
}

/// An unreadable recording as one line.
pub(super) fn failure(error: ReadError) -> Failure {
    let is_denied =
        matches!(&error.why, Unreadable::Io(why) if why.kind() == io::ErrorKind::PermissionDenied);
    // SAFETY: takes no argument and cannot fail.
    let user = unsafe { libc::geteuid() };
    let advice = match owner(&error.path).filter(|owner| is_denied && *owner != user) {
        Some(owner) => {
            format!(
                "it is of user {owner}: ask as that user or as root, or record with --mode 640 for its group"
            )
        }
        None => error.why.advice().to_string(),
    };
    Failure::new(error.path.display(), &error.why, advice)
}
