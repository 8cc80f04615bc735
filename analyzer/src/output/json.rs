//! JSON, versioned: `schema/report.schema.json` and `schema/diff.schema.json` describe it. Sizes are bytes, unknown
//! values are null. Within a version, keys are only added.
use std::io::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::aggregate::{ArenaCounts, Counts, Frame, Inherited, Kind, PathId, Phase, Process, Report};
use crate::diff::{Change, Diff};
use crate::growth::Lifetimes;
use crate::output::folding::without_interpreter;
use crate::output::suppressions::{self, SuppressionJson};
use crate::output::units::utc;
use crate::replay::{Moment, ShortLived};

#[derive(Serialize)]
struct ReportJson<'a> {
    schema: &'static str,
    recording: RecordingJson<'a>,
    totals: TotalsJson,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<SuppressionJson<'a>>,
    #[serde(serialize_with = "report_sites")]
    sites: (&'a Report, &'a Written, usize),
}

/// A recording and its processes.
#[derive(Serialize)]
pub(super) struct RecordingJson<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    moment: Option<&'a str>,
    window_seconds: f64,
    log_bytes: u64,
    python_arenas: ArenasJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<TimelineJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    python_phases: Option<PhasesJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_processes: Option<UnfreedJson>,
    processes: Vec<ProcessJson<'a>>,
    unreadable: &'a [String],
    without_symbols: &'a [String],
}

#[derive(Serialize)]
struct TimelineJson {
    begin: Option<String>,
    bucket_seconds: f64,
    buckets: usize,
}

#[derive(Serialize)]
struct TemporaryJson {
    blocks: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct LifetimeJson {
    below_ms: Option<u64>,
    blocks: u64,
}

/// The classes in which there are blocks.
fn lifetimes(lifetimes: &Lifetimes) -> Vec<LifetimeJson> {
    let classes = lifetimes.blocks.iter().enumerate().filter(|(_, blocks)| **blocks > 0);
    let below = |class: usize| (class + 1 < Lifetimes::CLASSES).then(|| 1 << class);
    classes.map(|(class, &blocks)| LifetimeJson { below_ms: below(class), blocks }).collect()
}

fn temporary(soon: &ShortLived) -> TemporaryJson {
    TemporaryJson { blocks: soon.blocks, bytes: soon.bytes }
}

#[derive(Serialize)]
struct ProcessJson<'a> {
    pid: u32,
    parent_pid: u32,
    exe: Option<&'a str>,
    cmdline: Option<&'a [String]>,
    state: String,
    events: Option<u64>,
    lost: u64,
    file: &'a str,
    unfreed_bytes: u64,
    unfreed_blocks: u64,
    peak_bytes: Option<u64>,
    peak_at: Option<String>,
    at: &'static str,
    python_arenas: ArenasJson,
    window_seconds: f64,
    ended: Option<String>,
    without_stack: u64,
    impossible: u64,
    inherited_frees: u64,
    inherited: Option<InheritedJson>,
    source: &'static str,
    events_held_since: Option<String>,
    unknown_frees: u64,
    was_off: bool,
    alone: bool,
    missing_stamps: u64,
    python_versions: &'a [String],
    python_events: u64,
    python_bad_frames: u64,
    python_more_loops: u64,
    merge_mismatches: u64,
    unreadable: Vec<String>,
    notes: &'a [String],
}

#[derive(Serialize, Default)]
struct InheritedJson {
    unfreed_bytes: u64,
    unfreed_blocks: u64,
    at_most: bool,
}

#[derive(Serialize)]
struct ArenasJson {
    count: u64,
    bytes: u64,
    filled_bytes: u64,
}

#[derive(Serialize)]
struct PhasesJson {
    #[serde(rename = "start-up")]
    start_up: UnfreedJson,
    import: UnfreedJson,
    run: UnfreedJson,
}

#[derive(Serialize)]
struct UnfreedJson {
    unfreed_bytes: u64,
    unfreed_blocks: u64,
}

