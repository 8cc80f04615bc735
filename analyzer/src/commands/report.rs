//! `unfreed report`.
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use super::to_stdout;
use crate::aggregate::{Filter, Loaded, Own, Report, Selection};
use crate::cli::{At, Format, ReportArgs, ViewArgs};
use crate::error::Failure;
use crate::output::{self, Style};
use crate::reader::{self, ReadError};
use crate::replay::{Born, Moment};
use crate::{progress, symbols};

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
pub(super) fn load(path: &Path, view: &ViewArgs) -> anyhow::Result<Report> {
    let run = reader::open(path).map_err(failure)?;
    let bar = progress::bytes("reading", run.log_bytes());
    let selection = selection(view);
    let loaded = Loaded::read(&run, &selection, &|bytes| bar.inc(bytes));
    drop(bar);
    let bar = progress::items("symbols", loaded.addresses() as u64);
    let mut report = loaded.report(&run, &selection, &|addresses| bar.inc(addresses as u64));
    report.recording = path.display().to_string();
    Ok(report)
}

fn selection(view: &ViewArgs) -> Selection {
    let (focus, ignore, phases) = (view.focus.clone(), view.ignore.clone(), view.phases.clone());
    let filter = Filter { focus, ignore, older: view.older, born: Born::default(), phases };
    let symbols = symbols::Options {
        debug_dirs: view.symbols.debug_dirs.clone(),
        sysroot: view.symbols.sysroot.clone(),
    };
    let at = match view.at {
        At::BeforeExit => Moment::BeforeExit,
        At::End => Moment::End,
    };
    Selection { by: view.by, at, from: view.from, own: Own::new(&view.own), filter, symbols }
}

/// Colours on a terminal that wants them.
pub(super) fn style(view: &ViewArgs) -> Style {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = std::io::stdout().is_terminal() && !refused && !dumb;
    Style { colour, all_frames: view.all_frames }
}

/// An unreadable recording as one line.
pub(super) fn failure(error: ReadError) -> Failure {
    Failure::new(error.path.display(), &error.why, error.why.advice())
}
