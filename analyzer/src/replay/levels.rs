//! What each site held over time, for its course in a report: in few buckets, and few bytes for each change.
use recording::{Address, StackId};

use super::live::Block;
use super::merge::Place;
use super::observer::Observer;
use super::timeline::{Axis, MOST_MS};
use crate::memory::prefetch;

/// Buckets from a process's first to its last at most; a line of text has less.
pub const BUCKETS: u64 = 64;

/// Steps at most, of all sites together: 64 MiB. Where there would be more, buckets are wider.
const MOST_STEPS: usize = 1 << 22;

/// Of very many sites each has so many all the same.
const STEPS_OF_EACH: usize = 4;

/// What a site held at the end of a bucket in which that changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Step {
    site: u32,
    bucket: u32,
    bytes: u64,
}

/// What a site holds now, and the bucket in which that changed last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Level {
    bucket: u32,
    bytes: u64,
}

const NEVER: u32 = u32::MAX;

/// What each site of one process held at the end of each bucket. An event is in the bucket of the latest clock up to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Levels {
    axis: Axis,
    /// The process's first bucket; those of steps are counted from it.
    first: u64,
    begun_ms: u64,
    now_ms: u64,
    now: u32,
    /// By site.
    levels: Vec<Level>,
    /// Of buckets before the one in which a site changed last, in the order of time.
    steps: Vec<Step>,
    most_steps: usize,
}

impl Levels {
    /// Of a process that began at `begun_ms`, in a run that began at `origin_ms`; both monotonic.
    pub fn new(origin_ms: u64, begun_ms: u64) -> Levels {
        let begun_ms = begun_ms.min(MOST_MS);
        let axis = Axis { origin_ms: origin_ms.min(begun_ms), shift: 0 };
        Levels {
            axis,
            first: axis.bucket(begun_ms),
            begun_ms,
            now_ms: begun_ms,
            now: 0,
            levels: Vec::new(),
            steps: Vec::new(),
            most_steps: MOST_STEPS,
        }
    }

    /// Which bucket a time is in.
    pub fn axis(&self) -> Axis {
        self.axis
    }

    /// Tells of each change of what a site held: the site, the bucket, and by how many bytes.
    pub fn changes(&self, mut tell: impl FnMut(usize, u64, i64)) {
        let mut held = vec![0u64; self.levels.len()];
        let levels = self.levels.iter().enumerate().filter(|(_, level)| level.bucket != NEVER);
        let last = levels.map(|(site, level)| (site, level.bucket, level.bytes));
        for (site, bucket, bytes) in
            self.steps.iter().map(|step| (step.site as usize, step.bucket, step.bytes)).chain(last)
        {
            tell(site, self.first + u64::from(bucket), bytes.wrapping_sub(held[site]) as i64);
            held[site] = bytes;
        }
    }

    /// It is as late as this.
    #[inline(always)]
    fn at(&mut self, ms: u64) {
        if ms > self.now_ms {
            self.later(ms);
        }
    }

    #[cold]
    fn later(&mut self, ms: u64) {
        self.now_ms = ms.min(MOST_MS);
        while self.axis.bucket(self.now_ms) - self.axis.bucket(self.begun_ms) >= BUCKETS {
            self.coarsen();
        }
        let most = self.most_steps.max(self.levels.len() * STEPS_OF_EACH);
        while self.steps.len() >= most && self.axis.bucket(self.now_ms) > self.first {
            self.coarsen();
        }
        self.now = (self.axis.bucket(self.now_ms) - self.first) as u32;
    }

    /// Makes buckets twice as wide; of two steps of a site in one of them the later one counts.
    fn coarsen(&mut self) {
        self.axis.shift += 1;
        let before = std::mem::replace(&mut self.first, self.axis.bucket(self.begun_ms));
        let wider = |bucket: u32| ((before + u64::from(bucket)) / 2 - self.first) as u32;
        let levels = self.levels.iter_mut().filter(|level| level.bucket != NEVER);
        levels.for_each(|level| level.bucket = wider(level.bucket));
        let mut later: Vec<u32> = self.levels.iter().map(|level| level.bucket).collect();
        let mut kept = self.steps.len();
        for index in (0..self.steps.len()).rev() {
            let step = Step { bucket: wider(self.steps[index].bucket), ..self.steps[index] };
            let later = &mut later[step.site as usize];
            if *later != step.bucket {
                *later = step.bucket;
                kept -= 1;
                self.steps[kept] = step;
            }
        }
        self.steps.drain(..kept);
    }

