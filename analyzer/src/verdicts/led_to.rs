//! What led to a site in a process, over time: requests, where it is known when these came and what the site keeps came with
//! them, or else the work of the code that calls it.
use super::judging::Judging;
use crate::growth::{Bucket, Series};

/// Fewer requests say nothing of when others came.
pub const LEAST_REQUESTS: u64 = 10;

/// So great a part of the work of what leads to a site comes after the last request that allocated there, if it is full: it was
/// reached, and needed no more.
const AFTER: f64 = 0.2;

/// Whether what leads to a site works on after the last request that allocated there.
fn goes_on_after(work: &[u64], reached: &[u64]) -> bool {
    let last = reached.iter().rposition(|&requests| requests > 0).map_or(0, |last| last + 1);
    let sum = |work: &[u64]| work.iter().sum::<u64>() as f64;
    sum(work.get(last..).unwrap_or_default()) > AFTER * sum(work)
}

/// So great a part of what a site keeps comes while requests do, if it comes with them.
const WITH_REQUESTS: f64 = 0.9;

/// Whether what a site keeps came with requests, as far as the clock tells: of servers that work on several at a time it is
/// known when one begins, and not which of them allocates.
fn comes_with(series: &Series, begun: &[u64]) -> bool {
    // What a request does may come one tick of the clock after it began.
    let is_with = |at: usize| begun[at] > 0 || at > 0 && begun[at - 1] > 0;
    let kept = |(_, bucket): (usize, &Bucket)| bucket.unfreed.blocks as f64;
    let buckets = || series.buckets.iter().enumerate().take(begun.len());
    let with: f64 = buckets().filter(|(at, _)| is_with(*at)).map(kept).sum();
    with > 0.0 && with >= WITH_REQUESTS * buckets().map(kept).sum::<f64>()
}

impl Judging {
    /// What leads to a site in a process: the requests in which it allocated, or all of them if it allocates where there
    /// are some, or the work of the code that calls it; and whether these are requests.
    pub fn calls(
        &self,
        site: usize,
        process: usize,
        stacks: &[usize],
        series: &Series,
    ) -> Option<(Vec<u64>, bool)> {
        let requests = self.requests.get(process).filter(|requests| requests.count() >= LEAST_REQUESTS);
        let reached = requests.and_then(|requests| match requests.has_extent {
            true => requests.sites.get(self.numbers[site]? as usize).cloned(),
            false => Some(requests.begun.clone()),
        });
        // Calls one right after the other, with nothing allocated in between, are counted as one, which lasts.
        let reached = reached
            .filter(|reached| reached.iter().sum::<u64>() >= LEAST_REQUESTS && comes_with(series, reached));
        let work = self.calls[process].of(stacks.iter().copied());
        match (reached, work) {
            (Some(reached), Some(work)) if goes_on_after(&work, &reached) => Some((work, false)),
            (Some(reached), _) => Some((reached, true)),
            (None, work) => Some((work?, false)),
        }
    }
}
