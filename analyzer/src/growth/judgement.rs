//! What was found out about a site, as facts; output makes words of them.
use std::ops::Range;

use super::series::Amount;

/// What is said of a site.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// What is unfreed has grown steadily and was still growing at the end.
    Growing,
    /// Freed by Python's cyclic collector alone: what is unfreed waits for the next collection.
    GcOnly,
    /// Something stays unfreed, but it is bounded, stopped growing, or grows too little to be told from none.
    Plateau,
    /// Allocated when the program started, and unfreed since.
    Resident,
    /// All but the youngest is freed.
    Temporary,
}

impl Verdict {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Growing => "GROWING",
            Verdict::GcOnly => "GC-ONLY",
            Verdict::Plateau => "PLATEAU",
            Verdict::Resident => "RESIDENT",
            Verdict::Temporary => "TEMPORARY",
        }
    }
}

/// How sure a verdict is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confidence {
    /// Another verdict would need an odd coincidence.
    High,
    /// The verdict is the one that is safest to act on, and a longer recording may change it.
    Low(Doubt),
}

/// Why a verdict is not sure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doubt {
    /// It grew in few steps only.
    FewSteps,
    /// The window is too short, or almost nothing happened in it.
    ShortWindow,
    /// What stays may be in use by other code, see [`crate::verdicts`]: CPython hands freed objects on.
    HandedOn,
    /// Only the unfreed blocks are known: a bounded store that turns over looks the same as one that grows.
    OnlyUnfreed,
    /// What is live goes up and down by more than what may have grown.
    Fluctuates,
    /// It still grows, but ever more slowly: a store that fills up, or a rarer kind of work.
    Slowing,
}

/// What a verdict rests on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Reason {
    /// Grows, and none that was old enough was freed.
    NeverFreed {
        /// Times at which more stayed: buckets with unfreed births, of all processes.
        steps: u64,
    },
    /// Grows although most is freed.
    SomeNeverFreed {
        /// Of the blocks born in the window, those that were freed: 0 to 1.
        freed: f64,
        /// Buckets with unfreed births, of all processes.
        steps: u64,
    },
    /// One block is replaced by ever larger ones: an array that grows with what it holds.
    Enlarged {
        /// Times at which it was replaced.
        steps: u64,
        /// Bytes that are live at the end.
        bytes: u64,
    },
    /// All that is freed is freed by the cyclic collector, or all that is not freed soon.
    Collected {
        /// Of the blocks born in the window, those that were freed: 0 to 1.
        freed: f64,
        /// Mean time between two collections that freed something, ms; `None` if there were not two.
        sawtooth_ms: Option<f64>,
    },
    /// As much is freed as is allocated.
    Bounded {
        /// Of the blocks born in the window, those that were freed: 0 to 1.
        freed: f64,
        /// Time up to the end in which what is live did not grow, ms.
        flat_ms: f64,
    },
    /// It grew, then stopped.
    Stopped {
        /// Time from the last growth to the end, ms.
        flat_ms: f64,
    },
    /// A few allocations that stay, such as what is made when something is used for the first time.
    Once {
        /// Times at which more stayed.
        steps: u64,
        /// Time from the last one to the end, ms.
        flat_ms: f64,
    },
    /// More is allocated than is freed: a queue that is not worked off, arrays that become larger.
    Outrun {
        /// Of the blocks born in the window, those that were freed: 0 to 1.
        freed: f64,
    },
    /// It grew ever more slowly, and hardly at the end.
    Slowing,
    /// It seems to grow, but so unevenly that it may be none: the interval of the growth has 0 in it.
    Uneven,
    /// Allocated at start-up.
    StartUp,
    /// Was there when the window began, and nothing was added.
    Before,
    /// All is freed again.
    Freed {
        /// Of the blocks born in the window, those that were freed: 0 to 1.
        freed: f64,
    },
    /// What is unfreed is too young to say more.
    Young,
}

