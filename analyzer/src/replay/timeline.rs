//! What each site allocated and gave back over time: sparse series of points, coarse enough to be few.
//!
//! Time is in buckets of a power of two of ms, counted from the run's beginning: so the timelines of all processes of a run
//! are on one axis once they are equally coarse.
use recording::{Address, StackId};

use super::live::Block;
use super::merge::Place;
use super::observer::Observer;
use super::replayed::Replayed;

/// Buckets from a process's first to its last.
pub const BUCKETS: u64 = 1 << 10;

/// The same of a fine one.
pub const FINE_BUCKETS: u64 = 1 << 16;

/// Points of a timeline at most, of all its sites together (some 200 MiB); where there would be more, it is coarser.
const MOST_POINTS: usize = 1 << 22;

/// Of the clock, ms: 2^44 are 500 years, and a damaged recording may say more.
pub(super) const MOST_MS: u64 = 1 << 44;

/// What a site did in one bucket.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Point {
    /// Which one.
    pub bucket: u64,
    /// Blocks allocated in it.
    pub born_blocks: u64,
    /// Bytes of them.
    pub born_bytes: u64,
    /// Blocks given back in it.
    pub freed_blocks: u64,
    /// Bytes of them.
    pub freed_bytes: u64,
    /// Of the blocks given back, those that Python's cyclic collector gave back.
    pub collected_blocks: u64,
    /// Bytes of them.
    pub collected_bytes: u64,
}

impl Point {
    fn at(bucket: u64) -> Point {
        Point { bucket, ..Point::default() }
    }

    /// Adds another point; saturates, since a damaged recording may say anything.
    pub fn add(&mut self, other: &Point) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.born_blocks, other.born_blocks);
        add(&mut self.born_bytes, other.born_bytes);
        add(&mut self.freed_blocks, other.freed_blocks);
        add(&mut self.freed_bytes, other.freed_bytes);
        add(&mut self.collected_blocks, other.collected_blocks);
        add(&mut self.collected_bytes, other.collected_bytes);
    }
}

/// Blocks of a site that were allocated in one bucket and are unfreed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Survivors {
    /// Which one.
    pub bucket: u64,
    /// How many.
    pub blocks: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// The axis: which bucket a time is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Axis {
    /// Where bucket 0 begins: monotonic ms.
    pub origin_ms: u64,
    /// A bucket is of 2^shift ms.
    pub shift: u32,
}

impl Axis {
    /// The bucket of a time, monotonic ms.
    #[inline(always)]
    pub fn bucket(&self, ms: u64) -> u64 {
        ms.min(MOST_MS).saturating_sub(self.origin_ms) >> self.shift
    }

    /// When a bucket begins, monotonic ms.
    pub fn begin_ms(&self, bucket: u64) -> u64 {
        self.origin_ms.saturating_add(bucket << self.shift)
    }

    /// What a bucket lasts, ms.
    pub fn width_ms(&self) -> u64 {
        1 << self.shift
    }
}

/// The timeline of one process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timeline {
    axis: Axis,
    /// When the process began, monotonic ms.
    begun_ms: u64,
    /// From here on a bucket is too far from the first one.
    end: u64,
    /// The latest clock. A thread that only frees notes none.
    now_ms: u64,
    /// The bucket of it.
    now: u64,
    /// By site, in the order of buckets, which are all different.
    sites: Vec<Vec<Point>>,
    points: usize,
    most_points: usize,
    most_buckets: u64,
}

impl Timeline {
    /// Of a process that began at `begun_ms`, in a run that began at `origin_ms`; both monotonic.
    pub fn new(origin_ms: u64, begun_ms: u64) -> Timeline {
        Timeline::with_most(origin_ms, begun_ms, MOST_POINTS)
    }

    /// The same with more and shorter buckets, for who leaves out those in which nothing happens.
    pub fn fine(origin_ms: u64, begun_ms: u64) -> Timeline {
        let timeline = Timeline::with_most(origin_ms, begun_ms, MOST_POINTS / 2);
        let end = timeline.now + FINE_BUCKETS;
        Timeline { most_buckets: FINE_BUCKETS, end, ..timeline }
    }

    fn with_most(origin_ms: u64, begun_ms: u64, most_points: usize) -> Timeline {
        let begun_ms = begun_ms.min(MOST_MS);
        let origin_ms = origin_ms.min(begun_ms);
        let axis = Axis { origin_ms, shift: 0 };
        let now = axis.bucket(begun_ms);
        let end = now + BUCKETS;
        Timeline {
            axis,
            begun_ms,
            end,
            now_ms: begun_ms,
            now,
            sites: Vec::new(),
            points: 0,
            most_points,
            most_buckets: BUCKETS,
        }
    }

    /// Which bucket a time is in.
    pub fn axis(&self) -> Axis {
        self.axis
    }

    /// The buckets from the process's beginning to its last event, the last one included.
    pub fn buckets(&self) -> std::ops::RangeInclusive<u64> {
        self.axis.bucket(self.begun_ms)..=self.now
    }

    /// The points of a site, in the order of their buckets; those in which nothing happened are left out.
    pub fn points(&self, site: usize) -> &[Point] {
        self.sites.get(site).map_or(&[], Vec::as_slice)
    }

    /// The points of all sites.
    pub fn all_points(&self) -> impl Iterator<Item = &Point> {
        self.sites.iter().flatten()
    }

    /// By site, what of its blocks is unfreed, by the bucket in which they were allocated.
    pub fn survivors(&self, replayed: &Replayed) -> Vec<Vec<Survivors>> {
        survivors(replayed, self.axis)
    }