#[derive(Serialize)]
struct TotalsJson {
    unfreed_bytes: u64,
    unfreed_blocks: u64,
    allocated_bytes: Option<u64>,
    allocations: Option<u64>,
    frees: Option<u64>,
    peak_bytes: Option<u64>,
    events: Option<u64>,
    lost: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    temporary: Option<TemporaryTotalJson>,
}

#[derive(Serialize)]
struct TemporaryTotalJson {
    within: u32,
    #[serde(flatten)]
    total: TemporaryJson,
}

#[derive(Serialize)]
struct SiteJson<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(flatten)]
    counts: CountsJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    headline: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'static str>,
    stack: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_bytes: Option<&'a [u64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unfreed_bytes_by_birth: Option<&'a [u64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temporary: Option<TemporaryJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetimes: Option<Vec<LifetimeJson>>,
    #[serde(skip_serializing_if = "is_zero")]
    left_out: usize,
    stacks: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<&'static str>,
}

#[derive(Serialize)]
struct CountsJson {
    unfreed_bytes: u64,
    unfreed_blocks: u64,
    allocated_bytes: Option<u64>,
    allocations: Option<u64>,
    frees: Option<u64>,
}

#[derive(Serialize)]
struct FrameJson<'a> {
    kind: &'static str,
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    module: Option<&'a str>,
    inlined: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct DiffJson<'a> {
    schema: &'static str,
    old: RecordingJson<'a>,
    new: RecordingJson<'a>,
    totals: ChangeJson,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<SuppressionJson<'a>>,
    #[serde(serialize_with = "diff_sites")]
    sites: (&'a Diff, [&'a Written; 2], usize),
}

#[derive(Serialize)]
struct ChangeJson {
    old_bytes: u64,
    new_bytes: u64,
    delta_bytes: i64,
    old_blocks: u64,
    new_blocks: u64,
    delta_blocks: i64,
}

#[derive(Serialize)]
struct ChangedSiteJson<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(flatten)]
    change: ChangeJson,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    headline: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'static str>,
    stack: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "is_zero")]
    left_out: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<&'static str>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Prints a report with its first `limit` sites; of Python stacks the interpreter's frames too if `all_frames`.
pub fn report(report: &Report, limit: usize, all_frames: bool, out: &mut dyn Write) -> io::Result<()> {
    let totals = &report.totals;
    let counts = counts(&totals.counts, report.is_counted());
    let written = Written::new(report, all_frames)?;
    let json = ReportJson {
        schema: "unfreed.report/1",
        recording: recording(report),
        totals: TotalsJson {
            unfreed_bytes: counts.unfreed_bytes,
            unfreed_blocks: counts.unfreed_blocks,
            allocated_bytes: counts.allocated_bytes,
            allocations: counts.allocations,
            frees: counts.frees,
            peak_bytes: totals.peak_bytes,
            events: totals.events,
            lost: totals.lost,
            temporary: report
                .temporary
                .as_ref()
                .map(|all| TemporaryTotalJson { within: all.within, total: temporary(&all.total()) }),
        },
        suppressions: suppressions::json(report),
        sites: (report, &written, limit),
    };
    write(&json, out)
}

/// Prints a diff with its first `limit` sites; `all_frames` as for a report.
pub fn diff(diff: &Diff, limit: usize, all_frames: bool, out: &mut dyn Write) -> io::Result<()> {
    let (old, new) = (Written::new(&diff.old, all_frames)?, Written::new(&diff.new, all_frames)?);
    let json = DiffJson {
        schema: "unfreed.diff/1",
        old: recording(&diff.old),
        new: recording(&diff.new),
        totals: change(&diff.old.totals.counts, &diff.new.totals.counts),
        suppressions: suppressions::json(&diff.new),
        sites: (diff, [&old, &new], limit),
    };
    write(&json, out)
}

pub(super) fn write(json: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, json)?;
    out.write_all(b"\n")
}

/// The frames of a report as JSON, each written once: a report of a compiler has thousands of frames in millions of places.
pub(super) struct Written {
    frames: Vec<Box<RawValue>>,
    all_frames: bool,
}

impl Written {
    pub fn new(report: &Report, all_frames: bool) -> io::Result<Written> {
        let frames = report.paths.all_frames().iter().map(|one| serde_json::value::to_raw_value(&frame(one)));
        Ok(Written { frames: frames.collect::<Result<_, _>>()?, all_frames })
    }

