//! What led to a site in a process, over time: requests, where it is known when these came and what the site keeps came with
//! them, or else the work of the code that calls it.
use super::judging::Judging;
use crate::growth::{Bucket, Series};

/// Fewer requests say nothing of when others came.
pub const LEAST_REQUESTS: u64 = 10;

/// A site that allocates in a smaller part of all requests may be one that is reached by more, and needs no more: a cache of few keys.
const SELDOM: f64 = 0.1;

/// So great a part of the work of what leads to a site comes after nearly all that stays, if it is full: it was reached, and needed
/// no more.
const AFTER: f64 = 0.2;
/// A full store still allocates at times: a table in which entries are replaced is made anew.
const NEARLY_ALL: f64 = 0.9;

/// Whether what leads to a site works on after the site allocated nearly all that stays.
fn goes_on_after(work: &[u64], series: &Series) -> bool {
    let kept = || series.buckets.iter().map(|bucket| bucket.unfreed.blocks);
    let enough = NEARLY_ALL * kept().sum::<u64>() as f64;
    let mut sum = 0;
    let reached = kept().position(|blocks| {
        sum += blocks;
        sum as f64 >= enough
    });
    let after = work.get(reached.map_or(0, |reached| reached + 1)..).unwrap_or_default();
    after.iter().sum::<u64>() as f64 > AFTER * work.iter().sum::<u64>() as f64
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
        let Some(reached) = reached else { return Some((work?, false)) };
        let count: u64 = reached.iter().sum();
        let is_seldom = requests.is_some_and(|requests| (count as f64) < SELDOM * requests.count() as f64);
        let of_function = || self.calls[process].of_functions(stacks.iter().copied()).filter(|_| is_seldom);
        let goes_on = |work: &Vec<u64>| goes_on_after(work, series);
        match work.filter(goes_on).or_else(|| of_function().filter(goes_on)) {
            Some(work) => Some((work, false)),
            None => Some((reached, true)),
        }
    }
}