    /// Makes the buckets as wide as 2^shift ms, unless they are wider.
    pub fn coarsen(&mut self, shift: u32) {
        let by = shift.saturating_sub(self.axis.shift);
        if by == 0 {
            return;
        }
        self.axis.shift = shift;
        self.now = self.axis.bucket(self.now_ms);
        self.end = self.axis.bucket(self.begun_ms) + self.most_buckets;
        for points in &mut self.sites {
            points.iter_mut().for_each(|point| point.bucket >>= by);
            points.dedup_by(|next, point| {
                let is_same = next.bucket == point.bucket;
                if is_same {
                    point.add(next);
                }
                is_same
            });
        }
        self.points = self.sites.iter().map(Vec::len).sum();
    }

    /// The bucket of an event.
    #[inline(always)]
    fn bucket(&mut self, ms: u64) -> u64 {
        // The coarse clock of the first events is behind the precise one of the beginning.
        let bucket = self.axis.bucket(ms.max(self.begun_ms));
        if ms > self.now_ms {
            self.now_ms = ms.min(MOST_MS);
            self.now = bucket;
            if bucket >= self.end || self.points >= self.most_points {
                self.make_room();
                return self.axis.bucket(ms);
            }
        }
        bucket
    }

    #[cold]
    fn make_room(&mut self) {
        while self.axis.bucket(self.now_ms) >= self.end {
            self.coarsen(self.axis.shift + 1);
        }
        // Of very many sites each has some points all the same.
        let most = self.most_points.max(self.sites.len() * 16);
        while self.points >= most && self.now > self.axis.bucket(self.begun_ms) {
            self.coarsen(self.axis.shift + 1);
        }
    }

    /// The point of a site and bucket.
    #[inline(always)]
    fn point(&mut self, site: u32, bucket: u64) -> &mut Point {
        let site = site as usize;
        if site >= self.sites.len() {
            self.sites.resize_with(site + 1, Vec::new);
        }
        let points = &mut self.sites[site];
        let last = points.len().wrapping_sub(1);
        match points.get(last) {
            Some(point) if point.bucket == bucket => &mut points[last],
            _ => Self::another(points, bucket, &mut self.points),
        }
    }

    #[inline(never)]
    fn another<'p>(points: &'p mut Vec<Point>, bucket: u64, count: &mut usize) -> &'p mut Point {
        // Mostly the next; the clocks of threads differ by some ms.
        let at = points.iter().rposition(|point| point.bucket <= bucket).map_or(0, |at| at + 1);
        if at > 0 && points[at - 1].bucket == bucket {
            return &mut points[at - 1];
        }
        points.insert(at, Point::at(bucket));
        *count += 1;
        &mut points[at]
    }
}

impl Observer for Timeline {
    #[inline(always)]
    fn born(&mut self, _address: Address, block: &Block, _stack: StackId, place: &Place) {
        let bucket = self.bucket(place.clock_ms);
        let point = self.point(block.site, bucket);
        point.born_blocks += 1;
        point.born_bytes = point.born_bytes.saturating_add(block.size);
    }

    #[inline(always)]
    fn died(&mut self, _address: Address, block: &Block, place: &Place) {
        // What the thread noted last may have been long before.
        let now_ms = self.now_ms.max(place.clock_ms);
        let bucket = self.bucket(now_ms);
        let point = self.point(block.site, bucket);
        point.freed_blocks += 1;
        point.freed_bytes = point.freed_bytes.saturating_add(block.size);
        if place.collecting {
            point.collected_blocks += 1;
            point.collected_bytes = point.collected_bytes.saturating_add(block.size);
        }
    }
}

/// Makes the buckets of several timelines equally wide, so that those of one number are of one time.
pub fn align(timelines: &mut [Timeline]) {
    let shift = timelines.iter().map(|timeline| timeline.axis.shift).max().unwrap_or(0);
    timelines.iter_mut().for_each(|timeline| timeline.coarsen(shift));
}

/// By site, what of its blocks is unfreed, by the bucket in which they were allocated; also of a live table.
pub fn survivors(replayed: &Replayed, axis: Axis) -> Vec<Vec<Survivors>> {
    let mut births: Vec<Vec<(u64, u64)>> = vec![Vec::new(); replayed.sites.len()];
    for (_, block) in &replayed.live {
        births[block.site as usize].push((axis.bucket(block.birth.time_ms()), block.size));
    }
    let grouped = births.into_iter().map(|mut births| {
        births.sort_unstable();
        let mut groups: Vec<Survivors> = Vec::new();
        for (bucket, size) in births {
            match groups.last_mut().filter(|group| group.bucket == bucket) {
                Some(group) => {
                    group.blocks += 1;
                    group.bytes = group.bytes.saturating_add(size);
                }
                None => groups.push(Survivors { bucket, blocks: 1, bytes: size }),
            }
        }
        groups
    });
    grouped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Birth;

    #[test]
    fn many_busy_sites_have_wider_buckets() {
        let mut timeline = Timeline::with_most(0, 0, 100);
        for ms in 0..1_000 {
            let place = Place { writer: 0, thread: 0, clock_ms: ms, epoch: 1, collecting: false };
            for site in 0..3 {
                let block = Block { size: 1, birth: Birth::new(1, ms), site, moving: 0 };
                timeline.born(Address(0), &block, StackId(0), &place);
            }
        }
        let counts: Vec<usize> = (0..3).map(|site| timeline.points(site).len()).collect();
        assert!(counts.iter().sum::<usize>() <= 103 && counts[0] > 16, "points {counts:?}");
        assert_eq!(timeline.points, counts.iter().sum::<usize>());
        let born = |site| timeline.points(site).iter().map(|point| point.born_blocks).sum::<u64>();
        assert!((0..3).all(|site| born(site) == 1_000));
    }
}