    pub fn headline(&self, report: &Report, path: PathId) -> Option<&RawValue> {
        report.own.headline(&report.paths, path).map(|frame| &*self.frames[frame as usize])
    }

    /// The frames to print, and how many others the stack has.
    pub fn stack(&self, report: &Report, path: PathId) -> (Vec<&RawValue>, usize) {
        let mut numbers: Vec<u32> = report.paths.frame_numbers(path).collect();
        let all = numbers.len();
        if !self.all_frames {
            without_interpreter(&mut numbers, |number| report.paths.frame_at(number));
        }
        let left_out = all - numbers.len();
        (numbers.into_iter().map(|number| &*self.frames[number as usize]).collect(), left_out)
    }
}

fn report_sites<S: Serializer>(
    &(report, written, limit): &(&Report, &Written, usize),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let is_counted = report.has_counted_sites();
    let course = |site: usize, is_of_unfreed: bool| {
        let course = report.courses.as_ref()?.sites.get(site)?;
        (course.is_of_unfreed == is_of_unfreed).then_some(course.bytes.as_slice())
    };
    serializer.collect_seq(report.sites.iter().enumerate().take(limit).map(|(index, site)| {
        let (stack, left_out) = written.stack(report, site.path);
        SiteJson {
            id: site.id(),
            name: site.name.as_deref(),
            counts: counts(&site.counts, is_counted),
            headline: written.headline(report, site.path),
            phase: site.phase.map(Phase::name),
            stack,
            live_bytes: course(index, false),
            unfreed_bytes_by_birth: course(index, true),
            temporary: report.temporary.as_ref().map(|all| temporary(&all.sites[index])),
            lifetimes: report.lifetimes.as_ref().map(|all| lifetimes(&all[index])),
            left_out,
            stacks: site.stacks,
            incomplete: report.paths.incomplete(site.path),
        }
    }))
}

fn diff_sites<S: Serializer>(
    &(diff, [old, new], limit): &(&Diff, [&Written; 2], usize),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(diff.changes.iter().take(limit).map(|changed| {
        let (site, report) = diff.site(changed);
        let written = if changed.new.is_some() { new } else { old };
        let (stack, left_out) = written.stack(report, site.path);
        ChangedSiteJson {
            id: site.id(),
            name: site.name.as_deref(),
            change: change(&changed.old_counts, &changed.new_counts),
            status: status(changed),
            headline: written.headline(report, site.path),
            phase: site.phase.map(Phase::name),
            stack,
            left_out,
            incomplete: report.paths.incomplete(site.path),
        }
    }))
}

fn status(change: &Change) -> &'static str {
    match change {
        change if change.is_new() => "new",
        change if change.is_vanished() => "vanished",
        change if change.bytes() == 0 && change.blocks() == 0 => "unchanged",
        _ => "changed",
    }
}

pub(super) fn recording(report: &Report) -> RecordingJson<'_> {
    RecordingJson {
        path: &report.recording,
        moment: report.moment.as_deref(),
        window_seconds: seconds(report.totals.window_ns),
        log_bytes: report.totals.log_bytes,
        python_arenas: arenas(&report.totals.arenas),
        timeline: report.courses.as_ref().map(|courses| TimelineJson {
            begin: report.realtime_ns(courses.begin_ms.saturating_mul(1_000_000)).map(utc),
            bucket_seconds: courses.bucket_ms as f64 / 1000.0,
            buckets: courses.buckets,
        }),
        python_phases: report.processes.iter().any(has_python).then(|| phases(&report.totals.phases)),
        ended_processes: report.ended().map(|(_, counts)| unfreed(&counts)),
        processes: report.processes.iter().map(process).collect(),
        unreadable: &report.unreadable,
        without_symbols: &report.problems,
    }
}

