//! As JSON, versioned: `schema/check.schema.json` describes it.
use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use crate::check::{Amount, Bound, Change, Check, Measure, Outcome, Row};
use crate::output::json::{RecordingJson, Written, recording, write};
use crate::output::suppressions::{self, SuppressionJson};

#[derive(Serialize)]
struct CheckJson<'a> {
    schema: &'static str,
    verdict: &'static str,
    exit_status: u8,
    limits: Vec<LimitJson<'a>>,
    incomplete: &'a [String],
    recording: RecordingJson<'a>,
    unfreed_bytes: u64,
    unfreed_blocks: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<SuppressionJson<'a>>,
    sites: Vec<RowJson<'a>>,
}

#[derive(Serialize)]
struct LimitJson<'a> {
    option: &'static str,
    exceeded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per: Option<&'static str>,
    found: Value,
    sites: usize,
}

#[derive(Serialize)]
struct RowJson<'a> {
    name: &'a str,
    measure: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    per: Option<&'static str>,
    over: bool,
    status: &'static str,
    old_bytes: Option<Value>,
    new_bytes: Option<Value>,
    old_blocks: Option<Value>,
    new_blocks: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headline: Option<&'a RawValue>,
    stack: Vec<&'a RawValue>,
}

/// Prints it with its first `limit` sites; of Python stacks the interpreter's frames too if `all_frames`.
pub fn json(check: &Check, limit: usize, all_frames: bool, out: &mut dyn Write) -> io::Result<()> {
    let written = Written::new(&check.report, all_frames)?;
    let counts = check.selected();
    let verdict = check.verdict();
    let shown = check.rows.iter().take(limit);
    let json = CheckJson {
        schema: "unfreed.check/1",
        verdict: verdict.name(),
        exit_status: verdict.status(),
        limits: check.outcomes.iter().map(limit_json).collect(),
        incomplete: &check.incomplete,
        recording: recording(&check.report),
        unfreed_bytes: counts.unfreed_bytes,
        unfreed_blocks: counts.unfreed_blocks,
        suppressions: suppressions::json(&check.report),
        sites: shown.map(|row| row_json(check, row, &written)).collect(),
    };
    write(&json, out)
}

fn limit_json(outcome: &Outcome) -> LimitJson<'_> {
    let found = match outcome.bound {
        Bound::Blocks(_) => outcome.found.blocks,
        _ => outcome.found.bytes,
    };
    let (option, file, limit, per) = match &outcome.bound {
        Bound::Growth(bytes, unit) => ("max-growth", None, Some(*bytes), Some(unit.name())),
        Bound::Unfreed(bytes) => ("max-unfreed", None, Some(*bytes), None),
        Bound::Blocks(blocks) => ("max-blocks", None, Some(*blocks), None),
        Bound::Baseline(file) => ("baseline", Some(file.as_str()), None, None),
    };
    let (exceeded, sites) = (outcome.is_exceeded, outcome.sites);
    LimitJson { option, exceeded, file, limit, per, found: number(found), sites }
}

fn row_json<'a>(check: &'a Check, row: &'a Row, written: &'a Written) -> RowJson<'a> {
    let report = &check.report;
    let site = row.site.map(|site| &report.sites[site]);
    let amount = |amount: Option<Amount>, of: fn(Amount) -> f64| amount.map(|amount| number(of(amount)));
    let (measure, per) = match row.measure {
        Measure::Growth => ("growth", check.rates.as_ref().map(|rates| rates.unit.name())),
        Measure::Unfreed => ("unfreed", None),
    };
    RowJson {
        name: &row.name,
        measure,
        per,
        over: row.is_over,
        status: match row.change {
            _ if !check.is_compared => "unfreed",
            Change::None => "unchanged",
            Change::Noise => "noise",
            _ if row.is_new() => "new",
            _ if row.is_gone() => "gone",
            Change::More => "more",
            Change::Less => "less",
        },
        old_bytes: amount(row.old, |amount| amount.bytes),
        new_bytes: amount(row.new, |amount| amount.bytes),
        old_blocks: amount(row.old, |amount| amount.blocks),
        new_blocks: amount(row.new, |amount| amount.blocks),
        id: site.map(|site| site.id()),
        headline: site.and_then(|site| written.headline(report, site.largest)),
        stack: site.map_or_else(Vec::new, |site| written.stack(report, site.largest).0),
    }
}

/// Whole where it is: counts of blocks and bytes are, rates are not.
fn number(number: f64) -> Value {
    let whole = (number.fract() == 0.0).then(|| Number::from(number as i64));
    let rounded = || Number::from_f64((number * 1000.0).round() / 1000.0);
    whole.or_else(rounded).map_or(Value::Null, Value::Number)
}
