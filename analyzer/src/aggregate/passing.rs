//! What the sites of a report gave back: what of it soon, and how long it had lived.
use super::build::Member;
use super::report::Report;
use crate::growth::Lifetimes;
use crate::replay::{Replayed, Seen, ShortLived};

/// What the sites of a report allocated for a short time only: freed before its thread had allocated `within` more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemporarySites {
    /// How many more.
    pub within: u32,
    /// For each of [`Report::sites`].
    pub sites: Vec<ShortLived>,
    /// Processes of which nothing is known of this.
    pub unknown: usize,
}

impl TemporarySites {
    /// Of a report and what it was made of.
    pub fn of(report: &Report, processes: &[(Replayed, Vec<Member>)], within: u32) -> TemporarySites {
        let all = report.sites.len();
        let sites = by_site(report, processes, all, |sum: &mut ShortLived, seen, stack| {
            let of_stack = seen.temporary.as_ref().map(|temporary| temporary.of(stack)).unwrap_or_default();
            sum.blocks += of_stack.blocks;
            sum.bytes = sum.bytes.saturating_add(of_stack.bytes);
        });
        let unknown = processes.iter().filter(|(replayed, _)| replayed.seen.temporary.is_none()).count();
        TemporarySites { within, sites, unknown }
    }

    /// The sum over all sites.
    pub fn total(&self) -> ShortLived {
        self.sites.iter().fold(ShortLived::default(), |sum, site| ShortLived {
            blocks: sum.blocks + site.blocks,
            bytes: sum.bytes.saturating_add(site.bytes),
        })
    }
}

/// How long the blocks of each site lived that were freed; for each of [`Report::sites`] up to the last one that is `shown`.
pub fn lifetimes(report: &Report, processes: &[(Replayed, Vec<Member>)], shown: usize) -> Vec<Lifetimes> {
    by_site(report, processes, shown, |sum: &mut Lifetimes, seen, stack| {
        seen.lifetimes.iter().for_each(|lifetimes| sum.merge(&lifetimes.of(stack)));
    })
}

/// Adds up by site what was seen of each stack.
fn by_site<T: Default + Clone>(
    report: &Report,
    processes: &[(Replayed, Vec<Member>)],
    shown: usize,
    add: impl Fn(&mut T, &Seen, usize),
) -> Vec<T> {
    let mut sums = vec![T::default(); shown.min(report.sites.len())];
    for ((replayed, _), members) in processes.iter().zip(&report.members) {
        for (stack, site) in members.iter().enumerate() {
            let sum = site.and_then(|site| sums.get_mut(site));
            sum.into_iter().for_each(|sum| add(sum, &replayed.seen, stack));
        }
    }
    sums
}

impl Report {
    /// Puts first what has most temporary blocks.
    pub fn most_temporary_first(&mut self) {
        let Some(temporary) = &self.temporary else { return };
        let mut order: Vec<usize> = (0..self.sites.len()).collect();
        let key = |site: &usize| (temporary.sites[*site].blocks, temporary.sites[*site].bytes);
        order.sort_by(|a, b| key(b).cmp(&key(a)).then(a.cmp(b)));
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, site)| places[*site] = place);
        self.members.iter_mut().flatten().flatten().for_each(|site| *site = places[*site]);
        reorder(&mut self.sites, &order);
        self.temporary.iter_mut().for_each(|temporary| reorder(&mut temporary.sites, &order));
        self.courses.iter_mut().for_each(|courses| reorder(&mut courses.sites, &order));
        self.lifetimes.iter_mut().for_each(|lifetimes| reorder(lifetimes, &order));
    }
}

fn reorder<T: Clone>(items: &mut Vec<T>, order: &[usize]) {
    *items = order.iter().map(|&item| items[item].clone()).collect();
}
