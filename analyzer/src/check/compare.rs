//! What a recording holds beside what a baseline held, site by site.
//!
//! A site that grows in either is compared by its rate, any other one by what is unfreed in it; so runs of different
//! lengths are comparable if growth is known of both.
use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::baseline::{Amount, Held, HeldBySite};
use super::limits::{Noise, Rate, Rates};
use crate::growth::Estimate;

/// What of a site is compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Measure {
    /// How fast it grows.
    Growth,
    /// What is unfreed.
    Unfreed,
}

/// How a site differs from the baseline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It has more, and by more than noise.
    More,
    /// It has less, and by more than noise.
    Less,
    /// Not so that it matters.
    Noise,
    /// Not at all, or there is no baseline.
    None,
}

/// A site.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What the numbers are.
    pub measure: Measure,
    /// In the baseline; `None`: it is not there.
    pub old: Option<Amount>,
    /// In the recording; `None`: it is not there.
    pub new: Option<Amount>,
    /// How they differ.
    pub change: Change,
    /// The site that holds most of it, by its place in the report.
    pub site: Option<usize>,
    /// Whether it is among those by which a limit is exceeded.
    pub is_over: bool,
}

impl Row {
    /// New less old.
    pub fn delta(&self) -> Amount {
        self.new.unwrap_or_default().minus(self.old.unwrap_or_default())
    }

    /// Whether the baseline has nothing of it.
    pub fn is_new(&self) -> bool {
        self.old.is_none()
    }

    /// Whether the recording has nothing of it.
    pub fn is_gone(&self) -> bool {
        self.new.is_none()
    }
}

/// Compares; `old` is `None` without a baseline. What changed comes first, the largest change before others; without a
/// baseline what is largest.
pub fn compare(old: Option<&Held>, new: &Held, noise: &Noise, rates: Option<&Rates>) -> Vec<Row> {
    let nothing = Held::default();
    let before = old.unwrap_or(&nothing);
    let names: BTreeSet<&String> = before.sites.keys().chain(new.sites.keys()).collect();
    let mut rows = Vec::new();
    for name in names {
        let pair = (before.sites.get(name), new.sites.get(name));
        let row = |measure, old_amount, new_amount, change| Row {
            name: name.clone(),
            measure,
            old: old_amount,
            new: new_amount,
            change: if old.is_some() { change } else { Change::None },
            site: pair.1.map(|held| held.site),
            is_over: false,
        };
        let growth = |held: Option<&HeldBySite>| held.and_then(|held| held.growth);
        let unfreed = |held: Option<&HeldBySite>| held.map(|held| held.unfreed);
        let (old_rate, new_rate) = (growth(pair.0), growth(pair.1));
        // Of a baseline without growth only what is unfreed is known.
        let is_rate = rates.is_some() && (old_rate.is_some() || new_rate.is_some());
        if is_rate {
            let change = rates_differ(old_rate, new_rate, noise, rates.map_or(1.0, |rates| rates.units));
            let amounts = (old_rate.as_ref().map(Amount::of_rate), new_rate.as_ref().map(Amount::of_rate));
            rows.push(row(Measure::Growth, amounts.0, amounts.1, change));
        }
        if !is_rate || old.is_none() {
            let (old, new) = (unfreed(pair.0), unfreed(pair.1));
            let change = amounts_differ(old.unwrap_or_default(), new.unwrap_or_default(), noise);
            rows.push(row(Measure::Unfreed, old, new, change));
        }
    }
    let order = |row: &Row| {
        let delta = row.delta().bytes;
        let changed = matches!(row.change, Change::None | Change::Noise);
        (row.measure, changed, Reverse(delta.abs().to_bits()), row.name.clone())
    };
    rows.sort_by_cached_key(order);
    rows
}

fn amounts_differ(old: Amount, new: Amount, noise: &Noise) -> Change {
    let delta = (new.bytes - old.bytes).abs();
    let bound = (old.bytes * noise.percent / 100.0).max(noise.bytes as f64);
    match new.bytes.total_cmp(&old.bytes) {
        std::cmp::Ordering::Equal if new.blocks == old.blocks => Change::None,
        _ if delta <= bound => Change::Noise,
        std::cmp::Ordering::Greater => Change::More,
        _ => Change::Less,
    }
}

/// Of rates the noise in bytes is that of the whole window, and intervals that overlap are no difference.
fn rates_differ(old: Option<Rate>, new: Option<Rate>, noise: &Noise, units: f64) -> Change {
    let (old, new) = (bytes(old), bytes(new));
    let bound = (old.value * noise.percent / 100.0).max(noise.bytes as f64 / units.max(1.0));
    match new.value - old.value {
        0.0 => Change::None,
        delta if delta.abs() <= bound => Change::Noise,
        delta if delta > 0.0 && new.low > old.high => Change::More,
        delta if delta < 0.0 && new.high < old.low => Change::Less,
        _ => Change::Noise,
    }
}

fn bytes(rate: Option<Rate>) -> Estimate {
    rate.map_or(Estimate::default(), |rate| rate.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE: Noise = Noise { percent: 5.0, bytes: 4096 };

    fn amount(bytes: f64) -> Amount {
        Amount { bytes, blocks: 1.0 }
    }

    #[test]
    fn a_difference_is_noise_below_one_of_both_bounds() {
        for (old, new, change) in [
            (1e6, 1e6, Change::None),
            (1e6, 1.05e6, Change::Noise),
            (1e6, 1.05e6 + 1.0, Change::More),
            (1e6, 0.94e6, Change::Less),
            (0.0, 4096.0, Change::Noise),
            (0.0, 4097.0, Change::More),
            (8192.0, 4000.0, Change::Less),
        ] {
            assert_eq!(amounts_differ(amount(old), amount(new), &NOISE), change, "{old} -> {new}");
        }
        let exact = Noise { percent: 0.0, bytes: 0 };
        assert_eq!(amounts_differ(amount(1e6), amount(1e6 + 1.0), &exact), Change::More);
        let blocks = Amount { bytes: 1e6, blocks: 2.0 };
        assert_eq!(amounts_differ(amount(1e6), blocks, &exact), Change::Noise, "bytes are bounded");
    }

    #[test]
    fn rates_whose_intervals_overlap_are_the_same() {
        let rate = |value: f64, low: f64, high: f64| {
            let bytes = Estimate { value, low, high };
            Some(Rate { bytes, blocks: Estimate::default() })
        };
        let of = |old, new| rates_differ(old, new, &NOISE, 1000.0);
        assert_eq!(of(rate(100.0, 90.0, 110.0), rate(120.0, 105.0, 130.0)), Change::Noise);
        assert_eq!(of(rate(100.0, 90.0, 110.0), rate(120.0, 115.0, 130.0)), Change::More);
        assert_eq!(of(None, rate(100.0, 90.0, 110.0)), Change::More);
        assert_eq!(of(None, rate(4.0, 3.9, 4.1)), Change::Noise, "4 KiB in 1,000 requests");
        assert_eq!(of(rate(100.0, 90.0, 110.0), None), Change::Less);
    }
}
