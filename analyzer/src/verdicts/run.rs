//! A run's processes, each replayed and watched within the window, then all judged together: from recordings to
//! [`Verdicts`].
use std::sync::Mutex;

use recording::layout::flag;

use super::buckets::{Life, Looked, Part};
use super::counting::count;
use super::descriptors::{self, Opened, Sorted};
use super::handed_on;
use super::judged::{Asked, Verdicts};
use super::judging::Judging;
use super::scale::Scale;
use super::watch::Watch;
use crate::aggregate::{Grouped, Loaded, in_parallel};
use crate::reader::{Definitions, Recording, Run};
use crate::replay::{self, Moment, Reading, Replayed, Resources, Source};

/// One process, watched.
struct Watched {
    watch: Watch,
    only_unfreed: bool,
}

/// Judges. `progress` is told of bytes read, `done` of addresses looked up.
pub fn verdicts(
    run: &Run,
    asked: &Asked,
    progress: &(dyn Fn(u64) + Sync),
    done: &(dyn Fn(usize) + Sync),
) -> Verdicts {
    let origin_ms = asked.from.map_or(asked.begun_ms, |(_, ms)| ms);
    let options =
        replay::Options { until: asked.selection.at, from: Source::Best, ..replay::Options::default() };
    let indices: Vec<usize> = (0..run.recordings.len()).collect();
    let watch_all = |scale, progress: &(dyn Fn(u64) + Sync)| {
        in_parallel(&indices, |&index| {
            watch(&run.recordings[index], asked, options, scale, origin_ms, progress)
        })
    };
    let mut watched = watch_all(Scale::CLOCK, progress);
    let scale = scale(run, &watched, origin_ms);
    if scale != Scale::CLOCK {
        watched = watch_all(scale, &|_| {});
    }
    let opened = in_parallel(&indices, |&index| {
        let (recording, open) = (&run.recordings[index], asked.open.get(index).and_then(Option::as_ref));
        let (_, Watched { only_unfreed, .. }) = &watched[index];
        let opened = descriptors::watch(recording, asked, &options, origin_ms, !only_unfreed, open);
        (Definitions::read(recording), opened)
    });
    let (mut replayed, mut watches, mut descriptors) = (Vec::new(), Vec::new(), Vec::new());
    for ((one, watched), (definitions, opened)) in watched.into_iter().zip(opened) {
        replayed.push((one, definitions));
        watches.push(watched);
        descriptors.push(opened);
    }
    let only_unfreed: Vec<bool> = watches.iter().map(|watched| watched.only_unfreed).collect();
    let mut opened = descriptors::sorted(run, asked, options, descriptors);
    let grouped = Loaded::of(run, replayed, options).grouped(run, &asked.selection, done);
    let Grouped { report, processes } = grouped;
    let ends = report.processes.iter().map(|process| process.window_ns.1 / 1_000_000);
    let begins = report.processes.iter().map(|process| process.window_ns.0 / 1_000_000);
    let begins: Vec<u64> = begins.collect();
    let ends: Vec<u64> = ends.collect();
    let mut of_descriptors = opened.iter_mut().flat_map(|opened| std::mem::take(&mut opened.watches));
    let watches = watches.into_iter().map(|one| (one, of_descriptors.next()));
    let watches: Vec<_> = watches.map(|both| Mutex::new(Some(both))).collect();
    let parts = in_parallel(&indices, |&index| {
        let mut watched = watches[index].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some((Watched { watch, only_unfreed }, of_descriptors)) = watched.take() else {
            return Vec::new();
        };
        let from_birth = asked.from.is_none() || begins[index] >= origin_ms;
        let life = Life { scale, end_ms: ends[index], from_birth, only_unfreed };
        let (replayed, members) = &processes[index];
        let has_ended = asked.selection.at == Moment::BeforeExit && !run.recordings[index].is_running();
        let mut all = vec![Looked { watch, replayed, members, has_ended }];
        if let (Some(opened), Some(watch)) = (&opened, of_descriptors) {
            let (replayed, members) = &opened.grouped.processes[index];
            all.push(Looked { watch, replayed, members, has_ended: false });
        }
        Part::of(&life, all)
    });
    let (mut of_blocks, mut of_descriptors) = (Vec::new(), Vec::new());
    for mut parts in parts {
        of_descriptors.extend((parts.len() > 1).then(|| parts.pop()).flatten());
        of_blocks.append(&mut parts);
    }
    let mut blocks = Judging::new(report, of_blocks, processes, &asked.handlers);
    let mut opened =
        opened.map(|Sorted { grouped: Grouped { report, processes }, kinds, unknown, .. }| {
            (Judging::new(report, of_descriptors, processes, &asked.handlers), kinds, unknown)
        });
    let counted = count(&mut blocks, opened.as_mut().map(|(judging, ..)| judging), run, asked);
    let window_ms = (origin_ms, ends.iter().copied().max().unwrap_or(origin_ms).max(origin_ms));
    let mut sites = blocks.sites();
    handed_on::explain(&mut sites, |judged| blocks.kept_by_python(judged.site));
    let divided = |judging: Judging, sites| {
        judging.divided(run, asked, sites, window_ms, counted.clone(), only_unfreed.clone())
    };
    let descriptors = opened.map(|(judging, kinds, unknown)| {
        let sites = judging.sites();
        Box::new(Opened::new(divided(judging, sites), kinds, unknown))
    });
    Verdicts { descriptors, ..divided(blocks, sites) }
}