/// A number with the interval in which the truth lies in 95 of 100 cases.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Estimate {
    /// The best guess.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Estimate {
    /// In another unit.
    pub fn scaled(self, factor: f64) -> Estimate {
        Estimate { value: self.value * factor, low: self.low * factor, high: self.high * factor }
    }

    /// The sum of two that are independent of each other.
    pub fn plus(self, other: Estimate) -> Estimate {
        let value = self.value + other.value;
        Estimate {
            value,
            low: value - (self.value - self.low).hypot(other.value - other.low),
            high: value + (self.high - self.value).hypot(other.high - other.value),
        }
    }
}

/// Of less there is no rate by time, ms.
pub(super) const SHORTEST_MS: f64 = 1.0;

/// What stayed unfreed within a part of a process's window.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Growth {
    /// The buckets in which it grew; the youngest part of the window is not among them.
    pub part: Range<usize>,
    /// How long that is, ms.
    pub part_ms: f64,
    /// Blocks by which the unfreed grew in this part.
    pub blocks: Estimate,
    /// Bytes by which the unfreed grew in this part.
    pub bytes: Estimate,
}

impl Growth {
    /// Blocks per minute.
    pub fn blocks_per_minute(&self) -> Estimate {
        self.blocks.scaled(60_000.0 / self.part_ms.max(SHORTEST_MS))
    }

    /// Bytes per minute.
    pub fn bytes_per_minute(&self) -> Estimate {
        self.bytes.scaled(60_000.0 / self.part_ms.max(SHORTEST_MS))
    }

    /// Of things that are counted by bucket (requests, marks), those within the part: the rate per thing is [`Growth::bytes`] divided by this.
    pub fn count(&self, by_bucket: &[u64]) -> u64 {
        by_bucket
            .get(self.part.start.min(by_bucket.len())..self.part.end.min(by_bucket.len()))
            .unwrap_or_default()
            .iter()
            .sum()
    }
}

/// What was found out about a site in one process.
#[derive(Clone, PartialEq, Debug)]
pub struct ProcessJudgement {
    /// The verdict over this process alone; `None` if it says nothing: too short, or nothing of the site in it.
    pub verdict: Option<Verdict>,
    /// The growth, if it grows.
    pub growth: Option<Growth>,
}

/// What was found out about a site.
#[derive(Clone, PartialEq, Debug)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// How sure it is.
    pub confidence: Confidence,
    /// What it rests on.
    pub reason: Reason,
    /// Born in the window, in all processes.
    pub born: Amount,
    /// Of these, unfreed at the end: the change within the window is this less what was freed of what was there before.
    pub unfreed: Amount,
    /// Growth in the window, all processes together, if it grows: sums of what each process's [`Growth`] has.
    pub blocks: Estimate,
    /// As [`Judgement::blocks`], bytes.
    pub bytes: Estimate,
    /// Rate of the processes that grow, blocks per minute of one process (the mean, weighted by time).
    pub blocks_per_minute: Estimate,
    /// Rate of the processes that grow, bytes per minute of one process (the mean, weighted by time).
    pub bytes_per_minute: Estimate,
    /// Each process, in the order in which they were given.
    pub processes: Vec<ProcessJudgement>,
}

impl Judgement {
    /// Of what seemed to grow, but something else explains it.
    pub fn instead(self, verdict: Verdict, reason: Reason, doubt: Doubt) -> Judgement {
        let still = |process: ProcessJudgement| ProcessJudgement {
            verdict: process.verdict.map(|_| verdict),
            growth: None,
        };
        Judgement {
            verdict,
            confidence: Confidence::Low(doubt),
            reason,
            blocks: Estimate::default(),
            bytes: Estimate::default(),
            blocks_per_minute: Estimate::default(),
            bytes_per_minute: Estimate::default(),
            processes: self.processes.into_iter().map(still).collect(),
            ..self
        }
    }
}
