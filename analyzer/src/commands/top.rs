//! `unfreed top`.
use std::env;
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use super::{opened, selected, to_stdout};
use crate::aggregate::{Naming, Own};
use crate::cli::TopArgs;
use crate::error::Failure;
use crate::reader::{self, Run};
use crate::subject::Subject;
use crate::top::{self, Model, Processes, Reopen, Source, Theme};

/// Does it.
pub fn top(args: &TopArgs) -> anyhow::Result<ExitCode> {
    let (subject, run) = opened::open(&args.recording)?;
    if let Some(moment) = &subject.moment {
        let why = format!("top shows what is there now, and not at {moment}");
        return Err(Failure::new(&subject.shown, why, "'unfreed report' shows other moments").into());
    }
    let naming =
        Naming::new(args.by.into(), Own::new(&args.own), run.symbols(&selected::symbols(&args.symbols)));
    let processes = Processes::new(&subject.path, run);
    let source = Source::new(subject.shown.clone(), processes, reopen(&subject), args.by, naming);
    let mut model = Model::new(args.by, args.sort);
    if args.count.is_some() || !has_screen() {
        return lines(source, &mut model, args);
    }
    let theme = Theme { colour: !is_set("NO_COLOR"), unicode: is_unicode() };
    Ok(ExitCode::from(top::run(source, &mut model, args.interval, theme)?))
}

/// Opens the same run again, with what has come to it.
fn reopen(subject: &Subject) -> Reopen {
    let (path, process, shown) = (subject.path.clone(), subject.process, subject.shown.clone());
    Box::new(move || -> Result<Run, Failure> {
        let mut run = reader::open(&path).map_err(opened::failure)?;
        if let Some(process) = &process {
            run.keep_family(|recording| process.is_in(recording));
        }
        if run.recordings.is_empty() {
            Err(Failure::new(&shown, "is not there any more", ""))
        } else {
            Ok(run)
        }
    })
}

/// Prints blocks of lines; without a count until nothing runs any more.
fn lines(mut source: Source, model: &mut Model, args: &TopArgs) -> anyhow::Result<ExitCode> {
    let mut next = Instant::now();
    for number in 1.. {
        model.update(source.look());
        to_stdout(|out| Ok(top::block(model, args.limit as usize, out)?))?;
        let is_last = args.count.map_or(model.snapshot.has_ended, |count| number >= count);
        if is_last {
            break;
        }
        // Who is late waits all the same: there is an interval between two readings.
        next += args.interval;
        if next < Instant::now() {
            next = Instant::now() + args.interval;
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether standard output is a terminal that can move its cursor.
fn has_screen() -> bool {
    let term = env::var_os("TERM").filter(|term| !term.is_empty());
    std::io::stdout().is_terminal() && term.is_some_and(|term| term != "dumb")
}

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// Whether the locale has letters beside ASCII.
fn is_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find(|variable| is_set(variable));
    let locale = locale.and_then(env::var_os);
    let locale = locale.as_deref().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
