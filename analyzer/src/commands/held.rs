//! `unfreed report --fds` and `--mmap`.
use std::collections::HashSet;
use std::fs;
use std::process::ExitCode;
use std::sync::Mutex;

use super::selected::{selection, style};
use super::{opened, to_stdout};
use crate::aggregate::By;
use crate::aggregate::{Loaded, Selection, in_parallel};
use crate::cli::{Format, ReportArgs};
use crate::error::Failure;
use crate::held::{HeldReport, Kinds, kinds_by_site};
use crate::reader::{Definitions, Run, running};
use crate::replay::{self, Held, Moment, Resources};
use crate::servers::Handlers;
use crate::{moments, output, progress};

/// Does it.
pub fn report(args: &ReportArgs, of: Resources) -> anyhow::Result<ExitCode> {
    let (subject, mut run) = opened::open(&args.recording)?;
    let select = &args.view.select;
    // Libraries open for others: of interest is the line of one's own that asked for it.
    let callers = Some(Handlers::default());
    let selection = Selection { callers, ..selection(&subject, &run, args.view.by, select)? };
    opened::only(&mut run, &subject, &select.which)?;
    let moment_ns = moments::monotonic_ns(&run, selection.at);
    run.keep(|process| process.header.monotonic_ns <= moment_ns);
    if !run.recordings.iter().any(|recording| of.are_in(recording)) {
        let (what, option) = match of {
            Resources::Descriptors => ("no descriptors are in it", "--fds"),
            Resources::Mappings => ("no mappings are in it", "--mmap"),
        };
        let advice = format!("record with 'unfreed run {option}'");
        return Err(Failure::new(&subject.shown, what, advice).into());
    }
    let (loaded, kinds, now) = load(&run, &selection, of);
    let bar = progress::items("symbols", loaded.addresses() as u64);
    let grouped = loaded.grouped(&run, &selection, &|addresses| bar.inc(addresses as u64));
    drop(bar);
    let by_site = kinds_by_site(&grouped, &kinds);
    let mut report = grouped.report;
    report.moment = moments::spoken(&run, selection.at);
    report.recording = subject.shown;
    let found = HeldReport { report, of, kinds: by_site, now };
    let limit = args.view.limit();
    to_stdout(|out| {
        match args.view.format {
            Format::Text => output::held_text(&found, limit, style(args.view.all_frames), out)?,
            Format::Json => output::held_json(&found, limit, args.view.all_frames, out)?,
            Format::Csv => output::held_csv(&found, limit, out)?,
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What is held, of which kinds, and how many descriptors each process has now, as far as the kernel says.
fn load(run: &Run, selection: &Selection, of: Resources) -> (Loaded, Vec<Kinds>, Vec<Option<u64>>) {
    let by_thread = selection.by == By::Thread;
    let options = replay::Options { by_thread, until: selection.at, ..replay::Options::default() };
    let bar = progress::bytes("reading", run.log_bytes());
    let read = in_parallel(&run.recordings, |recording| {
        let held = replay::held(recording, of, &options, &mut (), &|bytes| bar.inc(bytes));
        Mutex::new(Some((held, Definitions::read(recording))))
    });
    drop(bar);
    let now = match of {
        Resources::Descriptors => open_now(run, selection.at),
        Resources::Mappings => run.recordings.iter().map(|_| None).collect(),
    };
    let (mut replayed, mut kinds) = (Vec::new(), Vec::new());
    for (one, now) in read.into_iter().zip(&now) {
        let one = one.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some((mut held, definitions)) = one else { continue };
        if let Some(now) = now {
            held.retain(|number| now.contains(&number));
        }
        let Held { replayed: what, kinds: of_it } = held;
        replayed.push((what, definitions));
        kinds.push(of_it);
    }
    let now = now.into_iter().map(|now| Some(now?.len() as u64)).collect();
    (Loaded::without_inherited(replayed, options), kinds, now)
}

/// The descriptors that each process has, if it runs and that is the moment of which to speak.
pub(super) fn open_now(run: &Run, at: Moment) -> Vec<Option<HashSet<u32>>> {
    let mut now: Vec<Option<HashSet<u32>>> = run.recordings.iter().map(|_| None).collect();
    let is_now = matches!(at, Moment::End | Moment::BeforeExit);
    let are_in = |place: usize| Resources::Descriptors.are_in(&run.recordings[place]);
    if run.packed.is_none() && is_now {
        let running = running(&run.recordings).into_iter().filter(|(place, _)| are_in(*place));
        running.for_each(|(place, pid)| now[place] = open_of(pid));
    }
    now
}

/// The descriptors that a process has; `None` if that is not told.
fn open_of(pid: u32) -> Option<HashSet<u32>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    Some(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}
