//! What the sites of a report held over time.
use super::build::Member;
use super::report::Report;
use crate::replay::{Axis, LEVELS, Replayed, survivors};

/// Buckets at most: as many as are kept of each process.
const MOST: u64 = LEVELS;

/// The courses of all sites of a report, from the beginning of the first process to the end, or the moment, of which the
/// report speaks. What a process held when it ended is held from then on, as in the report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Courses {
    /// When the first bucket begins, monotonic ms.
    pub begin_ms: u64,
    /// What a bucket lasts, ms.
    pub bucket_ms: u64,
    /// How many buckets there are.
    pub buckets: usize,
    /// For each of [`Report::sites`] up to the last one that is shown.
    pub sites: Vec<Course>,
}

/// The course of one site.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Course {
    /// Bytes at the end of each bucket.
    pub bytes: Vec<u64>,
    /// Not what was live, but what was allocated up to then and is unfreed now: of a live table nothing else is known.
    pub is_of_unfreed: bool,
}

impl Courses {
    /// Of the first `shown` sites of a report and what it was made of: for each process what was replayed, seen with levels.
    pub fn of(
        report: &Report,
        processes: &[(Replayed, Vec<Member>)],
        origin_ms: u64,
        shown: usize,
    ) -> Courses {
        let windows = || report.processes.iter().map(|process| process.window_ns);
        let begin_ms = windows().map(|(begin, _)| begin / 1_000_000).min().unwrap_or(origin_ms);
        let end_ms = windows().map(|(_, end)| end / 1_000_000).max().unwrap_or(begin_ms).max(begin_ms);
        let levels = processes.iter().filter_map(|(replayed, _)| replayed.seen.levels.as_ref());
        let shift = levels.map(|levels| levels.axis().shift).max().unwrap_or(0);
        let mut axis = Axis { origin_ms: origin_ms.min(begin_ms), shift };
        while axis.bucket(end_ms) - axis.bucket(begin_ms) >= MOST {
            axis.shift += 1;
        }
        let first = axis.bucket(begin_ms);
        let buckets = (axis.bucket(end_ms) - first + 1) as usize;
        let place = |bucket: u64| (bucket.saturating_sub(first) as usize).min(buckets - 1);
        let mut changes = vec![(vec![0i64; buckets], false); shown.min(report.sites.len())];
        for ((replayed, _), members) in processes.iter().zip(&report.members) {
            let mut add = |stack: usize, bucket: u64, by: i64, is_of_unfreed: bool| {
                let site = members.get(stack).copied().flatten();
                let Some((changes, of_unfreed)) = site.and_then(|site| changes.get_mut(site)) else { return };
                let change = &mut changes[place(bucket)];
                *change = change.saturating_add(by);
                *of_unfreed |= is_of_unfreed;
            };
            match &replayed.seen.levels {
                Some(levels) => {
                    let wider = axis.shift - levels.axis().shift;
                    levels.changes(|stack, bucket, by| add(stack, bucket >> wider, by, false));
                }
                None => {
                    for (stack, survivors) in survivors(replayed, axis).iter().enumerate() {
                        survivors.iter().for_each(|born| add(stack, born.bucket, born.bytes as i64, true));
                    }
                }
            }
        }
        let sites = changes.into_iter().map(|(changes, is_of_unfreed)| {
            let mut bytes = 0i64;
            let after = changes.into_iter().map(|change| {
                bytes = bytes.saturating_add(change);
                bytes.max(0) as u64
            });
            Course { bytes: after.collect(), is_of_unfreed }
        });
        let sites = sites.collect();
        Courses { begin_ms: axis.begin_ms(first), bucket_ms: axis.width_ms(), buckets, sites }
    }
}
