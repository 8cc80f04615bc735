//! The outcome of a check, in the formats of `unfreed check`. The words of an outcome are here; they are the same as text and
//! markdown.
mod json;
mod lsan;
mod markdown;
mod text;

pub use json::json;
pub use lsan::lsan;
pub use markdown::markdown;
pub use text::text;

use super::units::{Number, Size, counted, signed_size};
use crate::check::{Bound, Change, Check, Measure, Outcome, Row};
use crate::verdicts::Unit;

/// A limit, as it is typed, and what was found: `--max-unfreed 1024 KiB`, `18.3 MiB in 1,204 blocks`.
fn words(outcome: &Outcome) -> (String, String) {
    let blocks = counted(outcome.found.blocks.max(0.0) as u64, "block");
    let bytes = size(outcome.found.bytes);
    match &outcome.bound {
        Bound::Unfreed(limit) => {
            (format!("--max-unfreed {}", typed(*limit)), format!("{bytes} unfreed in {blocks}"))
        }
        Bound::Blocks(limit) => {
            (format!("--max-blocks {}", Number(*limit)), format!("{bytes} unfreed in {blocks}"))
        }
        Bound::Growth(limit, unit) => {
            let unit = unit.name();
            let sites = counted(outcome.sites as u64, "site");
            (
                format!("--max-growth {}/{unit}", typed(*limit)),
                format!("{bytes}/{unit} together, {sites} growing"),
            )
        }
        Bound::Baseline(name) => {
            let found = match outcome.sites {
                0 => "no site holds more".to_string(),
                1 => format!("1 site holds more, {}", signed_size(outcome.found.bytes as i128)),
                sites => {
                    let sites = counted(sites as u64, "site");
                    format!("{sites} hold more, {}", signed_size(outcome.found.bytes as i128))
                }
            };
            (format!("--baseline {name}"), found)
        }
    }
}

/// A size as one would type it: exact, in the largest unit that it is a multiple of.
fn typed(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

fn size(bytes: f64) -> String {
    Size(bytes.max(0.0).round() as u64).to_string()
}

/// The columns of a row: old, new, change, and change in percent.
fn columns(row: &Row) -> [String; 4] {
    let known = |amount: Option<crate::check::Amount>| amount.map_or("-".to_string(), |one| size(one.bytes));
    let delta = row.delta().bytes;
    let percent = match (row.old, row.new) {
        _ if matches!(row.change, Change::Noise | Change::None) => "~".to_string(),
        (None, _) => "new".to_string(),
        (_, None) => "gone".to_string(),
        (Some(old), _) if old.bytes > 0.0 => percent(delta, old.bytes),
        _ => String::new(),
    };
    [known(row.old), known(row.new), signed_size(delta.round() as i128), percent]
}

fn percent(delta: f64, old: f64) -> String {
    match delta * 100.0 / old {
        large if large.abs() >= 10_000.0 => format!("{:+.0}x", delta / old),
        percent => format!("{percent:+.0}%"),
    }
}

/// The rows to show of one measure, and how many sites are as before.
fn rows(check: &Check, measure: Measure) -> (Vec<&Row>, usize) {
    let of = check.rows.iter().filter(|row| row.measure == measure);
    let (same, shown): (Vec<&Row>, Vec<&Row>) =
        of.partition(|row| check.is_compared && row.change == Change::None && !row.is_over);
    (shown, same.len())
}

/// What a site's number is of, where the sum of all is of something else.
fn of(check: &Check, measure: Measure) -> Option<String> {
    let rates = check.rates.as_ref().filter(|rates| rates.unit == Unit::Request)?;
    let requests = counted(rates.units.round() as u64, "request");
    let words = format!("a site: by request that reaches it; together: by each of all {requests}");
    (measure == Measure::Growth).then_some(words)
}

/// What the numbers of a measure are.
fn title(check: &Check, measure: Measure) -> String {
    match (measure, &check.rates) {
        (Measure::Growth, Some(rates)) => format!("growth per {}", rates.unit.name()),
        _ => "unfreed".to_string(),
    }
}
