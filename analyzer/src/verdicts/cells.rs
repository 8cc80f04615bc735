//! The time of a process in which it did something, cut into cells of equal length.
//!
//! A service that is tried out answers some hundred requests within a second and idles for minutes: of a cell of wall time
//! that would be all it ever did. So a time in which nothing is allocated counts as one bucket, however long it is.
use std::ops::Range;

use super::scale::Scale;
use crate::replay::Axis;

/// Cells of a process at most.
const CELLS: usize = 1 << 10;

/// What a process did in a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Did {
    /// It allocated nothing.
    Nothing,
    /// It allocated, but only what belongs to its start.
    Start,
    /// It allocated.
    Work,
}

/// The cells of a process.
#[derive(Clone)]
pub struct Cells {
    scale: Scale,
    /// In ticks of the scale, where others have ms.
    axis: Axis,
    /// The first bucket of the axis that is in one.
    first: u64,
    /// For each bucket from there on its cell.
    of: Vec<u32>,
    /// With which bucket each cell begins, from the first one; and the end, which may be later.
    begins: Vec<u64>,
    /// Buckets that are counted in a cell.
    merged: usize,
}

impl Cells {
    /// Of these buckets, in which it did this, and behind it nothing; `all`: of those in which it did nothing, too. Of a start no more is
    /// told than by the clock.
    pub fn new(scale: Scale, axis: Axis, buckets: Range<u64>, did: &[Did], all: bool) -> Cells {
        let step = (scale.per_ms / axis.width_ms()).max(1) as usize;
        let mut counted = 0;
        let mut before = None;
        let places: Vec<usize> = did
            .iter()
            .enumerate()
            .map(|(at, did)| {
                let is_same = match did {
                    Did::Nothing => !all,
                    Did::Start => !at.is_multiple_of(step),
                    Did::Work => false,
                };
                counted += usize::from(!is_same || before != Some(did));
                before = Some(did);
                counted.saturating_sub(1)
            })
            .collect();
        let merged = counted.div_ceil(CELLS).max(1);
        let of: Vec<u32> = places.into_iter().map(|place| (place / merged) as u32).collect();
        let begins = (0..of.len()).filter(|&at| at == 0 || of[at] != of[at - 1]).map(|at| at as u64);
        let begins = begins.chain([buckets.end - buckets.start]).collect();
        Cells { scale, axis, first: buckets.start, of, begins, merged }
    }

    /// How its time is told.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.begins.len() - 1
    }

    /// How much work of a process a cell is at most, ticks.
    pub fn width(&self) -> u64 {
        self.axis.width_ms().max(self.scale.per_ms) * self.merged as u64
    }

    /// When each ends, ticks after the first one begins.
    pub fn ends(&self) -> Vec<u64> {
        self.begins[1..].iter().map(|&end| end * self.axis.width_ms()).collect()
    }

    /// The cell of a bucket of the axis.
    #[inline(always)]
    pub fn of(&self, bucket: u64) -> Option<usize> {
        self.of.get(bucket.checked_sub(self.first)? as usize).map(|&cell| cell as usize)
    }

    /// The cell of a tick; that of the first or last one before and after all.
    #[inline(always)]
    pub fn at(&self, tick: u64) -> usize {
        let bucket = self.axis.bucket(tick).max(self.first);
        self.of(bucket).unwrap_or(self.len().saturating_sub(1))
    }

    /// The cell of a time, monotonic ms.
    pub fn at_ms(&self, ms: u64) -> usize {
        self.at(self.scale.ticks(ms))
    }

    /// When some cells begin and end, monotonic ms.
    pub fn times(&self, cells: &Range<usize>) -> Range<f64> {
        let begin = |cell: usize| {
            let bucket = self.first + self.begins[cell.min(self.len())];
            self.scale.ms(self.axis.begin_ms(bucket))
        };
        begin(cells.start)..begin(cells.end)
    }
}

#[cfg(test)]
mod tests {
    use super::Did::{Nothing, Start, Work};
    use super::*;

    const AXIS: Axis = Axis { origin_ms: 100, shift: 1 };

    #[test]
    fn idling_takes_no_room() {
        let cells = Cells::new(
            Scale::CLOCK,
            AXIS,
            5..13,
            &[Work, Nothing, Nothing, Nothing, Nothing, Work, Nothing, Start],
            false,
        );
        assert_eq!((cells.len(), cells.width()), (5, 2));
        let of: Vec<_> = (4..14).map(|bucket| cells.of(bucket)).collect();
        let expected = [None, Some(0), Some(1), Some(1), Some(1), Some(1), Some(2), Some(3), Some(4), None];
        assert_eq!(of, expected);
        assert_eq!(cells.times(&(1..3)), 112.0..122.0);
        assert_eq!(cells.times(&(0..5)), 110.0..126.0);
        assert_eq!(cells.ends(), [2, 10, 12, 14, 16]);
        assert_eq!([0, 110, 121, 1_000].map(|ms| cells.at(ms)), [0, 0, 2, 4]);
        let waits = Cells::new(Scale::CLOCK, AXIS, 5..20, &[Work, Work, Nothing], false);
        assert_eq!((waits.ends(), waits.times(&(2..3)), waits.at(130)), (vec![2, 4, 30], 114.0..140.0, 2));
    }

    #[test]
    fn a_start_is_told_by_the_clock() {
        let scale = Scale::fine(0);
        let axis = Axis { origin_ms: 0, shift: 8 };
        let did = [[Start; 6].as_slice(), &[Work; 3], &[Start; 3]].concat();
        let cells = Cells::new(scale, axis, 0..12, &did, false);
        assert_eq!(
            (cells.ends(), cells.width()),
            ([4, 6, 7, 8, 9, 12].map(|end| end << 8).to_vec(), 1 << 10)
        );
    }

    #[test]
    fn there_are_not_many() {
        let busy = vec![Work; 3 * CELLS];
        let cells = Cells::new(Scale::CLOCK, AXIS, 0..busy.len() as u64, &busy, false);
        assert_eq!((cells.len(), cells.width(), cells.of(5)), (CELLS, 6, Some(1)));
        assert_eq!(Cells::new(Scale::CLOCK, AXIS, 0..9, &[Nothing; 9], true).len(), 9);
        assert_eq!(Cells::new(Scale::CLOCK, AXIS, 0..9, &[Nothing; 9], false).len(), 1);
        assert_eq!(Cells::new(Scale::CLOCK, AXIS, 0..0, &[], false).len(), 0);
    }
}
