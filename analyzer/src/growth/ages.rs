//! From which age on blocks are never freed: of those that became so old, as good as none was freed later.
use super::profile::{Axis, NEARLY_ALL};
use super::series::{Lifetimes, ProcessSeries};

/// A block that was not freed for a quarter of the window or longer tells nothing about which blocks are freed at all.
const LONGEST_WAIT: f64 = 0.25;
/// Of the blocks that reached an age, as many may have been freed later for one that still lives: then those that live are never freed.
const RARELY: f64 = 0.25;

/// What is known of the ages at which blocks are freed.
#[derive(Clone, Default)]
pub(super) struct Ages {
    /// What a tick lasts, ms; the same of all processes of a run.
    tick_ms: f64,
    /// Freed blocks that had lived for at least 2^n ticks.
    freed: Vec<f64>,
    /// Unfreed blocks that have lived for at least 2^n ticks while the program worked.
    unfreed: Vec<f64>,
    /// Length of the window, without idling at its end, ms.
    pub ms: f64,
}

impl Ages {
    pub fn of(process: &ProcessSeries) -> Ages {
        let axis = Axis::of(process, false);
        let series = process.series;
        let window = process.window;
        let end = axis.bucket(NEARLY_ALL);
        let powers = 0..Lifetimes::CLASSES as u32;
        let freed_in_all = series.buckets.iter().map(|bucket| bucket.freed.blocks).sum::<u64>();
        let freed =
            |power| series.lifetimes.map_or(freed_in_all, |lifetimes| lifetimes.at_least(power)) as f64;
        let unfreed = |power: u32| {
            let age_ms = f64::from(power).exp2() * window.tick_ms();
            let old = window.begun_before(window.begin_ms(end) - age_ms);
            series.buckets[..old.min(series.buckets.len())]
                .iter()
                .map(|bucket| bucket.unfreed.blocks)
                .sum::<u64>() as f64
        };
        Ages {
            tick_ms: window.tick_ms(),
            freed: powers.clone().map(freed).collect(),
            unfreed: powers.map(unfreed).collect(),
            ms: window.end_ms(end),
        }
    }

    pub fn add(&mut self, other: &Ages) {
        self.freed.resize(Lifetimes::CLASSES, 0.0);
        self.unfreed.resize(Lifetimes::CLASSES, 0.0);
        self.freed.iter_mut().zip(&other.freed).for_each(|(sum, more)| *sum += more);
        self.unfreed.iter_mut().zip(&other.unfreed).for_each(|(sum, more)| *sum += more);
        self.ms = self.ms.max(other.ms);
        self.tick_ms = other.tick_ms;
    }

    /// The ages from which on blocks are never freed, ms, youngest first; none if there is no block that is so old.
    pub fn never_freed_from(&self) -> Vec<f64> {
        if self.freed.first().is_none_or(|&freed| freed == 0.0) {
            return vec![0.0];
        }
        let longest = self.ms * LONGEST_WAIT;
        let powers = (0..self.freed.len() * 2).map(|half| (half as f64 / 2.0).exp2() * self.tick_ms);
        let ages = powers.take_while(|&age| age < longest).chain([longest]);
        ages.filter(|&age| self.is_never_freed_from(age)).collect()
    }

    /// Whether of blocks that became so old, ms, as good as none was freed beside these that stay. What a start left behind is
    /// not among them: it says nothing of those that came later.
    pub fn is_never_freed_beside(&self, age: f64, stayed: f64) -> bool {
        // A few that stay by chance beside one that was freed say nothing: as many count as there are at least.
        let least = (stayed - 2.0 * stayed.sqrt()).max(0.0);
        self.nothing_freed() || self.at_least(&self.freed, age) <= RARELY * least
    }

    /// Whether nothing was freed.
    pub fn nothing_freed(&self) -> bool {
        self.freed.first().is_none_or(|&freed| freed == 0.0)
    }

    /// Of these counts by age, how many are at least so old, ms: in between as if they got fewer at an even rate.
    fn at_least(&self, counts: &[f64], age: f64) -> f64 {
        let age = (age / self.tick_ms).max(1.0);
        let power = (age.log2() as usize).min(counts.len() - 1);
        let (younger, older) = (counts[power], counts.get(power + 1).copied().unwrap_or(0.0));
        let part = age / (power as f64).exp2() - 1.0;
        // Half a block, where there is none.
        younger * (older.max(0.5) / younger.max(0.5)).powf(part)
    }

    fn is_never_freed_from(&self, age: f64) -> bool {
        let unfreed = self.at_least(&self.unfreed, age);
        unfreed >= 1.0 && self.at_least(&self.freed, age) <= RARELY * unfreed
    }
}
