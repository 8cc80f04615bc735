//! The time of a process in which it did something, cut into cells of equal length.
//!
//! A service that is tried out answers some hundred requests within a second and idles for minutes: of a cell of wall time
//! that would be all it ever did. So a time in which nothing is allocated counts as one bucket, however long it is.
use std::ops::Range;

use crate::replay::Axis;

/// Cells of a process at most.
const CELLS: usize = 1 << 10;

/// The cells of a process.
#[derive(Clone)]
pub struct Cells {
    axis: Axis,
    /// The first bucket of the axis that is in one.
    first: u64,
    /// For each bucket from there on its cell.
    of: Vec<u32>,
    /// With which bucket each cell begins, from the first one; and the end.
    begins: Vec<usize>,
    /// Buckets that are counted in a cell.
    merged: usize,
}

impl Cells {
    /// Of the buckets from `first` on, in each of which so many blocks were allocated; `all`: of those in which none was, too.
    pub fn new(axis: Axis, first: u64, allocated: &[u64], all: bool) -> Cells {
        let mut counted = 0;
        let mut was_idle = false;
        let places: Vec<usize> = allocated
            .iter()
            .map(|&blocks| {
                counted += usize::from(all || blocks > 0 || !was_idle);
                was_idle = blocks == 0;
                counted.saturating_sub(1)
            })
            .collect();
        let merged = counted.div_ceil(CELLS).max(1);
        let of: Vec<u32> = places.into_iter().map(|place| (place / merged) as u32).collect();
        let begins = (0..of.len()).filter(|&at| at == 0 || of[at] != of[at - 1]);
        let begins = begins.chain([of.len()]).collect();
        Cells { axis, first, of, begins, merged }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.begins.len() - 1
    }

    /// How much work of a process a cell is, ms.
    pub fn width_ms(&self) -> u64 {
        self.axis.width_ms() * self.merged as u64
    }

    /// When each ends, ms after the first one begins.
    pub fn ends_ms(&self) -> Vec<u64> {
        self.begins[1..].iter().map(|&end| end as u64 * self.axis.width_ms()).collect()
    }

    /// The cell of a bucket of the axis.
    #[inline(always)]
    pub fn of(&self, bucket: u64) -> Option<usize> {
        self.of.get(bucket.checked_sub(self.first)? as usize).map(|&cell| cell as usize)
    }

    /// The cell of a time, monotonic ms; that of the first or last one before and after all.
    #[inline(always)]
    pub fn at(&self, ms: u64) -> usize {
        let bucket = self.axis.bucket(ms).max(self.first);
        self.of(bucket).unwrap_or(self.len().saturating_sub(1))
    }

    /// When some cells begin and end, monotonic ms.
    pub fn times(&self, cells: &Range<usize>) -> (u64, u64) {
        let begin = |cell: usize| self.begins[cell.min(self.len())] as u64;
        (
            self.axis.begin_ms(self.first + begin(cells.start)),
            self.axis.begin_ms(self.first + begin(cells.end)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXIS: Axis = Axis { origin_ms: 100, shift: 1 };

    #[test]
    fn idling_takes_no_room() {
        let cells = Cells::new(AXIS, 5, &[3, 0, 0, 0, 0, 7, 0, 1], false);
        assert_eq!((cells.len(), cells.width_ms()), (5, 2));
        let of: Vec<_> = (4..14).map(|bucket| cells.of(bucket)).collect();
        let expected = [None, Some(0), Some(1), Some(1), Some(1), Some(1), Some(2), Some(3), Some(4), None];
        assert_eq!(of, expected);
        assert_eq!(cells.times(&(1..3)), (112, 122));
        assert_eq!(cells.times(&(0..5)), (110, 126));
        assert_eq!(cells.ends_ms(), [2, 10, 12, 14, 16]);
        assert_eq!([0, 110, 121, 1_000].map(|ms| cells.at(ms)), [0, 0, 2, 4]);
    }

    #[test]
    fn there_are_not_many() {
        let busy = vec![1; 3 * CELLS];
        let cells = Cells::new(AXIS, 0, &busy, false);
        assert_eq!((cells.len(), cells.width_ms(), cells.of(5)), (CELLS, 6, Some(1)));
        assert_eq!(Cells::new(AXIS, 0, &[0; 9], true).len(), 9);
        assert_eq!(Cells::new(AXIS, 0, &[0; 9], false).len(), 1);
        assert_eq!(Cells::new(AXIS, 0, &[], false).len(), 0);
    }
}
