//! One object, versioned: `schema/growth.schema.json` describes it. Sizes are bytes, unknown values are null. Within a
//! version, keys are only added.
use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;

use super::GrowthView;
use super::descriptors::{DescriptorsJson, json as descriptors};
use super::words::{BLOCKS, Words, doubt, named, site as place, through, why};
use crate::growth::{Confidence, Estimate, ProcessJudgement};
use crate::output::json::{RecordingJson, Written, recording, write};
use crate::verdicts::{Forecast, Judged, Verdicts};

#[derive(Serialize)]
struct GrowthJson<'a> {
    schema: &'static str,
    recording: RecordingJson<'a>,
    window: WindowJson<'a>,
    per: &'static str,
    requests: Option<RequestsJson<'a>>,
    marks: usize,
    forecast: Option<ForecastJson<'a>>,
    processes: Vec<ProcessJson>,
    sites: Vec<SiteJson<'a>>,
    descriptors: Option<DescriptorsJson<'a>>,
}

#[derive(Serialize)]
struct WindowJson<'a> {
    since: Option<&'a str>,
    seconds: f64,
}

#[derive(Serialize)]
struct RequestsJson<'a> {
    count: u64,
    servers: &'a [String],
    told_apart: bool,
}

#[derive(Serialize)]
struct ForecastJson<'a> {
    limit_bytes: u64,
    cgroup: Option<&'a str>,
    used_bytes: u64,
    measured: bool,
    bytes_per_minute: f64,
    minutes: f64,
    first_pid: Option<u32>,
}

#[derive(Serialize)]
struct ProcessJson {
    pid: u32,
    requests: u64,
    bytes_per_minute: f64,
    only_unfreed: bool,
}

/// What is said of a site whatever it holds.
#[derive(Serialize)]
pub(super) struct JudgedJson<'a> {
    id: String,
    name: Option<&'a str>,
    #[serde(rename = "where")]
    place: String,
    file: Option<&'a str>,
    line: Option<u32>,
    function: Option<&'a str>,
    verdict: &'static str,
    confidence: &'static str,
    doubt: Option<&'static str>,
    why: String,
}

#[derive(Serialize)]
struct SiteJson<'a> {
    #[serde(flatten)]
    judged: JudgedJson<'a>,
    unfreed_bytes: u64,
    unfreed_blocks: u64,
    delta_bytes: i64,
    delta_blocks: i64,
    delta_descriptors: Option<i64>,
    freed_share: Option<f64>,
    rate: Option<RateJson>,
    processes: Vec<SiteProcessJson>,
    through: Vec<String>,
    headline: Option<&'a RawValue>,
    phase: Option<&'static str>,
    stack: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "is_zero")]
    left_out: usize,
}

#[derive(Serialize)]
pub(super) struct RateJson {
    per: &'static str,
    bytes: EstimateJson,
    blocks: EstimateJson,
    units: f64,
    of: f64,
}

#[derive(Serialize)]
pub(super) struct EstimateJson {
    value: f64,
    low: f64,
    high: f64,
}

