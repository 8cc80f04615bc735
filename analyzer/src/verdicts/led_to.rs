//! What led to a site in a process, over time: requests, where it is known when these came and what the site keeps came with
//! them, or else the work of the code that calls it.
use super::judging::Judging;
use crate::growth::{Series, Window};

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

/// What a request does may come so long after it began, ms: the next step of the clock.
pub const LATER_MS: f64 = 1.0;

/// Whether what a site keeps came with requests, as far as the clock tells: of servers that work on several at a time it is
/// known when one begins, and not which of them allocates.
fn comes_with(series: &Series, begun: &[u64], window: &Window) -> bool {
    let (mut with, mut all, mut last) = (0.0, 0.0, None);
    for (at, (bucket, &begun)) in series.buckets.iter().zip(begun).enumerate() {
        if begun > 0 {
            last = Some(at);
        }
        let kept = bucket.unfreed.blocks as f64;
        all += kept;
        let is_with =
            last.is_some_and(|last| last == at || window.end_ms(last) > window.begin_ms(at) - LATER_MS);
        with += if is_with { kept } else { 0.0 };
    }
    with > 0.0 && with >= WITH_REQUESTS * all
}

impl Judging {
    /// The stacks of a site beneath a function that works on requests, if nearly all that the site keeps is of these; else all.
    fn within_requests(&self, process: usize, stacks: &[usize]) -> Vec<usize> {
        let kept = |stacks: &[usize]| -> u64 {
            stacks.iter().map(|&stack| self.parts[process].unfreed(stack).blocks).sum()
        };
        let within: Vec<usize> =
            stacks.iter().copied().filter(|&stack| self.calls[process].is_known(stack)).collect();
        match kept(&within) as f64 >= WITH_REQUESTS * kept(stacks) as f64 {
            true => within,
            false => stacks.to_vec(),
        }
    }

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
            .filter(|reached| reached.iter().sum::<u64>() >= LEAST_REQUESTS)
            .filter(|reached| comes_with(series, reached, &self.parts[process].window));
        let stacks = self.within_requests(process, stacks);
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
