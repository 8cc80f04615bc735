//! A recording held against limits and a baseline: what is over, what changed, and what is missing to say so.
//!
//! Pure: a report and the rates of what grows in, a [`Check`] out, which `output/check` prints. Files are read and written
//! in `commands/check.rs`.
mod baseline;
mod compare;
mod complete;
mod limits;
mod names;

pub use baseline::{Amount, BadBaseline, Baseline, Held};
pub use compare::{Change, Measure, Row, compare};
pub use complete::incomplete;
pub use limits::{Bound, Limits, Noise, Outcome, Rate, Rates};
pub use names::Names;

use crate::aggregate::{Counts, Report};

/// What came of it.
pub struct Check {
    /// What is unfreed in the recording.
    pub report: Report,
    /// What grows in it, if that was asked.
    pub rates: Option<Rates>,
    /// Each limit that was set, those that are exceeded first.
    pub outcomes: Vec<Outcome>,
    /// The sites, those first that are over a limit.
    pub rows: Vec<Row>,
    /// Whether `rows` are compared with a baseline.
    pub is_compared: bool,
    /// Why the recording is not complete; empty if it is.
    pub incomplete: Vec<String>,
    /// Whether that is since something of it is missing; else it only says too little of growth.
    pub is_lost: bool,
    /// Whether an incomplete recording will do.
    pub allow_incomplete: bool,
}

/// In one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Within all limits.
    Within,
    /// Over one of them.
    Over,
    /// Not to be told: what is missing may be blocks, and it may be that blocks were freed.
    Incomplete,
}

impl Verdict {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Within => "within",
            Verdict::Over => "over",
            Verdict::Incomplete => "incomplete",
        }
    }

    /// The exit status that goes with it.
    pub fn status(self) -> u8 {
        match self {
            Verdict::Within => 0,
            Verdict::Over => 1,
            Verdict::Incomplete => 3,
        }
    }
}

impl Check {
    /// Holds a recording against limits, and against a baseline if there is one.
    pub fn new(report: Report, rates: Option<Rates>, limits: &Limits, baseline: Option<&Baseline>) -> Check {
        let names = Names::new(&report);
        let held = Held::of(&report, &names, rates.as_ref());
        let mut rows = compare(baseline.map(Baseline::held), &held, &limits.noise, rates.as_ref());
        let mut outcomes = limits.outcomes(&held, &rows, rates.as_ref());
        for outcome in outcomes.iter().filter(|outcome| outcome.is_exceeded) {
            rows.iter_mut().filter(|row| outcome.bound.concerns(row)).for_each(|row| row.is_over = true);
        }
        outcomes.sort_by_key(|outcome| !outcome.is_exceeded);
        // Stable: within those that are over and the others they stay as they are.
        rows.sort_by_key(|row| !row.is_over);
        let mut incomplete = incomplete(&report);
        let is_lost = !incomplete.is_empty();
        incomplete.extend(rates.iter().flat_map(|rates| rates.untold.clone()));
        let is_compared = baseline.is_some();
        let allow_incomplete = limits.allow_incomplete;
        Check { report, rates, outcomes, rows, is_compared, incomplete, is_lost, allow_incomplete }
    }

    /// In one word.
    pub fn verdict(&self) -> Verdict {
        match self.is_over() {
            _ if self.is_lost && self.is_incomplete() => Verdict::Incomplete,
            true => Verdict::Over,
            false if self.is_incomplete() => Verdict::Incomplete,
            false => Verdict::Within,
        }
    }

    /// Whether a limit is exceeded, as far as is known.
    pub fn is_over(&self) -> bool {
        self.outcomes.iter().any(|outcome| outcome.is_exceeded)
    }

    /// Whether something is missing that may not be.
    pub fn is_incomplete(&self) -> bool {
        !self.incomplete.is_empty() && !self.allow_incomplete
    }

    /// What the sites hold together.
    pub fn selected(&self) -> Counts {
        let mut counts = Counts::default();
        self.report.sites.iter().for_each(|site| counts.add(&site.counts));
        counts
    }
}
