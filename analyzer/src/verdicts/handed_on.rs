//! What CPython itself explains of what seems to grow.
//!
//! A list, dict, tuple or float that is freed keeps its memory for the next one, whichever line makes that: so of what one
//! line keeps, some was allocated by lines that free all that they make, and some waits in the lists of freed objects
//! (`Objects/tupleobject.c` keeps up to 2,000 tuples of each size). And what is freed by the cyclic collector waits for it, the
//! longer the more there is. What waits is guessed here only of processes that did not end in an orderly way.
use super::judged::Judged;
use super::judging::Judging;
use crate::aggregate::{Frame, Kind};
use crate::fast_map::FastMap;
use crate::growth::{Confidence, Doubt, Reason, Verdict};
use crate::replay::Replayed;

/// Objects that are handed on are not larger: a tuple of 20, or the table of a dict of 5.
pub const SMALL: u64 = 208;
/// A line that makes and frees objects frees most of them where no memory is handed on.
const FREED: f64 = 0.9;
/// What is handed on is little of what those keep who take it.
const LITTLE: f64 = 0.05;
/// It may be more of it where all of it is of the kinds that are handed on: a dict and its table beside the value that it holds.
const LITTLE_LISTED: f64 = 0.25;
/// Where nobody keeps anything, a line frees nearly all.
const NEARLY_ALL_FREED: f64 = 0.99;
/// And what it seems to keep are nearly all objects of the kinds that wait,
const LISTED: f64 = 0.9;
/// no more of a size than do.
const MOST_LISTED: u64 = 2_000;

/// What a site of Python keeps.
#[derive(Clone, Copy, Default, Debug)]
pub struct Kept {
    /// Unfreed blocks.
    pub blocks: u64,
    /// Of these, small ones that were allocated as objects that are handed on.
    pub listed: u64,
    /// Most of them in one process and of one size.
    pub most_of_a_size: u64,
    /// Size of the largest unfreed block.
    pub largest: u64,
    /// The interpreter ended in an orderly way: what waited for that is known, see [`super::at_exit`].
    pub is_held: bool,
}

/// Whether an object that is handed on is allocated here: by the innermost frames of its stack.
pub fn is_listed<'f>(mut frames: impl Iterator<Item = &'f Frame>) -> bool {
    // The allocator, what makes the object, and what is inlined there.
    const NEAR: usize = 6;
    const MAKERS: [&str; 11] = [
        "PyTuple_New",
        "tuple_alloc",
        "PyList_New",
        "PyFloat_FromDouble",
        "PyDict_New",
        "new_dict",
        "dict_new",
        "dict_vectorcall",
        "new_keys_object",
        "clone_combined_dict_keys",
        "PyContext_New",
    ];
    let native = frames.by_ref().take_while(|frame| frame.kind == Kind::Native).take(NEAR);
    native.filter_map(|frame| frame.function.as_deref()).any(|name| MAKERS.contains(&name))
}

/// Judges anew what seems to grow by objects that others may hold, or that wait.
pub fn explain(sites: &mut [Judged], kept: impl Fn(&Judged) -> Option<Kept>) {
    let grows = |judged: &&mut Judged| judged.judgement.verdict == Verdict::Growing;
    let all: f64 = sites.iter_mut().filter(grows).map(|judged| judged.judgement.bytes.value).sum();
    for judged in sites.iter_mut().filter(grows) {
        let (Some(freed), Some(kept)) = (judged.freed, kept(judged)) else { continue };
        let are_listed = kept.listed as f64 >= LISTED * kept.blocks as f64;
        let little = if are_listed { LITTLE_LISTED } else { LITTLE };
        let is_little =
            freed >= FREED && judged.judgement.bytes.value <= little * all && kept.largest <= SMALL;
        let waits =
            !kept.is_held && freed >= NEARLY_ALL_FREED && are_listed && kept.most_of_a_size <= MOST_LISTED;
        let judgement = judged.judgement.clone();
        judged.judgement = match judgement.confidence {
            _ if is_little || waits => {
                judgement.instead(Verdict::Temporary, Reason::Freed { freed }, Doubt::HandedOn)
            }
            Confidence::Low(doubt)
                if !kept.is_held && freed >= FREED && judged.collected >= judgement.unfreed.blocks =>
            {
                let reason = Reason::Collected { freed, sawtooth_ms: None };
                judgement.instead(Verdict::GcOnly, reason, doubt)
            }
            _ => judgement,
        };
    }
}

