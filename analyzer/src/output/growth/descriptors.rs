//! What is said of descriptors beside the memory that grows with them.
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::GrowthView;
use super::json::{EstimateJson, JudgedJson, estimate, judged_json, narrow};
use super::words::{DESCRIPTORS, rate, why};
use crate::growth::Verdict;
use crate::held::name;
use crate::output::held::of_kinds;
use crate::output::json::Written;
use crate::output::units::{counted, signed_number};
use crate::verdicts::{Judged, Opened};

/// Behind the row of a site's memory: how many descriptors it holds more.
pub(super) fn beside(view: &GrowthView, judged: &Judged) -> Option<String> {
    let opened = view.opened(judged).filter(|opened| opened.change.0 != 0)?;
    let found = view.verdicts.descriptors.as_ref()?;
    let files = if opened.change.0.unsigned_abs() == 1 { "open file" } else { "open files" };
    let kinds = match opened.change.0 == i128::from(opened.unfreed.blocks) {
        true => of_kinds(found.kinds(opened), opened.unfreed.blocks),
        false => String::new(),
    };
    let verdict = match opened.judgement.verdict {
        Verdict::Growing => {
            format!("{}, {}", rate(&DESCRIPTORS, opened), why(&DESCRIPTORS, &found.verdicts, opened))
        }
        verdict => verdict.name().to_string(),
    };
    Some(format!("{} {files}{kinds}; {verdict}", signed_number(opened.change.0)))
}

/// Whether the descriptors of a site have a row of their own: they grow where no memory does, or all are asked for.
pub(super) fn has_row(view: &GrowthView, opened: &Judged, shown: &[&Judged]) -> bool {
    let beside =
        shown.iter().find(|judged| view.opened(judged).is_some_and(|other| other.site == opened.site));
    match opened.judgement.verdict {
        Verdict::Growing => beside.is_none_or(|judged| judged.judgement.verdict != Verdict::Growing),
        _ => view.all && beside.is_none(),
    }
}

/// That there are processes of which nothing is said.
pub(super) fn unknown(view: &GrowthView) -> Option<String> {
    let unknown = view.verdicts.descriptors.as_ref()?.unknown as u64;
    (unknown > 0).then(|| {
        format!(
            "open files of {} are not judged: what was opened first is not held",
            counted(unknown, "process")
        )
    })
}

#[derive(Serialize)]
pub(super) struct DescriptorsJson<'a> {
    unknown_processes: usize,
    sites: Vec<OpenedJson<'a>>,
}

#[derive(Serialize)]
struct OpenedJson<'a> {
    #[serde(flatten)]
    judged: JudgedJson<'a>,
    held: u64,
    delta: i64,
    kinds: BTreeMap<&'static str, u64>,
    closed_share: Option<f64>,
    rate: Option<CountRateJson>,
    stack: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct CountRateJson {
    per: &'static str,
    count: EstimateJson,
    units: f64,
    of: f64,
}

/// All sites, those that grow first.
pub(super) fn json<'a>(view: &GrowthView, opened: &'a Opened, written: &'a Written) -> DescriptorsJson<'a> {
    let sites = opened.verdicts.sites.iter().take(view.limit);
    DescriptorsJson {
        unknown_processes: opened.unknown,
        sites: sites.map(|judged| site(opened, judged, written)).collect(),
    }
}

fn site<'a>(opened: &'a Opened, judged: &Judged, written: &'a Written) -> OpenedJson<'a> {
    let verdicts = &opened.verdicts;
    let found = &verdicts.report.sites[judged.site];
    let (stack, _) = written.stack(&verdicts.report, judged.stack.unwrap_or(found.path));
    OpenedJson {
        judged: judged_json(&DESCRIPTORS, verdicts, judged),
        held: judged.unfreed.blocks,
        delta: narrow(judged.change.0),
        kinds: opened.kinds(judged).iter().map(|(kind, count)| (name(*kind), *count)).collect(),
        closed_share: judged.freed,
        rate: judged.rate.map(|rate| CountRateJson {
            per: rate.unit.name(),
            count: estimate(rate.blocks),
            units: rate.units,
            of: rate.of,
        }),
        stack,
    }
}