/// Work is told finely if no process did more of it, ms; in a longer time buckets are hardly shorter than a step of the clock; and with more
/// events it would take long.
const SHORT_MS: u64 = 1_000;
const SHORT_RUN_MS: u64 = 30_000;
const FEW_EVENTS: u64 = 1 << 22;

/// How the time of a run is told. That of descriptors and of live tables is known by the clock alone.
fn scale(run: &Run, watched: &[(Replayed, Watched)], origin_ms: u64) -> Scale {
    let is_known = |(replayed, one): &(Replayed, Watched)| {
        let is_few = replayed.events <= FEW_EVENTS && one.watch.worked_ms() <= SHORT_MS;
        !one.only_unfreed && is_few && replayed.last_clock_ms.saturating_sub(origin_ms) <= SHORT_RUN_MS
    };
    let begun = run.recordings.iter().map(|recording| recording.header.monotonic_ns / 1_000_000);
    let has_descriptors = run.recordings.iter().any(|recording| Resources::Descriptors.are_in(recording));
    match !has_descriptors && watched.iter().all(is_known) {
        // The clock of the first events is behind the precise one of the beginning.
        true => Scale::fine(begun.min().unwrap_or(0).min(origin_ms).saturating_sub(SHORT_MS)),
        false => Scale::CLOCK,
    }
}

/// Replays a process and watches it.
fn watch(
    recording: &Recording,
    asked: &Asked,
    options: replay::Options,
    scale: Scale,
    origin_ms: u64,
    progress: &dyn Fn(u64),
) -> (Replayed, Watched) {
    let mut watch = Watch::told_by(scale, recording, asked.from.map(|(edge, _)| edge), origin_ms);
    let held_ms = recording.held.as_ref().map_or(0, |held| held.monotonic_ns.div_ceil(1_000_000));
    let has_events = !recording.has(flag::NO_EVENTS) && (held_ms <= origin_ms || recording.has_all_events());
    if has_events || !recording.has_table() {
        let replayed = replay::observe(recording, &options, &mut watch, progress);
        return (replayed, Watched { watch, only_unfreed: false });
    }
    let options = replay::Options { from: Source::Table, ..options };
    let replayed = Reading::begin(recording, options, progress).finish(None);
    watch.timeline.coarsen(TICK_SHIFT);
    (replayed, Watched { watch, only_unfreed: true })
}

/// A live table knows the second in which a block was allocated: shorter buckets would be empty at times.
const TICK_SHIFT: u32 = 11;
