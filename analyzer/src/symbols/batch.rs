//! Queries of one module joined, and their results taken apart again.
use super::{ModuleFile, Query, Symbolized};
use std::cell::Cell;
use std::collections::HashMap;

/// Addresses between two reports of progress: often enough for a bar, too rarely to cost anything.
const STEP: usize = 256;

/// All addresses asked for in one module, sorted, each once.
pub struct Batch<'a> {
    pub module: &'a ModuleFile,
    pub addresses: Vec<u64>,
    /// How often each was asked for.
    counts: Vec<usize>,
}

/// Batches, the largest first, so that the last thread to finish has little to do. A module of which nothing is asked has
/// none: its file, and what that refers to, is not opened.
pub fn by_module(queries: &[Query]) -> Vec<Batch<'_>> {
    let mut all: HashMap<&ModuleFile, Vec<u64>> = HashMap::new();
    for query in queries.iter().filter(|query| !query.addresses.is_empty()) {
        all.entry(&query.module).or_default().extend(&query.addresses);
    }
    let mut batches: Vec<Batch<'_>> = all
        .into_iter()
        .map(|(module, mut addresses)| {
            addresses.sort_unstable();
            let counts = addresses.chunk_by(|a, b| a == b).map(<[u64]>::len).collect();
            addresses.dedup();
            Batch { module, addresses, counts }
        })
        .collect();
    batches.sort_unstable_by_key(|batch| std::cmp::Reverse(batch.addresses.len()));
    batches
}

/// Counts finished addresses of one batch.
pub struct Progress<'a> {
    batch: &'a Batch<'a>,
    waiting: Cell<usize>,
    done: &'a (dyn Fn(usize) + Sync),
}

impl<'a> Progress<'a> {
    pub fn new(batch: &'a Batch<'a>, done: &'a (dyn Fn(usize) + Sync)) -> Self {
        Self { batch, waiting: Cell::new(0), done }
    }

    /// The address at `index` is finished; the last is reported at once.
    pub fn finished(&self, index: usize) {
        let count = self.waiting.get() + self.batch.counts[index];
        let report = count >= STEP || index + 1 == self.batch.counts.len();
        self.waiting.set(if report { 0 } else { count });
        if report {
            (self.done)(count);
        }
    }
}

/// The results per query, in its order of addresses. `found` has those of each batch.
pub fn in_shape_of(
    queries: &[Query],
    batches: Vec<Batch<'_>>,
    found: Vec<Vec<Symbolized>>,
) -> Vec<Vec<Symbolized>> {
    let mut by_module: HashMap<&ModuleFile, (Batch<'_>, Vec<Symbolized>)> =
        batches.into_iter().zip(found).map(|(batch, found)| (batch.module, (batch, found))).collect();
    let mut one = |module: &ModuleFile, address: &u64| -> Option<Symbolized> {
        let (batch, found) = by_module.get_mut(module)?;
        let index = batch.addresses.binary_search(address).ok()?;
        let (count, result) = (batch.counts.get_mut(index)?, found.get_mut(index)?);
        *count -= 1;
        // Moved out at its last use: most addresses are asked for once, and results take most of the memory.
        Some(if *count == 0 { std::mem::take(result) } else { result.clone() })
    };
    queries
        .iter()
        .map(|query| query.addresses.iter().map(|a| one(&query.module, a).unwrap_or_default()).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_of_which_nothing_is_asked_is_not_opened() {
        let query = |path: &str, addresses: &[u64]| Query {
            module: ModuleFile { path: path.into(), build_id: Vec::new() },
            addresses: addresses.to_vec(),
        };
        let queries = [query("/a", &[]), query("/b", &[2, 1, 2]), query("/a", &[])];
        let batches = by_module(&queries);
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].addresses, [1, 2]);
        let answers = in_shape_of(&queries, batches, vec![vec![Symbolized::default(); 2]]);
        assert_eq!(answers.iter().map(Vec::len).collect::<Vec<_>>(), [0, 3, 0]);
    }
}
