//! Hands out places one by one that can be had in runs alone: chunks of a file, pages of a chunk.
//!
//! One word has the run that is handed out and how far it is. Who finds it used up begins another one and puts that in its
//! place, whatever others do meanwhile: threads, or a signal handler that interrupts one. Of those who begin one at the same moment
//! one is first; the others' runs are kept for the next time, or at worst never used. No place is handed out twice, and nobody
//! waits.

use crate::sync::{AtomicUsize, const_unless_loom};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

const COUNT_BITS: u32 = 6;
const COUNT: usize = (1 << COUNT_BITS) - 1;
/// Bases are multiples of this.
const ALIGNMENT: usize = 1 << (2 * COUNT_BITS);

/// Places in a row: base, then the number of them, then how many are handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run(usize);

impl Run {
    /// So many places, at most 63, that begin at `base`, a multiple of 4,096 that is not 0.
    pub fn new(base: usize, count: usize) -> Run {
        debug_assert!(base.is_multiple_of(ALIGNMENT) && base != 0 && (1..=COUNT).contains(&count));
        Run(base | count << COUNT_BITS)
    }

    /// The base, and the number of the place that is next; `None` if there is none.
    fn next(self) -> Option<(usize, usize)> {
        let (base, next) = (self.0 / ALIGNMENT * ALIGNMENT, self.0 & COUNT);
        (next < self.0 >> COUNT_BITS & COUNT).then_some((base, next))
    }
}

/// See the module's contract. A base never comes back, but after [`Runs::reset`].
pub struct Runs {
    current: AtomicUsize,
    spare: AtomicUsize,
}

impl Runs {
    const_unless_loom! {
        /// Without a run.
        pub(crate) fn new() -> Runs {
            Runs { current: AtomicUsize::new(0), spare: AtomicUsize::new(0) }
        }
    }

    /// A place: the base of its run, and its number there. `begin` gives another run, if there is one.
    pub fn take(&self, mut begin: impl FnMut() -> Option<Run>) -> Option<(usize, usize)> {
        let mut current = self.current.load(Acquire);
        loop {
            let run = match Run(current).next() {
                Some(_) => Run(current),
                None => match self.spare.swap(0, AcqRel) {
                    0 => begin()?,
                    spare => Run(spare),
                },
            };
            match self.current.compare_exchange(current, run.0 + 1, AcqRel, Acquire) {
                Ok(_) => return run.next(),
                Err(other) => {
                    if run.0 != current {
                        let _ = self.spare.compare_exchange(0, run.0, AcqRel, Relaxed);
                    }
                    current = other;
                }
            }
        }
    }

    /// Forgets all, when nobody else uses it.
    pub fn reset(&self) {
        self.current.store(0, Relaxed);
        self.spare.store(0, Relaxed);
    }
}