/// By stack, the sizes of the unfreed blocks and how many there are of each.
pub fn sizes(replayed: &Replayed) -> Vec<Vec<(u64, u64)>> {
    let mut all: Vec<(u32, u64)> = replayed.live.iter().map(|(_, block)| (block.site, block.size)).collect();
    all.sort_unstable();
    let mut sizes = vec![Vec::new(); replayed.sites.len()];
    for same in all.chunk_by(|a, b| a == b) {
        sizes[same[0].0 as usize].push((same[0].1, same.len() as u64));
    }
    sizes
}

impl Judging {
    /// What a site keeps, if it is of Python.
    pub fn kept_by_python(&self, site: usize) -> Option<Kept> {
        let is_held = self.stacks[site].iter().all(|(process, _)| self.parts[*process].tells_what_waited);
        let mut kept = Kept { is_held, ..Kept::default() };
        for (process, stacks) in &self.stacks[site] {
            let mut listed: FastMap<u64, u64> = FastMap::default();
            for &stack in stacks {
                let member = &self.members[*process][stack];
                member.phase?;
                let is_listed = is_listed(self.report.paths.frames(member.path));
                for &(size, blocks) in &self.sizes[*process][stack] {
                    kept.blocks += blocks;
                    kept.largest = size.max(kept.largest);
                    if is_listed && size <= SMALL {
                        *listed.entry(size).or_default() += blocks;
                    }
                }
            }
            kept.listed += listed.values().sum::<u64>();
            kept.most_of_a_size = listed.into_values().fold(kept.most_of_a_size, u64::max);
        }
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::{Amount, Estimate, Judgement};

    /// A line that grows by `bytes` and frees this share of what it makes.
    fn growing(site: usize, bytes: f64, freed: f64) -> Judged {
        let bytes = Estimate { value: bytes, low: bytes, high: bytes };
        let judgement = Judgement {
            verdict: Verdict::Growing,
            confidence: Confidence::High,
            reason: Reason::SomeNeverFreed { freed, steps: 100 },
            born: Amount::default(),
            unfreed: Amount { blocks: 100, bytes: bytes.value as u64 },
            blocks: Estimate::default(),
            bytes,
            blocks_per_minute: Estimate::default(),
            bytes_per_minute: bytes,
            processes: Vec::new(),
        };
        Judged {
            site,
            judgement,
            processes: Vec::new(),
            per_minute: Vec::new(),
            change: (100, bytes.value as i128),
            unfreed: Amount::default(),
            freed: Some(freed),
            collected: 0,
            rate: None,
            stack: None,
        }
    }

    fn kept(listed: u64) -> Kept {
        Kept { blocks: 100, listed, most_of_a_size: 100, largest: 120, is_held: true }
    }

    fn verdicts(lines: &[(f64, f64, u64)]) -> Vec<Verdict> {
        let mut sites: Vec<_> =
            lines.iter().enumerate().map(|(site, (bytes, freed, _))| growing(site, *bytes, *freed)).collect();
        explain(&mut sites, |judged| Some(kept(lines[judged.site].2)));
        sites.into_iter().map(|judged| judged.judgement.verdict).collect()
    }

    #[test]
    fn dicts_that_a_leak_was_handed_are_none_of_the_line_that_made_them() {
        use Verdict::{Growing, Temporary};
        assert_eq!(verdicts(&[(80_000.0, 0.0, 0), (12_000.0, 0.95, 100)]), [Growing, Temporary]);
        assert_eq!(
            verdicts(&[(80_000.0, 0.0, 0), (12_000.0, 0.95, 10)]),
            [Growing, Growing],
            "other objects"
        );
        assert_eq!(verdicts(&[(80_000.0, 0.0, 0), (12_000.0, 0.5, 100)]), [Growing, Growing], "half is kept");
        assert_eq!(verdicts(&[(20_000.0, 0.0, 0), (12_000.0, 0.95, 100)]), [Growing, Growing], "too much");
        assert_eq!(verdicts(&[(12_000.0, 0.95, 100)]), [Growing], "nobody else keeps anything");
        assert_eq!(verdicts(&[(80_000.0, 0.0, 0), (3_000.0, 0.95, 0)]), [Growing, Temporary], "very little");
    }
}
