//! How much it grows: what stayed in the growing part, with an interval from how unevenly it came.
use std::ops::Range;

use super::array::Array;
use super::judgement::{Estimate, Growth};
use super::profile::{Axis, CELLS, Mass, Profile};
use super::rules::mean_and_error;
use super::series::{Amount, ProcessSeries};

/// Parts into which the growing part is cut to see how evenly it grew.
const PARTS: usize = 10;
/// Student's t for 95 of 100 cases, by degrees of freedom 9 (ten parts) and 4 (five increments of floors).
const T_OF_PARTS: f64 = 2.26;
const T_OF_FLOORS: f64 = 2.78;
/// The second half of the window: what fills up at first has mostly done so.
const FLOORS_FROM: f64 = 0.4;

/// Growth by blocks that are never freed.
pub(super) fn of_kept(
    process: &ProcessSeries,
    axis: &Axis,
    judged: Range<f64>,
    cells: &Range<usize>,
) -> Growth {
    let at = |cell: usize| judged.start + (judged.end - judged.start) * cell as f64 / CELLS as f64;
    let part = axis.buckets(at(cells.start)..at(cells.end));
    let sum = process.series.buckets[part.clone()]
        .iter()
        .fold(Amount::default(), |sum, bucket| sum + bucket.unfreed);
    let profile = Profile::of(process, axis, judged.clone());
    let masses = &profile.unfreed[cells.clone()];
    let error = |value: fn(&Mass) -> f64| {
        let parts: Vec<f64> = (0..PARTS)
            .map(|part| {
                masses[masses.len() * part / PARTS..masses.len() * (part + 1) / PARTS].iter().map(value).sum()
            })
            .collect();
        T_OF_PARTS * mean_and_error(&parts).1 * PARTS as f64
    };
    growth(
        process,
        part,
        around(sum.blocks as f64, error(|mass| mass.blocks)),
        around(sum.bytes as f64, error(|mass| mass.bytes)),
    )
}

/// Growth of what is live although it is freed.
pub(super) fn of_floors(process: &ProcessSeries, axis: &Axis) -> Growth {
    let profile = Profile::of(process, axis, 0.0..1.0);
    let from = (profile.floors.len() as f64 * FLOORS_FROM) as usize;
    let part = axis.bucket(FLOORS_FROM)..process.series.buckets.len();
    let rise = |value: fn(&Mass) -> f64| {
        let increments: Vec<f64> =
            profile.floors[from..].windows(2).map(|pair| value(&pair[1]) - value(&pair[0])).collect();
        let (mean, error) = mean_and_error(&increments);
        let tenths = (1.0 - FLOORS_FROM) * profile.floors.len() as f64;
        around(mean * tenths, T_OF_FLOORS * error * tenths)
    };
    growth(process, part, rise(|mass| mass.blocks), rise(|mass| mass.bytes))
}

/// Growth of one block that is replaced by larger ones.
pub(super) fn of_array(process: &ProcessSeries, array: &Array) -> Growth {
    let bytes = (array.bytes.1 - array.bytes.0) as f64;
    // Between two steps what it holds is anywhere between them.
    growth(
        process,
        array.buckets.0..process.series.buckets.len(),
        Estimate::default(),
        Estimate { value: bytes, low: bytes / 2.0, high: bytes * 2.0 },
    )
}

fn around(value: f64, error: f64) -> Estimate {
    Estimate { value, low: value - error, high: value + error }
}

fn growth(process: &ProcessSeries, part: Range<usize>, blocks: Estimate, bytes: Estimate) -> Growth {
    let part_ms = process.window.begin_ms(part.end) - process.window.begin_ms(part.start);
    Growth { part, part_ms, blocks, bytes }
}
