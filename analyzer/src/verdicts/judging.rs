//! Judges each site by what it did in every process: puts together its series, what led to it, and what of it was freed.
use std::cmp::Reverse;
use std::sync::Arc;

use super::buckets::Part;
use super::calls::{Calls, Numbers};
use super::handed_on::sizes;
use super::judged::Judged;
use super::requests::Requests;
use crate::aggregate::{Callers, Member, Report, in_parallel};
use crate::growth::{Amount, ProcessSeries, Series, judge};
use crate::replay::Replayed;
use crate::servers::Handlers;

/// All that is needed to judge a site.
pub struct Judging {
    /// Its sites and their stacks.
    pub report: Report,
    /// What was watched of each process.
    pub parts: Vec<Part>,
    /// Of each process its stacks.
    pub members: Vec<Vec<Member>>,
    /// Of each process, by stack: the sizes of its unfreed blocks; and how many there are of each.
    pub sizes: Vec<Vec<Vec<(u64, u64)>>>,
    /// Of each process what led to its stacks.
    pub calls: Vec<Calls>,
    /// By site: its stacks in each process.
    pub stacks: Vec<Vec<(usize, Vec<usize>)>>,
    /// By site: its number among those for which requests are counted.
    pub numbers: Vec<Option<u32>>,
    /// Of each process.
    pub requests: Arc<Vec<Requests>>,
}

impl Judging {
    /// Of the processes of a report, in its order.
    pub fn new(
        report: Report,
        parts: Vec<Part>,
        processes: Vec<(Replayed, Vec<Member>)>,
        handlers: &Handlers,
    ) -> Judging {
        let sizes = processes.iter().map(|(replayed, _)| sizes(replayed)).collect();
        let members: Vec<Vec<Member>> = processes.into_iter().map(|(_, members)| members).collect();
        let mut callers = Callers::new(&report.own, handlers);
        let mut numbers = Numbers::default();
        let calls = parts.iter().zip(&members);
        let calls =
            calls.map(|(part, members)| Calls::new(part, members, &report, &mut callers, &mut numbers));
        let calls = calls.collect();
        let mut stacks: Vec<Vec<(usize, Vec<usize>)>> = vec![Vec::new(); report.sites.len()];
        for (process, sites) in report.members.iter().enumerate() {
            for (stack, site) in sites.iter().enumerate() {
                let Some(site) = *site else { continue };
                match stacks[site].last_mut() {
                    Some((last, stacks)) if *last == process => stacks.push(stack),
                    _ => stacks[site].push((process, vec![stack])),
                }
            }
        }
        let numbers = vec![None; stacks.len()];
        Judging { report, parts, members, sizes, calls, stacks, numbers, requests: Arc::default() }
    }

    /// The verdicts of all sites, in the order of the report.
    pub fn sites(&self) -> Vec<Judged> {
        let sites: Vec<usize> = (0..self.stacks.len()).collect();
        in_parallel(&sites, |&site| self.judge(site))
    }

    fn judge(&self, site: usize) -> Judged {
        let all = &self.stacks[site];
        let processes: Vec<usize> = all.iter().map(|(process, _)| *process).collect();
        let series: Vec<Series> = all.iter().map(|(process, stacks)| self.series(*process, stacks)).collect();
        let calls: Vec<Option<(Vec<u64>, bool)>> = (all.iter().zip(&series))
            .map(|((process, stacks), series)| self.calls(site, *process, stacks, series))
            .collect();
        let each = all.iter().zip(&series).zip(&calls).map(|(((process, _), series), calls)| ProcessSeries {
            window: &self.parts[*process].window,
            series,
            calls: calls.as_ref().map(|(calls, _)| calls.as_slice()),
            calls_are_requests: calls.as_ref().is_some_and(|(_, are_requests)| *are_requests),
        });
        let judgement = judge(&each.collect::<Vec<_>>());
        let buckets = series.iter().flat_map(|series| &series.buckets);
        let collected = buckets.map(|bucket| bucket.collected.blocks).sum();
        let (mut unfreed, mut change, mut known, mut waited) = (Amount::default(), (0, 0), true, 0);
        for series in &series {
            let signed = |amount: Amount| (i128::from(amount.blocks), i128::from(amount.bytes));
            let held = series.buckets.iter().fold(Amount::default(), |sum, bucket| sum + bucket.unfreed);
            let left_out = series.collected_at_exit + series.names;
            let born = held + left_out;
            waited += left_out.blocks;
            let (was, is) = (signed(series.before), signed(born + series.before_unfreed));
            change = (change.0 + is.0 - was.0, change.1 + is.1 - was.1);
            unfreed += born + series.before_unfreed;
            known &= !series.only_unfreed;
        }
        let counts = &self.report.sites[site].counts;
        let (allocated, stays) = match known {
            true => (judgement.born.blocks + waited, judgement.unfreed.blocks + waited),
            false if self.report.is_counted() => (counts.allocations, counts.unfreed_blocks),
            false => (0, 0),
        };
        let freed = (allocated > 0).then(|| 1.0 - stays as f64 / allocated as f64);
        let grown =
            all.iter().flat_map(|(process, stacks)| stacks.iter().map(move |&stack| (*process, stack)));
        let grown =
            grown.max_by_key(|&(process, stack)| (self.parts[process].unfreed(stack).bytes, Reverse(stack)));
        let stack = grown.map(|(process, stack)| self.members[process][stack].path);
        Judged {
            site,
            judgement,
            processes,
            per_minute: Vec::new(),
            change,
            unfreed,
            freed,
            collected,
            rate: None,
            stack,
        }
    }

    /// What these stacks of a process did.
    pub fn series(&self, process: usize, stacks: &[usize]) -> Series {
        self.parts[process].series(stacks.iter().copied(), &self.members[process])
    }
}
