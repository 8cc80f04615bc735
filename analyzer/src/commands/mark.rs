//! `unfreed mark`.
use std::process::ExitCode;

use recording::layout::flag;

use crate::cli::MarkArgs;
use crate::control::Control;
use crate::error::{Failure, print};
use crate::reader;
use crate::subject::Subject;

/// Sets a mark.
pub fn mark(args: &MarkArgs) -> anyhow::Result<ExitCode> {
    let subject = no_moment(Subject::find(&args.recording)?)?;
    Control::open(&subject.path)?.mark(&args.name)?;
    say_who_does_not_hear(&subject);
    Ok(ExitCode::SUCCESS)
}

/// What is changed is changed now.
pub(super) fn no_moment(subject: Subject) -> Result<Subject, Failure> {
    match &subject.moment {
        None => Ok(subject),
        Some(moment) => {
            let path = subject.shown.strip_suffix(&format!("@{moment}")).unwrap_or(&subject.shown);
            Err(Failure::new(
                &subject.shown,
                "is a moment of a recording",
                format_args!("name {path} itself"),
            ))
        }
    }
}

/// Names the running processes that cannot see what is changed.
pub(super) fn say_who_does_not_hear(subject: &Subject) {
    let Ok(run) = reader::open(&subject.path) else { return };
    let running: Vec<_> = run.recordings.iter().filter(|process| process.is_running()).collect();
    let alone: Vec<String> = running
        .iter()
        .filter(|process| process.header.flags & flag::ALONE != 0)
        .map(|process| process.header.pid.to_string())
        .collect();
    if running.is_empty() {
        print(&format!("{}: no process of it runs and records", subject.shown));
    } else if !alone.is_empty() {
        let pids = alone.join(", ");
        print(&format!("{}: it does not reach pid {pids}, which could not map live/run", subject.shown));
    }
}
