//! `unfreed report`.
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::process::ExitCode;

use super::{opened, to_stdout};
use crate::aggregate::{Filter, Loaded, Own, Report, Selection};
use crate::cli::{Format, ReportArgs, SymbolArgs, ViewArgs};
use crate::error::Failure;
use crate::output::{self, Style};
use crate::reader::Run;
use crate::subject::Subject;
use crate::{moments, progress, symbols};

/// Does it.
pub fn report(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let report = load(&args.recording, &args.view)?;
    let limit = args.view.limit();
    to_stdout(|out| {
        match args.view.format {
            Format::Text => output::report_text(&report, limit, style(&args.view), out)?,
            Format::Json => output::report_json(&report, limit, args.view.all_frames, out)?,
            Format::Csv => output::report_csv(&report, limit, args.view.all_frames, out)?,
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Opens, replays, symbolises and groups a recording.
pub(super) fn load(recording: &OsStr, view: &ViewArgs) -> anyhow::Result<Report> {
    let (subject, mut run) = opened::open(recording)?;
    let selection = selection(&subject, &run, view)?;
    opened::only(&mut run, &subject, &view.which)?;
    let moment_ns = moments::monotonic_ns(&run, selection.at);
    run.keep(|process| process.header.monotonic_ns <= moment_ns);
    let bar = progress::bytes("reading", run.log_bytes());
    let loaded = Loaded::read(&run, &selection, &|bytes| bar.inc(bytes));
    drop(bar);
    let bar = progress::items("symbols", loaded.addresses() as u64);
    let mut report = loaded.report(&run, &selection, &|addresses| bar.inc(addresses as u64));
    report.moment = moments::spoken(&subject, &run, selection.at);
    report.recording = subject.shown;
    Ok(report)
}

fn selection(subject: &Subject, run: &Run, view: &ViewArgs) -> Result<Selection, Failure> {
    let (focus, ignore, phases) = (view.which.focus.clone(), view.which.ignore.clone(), view.phases.clone());
    let born = moments::born(view.born.as_ref(), subject, run)?;
    let filter = Filter { focus, ignore, older: view.older, born, phases };
    let symbols = symbols(&view.which.symbols);
    let at = moments::moment(subject, run, view)?;
    Ok(Selection { by: view.by, at, from: view.from, own: Own::new(&view.which.own), filter, symbols })
}

/// Where symbols are, as it was typed.
pub(super) fn symbols(args: &SymbolArgs) -> symbols::Options {
    let SymbolArgs { debug_dirs, sysroot } = args.clone();
    symbols::Options { debug_dirs, sysroot, ..symbols::Options::default() }
}

/// Colours on a terminal that wants them.
pub(super) fn style(view: &ViewArgs) -> Style {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = std::io::stdout().is_terminal() && !refused && !dumb;
    Style { colour, all_frames: view.all_frames }
}
