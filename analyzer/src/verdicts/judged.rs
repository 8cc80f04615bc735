//! What is asked of a run, and what is said of its sites.
use std::collections::HashSet;

use super::descriptors::Opened;
use super::units::{Rate, Unit};
use crate::aggregate::{PathId, Report, Selection};
use crate::growth::{Amount, Judgement};
use crate::replay::Edge;
use crate::servers::Handlers;

/// What is asked.
pub struct Asked {
    /// What makes a site, and which there are.
    pub selection: Selection,
    /// When the window begins, and the same on the monotonic clock, ms; `None`: with the run.
    pub from: Option<(Edge, u64)>,
    /// When the run began, monotonic ms.
    pub begun_ms: u64,
    /// What to divide growth by; `None`: requests, if there are any.
    pub unit: Option<Unit>,
    /// What works on requests.
    pub handlers: Handlers,
    /// How many requests there were, if the user knows.
    pub requests: Option<u64>,
    /// The descriptors that each process has now, if that is known and asked for.
    pub open: Vec<Option<HashSet<u32>>>,
}

/// A site and its verdict.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its place among the sites of the report.
    pub site: usize,
    /// The verdict.
    pub judgement: Judgement,
    /// The processes of [`Judgement::processes`], by their place in the report.
    pub processes: Vec<usize>,
    /// Bytes by which it grows in a minute in each of these, if it does.
    pub per_minute: Vec<Option<f64>>,
    /// Blocks and bytes by which its unfreed memory changed in the window.
    pub change: (i128, i128),
    /// Unfreed at the end.
    pub unfreed: Amount,
    /// Of what was allocated in the window, the share that was freed, 0 to 1; `None`: not known.
    pub freed: Option<f64>,
    /// Blocks that Python's cyclic collector freed in the window.
    pub collected: u64,
    /// How fast it grows, if it does.
    pub rate: Option<Rate>,
    /// Of its stacks the one with most of what was allocated in the window and is unfreed.
    pub stack: Option<PathId>,
}

/// Requests that were counted.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Counted {
    /// What works on them: `gunicorn`, or a function that the user named.
    pub servers: Vec<String>,
    /// Of each process.
    pub processes: Vec<u64>,
    /// What one request allocates can be told from what another does.
    pub has_extent: bool,
}

impl Counted {
    /// Of all processes.
    pub fn count(&self) -> u64 {
        self.processes.iter().sum()
    }
}

/// The verdicts of a run.
pub struct Verdicts {
    /// Its processes and sites.
    pub report: Report,
    /// First and last moment of the window, monotonic ms.
    pub window_ms: (u64, u64),
    /// What growth was divided by.
    pub unit: Unit,
    /// The requests, as far as they are known.
    pub requests: Counted,
    /// How many requests there were, if the user named it.
    pub named_requests: Option<u64>,
    /// How many marks there are in the window.
    pub marks: usize,
    /// Most important first.
    pub sites: Vec<Judged>,
    /// Bytes by which each process grows in a minute, of what grows in it.
    pub per_minute: Vec<f64>,
    /// Of each process whether only its unfreed blocks are known.
    pub only_unfreed: Vec<bool>,
    /// The same of descriptors, if these were recorded.
    pub descriptors: Option<Box<Opened>>,
}