fn process(process: &Process) -> ProcessJson<'_> {
    ProcessJson {
        pid: process.pid,
        parent_pid: process.parent_pid,
        exe: process.exe.as_deref(),
        cmdline: (!process.command.is_empty()).then_some(&process.command),
        state: process.state.to_string(),
        events: process.events,
        lost: process.lost,
        file: &process.file,
        unfreed_bytes: process.counts.unfreed_bytes,
        unfreed_blocks: process.counts.unfreed_blocks,
        peak_bytes: process.peak_bytes,
        peak_at: process.peak_ns.map(utc),
        at: match process.at {
            Moment::BeforeExit => "before-exit",
            Moment::End => "end",
            Moment::Epoch(_) | Moment::Time(_) => "moment",
            Moment::Peak => "peak",
        },
        python_arenas: arenas(&process.arenas),
        window_seconds: seconds(process.window_ns.1 - process.window_ns.0),
        ended: process.ended_ns.map(utc),
        without_stack: process.without_stack,
        impossible: process.anomalies.impossible(),
        inherited_frees: process.anomalies.inherited_frees,
        inherited: match process.inherited {
            Inherited::Blocks { blocks, bytes, at_most } => {
                Some(InheritedJson { unfreed_bytes: bytes, unfreed_blocks: blocks, at_most })
            }
            Inherited::Unknown => None,
            Inherited::Nothing => Some(InheritedJson::default()),
        },
        source: if process.known.from_table { "table" } else { "events" },
        events_held_since: process.known.events_since_ns.map(utc),
        unknown_frees: process.known.unknown_frees,
        was_off: process.known.was_off,
        alone: process.known.alone,
        missing_stamps: process.anomalies.gaps.missing,
        python_versions: &process.python.versions,
        python_events: process.python.allocations,
        python_bad_frames: process.python.not_walked,
        python_more_loops: process.python.more_loops,
        merge_mismatches: process.python.mismatched,
        unreadable: process.losses.iter().map(ToString::to_string).collect(),
        notes: &process.notes,
    }
}

fn has_python(process: &Process) -> bool {
    !process.python.versions.is_empty()
}

fn phases(phases: &[Counts; 3]) -> PhasesJson {
    let unfreed = |phase: Phase| unfreed(&phases[phase as usize]);
    PhasesJson { start_up: unfreed(Phase::StartUp), import: unfreed(Phase::Import), run: unfreed(Phase::Run) }
}

fn unfreed(&Counts { unfreed_bytes, unfreed_blocks, .. }: &Counts) -> UnfreedJson {
    UnfreedJson { unfreed_bytes, unfreed_blocks }
}

fn arenas(counts: &ArenaCounts) -> ArenasJson {
    ArenasJson { count: counts.arenas, bytes: counts.bytes, filled_bytes: counts.filled_bytes }
}

fn seconds(ns: u64) -> f64 {
    (ns / 1_000_000) as f64 / 1000.0
}

fn counts(counts: &Counts, is_counted: bool) -> CountsJson {
    let known = |count: u64| is_counted.then_some(count);
    CountsJson {
        unfreed_bytes: counts.unfreed_bytes,
        unfreed_blocks: counts.unfreed_blocks,
        allocated_bytes: known(counts.allocated_bytes),
        allocations: known(counts.allocations),
        frees: known(counts.frees),
    }
}

fn change(old: &Counts, new: &Counts) -> ChangeJson {
    let delta = |old: u64, new: u64| {
        let delta = i128::from(new) - i128::from(old);
        delta.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    };
    ChangeJson {
        old_bytes: old.unfreed_bytes,
        new_bytes: new.unfreed_bytes,
        delta_bytes: delta(old.unfreed_bytes, new.unfreed_bytes),
        old_blocks: old.unfreed_blocks,
        new_blocks: new.unfreed_blocks,
        delta_blocks: delta(old.unfreed_blocks, new.unfreed_blocks),
    }
}

fn frame(frame: &Frame) -> FrameJson<'_> {
    FrameJson {
        kind: match frame.kind {
            Kind::Native => "native",
            Kind::Python => "python",
        },
        function: frame.function.as_deref(),
        file: frame.file.as_deref(),
        line: frame.line,
        module: frame.module.as_deref(),
        inlined: frame.inlined,
        offset: frame.offset,
        reason: frame.reason.as_deref(),
    }
}
