//! `unfreed growth`.
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::ExitCode;

use super::held::open_now;
use super::selected::{style, suppressions, symbols};
use super::{opened, to_stdout};
use crate::aggregate::By;
use crate::aggregate::{Filter, Own, Process, Selection};
use crate::cli::{Format, GrowthArgs, Per, WhichArgs, WindowArgs};
use crate::error::Failure;
use crate::output;
use crate::reader::{self, Run};
use crate::recorded::Recorded;
use crate::replay::Source;
use crate::servers::Handlers;
use crate::verdicts::{Asked, Room, Unit, Verdicts, forecast, verdicts};
use crate::{moments, progress};

/// Does it.
pub fn growth(args: &GrowthArgs) -> anyhow::Result<ExitCode> {
    let (run, verdicts) = judged(&args.recording, args.by, &args.which, &args.window)?;
    let rooms = rooms(&run, &verdicts, args.limit);
    let forecast = forecast(rooms, &verdicts.per_minute);
    let shown = output::GrowthView {
        verdicts: &verdicts,
        forecast: forecast.as_ref(),
        since: args.window.since.as_deref(),
        limit: args.count(),
        all: args.all,
        all_frames: args.all_frames,
    };
    to_stdout(|out| {
        match args.format {
            Format::Text => output::growth_text(&shown, style(args.all_frames), out)?,
            Format::Json => output::growth_json(&shown, out)?,
            Format::Csv => output::growth_csv(&shown, out)?,
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A recording, and its verdicts within a window.
pub(super) fn judged(
    recording: &OsStr,
    by: By,
    which: &WhichArgs,
    window: &WindowArgs,
) -> anyhow::Result<(Run, Verdicts)> {
    let (subject, mut run) = opened::open(recording)?;
    let at = moments::until(&subject, &run)?;
    let from = window.since.as_deref().map(|since| moments::since(since, &subject, &run)).transpose()?;
    let moment_ns = moments::monotonic_ns(&run, at);
    if let (Some(since), Some((_, ms))) = (&window.since, from)
        && ms.saturating_mul(1_000_000) >= moment_ns
    {
        return Err(Failure::new("--since", format_args!("{since} is not before the moment"), "").into());
    }
    opened::only(&mut run, &subject, which)?;
    run.keep(|process| process.header.monotonic_ns <= moment_ns);
    let handlers = Handlers::new(&window.handlers);
    let suppressions = suppressions(&which.suppressions)?;
    let (focus, ignore) = (which.focus.clone(), which.ignore.clone());
    let filter = Filter { focus, ignore, suppressions, ..Filter::default() };
    let selection = Selection {
        by,
        at,
        from: Source::Best,
        filter,
        own: Own::new(&which.own),
        callers: Some(handlers.clone()),
        symbols: symbols(&which.symbols),
        ..Selection::default()
    };
    let asked = Asked {
        selection,
        from,
        begun_ms: moments::begun_ms(&run),
        unit: window.per.map(Unit::from),
        handlers,
        requests: window.requests,
        open: open_now(&run, at),
    };
    let bar = progress::bytes("reading", run.log_bytes());
    let mut verdicts = verdicts(&run, &asked, &|bytes| bar.inc(bytes), &|_| {});
    drop(bar);
    verdicts.report.moment = moments::spoken(&run, at);
    check(&verdicts, window, moments::path(&subject))?;
    verdicts.report.recording = subject.shown;
    Ok((run, verdicts))
}

/// Whether there is something to divide by.
fn check(verdicts: &Verdicts, window: &WindowArgs, recording: &str) -> Result<(), Failure> {
    let is_counted = window.requests.is_some() || verdicts.requests.count() > 0;
    if let (false, [name, ..]) = (is_counted, window.handlers.as_slice()) {
        let why = format!("no stack leads through a function '{name}'");
        return Err(Failure::new("--request", why, "'unfreed report --by function' has the names"));
    }
    match window.per {
        Some(Per::Request) if !is_counted => {
            let why = "no function is known that works on requests";
            Err(Failure::new("--per request", why, "--request FUNCTION names one, --requests N their number"))
        }
        Some(Per::Mark) if verdicts.marks < 2 => {
            let why = format!("{} marks in the window, and two are needed", verdicts.marks);
            Err(Failure::new("--per mark", why, format_args!("'unfreed mark {recording} NAME' sets one")))
        }
        _ => Ok(()),
    }
}

/// The limits on the memory of the processes, and what they use of it.
fn rooms(run: &Run, verdicts: &Verdicts, limit: Option<u64>) -> Vec<Room> {
    let is_it = |pid, recording: &_| Recorded::of(pid).is_some_and(|process| process.is_in(recording));
    let pids = reader::pids_here(&run.recordings, is_it);
    let here: Vec<(usize, u32)> =
        pids.iter().enumerate().filter_map(|(index, pid)| Some((index, (*pid)?))).collect();
    if let Some(limit) = limit {
        return vec![named(limit, &here, &verdicts.report.processes)];
    }
    let mut groups: BTreeMap<String, Room> = BTreeMap::new();
    for (index, pid) in here {
        for group in reader::memory_groups(pid) {
            let room = groups.entry(group.path.clone()).or_insert_with(|| Room {
                limit: group.limit,
                cgroup: Some(group.path),
                used: group.used,
                is_measured: true,
                processes: Vec::new(),
            });
            room.processes.push(index);
        }
    }
    groups.into_values().collect()
}

/// The user's limit: on what the processes have that run, or have unfreed if none does.
fn named(limit: u64, here: &[(usize, u32)], processes: &[Process]) -> Room {
    let resident: Option<Vec<u64>> = here.iter().map(|(_, pid)| reader::resident(*pid)).collect();
    if let Some(resident) = resident.filter(|resident| !resident.is_empty()) {
        let used = resident.iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
        let processes = here.iter().map(|(index, _)| *index).collect();
        return Room { limit, cgroup: None, used, is_measured: true, processes };
    }
    // Those that were there at the end, and not the ones before them.
    let end = processes.iter().map(|process| process.window_ns.1).max().unwrap_or(0);
    let last = processes.iter().enumerate().filter(|(_, process)| end - process.window_ns.1 <= TOGETHER_NS);
    let used =
        last.clone().fold(0, |sum: u64, (_, process)| sum.saturating_add(process.counts.unfreed_bytes));
    Room { limit, cgroup: None, used, is_measured: false, processes: last.map(|(index, _)| index).collect() }
}

/// Processes that end within this time of each other were there together.
const TOGETHER_NS: u64 = 5_000_000_000;

impl From<Per> for Unit {
    fn from(per: Per) -> Unit {
        match per {
            Per::Mark => Unit::Mark,
            Per::Minute => Unit::Minute,
            Per::Request => Unit::Request,
        }
    }
}

impl From<Unit> for Per {
    fn from(unit: Unit) -> Per {
        match unit {
            Unit::Mark => Per::Mark,
            Unit::Minute => Per::Minute,
            Unit::Request => Per::Request,
        }
    }
}
