//! `unfreed report`.
use std::ffi::OsStr;
use std::process::ExitCode;

use super::selected::{selection, style};
use super::{held, opened, to_stdout};
use crate::aggregate::By;
use crate::aggregate::{Courses, Loaded, Process, Report, Selection, TemporarySites};
use crate::cli::{Format, ReportArgs, SelectArgs};
use crate::error::Failure;
use crate::output;
use crate::replay::{Resources, Source, Wanted};
use crate::servers::Handlers;
use crate::{aggregate, moments, progress};

/// Does it.
pub fn report(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let held = [(args.fds, Resources::Descriptors), (args.mmap, Resources::Mappings)];
    let held = held.into_iter().find(|(is_asked, _)| *is_asked).map(|(_, of)| of);
    let needs_sites = [
        (args.temporary.is_some(), "--temporary"),
        (args.lifetimes, "--lifetimes"),
        (held.is_some(), "--fds, --mmap"),
    ];
    if let Some((_, option)) =
        needs_sites.into_iter().find(|(is_asked, _)| *is_asked && args.view.by.is_class())
    {
        let why = "classes of size and age are of unfreed blocks alone";
        return Err(Failure::new(option, why, "give another --by").into());
    }
    if let Some(of) = held {
        return held::report(args, of);
    }
    let besides = Besides {
        callers: None,
        courses: args.temporary.is_none() && !args.view.by.is_class() && args.view.format != Format::Csv,
        lifetimes: args.lifetimes || args.view.format == Format::Json && !args.view.by.is_class(),
        temporary: args.temporary,
        needs_events: args.lifetimes || args.temporary.is_some(),
        counts_only: args.view.format == Format::Csv,
        limit: args.view.limit(),
    };
    let report = load_with(&args.recording, args.view.by, &args.view.select, besides)?;
    let (limit, style) = (args.view.limit(), style(args.view.all_frames));
    to_stdout(|out| {
        match (args.view.format, &report.temporary) {
            (Format::Text, Some(found)) => output::temporary_text(&report, found, limit, style, out)?,
            (Format::Text, None) => output::report_text(&report, limit, style, out)?,
            (Format::Json, _) => output::report_json(&report, limit, args.view.all_frames, out)?,
            (Format::Csv, _) => output::report_csv(&report, limit, args.view.all_frames, out)?,
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Opens, replays, symbolises and groups a recording.
pub(super) fn load(recording: &OsStr, by: By, select: &SelectArgs) -> anyhow::Result<Report> {
    load_with(recording, by, select, Besides::default())
}

/// The same for who says nothing but the counts of sites.
pub(super) fn load_counts(recording: &OsStr, by: By, select: &SelectArgs) -> anyhow::Result<Report> {
    load_with(recording, by, select, Besides { counts_only: true, ..Besides::default() })
}

/// The same by the user's own lines and functions, where these work on requests.
pub(super) fn load_by_callers(
    recording: &OsStr,
    by: By,
    select: &SelectArgs,
    handlers: Handlers,
) -> anyhow::Result<Report> {
    load_with(recording, by, select, Besides { callers: Some(handlers), ..Besides::default() })
}

/// What a report says besides the unfreed blocks, and after whom it names them.
#[derive(Clone, Default)]
struct Besides {
    callers: Option<Handlers>,
    courses: bool,
    lifetimes: bool,
    temporary: Option<u32>,
    /// Otherwise only where events are read anyway.
    needs_events: bool,
    /// Nothing but the counts of sites is said.
    counts_only: bool,
    /// Sites of which more than the counts is said, at most.
    limit: usize,
}

fn load_with(recording: &OsStr, by: By, select: &SelectArgs, besides: Besides) -> anyhow::Result<Report> {
    let (subject, mut run) = opened::open(recording)?;
    let Besides { callers, courses, lifetimes, temporary, needs_events, counts_only, limit } = besides;
    let begun_ms = moments::begun_ms(&run);
    let wanted = Wanted { levels_from_ms: courses.then_some(begun_ms), lifetimes, temporary };
    let mut selection = Selection { wanted, callers, ..selection(&subject, &run, by, select)? };
    // When exactly a block was allocated only its event tells.
    selection.counts_only = counts_only && !by.is_class() && !selection.filter.selects_by_age();
    if needs_events && selection.from == Source::Best {
        selection.from = Source::Events;
    }
    opened::only(&mut run, &subject, &select.which)?;
    let moment_ns = moments::monotonic_ns(&run, selection.at);
    run.keep(|process| process.header.monotonic_ns <= moment_ns);
    let bar = progress::bytes("reading", run.log_bytes());
    let loaded = Loaded::read(&run, &selection, &|bytes| bar.inc(bytes));
    drop(bar);
    let bar = progress::items("symbols", loaded.addresses() as u64);
    let grouped = loaded.grouped(&run, &selection, &|addresses| bar.inc(addresses as u64));
    let (report, processes) = (grouped.report, grouped.processes);
    let has_events = processes.iter().any(|(replayed, _)| replayed.seen.is_any());
    if needs_events && !has_events && !processes.is_empty() {
        let why = "how long anything lived is not known: no events are held";
        return Err(Failure::new(&subject.shown, why, "record with a larger --max-log").into());
    }
    let mut holding = (0..report.sites.len()).filter(|&site| report.sites[site].counts.unfreed_blocks > 0);
    // Those with most temporary blocks are any of them.
    let shown = holding.nth(limit).filter(|_| temporary.is_none()).unwrap_or(report.sites.len());
    let mut report = Report {
        courses: courses.then(|| Courses::of(&report, &processes, begun_ms, shown)),
        temporary: temporary.map(|within| TemporarySites::of(&report, &processes, within)),
        lifetimes: (lifetimes && has_events).then(|| aggregate::lifetimes(&report, &processes, shown)),
        ..report
    };
    report.most_temporary_first();
    let lacks_peak = |process: &Process| process.known.lacks_peak;
    if !report.processes.is_empty() && report.processes.iter().all(lacks_peak) {
        let why = "its peak is not known: not all of its events are held";
        return Err(Failure::new(&subject.shown, why, "record with a larger --max-log").into());
    }
    report.moment = moments::spoken(&run, selection.at);
    report.recording = subject.shown;
    Ok(report)
}
