//! `unfreed mark` and `unfreed marks`.
use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use recording::layout::flag;

use super::{opened, to_stdout, typed};
use crate::cli::{MarkArgs, MarksArgs};
use crate::control::Control;
use crate::error::{Failure, print};
use crate::moments;
use crate::output::{Number, duration, utc};
use crate::reader::{self, Mark, RunWords};
use crate::subject::Subject;

/// Sets a mark; what to type next goes to standard error.
pub fn mark(args: &MarkArgs) -> anyhow::Result<ExitCode> {
    let subject = no_moment(Subject::find(&args.recording)?)?;
    Control::open(&subject.path)?.mark(&args.name)?;
    let words = RunWords::read(&subject.path);
    let is_set = |mark: &&Mark| mark.name == args.name;
    if let Some(mark) = words.marks.iter().find(is_set) {
        let since = since(mark, words.begun_ms);
        to_stdout(|out| Ok(writeln!(out, "{}: {since} after the run began", mark.name)?))?;
        if !is_running(&subject) {
            print(&format!("{}: no process of it runs and records: the mark is at its end", subject.shown));
        }
        let at = |name: &str| typed(OsStr::new(&format!("{}@{name}", subject.shown)));
        let before = words.marks.iter().rfind(|earlier| earlier.epoch < mark.epoch);
        let (old, new) = match before {
            Some(before) => (at(&before.name), at(&mark.name)),
            None => (at(&mark.name), typed(OsStr::new(&subject.shown))),
        };
        let _ = writeln!(io::stderr(), "unfreed diff {old} {new}");
    }
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
            let since = since(mark, begun_ms);
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

/// Whether a process runs that hears of it. Names those that do not.
pub(super) fn is_running(subject: &Subject) -> bool {
    let Ok(run) = reader::open(&subject.path) else { return false };
    let running = run.recordings.iter().filter(|process| process.is_running());
    let (alone, others): (Vec<_>, Vec<_>) =
        running.partition(|process| process.header.flags & flag::ALONE != 0);
    if !alone.is_empty() {
        let pids: Vec<String> = alone.iter().map(|process| process.header.pid.to_string()).collect();
        print(&format!(
            "{}: pid {} cannot see it, having not mapped live/run",
            subject.shown,
            pids.join(", ")
        ));
    }
    !others.is_empty()
}

fn since(mark: &Mark, begun_ms: u64) -> String {
    duration(mark.monotonic_ns.saturating_sub(begun_ms.saturating_mul(1_000_000)))
}
