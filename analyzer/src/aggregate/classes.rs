//! Sites that are classes of blocks, by size or by age: a report that asks how large the unfreed blocks are, or how old.
//! What was freed is in no class.
use std::collections::BTreeMap;

use super::by::By;
use super::paths::PathId;
use super::report::{Counts, Site};
use crate::output::Size;
use crate::replay::Block;

/// Blocks of this size and less are one class, bytes.
const LEAST: u64 = 16;

/// Ages up to which a class goes, ms, and in words.
const AGES: [(u64, &str); 8] = [
    (1_000, "1 s"),
    (10_000, "10 s"),
    (60_000, "1 min"),
    (600_000, "10 min"),
    (3_600_000, "1 h"),
    (6 * 3_600_000, "6 h"),
    (24 * 3_600_000, "1 day"),
    (7 * 24 * 3_600_000, "7 days"),
];

/// Classes in the making.
pub(super) struct Classes {
    by: By,
    /// By what orders them.
    counts: BTreeMap<u64, Counts>,
}

impl Classes {
    /// If sites are classes of blocks.
    pub fn new(by: By) -> Option<Classes> {
        by.is_class().then(|| Classes { by, counts: BTreeMap::new() })
    }

    /// Adds an unfreed block; the moment of which the report speaks is `end_ms`, monotonic.
    pub fn add(&mut self, block: &Block, end_ms: u64) {
        let class = match self.by {
            By::Age => {
                let age = end_ms.saturating_sub(block.birth.time_ms());
                AGES.iter().position(|(below, _)| age < *below).unwrap_or(AGES.len()) as u64
            }
            _ => block.size.max(LEAST).checked_next_power_of_two().unwrap_or(u64::MAX),
        };
        let unfreed = Counts { unfreed_bytes: block.size, unfreed_blocks: 1, ..Counts::default() };
        self.counts.entry(class).or_default().add(&unfreed);
    }

    /// The classes, the smallest or youngest first; `path` is a stack without frames.
    pub fn sites(self, path: PathId) -> Vec<Site> {
        let name = |class: u64| match self.by {
            By::Age => age_name(class as usize),
            _ => size_name(class),
        };
        let site = |(class, counts)| Site {
            // The same in another run, and told apart in what is printed of it.
            hash: match self.by {
                By::Age => (class + 1) << 16,
                _ => (u64::from(u64::BITS - u64::leading_zeros(class)) + 1) << 16,
            },
            name: Some(name(class)),
            counts,
            path,
            largest: path,
            phase: None,
            stacks: 0,
        };
        self.counts.clone().into_iter().map(site).collect()
    }
}

fn size_name(most: u64) -> String {
    match most {
        LEAST => format!("at most {}", Size(LEAST)),
        most => format!("{} to {}", Size(most / 2 + 1), Size(most)),
    }
}

fn age_name(class: usize) -> String {
    match (class.checked_sub(1).and_then(|before| AGES.get(before)), AGES.get(class)) {
        (Some((_, from)), Some((_, to))) => format!("{from} to {to}"),
        (None, Some((_, to))) => format!("less than {to}"),
        (Some((_, from)), None) => format!("{from} and more"),
        (None, None) => "?".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Birth;

    fn classes(by: By, blocks: &[(u64, u64)]) -> Vec<(String, u64, u64)> {
        let mut classes = Classes::new(by).expect("it is one of classes");
        for &(size, age_ms) in blocks {
            let birth = Birth::new(1, 1_000_000_000 - age_ms);
            classes.add(&Block { size, birth, site: 0, moving: 0 }, 1_000_000_000);
        }
        let paths = crate::aggregate::Paths::new(Default::default());
        let path = paths.root(None);
        let sites = classes.sites(path).into_iter();
        sites
            .map(|site| {
                (site.name.unwrap_or_default(), site.counts.unfreed_blocks, site.counts.unfreed_bytes)
            })
            .collect()
    }

    #[test]
    fn sizes_up_to_powers_of_two() {
        let sizes = [0, 16, 17, 32, 33, 4096, 4097, 1 << 20].map(|size| (size, 0));
        let expected = [
            ("at most 16 B", 2, 16),
            ("17 B to 32 B", 2, 49),
            ("33 B to 64 B", 1, 33),
            ("2049 B to 4096 B", 1, 4096),
            ("4097 B to 8192 B", 1, 4097),
            ("512 KiB to 1024 KiB", 1, 1 << 20),
        ];
        assert_eq!(
            classes(By::Size, &sizes),
            expected.map(|(name, blocks, bytes)| (name.to_string(), blocks, bytes))
        );
        assert_eq!(classes(By::Size, &[(u64::MAX, 0)]).len(), 1);
    }

    #[test]
    fn ages_as_people_say_them() {
        let ages = [0, 999, 1_000, 59_999, 60_000, 7 * 86_400_000].map(|age| (10, age));
        let expected = [
            ("less than 1 s", 2, 20),
            ("1 s to 10 s", 1, 10),
            ("10 s to 1 min", 1, 10),
            ("1 min to 10 min", 1, 10),
            ("7 days and more", 1, 10),
        ];
        assert_eq!(
            classes(By::Age, &ages),
            expected.map(|(name, blocks, bytes)| (name.to_string(), blocks, bytes))
        );
    }
}
