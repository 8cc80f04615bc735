//! What changed between two reports. Sites are matched by what they are (see `aggregate::Frame::identity`), never by
//! address, so the recordings may be of different processes and builds.
use std::collections::HashMap;

use crate::aggregate::{Counts, Report, Site};

/// The comparison of two reports.
pub struct Diff {
    /// The report to compare with.
    pub old: Report,
    /// The report to look at.
    pub new: Report,
    /// Sites that hold memory in either, largest absolute change first.
    pub changes: Vec<Change>,
}

/// A site in two recordings.
#[derive(Clone, Debug)]
pub struct Change {
    /// The site in the old report, if it is there.
    pub old: Option<usize>,
    /// The site in the new report, if it is there.
    pub new: Option<usize>,
    /// Its counts in the old one, 0 if it is not there.
    pub old_counts: Counts,
    /// Its counts in the new one, 0 if it is not there.
    pub new_counts: Counts,
    hash: u64,
}

impl Change {
    /// From `old` to `new`.
    pub fn between(old_counts: Counts, new_counts: Counts) -> Change {
        Change { old: None, new: None, old_counts, new_counts, hash: 0 }
    }

    /// New minus old bytes.
    pub fn bytes(&self) -> i128 {
        i128::from(self.new_counts.unfreed_bytes) - i128::from(self.old_counts.unfreed_bytes)
    }

    /// New minus old blocks.
    pub fn blocks(&self) -> i128 {
        i128::from(self.new_counts.unfreed_blocks) - i128::from(self.old_counts.unfreed_blocks)
    }

    /// Whether it holds memory in the new report only.
    pub fn is_new(&self) -> bool {
        self.old_counts.unfreed_blocks == 0 && self.new_counts.unfreed_blocks > 0
    }

    /// Whether it holds memory in the old report only.
    pub fn is_vanished(&self) -> bool {
        self.new_counts.unfreed_blocks == 0 && self.old_counts.unfreed_blocks > 0
    }
}

impl Diff {
    /// Compares.
    pub fn new(old: Report, new: Report) -> Diff {
        let mut changes: HashMap<u64, Change> = HashMap::new();
        let empty = |hash| Change { hash, ..Change::between(Counts::default(), Counts::default()) };
        for (index, site) in old.sites.iter().enumerate() {
            let change = changes.entry(site.hash).or_insert_with(|| empty(site.hash));
            change.old = change.old.or(Some(index));
            change.old_counts.add(&site.counts);
        }
        for (index, site) in new.sites.iter().enumerate() {
            let change = changes.entry(site.hash).or_insert_with(|| empty(site.hash));
            change.new = change.new.or(Some(index));
            change.new_counts.add(&site.counts);
        }
        let holds =
            |change: &Change| change.old_counts.unfreed_blocks > 0 || change.new_counts.unfreed_blocks > 0;
        let mut changes: Vec<Change> = changes.into_values().filter(holds).collect();
        changes.sort_by_key(|change| {
            let magnitude = (change.bytes().unsigned_abs(), change.blocks().unsigned_abs());
            (std::cmp::Reverse((magnitude, change.new_counts.unfreed_bytes)), change.hash)
        });
        Diff { old, new, changes }
    }

    /// The site to show for a change, and the report that it is in: the new one if it is there.
    pub fn site(&self, change: &Change) -> (&Site, &Report) {
        match (change.new, change.old) {
            (Some(new), _) => (&self.new.sites[new], &self.new),
            (None, old) => (&self.old.sites[old.unwrap_or(0)], &self.old),
        }
    }
}
