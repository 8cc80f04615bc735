//! What growth is divided by: minutes, marks or requests.
use super::buckets::Part;
use super::requests::Requests;
use crate::growth::{Estimate, Judgement};

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
    /// The rate at which a site grows, that is number `growing` of those that do; `processes` are those of its judgement.
    pub fn rate(&self, judgement: &Judgement, processes: &[usize], growing: usize) -> Option<Rate> {
        let each = || {
            judgement
                .processes
                .iter()
                .zip(processes)
                .filter_map(|(one, &process)| Some((one.growth.as_ref()?, process)))
        };
        let (units, of) = match self.unit {
            Unit::Minute => {
                let times = each().map(|(growth, process)| {
                    let part = &self.parts[process];
                    (part.begin_ms(growth.part.start), part.begin_ms(growth.part.end))
                });
                let minutes = union(times.collect()) as f64 / 60_000.0;
                (minutes, minutes)
            }
            Unit::Mark => {
                let times = each().map(|(growth, process)| {
                    let part = &self.parts[process];
                    (part.begin_ms(growth.part.start), part.begin_ms(growth.part.end))
                });
                let marks = self.marks_within(&merged(times.collect()));
                (marks, marks)
            }
            Unit::Request => {
                let (mut units, mut of) = (0.0, 0.0);
                for (growth, process) in each() {
                    if let Some(named) = self.named {
                        let share = self.share(&growth.part, process);
                        units += named as f64 * share;
                        of += named as f64 * share;
                        continue;
                    }
                    let Some(requests) = self.requests.get(process) else { continue };
                    let all = growth.count(&requests.begun) as f64;
                    of += all;
                    units += match requests.sites.get(growing).filter(|_| requests.has_extent) {
                        Some(touched) => growth.count(touched) as f64,
                        None => all,
                    };
                }
                (units, of)
            }
        };
        // What grew in a fraction of a mark, or outside of requests, has no such rate.
        (units > 0.0).then(|| Rate {
            blocks: judgement.blocks.scaled(1.0 / units),
            bytes: judgement.bytes.scaled(1.0 / units),
            units,
            of,
        })
    }

    /// Of all that was allocated in the windows of all processes, what was in these buckets of one.
    fn share(&self, buckets: &std::ops::Range<usize>, process: usize) -> f64 {
        let all: u64 = self.parts.iter().flat_map(|part| &part.window.allocations).sum();
        let within = self.parts[process].window.allocations.get(buckets.clone()).unwrap_or_default();
        within.iter().sum::<u64>() as f64 / all.max(1) as f64
    }

    /// Times between a mark and the next, those that are cut as parts of one.
    fn marks_within(&self, times: &[(u64, u64)]) -> f64 {
        let between = self.marks.windows(2).map(|marks| (marks[0], marks[1]));
        let parts = between.flat_map(|(from, to)| {
            times.iter().map(move |&(begin, end)| {
                let within = end.min(to).saturating_sub(begin.max(from));
                within as f64 / to.saturating_sub(from).max(1) as f64
            })
        });
        parts.sum()
    }
}

/// How long it was in any of these times.
fn union(times: Vec<(u64, u64)>) -> u64 {
    merged(times).iter().map(|(begin, end)| end - begin).sum()
}

/// The same times, none in two of them.
fn merged(mut times: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    times.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (begin, end) in times {
        match merged.last_mut().filter(|(_, last)| begin <= *last) {
            Some((_, last)) => *last = end.max(*last),
            None => merged.push((begin, end.max(begin))),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_several_processes() {
        assert_eq!(union(vec![(5, 10), (0, 3), (8, 12), (9, 9), (20, 20)]), 3 + 7);
        assert_eq!(union(vec![]), 0);
    }
}
