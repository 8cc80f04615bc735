//! The limits that can be set, and whether they are exceeded.
use std::collections::HashMap;

use super::baseline::{Amount, Held};
use super::compare::{Change, Measure, Row};
use crate::growth::{Estimate, Verdict};
use crate::verdicts::{Judged, Unit, Verdicts};

/// How fast a site grows, for each unit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    /// Bytes.
    pub bytes: Estimate,
    /// Blocks.
    pub blocks: Estimate,
}

/// What grows in a recording.
#[derive(Clone, Debug)]
pub struct Rates {
    /// In what it is counted.
    pub unit: Unit,
    /// How many of them the window has, at least 1.
    pub units: f64,
    /// The sites that grow, by [`crate::aggregate::Site::hash`]: for each request that reaches one.
    pub sites: HashMap<u64, Rate>,
    /// What all of them grow by together, for each of all requests: not every request reaches every site.
    pub together: Amount,
    /// Why nothing can be said of growth.
    pub untold: Option<String>,
}

impl Rates {
    /// Of the verdicts on the same sites.
    pub fn new(verdicts: &Verdicts) -> Rates {
        let window_ms = verdicts.window_ms.1.saturating_sub(verdicts.window_ms.0);
        let units = match verdicts.unit {
            Unit::Request => verdicts.named_requests.unwrap_or(verdicts.requests.count()) as f64,
            Unit::Minute => window_ms as f64 / 60_000.0,
            Unit::Mark => verdicts.marks.saturating_sub(1) as f64,
        };
        let untold = untold(verdicts.unit, units, window_ms);
        let units = units.max(1.0);
        let growing = |judged: &&Judged| judged.judgement.verdict == Verdict::Growing;
        let scaled = |bytes: Estimate, blocks: Estimate, by: f64| Rate {
            bytes: bytes.scaled(by),
            blocks: blocks.scaled(by),
        };
        // A site's rate, and that part of its units which reach it. What grows outside of requests and marks is divided by all.
        let rate = |judged: &Judged| match judged.rate.filter(|rate| rate.unit == verdicts.unit) {
            Some(rate) => (scaled(rate.bytes, rate.blocks, 1.0), rate.units / rate.of.max(rate.units)),
            None => (scaled(judged.judgement.bytes, judged.judgement.blocks, 1.0 / units), 1.0),
        };
        let (mut sites, mut together) = (HashMap::new(), Amount::default());
        for judged in verdicts.sites.iter().filter(growing) {
            let (rate, part) = rate(judged);
            together = together.plus(Amount::of_rate(&scaled(rate.bytes, rate.blocks, part)));
            sites.insert(verdicts.report.sites[judged.site].hash, rate);
        }
        Rates { unit: verdicts.unit, units, sites, together, untold }
    }
}

/// Below this nothing is said of growth: what each request, or the time between two marks, leaves for the next one cannot
/// be told from what only some do; and in less than that time little but a start happens.
const LEAST_REQUESTS: f64 = 10.0;
const LEAST_MARKS: f64 = 2.0;
const LEAST_MS: u64 = 2_000;

/// Why nothing can be said of growth.
fn untold(unit: Unit, units: f64, window_ms: u64) -> Option<String> {
    match unit {
        Unit::Request if units < LEAST_REQUESTS => {
            Some(format!("{units} requests are too few to tell what grows"))
        }
        Unit::Mark if units < LEAST_MARKS => {
            Some(format!("{} marks are too few to tell what grows", units + 1.0))
        }
        Unit::Minute if window_ms < LEAST_MS => {
            Some(format!("{window_ms} ms are too short to tell what grows"))
        }
        _ => None,
    }
}

/// What is no change: what is below one of both.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Noise {
    /// Of what it was before.
    pub percent: f64,
    /// In the whole recording.
    pub bytes: u64,
}

impl Default for Noise {
    /// Runs of the same program differ by what its threads hold at the end and by tables that have grown or not; a leak
    /// that is looked for holds more than a page.
    fn default() -> Noise {
        Noise { percent: 5.0, bytes: 4096 }
    }
}

/// What was asked.
#[derive(Clone, Default, Debug)]
pub struct Limits {
    /// What the growing sites may grow by together, bytes for each unit.
    pub growth: Option<(u64, Unit)>,
    /// What may be unfreed, bytes.
    pub unfreed: Option<u64>,
    /// How many blocks may be unfreed.
    pub blocks: Option<u64>,
    /// The name of the baseline, above which no site may be.
    pub baseline: Option<String>,
    /// How large a difference to the baseline is none.
    pub noise: Noise,
    /// Whether an incomplete recording will do.
    pub allow_incomplete: bool,
}

/// One limit.
#[derive(Clone, PartialEq, Debug)]
pub enum Bound {
    /// Bytes for each unit.
    Growth(u64, Unit),
    /// Bytes.
    Unfreed(u64),
    /// Blocks.
    Blocks(u64),
    /// What a baseline has, of this name.
    Baseline(String),
}

impl Bound {
    /// Whether a site is one of those that make what is bounded.
    pub fn concerns(&self, row: &Row) -> bool {
        match self {
            Bound::Growth(..) => row.measure == Measure::Growth && row.new.is_some(),
            Bound::Unfreed(_) | Bound::Blocks(_) => row.measure == Measure::Unfreed && row.new.is_some(),
            Bound::Baseline(_) => row.change == Change::More,
        }
    }
}

/// A limit, and what was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The limit.
    pub bound: Bound,
    /// Whether it is exceeded.
    pub is_exceeded: bool,
    /// What is held against it: of a baseline the sum of what is more.
    pub found: Amount,
    /// How many sites make it.
    pub sites: usize,
}

impl Limits {
    /// Holds against them what is unfreed and what of it is more than before.
    pub(super) fn outcomes(&self, held: &Held, rows: &[Row], rates: Option<&Rates>) -> Vec<Outcome> {
        let unfreed = held.sites.values().fold(Amount::default(), |sum, site| sum.plus(site.unfreed));
        let more = rows.iter().filter(|row| row.change == Change::More);
        let more = more.fold(Amount::default(), |sum, row| sum.plus(row.delta()));
        let outcome = |bound: Bound, is_exceeded: bool, found: Amount| {
            let sites = rows.iter().filter(|row| bound.concerns(row)).count();
            Outcome { bound, is_exceeded, found, sites }
        };
        let growth = self.growth.zip(rates).map(|((bytes, unit), rates)| {
            outcome(Bound::Growth(bytes, unit), rates.together.bytes > bytes as f64, rates.together)
        });
        let bytes =
            self.unfreed.map(|bytes| outcome(Bound::Unfreed(bytes), unfreed.bytes > bytes as f64, unfreed));
        let blocks =
            self.blocks.map(|blocks| outcome(Bound::Blocks(blocks), unfreed.blocks > blocks as f64, unfreed));
        let baseline = self.baseline.as_ref().map(|name| {
            let is_exceeded = rows.iter().any(|row| row.change == Change::More);
            outcome(Bound::Baseline(name.clone()), is_exceeded, more)
        });
        [growth, bytes, blocks, baseline].into_iter().flatten().collect()
    }
}
