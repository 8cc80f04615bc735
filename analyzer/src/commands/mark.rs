//! `unfreed mark` and `unfreed marks`.
use std::process::ExitCode;
use std::sync::Arc;

use recording::layout::flag;

use super::{opened, to_stdout};
use crate::cli::{MarkArgs, MarksArgs};
use crate::control::Control;
use crate::error::{Failure, print};
use crate::moments;
use crate::output::{Number, duration, utc};
use crate::reader::{self, RunWords};
use crate::subject::Subject;

/// Sets a mark.
pub fn mark(args: &MarkArgs) -> anyhow::Result<ExitCode> {
    let subject = no_moment(Subject::find(&args.recording)?)?;
    Control::open(&subject.path)?.mark(&args.name)?;
    say_who_does_not_hear(&subject);
    Ok(ExitCode::SUCCESS)
}

/// Lists them.
pub fn marks(args: &MarksArgs) -> anyhow::Result<ExitCode> {
    let subject = no_moment(Subject::find(&args.recording)?)?;
    let (words, begun_ms) = match reader::open(&subject.path) {
        Ok(run) => (run.words.clone(), moments::begun_ms(&run)),
        // Programs may mark a run of which nothing is recorded.
        Err(error) => match RunWords::read(&subject.path) {
            words if words.control == 0 => return Err(opened::failure(error).into()),
            words => {
                let begun_ms = words.begun_ms;
                (Arc::new(words), begun_ms)
            }
        },
    };
    if words.marks.is_empty() {
        print(&format!("no marks; 'unfreed mark {} NAME' sets one", subject.shown));
    }
    to_stdout(|out| {
        for mark in &words.marks {
            let since = duration(mark.monotonic_ns.saturating_sub(begun_ms.saturating_mul(1_000_000)));
            let again =
                if mark.count > 1 { format!("  (said {} times)", Number(mark.count)) } else { String::new() };
            writeln!(out, "{since:>9}  {}  {}{again}", utc(mark.realtime_ns), mark.name)?;
        }
        Ok(())
    })?;
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
