//! What growth is divided by: minutes, marks or requests.
use std::ops::Range;

use super::buckets::Part;
use super::led_to::{LATER_MS, LEAST_REQUESTS};
use super::requests::Requests;
use crate::growth::{Amount, Estimate, Growth, Judgement};

/// What growth is divided by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// A minute of the service: of all its processes together.
    Minute,
    /// The time between a mark and the next.
    Mark,
    /// A request.
    Request,
}

impl Unit {
    /// All.
    pub const ALL: [Unit; 3] = [Unit::Request, Unit::Minute, Unit::Mark];

    /// `minute`.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Minute => "minute",
            Unit::Mark => "mark",
            Unit::Request => "request",
        }
    }
}

/// Growth by one unit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    /// What it is by.
    pub unit: Unit,
    /// Blocks.
    pub blocks: Estimate,
    /// Bytes.
    pub bytes: Estimate,
    /// Of the units that growth was divided by, how many there were; requests: those in which the site allocated.
    pub units: f64,
    /// Of this many.
    pub of: f64,
}

/// How many units there were, and how growth is divided by them.
pub struct Units<'a> {
    /// What one is.
    pub unit: Unit,
    /// Each process's part of the window.
    pub parts: &'a [Part],
    /// Requests of each process, and of the sites that grow, in the order of these.
    pub requests: &'a [Requests],
    /// The number of requests, if the user named it.
    pub named: Option<u64>,
    /// When the marks in the window were, monotonic ms.
    pub marks: &'a [u64],
}

impl Units<'_> {
    /// The rate at which a site grows, that is number `growing` of those for which requests are counted; `processes` are those of its judgement. By the
    /// minute, if what grew did so outside of requests, or in a fraction of the time between two marks; or if fewer requests were counted
    /// than tell anything: calls of a native function that follow each other are counted as one.
    pub fn rate(
        &self,
        judgement: &Judgement,
        processes: &[usize],
        growing: Option<usize>,
        unfreed: impl Fn(usize) -> Vec<Amount>,
    ) -> Option<Rate> {
        let each = judgement.processes.iter().zip(processes);
        let each: Vec<_> = each.filter_map(|(one, &process)| Some((one.growth.as_ref()?, process))).collect();
        let rate = |unit, units: f64, of| {
            let scale = 1.0 / units;
            let (blocks, bytes) = (judgement.blocks.scaled(scale), judgement.bytes.scaled(scale));
            (units >= LEAST_UNITS).then_some(Rate { unit, blocks, bytes, units, of })
        };
        let times =
            || each.iter().map(|(growth, process)| self.parts[*process].cells.times(&growth.part)).collect();
        let found = match self.unit {
            Unit::Minute => None,
            Unit::Mark => {
                let marks = self.marks_within(&each);
                rate(Unit::Mark, marks, marks)
            }
            Unit::Request => {
                let (units, of) = self.requests_within(&each, growing);
                let is_told = self.named.is_some() || of >= LEAST_REQUESTS as f64;
                let told = rate(Unit::Request, units, of).filter(|_| is_told);
                told.map(|rate| self.sure(rate, &each, growing, unfreed))
            }
        };
        let minutes = union(times()) / 60_000.0;
        found.or_else(|| rate(Unit::Minute, minutes, minutes))
    }

    /// How sure a rate by request is: requests come in bursts, and what grows with them, so the two are looked at together.
    fn sure(
        &self,
        rate: Rate,
        each: &[(&Growth, usize)],
        growing: Option<usize>,
        unfreed: impl Fn(usize) -> Vec<Amount>,
    ) -> Rate {
        let mut pairs: Vec<(f64, Amount)> = Vec::new();
        for (growth, process) in each {
            let Some(requests) = self.requests.get(*process) else { return rate };
            let counted = growing.and_then(|number| requests.sites.get(number));
            let counted = counted.filter(|_| requests.has_extent).unwrap_or(&requests.begun);
            let stays = unfreed(*process);
            let window = &self.parts[*process].window;
            let begin_ms = |at| window.begin_ms(at);
            // What a request keeps may come a while after it began.
            let piece_ms = ((begin_ms(growth.part.end) - begin_ms(growth.part.start)) / PIECES).min(LATER_MS);
            let mut from_ms = f64::NEG_INFINITY;
            for at in growth.part.clone().filter(|&at| at < counted.len() && at < stays.len()) {
                if begin_ms(at) >= from_ms + piece_ms {
                    from_ms = begin_ms(at);
                    pairs.push((0.0, Amount::default()));
                }
                let Some(pair) = pairs.last_mut() else { continue };
                pair.0 += counted[at] as f64;
                pair.1 += stays[at];
            }
        }
        let of = |estimate: Estimate, amount: fn(&Amount) -> u64| {
            ratio(estimate, pairs.iter().map(|(requests, stays)| (*requests, amount(stays) as f64)))
        };
        Rate {
            blocks: of(rate.blocks, |stays| stays.blocks),
            bytes: of(rate.bytes, |stays| stays.bytes),
            ..rate
        }
    }

    /// The requests in which a site allocated while it grew, and all in that time.
    fn requests_within(&self, each: &[(&Growth, usize)], growing: Option<usize>) -> (f64, f64) {
        let (mut units, mut of) = (0.0, 0.0);
        for (growth, process) in each {
            if let Some(named) = self.named {
                units += named as f64 * self.share(&growth.part, *process);
                of = units;
                continue;
            }
            let Some(requests) = self.requests.get(*process) else { continue };
            let all = growth.count(&requests.begun) as f64;
            of += all;
            let reached = growing.and_then(|number| requests.sites.get(number));
            units += match (requests.has_extent, reached) {
                (true, Some(reached)) => growth.count(reached) as f64,
                (true, None) => 0.0,
                (false, _) => all,
            };
        }
        (units, of)
    }

    /// Of all that was allocated in the windows of all processes, what was in these buckets of one.
    fn share(&self, buckets: &Range<usize>, process: usize) -> f64 {
        let all: u64 = self.parts.iter().flat_map(|part| &part.window.allocations).sum();
        let within = self.parts[process].window.allocations.get(buckets.clone()).unwrap_or_default();
        within.iter().sum::<u64>() as f64 / all.max(1) as f64
    }

    /// Times between a mark and the next, those that are cut as parts of one: by how much of their work is in what grew. Between
    /// the last request and a mark a service may idle for long.
    fn marks_within(&self, each: &[(&Growth, usize)]) -> f64 {
        let between = self.marks.windows(2).map(|marks| {
            let (mut within, mut all) = (0, 0);
            for (growth, process) in each {
                let Part { cells, window, .. } = &self.parts[*process];
                let (from, to) = (cells.at_ms(marks[0]), cells.at_ms(marks[1]));
                let work = |from: usize, to: usize| -> u64 {
                    window.allocations.get(from..to).map_or(0, |work| work.iter().sum())
                };
                all += work(from, to);
                within += work(from.max(growth.part.start), to.min(growth.part.end));
            }
            within as f64 / all.max(1) as f64
        });
        between.sum()
    }
}