#[derive(Serialize)]
struct SiteProcessJson {
    pid: u32,
    verdict: Option<&'static str>,
    bytes_per_minute: Option<f64>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Prints them, with all sites.
pub fn json(view: &GrowthView, out: &mut dyn Write) -> io::Result<()> {
    let verdicts = view.verdicts;
    let report = &verdicts.report;
    let written = Written::new(report, view.all_frames)?;
    let opened = verdicts.descriptors.as_deref();
    let opened = opened.map(|opened| {
        Written::new(&opened.verdicts.report, view.all_frames).map(|written| (opened, written))
    });
    let opened = opened.transpose()?;
    let requests = match verdicts.named_requests {
        Some(count) => Some(RequestsJson { count, servers: &[], told_apart: false }),
        None if verdicts.requests.count() > 0 => Some(RequestsJson {
            count: verdicts.requests.count(),
            servers: &verdicts.requests.servers,
            told_apart: verdicts.requests.has_extent,
        }),
        None => None,
    };
    let processes = report.processes.iter().enumerate().map(|(index, process)| ProcessJson {
        pid: process.pid,
        requests: verdicts.requests.processes.get(index).copied().unwrap_or(0),
        bytes_per_minute: verdicts.per_minute[index],
        only_unfreed: verdicts.only_unfreed[index],
    });
    let json = GrowthJson {
        schema: "unfreed.growth/1",
        recording: recording(report),
        window: WindowJson {
            since: view.since,
            seconds: verdicts.window_ms.1.saturating_sub(verdicts.window_ms.0) as f64 / 1000.0,
        },
        per: verdicts.unit.name(),
        requests,
        marks: verdicts.marks,
        forecast: view.forecast.map(|found| forecast(view, found)),
        processes: processes.collect(),
        sites: verdicts.sites.iter().take(view.limit).map(|judged| site(view, judged, &written)).collect(),
        descriptors: opened.as_ref().map(|(opened, written)| descriptors(view, opened, written)),
    };
    write(&json, out)
}

fn forecast<'a>(view: &GrowthView, forecast: &'a Forecast) -> ForecastJson<'a> {
    ForecastJson {
        limit_bytes: forecast.room.limit,
        cgroup: forecast.room.cgroup.as_deref(),
        used_bytes: forecast.room.used,
        measured: forecast.room.is_measured,
        bytes_per_minute: forecast.per_minute,
        minutes: forecast.minutes,
        first_pid: forecast.first.map(|(process, _)| view.verdicts.report.processes[process].pid),
    }
}

/// The words are for what it holds.
pub(super) fn judged_json<'a>(words: &Words, verdicts: &'a Verdicts, judged: &Judged) -> JudgedJson<'a> {
    let found = &verdicts.report.sites[judged.site];
    let (confidence, why_not) = match judged.judgement.confidence {
        Confidence::High => ("high", None),
        Confidence::Low(why) => ("low", Some(doubt(why))),
    };
    let named = named(verdicts, judged);
    JudgedJson {
        id: found.id(),
        name: found.name.as_deref(),
        place: place(verdicts, judged, usize::MAX),
        file: named.and_then(|frame| frame.file.as_deref()),
        line: named.and_then(|frame| frame.line),
        function: named.and_then(|frame| frame.function.as_deref()),
        verdict: judged.judgement.verdict.name(),
        confidence,
        doubt: why_not,
        why: why(words, verdicts, judged),
    }
}

fn site<'a>(view: &GrowthView<'a>, judged: &Judged, written: &'a Written) -> SiteJson<'a> {
    let verdicts = view.verdicts;
    let report = &verdicts.report;
    let found = &report.sites[judged.site];
    let path = judged.stack.unwrap_or(found.path);
    let (stack, left_out) = written.stack(report, path);
    let each = judged.judgement.processes.iter().zip(&judged.processes).enumerate();
    let process = |(index, (one, &process)): (usize, (&ProcessJudgement, &usize))| SiteProcessJson {
        pid: report.processes[process].pid,
        verdict: one.verdict.map(|verdict| verdict.name()),
        bytes_per_minute: judged.per_minute.get(index).copied().flatten(),
    };
    SiteJson {
        judged: judged_json(&BLOCKS, verdicts, judged),
        unfreed_bytes: judged.unfreed.bytes,
        unfreed_blocks: judged.unfreed.blocks,
        delta_bytes: narrow(judged.change.1),
        delta_blocks: narrow(judged.change.0),
        delta_descriptors: view.opened(judged).map(|opened| narrow(opened.change.0)),
        freed_share: judged.freed,
        rate: judged.rate.map(|rate| RateJson {
            per: rate.unit.name(),
            bytes: estimate(rate.bytes),
            blocks: estimate(rate.blocks),
            units: rate.units,
            of: rate.of,
        }),
        processes: each.map(process).collect(),
        through: through(verdicts, judged),
        headline: written.headline(report, found.path),
        phase: found.phase.map(|phase| phase.name()),
        stack,
        left_out,
    }
}

pub(super) fn narrow(number: i128) -> i64 {
    number.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

pub(super) fn estimate(Estimate { value, low, high }: Estimate) -> EstimateJson {
    EstimateJson { value, low, high }
}
