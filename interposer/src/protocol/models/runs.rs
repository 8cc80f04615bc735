//! No place is handed out twice, whoever begins a run at the same moment.

use super::check;
use crate::protocol::runs::{Run, Runs};
use crate::sync::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use loom::thread;
use std::collections::HashSet;
use std::sync::Arc;

/// Runs of two places, of which there are so many.
struct Supply {
    runs: Runs,
    begun: AtomicUsize,
    most: usize,
}

impl Supply {
    fn new(most: usize) -> Arc<Supply> {
        Arc::new(Supply { runs: Runs::new(), begun: AtomicUsize::new(0), most })
    }

    fn take(&self) -> Option<(usize, usize)> {
        self.runs.take(|| {
            let number = self.begun.fetch_add(1, Relaxed);
            (number < self.most).then(|| Run::new((number + 1) << 12, 2))
        })
    }
}

fn take_by_three(name: &str, most: usize, at_least: usize) {
    check(name, move || {
        let supply = Supply::new(most);
        let taker = || {
            let supply = supply.clone();
            thread::spawn(move || [supply.take(), supply.take()])
        };
        let others = [taker(), taker()];
        let mut taken: Vec<_> = supply.take().into_iter().collect();
        taken.extend(others.into_iter().flat_map(|other| other.join().expect("a taker ends")).flatten());
        let distinct: HashSet<_> = taken.iter().collect();
        assert_eq!(distinct.len(), taken.len(), "{taken:?}");
        assert!(taken.len() >= at_least, "{taken:?}");
        assert!(taken.iter().all(|&(base, place)| base != 0 && place < 2), "{taken:?}");
    });
}

#[test]
fn each_place_is_taken_once() {
    take_by_three("three threads, five places", 9, 5);
}

#[test]
fn who_finds_none_has_none() {
    take_by_three("three threads, one run", 1, 1);
}