/// An estimate of a ratio, with the interval that these pairs of denominators and numerators leave.
fn ratio(estimate: Estimate, pairs: impl Iterator<Item = (f64, f64)> + Clone) -> Estimate {
    let (count, below, above) = pairs
        .clone()
        .filter(|(below, above)| *below > 0.0 || *above > 0.0)
        .fold((0.0, 0.0, 0.0), |sum, (below, above)| (sum.0 + 1.0, sum.1 + below, sum.2 + above));
    if count < 2.0 || below <= 0.0 {
        return estimate;
    }
    let squares: f64 = pairs.map(|(requests, stays)| (stays - above / below * requests).powi(2)).sum();
    let margin = 1.96 * (squares * count / (count - 1.0)).sqrt() / below;
    Estimate { value: estimate.value, low: estimate.value - margin, high: estimate.value + margin }
}

/// Into so many pieces a short time is cut at least, to see how evenly growth came with requests.
const PIECES: f64 = 40.0;

/// Of less there is no rate: a fraction of a mark, a minute of no length.
const LEAST_UNITS: f64 = 1e-6;

/// How long it was in any of these times.
fn union(times: Vec<Range<f64>>) -> f64 {
    merged(times).iter().map(|time| time.end - time.start).sum()
}

/// The same times, none in two of them.
fn merged(mut times: Vec<Range<f64>>) -> Vec<Range<f64>> {
    times.sort_by(|a, b| a.start.total_cmp(&b.start));
    let mut merged: Vec<Range<f64>> = Vec::new();
    for time in times {
        match merged.last_mut().filter(|last| time.start <= last.end) {
            Some(last) => last.end = time.end.max(last.end),
            None => merged.push(time),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_with_requests_is_sure_though_these_come_in_bursts() {
        let estimate = Estimate { value: 10.0, low: 1.0, high: 30.0 };
        let sure = ratio(estimate, [(1.0, 10.0), (0.0, 0.0), (50.0, 500.0), (3.0, 30.0)].into_iter());
        assert!((sure.low - 10.0).abs() < 1e-9 && (sure.high - 10.0).abs() < 1e-9, "{sure:?}");
        let rough = ratio(estimate, [(1.0, 0.0), (1.0, 20.0)].into_iter());
        assert!(rough.low < 0.0 && rough.high > 20.0, "{rough:?}");
        assert_eq!(ratio(estimate, [(5.0, 50.0)].into_iter()), estimate, "one is not enough");
    }

    #[test]
    fn times_of_several_processes() {
        assert_eq!(union(vec![5.0..10.0, 0.0..3.0, 8.0..12.0, 9.0..9.0, 20.0..20.0]), 3.0 + 7.0);
        assert_eq!(union(vec![]), 0.0);
    }
}
