//! The limits that can be set, and whether they are exceeded.
use std::collections::HashMap;

use super::baseline::{Amount, Held};
use super::compare::{Change, Measure, Row};
use crate::growth::Estimate;

/// In what growth is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// A request of a server.
    Request,
    /// A minute.
    Minute,
    /// The time between a mark and the next.
    Mark,
}

impl Unit {
    /// All.
    pub const ALL: [Unit; 3] = [Unit::Request, Unit::Minute, Unit::Mark];

    /// As it is typed and shown.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Request => "request",
            Unit::Minute => "minute",
            Unit::Mark => "mark",
        }
    }
}

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
    /// How many of them the window has.
    pub units: f64,
    /// The sites that grow, by [`crate::aggregate::Site::hash`].
    pub sites: HashMap<u64, Rate>,
    /// Why nothing can be said of growth.
    pub untold: Option<String>,
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
        let grown = held.sites.values().filter_map(|site| site.growth);
        let grown = grown.fold(Amount::default(), |sum, rate| sum.plus(Amount::of_rate(&rate)));
        let more = rows.iter().filter(|row| row.change == Change::More);
        let more = more.fold(Amount::default(), |sum, row| sum.plus(row.delta()));
        let outcome = |bound: Bound, is_exceeded: bool, found: Amount| {
            let sites = rows.iter().filter(|row| bound.concerns(row)).count();
            Outcome { bound, is_exceeded, found, sites }
        };
        let growth = self
            .growth
            .filter(|_| rates.is_some())
            .map(|(bytes, unit)| outcome(Bound::Growth(bytes, unit), grown.bytes > bytes as f64, grown));
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
