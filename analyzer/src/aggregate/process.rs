//! A process of a report: from what was recorded and replayed to what is said of it.
use std::path::Path;

use recording::LostKind;
use recording::layout::{STRINGS_END, flag};

use super::report::{Counts, Known, Process, PythonStacks};
use crate::reader::{Definitions, ProcessState, Recording};
use crate::replay::{self, Block, BornIn, Inherited, Moment, Replayed};

/// The counts of each site; only blocks allocated in a window, and at or before `oldest` if that is given, count as
/// unfreed.
pub(super) fn counts_of(replayed: &Replayed, oldest: Option<u64>, born: &BornIn) -> Vec<Counts> {
    let mut counts: Vec<Counts> = replayed
        .sites
        .iter()
        .map(|totals| Counts {
            allocated_bytes: totals.allocated_bytes,
            allocations: totals.allocations,
            frees: totals.frees,
            ..Counts::default()
        })
        .collect();
    for (_, block) in &replayed.live {
        if is_counted(block, oldest, born) {
            let site = &mut counts[block.site as usize];
            site.unfreed_bytes = site.unfreed_bytes.saturating_add(block.size);
            site.unfreed_blocks += 1;
        }
    }
    counts
}

/// Whether a block was allocated in this window, and at or before `oldest` if that is given.
pub(super) fn is_counted(block: &Block, oldest: Option<u64>, born: &BornIn) -> bool {
    oldest.is_none_or(|oldest| block.birth.time_ms() <= oldest) && born.contains(block.birth)
}

/// All of a process but its parent, without any symbol.
pub(super) fn process(
    recording: &Recording,
    replayed: &Replayed,
    definitions: &Definitions,
    options: replay::Options,
) -> Process {
    let at = options.until;
    let mut counts = Counts::default();
    counts_of(replayed, None, &BornIn::ANY).iter().for_each(|site| counts.add(site));
    let header = &recording.header;
    let last_clock = replayed.last_clock_ms.saturating_mul(1_000_000);
    let end = match &recording.state {
        ProcessState::Running => recording.read_ns().max(last_clock),
        _ if header.end_monotonic_ns != 0 => header.end_monotonic_ns,
        _ => last_clock,
    };
    let is_peak = at == Moment::Peak && replayed.peak_ms != 0;
    let moment_ns = moment_ns(recording, replayed, at).filter(|moment| is_peak || *moment < end);
    let had_ended = recording.state != ProcessState::Running
        && asked_ns(recording, replayed, at).is_some_and(|ns| ns >= end);
    let at = match moment_ns {
        None => Moment::End,
        Some(_) if had_ended && !is_peak => Moment::BeforeExit,
        Some(_) => at,
    };
    let is_later = replayed.is_table && matches!(at, Moment::Epoch(_) | Moment::Time(_));
    let end = moment_ns.unwrap_or(end);
    let last = if header.end_monotonic_ns == 0 { last_clock } else { header.end_monotonic_ns };
    let lacks_peak = options.until == Moment::Peak && !is_peak && replayed.events > 0;
    let ended = header.realtime_ns.saturating_add(last.saturating_sub(header.monotonic_ns));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let interpreters = &definitions.python.interpreters;
    let python_notes = interpreters.iter().filter_map(|interpreter| match interpreter {
        found if !found.walked => Some(format!("Python {} is not known: native stacks only", found.name())),
        found if !found.objects => {
            Some(format!("of Python {}'s objects only what it takes from malloc is recorded", found.name()))
        }
        _ => None,
    });
    Process {
        file: recording.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        pid: header.pid,
        parent_pid: header.parent_pid,
        parent: None,
        exe: recording.exe.as_deref().map(text),
        command: recording.command.iter().map(|argument| argument.to_string_lossy().into_owned()).collect(),
        state: recording.state.clone(),
        events: (!is_later).then_some(replayed.events),
        lost: replayed.lost,
        lost_children: header.lost[LostKind::Children as usize],
        lost_blocks: if replayed.is_table { header.lost[LostKind::Table as usize] } else { 0 },
        without_stack: replayed.without_stack,
        counts,
        peak_bytes: replayed.peak_bytes,
        peak_ns: (replayed.peak_ms != 0).then(|| {
            let since = replayed.peak_ms.saturating_mul(1_000_000).saturating_sub(header.monotonic_ns);
            header.realtime_ns.saturating_add(since)
        }),
        at,
        arenas: replayed.arenas,
        began_ns: header.realtime_ns,
        window_ns: (header.monotonic_ns, end.max(header.monotonic_ns)),
        ended_ns: (recording.state != ProcessState::Running).then_some(ended),
        log_bytes: STRINGS_END as u64 + replayed.bytes_used + definitions.bytes_used,
        anomalies: replayed.anomalies,
        inherited: Inherited::Nothing,
        known: Known { lacks_peak, ..known(recording, replayed, is_later) },
        losses: replayed.losses.clone(),
        notes: recording.notes.iter().cloned().chain(python_notes).collect(),
        python: PythonStacks {
            versions: interpreters.iter().map(|interpreter| interpreter.name()).collect(),
            ..PythonStacks::default()
        },
    }
}

/// When the moment that was named was, monotonic ns; `None` if there is no such one or it is not known.
fn asked_ns(recording: &Recording, replayed: &Replayed, at: Moment) -> Option<u64> {
    let ms = match at {
        Moment::End | Moment::BeforeExit => None,
        Moment::Epoch(epoch) => recording.words.time_of(epoch),
        Moment::Time(ms) => Some(ms),
        Moment::Peak => Some(replayed.peak_ms).filter(|ms| *ms != 0),
    };
    ms.map(|ms| ms.saturating_mul(1_000_000))
}

/// When the moment was, monotonic ns; `None`: at the end, as far as is known.
fn moment_ns(recording: &Recording, replayed: &Replayed, at: Moment) -> Option<u64> {
    // A table may be without the blocks before exit.
    let has_cut = !replayed.is_table || recording.has(flag::BEFORE_EXIT);
    let finalizing = replay::cut(recording, at).filter(|_| has_cut).map(|cut| cut.monotonic_ns);
    finalizing.into_iter().chain(asked_ns(recording, replayed, at)).min()
}

/// What of a process is known, and what is not any more. `is_later`: the counts beside its table are of a later moment than
/// that of which to speak.
fn known(recording: &Recording, replayed: &Replayed, is_later: bool) -> Known {
    let header = &recording.header;
    let held = recording.held.as_deref().map(|held| held.monotonic_ns.saturating_sub(header.monotonic_ns));
    let has_counts = !replayed.is_table || !recording.counts.is_empty() || replayed.sites.is_empty();
    Known {
        from_table: replayed.is_table,
        events_since_ns: held.map(|since| header.realtime_ns.saturating_add(since)),
        no_events: recording.has(flag::NO_EVENTS),
        is_counted: has_counts && !is_later,
        is_inexact: replayed.is_inexact,
        without_freed: is_later,
        is_partial: !replayed.is_table && recording.held.is_some(),
        unknown_frees: header.unknown_frees,
        was_off: recording.has(flag::WAS_OFF),
        alone: recording.has(flag::ALONE),
        lacks_peak: false,
    }
}