    /// What a site holds, to be changed.
    #[inline(always)]
    fn level(&mut self, site: u32) -> &mut u64 {
        let index = site as usize;
        if index >= self.levels.len() {
            self.levels.resize(index + 1, Level { bucket: NEVER, bytes: 0 });
        }
        let Level { bucket, bytes } = self.levels[index];
        if bucket != self.now {
            if bucket != NEVER {
                self.steps.push(Step { site, bucket, bytes });
            }
            self.levels[index].bucket = self.now;
        }
        &mut self.levels[index].bytes
    }
}

impl Observer for Levels {
    #[inline(always)]
    fn born(&mut self, _address: Address, block: &Block, _stack: StackId, place: &Place) {
        self.at(place.clock_ms);
        let bytes = self.level(block.site);
        *bytes = bytes.wrapping_add(block.size);
    }

    #[inline(always)]
    fn died(&mut self, _address: Address, block: &Block, place: &Place) {
        self.at(place.clock_ms);
        let bytes = self.level(block.site);
        *bytes = bytes.wrapping_sub(block.size);
    }

    #[inline(always)]
    fn soon(&self, site: usize) {
        prefetch(&self.levels, site);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Birth;

    /// What a site held at the end of each bucket in which it changed.
    fn held(levels: &Levels, of: usize) -> Vec<(u64, i64)> {
        let mut held = Vec::new();
        let mut bytes = 0;
        levels.changes(|site, bucket, change| {
            if site == of {
                bytes += change;
                held.push((bucket, bytes));
            }
        });
        held
    }

    fn place(clock_ms: u64) -> Place {
        Place { writer: 0, thread: 0, clock_ms, epoch: 1, collecting: false }
    }

    fn block(size: u64, site: u32) -> Block {
        Block { size, birth: Birth::new(1, 0), site, moving: 0 }
    }

    #[test]
    fn what_was_held_at_the_end_of_each_bucket() {
        let mut levels = Levels::new(100, 110);
        for (ms, size, site) in [(110, 5, 0), (110, 7, 1), (112, 3, 0), (111, 2, 0)] {
            levels.born(Address(0), &block(size, site), StackId(0), &place(ms));
        }
        levels.died(Address(0), &block(5, 0), &place(120));
        assert_eq!(held(&levels, 0), [(10, 5), (12, 10), (20, 5)]);
        assert_eq!(held(&levels, 1), [(10, 7)]);
        assert_eq!(levels.axis().shift, 0);
        // 110 to 300 ms in buckets of 4 ms: 12 and 13 are 3, as were the first two.
        levels.born(Address(0), &block(1, 1), StackId(0), &place(300));
        assert_eq!(levels.axis().shift, 2);
        assert_eq!(held(&levels, 0), [(2, 5), (3, 10), (5, 5)]);
        assert_eq!(held(&levels, 1), [(2, 7), (50, 8)]);
    }

    #[test]
    fn many_busy_sites_have_wider_buckets() {
        let mut levels = Levels { most_steps: 100, ..Levels::new(0, 0) };
        for ms in 0..60 {
            for site in 0..20 {
                levels.born(Address(0), &block(1, site), StackId(0), &place(ms));
            }
        }
        assert!(levels.axis().shift > 0 && levels.steps.len() <= 120, "{} steps", levels.steps.len());
        assert!((0..20).all(|site| held(&levels, site).last().is_some_and(|(_, bytes)| *bytes == 60)));
    }

    #[test]
    fn a_clock_that_cannot_be_is_no_end_of_it() {
        let mut levels = Levels::new(0, 5);
        for ms in [5, u64::MAX, 7] {
            levels.born(Address(0), &block(1, 0), StackId(0), &place(ms));
        }
        assert_eq!(held(&levels, 0).last().map(|(_, bytes)| *bytes), Some(3));
    }
}
