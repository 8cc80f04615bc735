//! `unfreed report`.
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{opened, to_stdout};
use crate::aggregate::{Courses, Filter, Loaded, Own, Process, Report, Selection};
use crate::cli::{By, Format, ReportArgs, SelectArgs, SymbolArgs};
use crate::error::{Failure, reason};
use crate::output::{self, Charset, Style};
use crate::reader::Run;
use crate::replay::Wanted;
use crate::subject::Subject;
use crate::suppressions::Suppressions;
use crate::{moments, progress, symbols};

/// Does it.
pub fn report(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let report = load_with_courses(&args.recording, args.view.by, &args.view.select)?;
    let limit = args.view.limit();
    to_stdout(|out| {
        match args.view.format {
            Format::Text => output::report_text(&report, limit, style(args.view.all_frames), out)?,
            Format::Json => output::report_json(&report, limit, args.view.all_frames, out)?,
            Format::Csv => output::report_csv(&report, limit, args.view.all_frames, out)?,
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Opens, replays, symbolises and groups a recording.
pub(super) fn load(recording: &OsStr, by: By, select: &SelectArgs) -> anyhow::Result<Report> {
    load_wanted(recording, by, select, |_| Wanted::default())
}

/// The same, with what the sites held over time.
fn load_with_courses(recording: &OsStr, by: By, select: &SelectArgs) -> anyhow::Result<Report> {
    load_wanted(recording, by, select, |run| Wanted {
        timeline_from_ms: Some(moments::begun_ms(run)),
        ..Wanted::default()
    })
}

fn load_wanted(
    recording: &OsStr,
    by: By,
    select: &SelectArgs,
    wanted: impl Fn(&Run) -> Wanted,
) -> anyhow::Result<Report> {
    let (subject, mut run) = opened::open(recording)?;
    let wanted = wanted(&run);
    let selection = Selection { wanted, ..selection(&subject, &run, by, select)? };
    opened::only(&mut run, &subject, &select.which)?;
    let moment_ns = moments::monotonic_ns(&run, selection.at);
    run.keep(|process| process.header.monotonic_ns <= moment_ns);
    let bar = progress::bytes("reading", run.log_bytes());
    let loaded = Loaded::read(&run, &selection, &|bytes| bar.inc(bytes));
    drop(bar);
    let bar = progress::items("symbols", loaded.addresses() as u64);
    let grouped = loaded.grouped(&run, &selection, &|addresses| bar.inc(addresses as u64));
    let courses =
        wanted.timeline_from_ms.map(|origin| Courses::of(&grouped.report, &grouped.processes, origin));
    let mut report = Report { courses, ..grouped.report };
    let lacks_peak = |process: &Process| process.known.lacks_peak;
    if !report.processes.is_empty() && report.processes.iter().all(lacks_peak) {
        let why = "its peak is not known: not all of its events are held";
        return Err(Failure::new(&subject.shown, why, "record with a larger --max-log").into());
    }
    report.moment = moments::spoken(&run, selection.at);
    report.recording = subject.shown;
    Ok(report)
}

fn selection(subject: &Subject, run: &Run, by: By, select: &SelectArgs) -> Result<Selection, Failure> {
    let SelectArgs { older, phases, from, which, .. } = select;
    let born = moments::born(select.born.as_ref(), subject, run)?;
    let (focus, ignore, phases) = (which.focus.clone(), which.ignore.clone(), phases.clone());
    let suppressions = suppressions(&which.suppressions)?;
    let filter = Filter { focus, ignore, older: *older, born, phases, suppressions };
    let at = moments::moment(subject, run, select)?;
    let symbols = symbols(&which.symbols);
    Ok(Selection { by, at, from: *from, own: Own::new(&which.own), filter, symbols, ..Selection::default() })
}

/// What these files say.
pub(super) fn suppressions(files: &[PathBuf]) -> Result<Suppressions, Failure> {
    let mut all = Suppressions::default();
    for file in files {
        let text = std::fs::read(file).map_err(|why| {
            Failure::new(file.display(), reason(&why), "--suppressions names a file of leak:PATTERN lines")
        })?;
        all.add(&file.display().to_string(), &String::from_utf8_lossy(&text)).map_err(|bad| {
            let why = format!("'{}' is no suppression", bad.text);
            Failure::new(bad.place, why, "a line is leak:PATTERN, or # and a comment")
        })?;
    }
    Ok(all)
}

/// Where symbols are, as it was typed.
pub(super) fn symbols(args: &SymbolArgs) -> symbols::Options {
    let SymbolArgs { debug_dirs, sysroot } = args.clone();
    symbols::Options { debug_dirs, sysroot, ..symbols::Options::default() }
}

/// Colours on a terminal that wants them, and what its locale can show.
pub(super) fn style(all_frames: bool) -> Style {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = std::io::stdout().is_terminal() && !refused && !dumb;
    Style { colour, all_frames, charset: Charset::of_locale() }
}
