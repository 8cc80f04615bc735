//! One block that is replaced by ever larger ones: the array of a list, the table of a map.
//!
//! What it holds grows evenly while its size grows in steps that are ever rarer; so a step is due when the work
//! since the last one is in proportion to what the last one made room for.
use super::profile::Axis;
use super::series::ProcessSeries;

/// Fewer enlargements may be those of a table that was made a little too small.
const LEAST_STEPS: usize = 4;
/// A step may be late by so great a factor: what it holds does not come that evenly.
const LATE: f64 = 1.5;
/// A few arrays of one site may grow together.
const MOST_ARRAYS: u64 = 4;

/// An array that grows.
pub(super) struct Array {
    /// Times at which it was enlarged.
    pub steps: u64,
    /// The bytes before the first and after the last one.
    pub bytes: (u64, u64),
    /// The buckets of the first and of the last one.
    pub buckets: (usize, usize),
}

/// The array of a site, if there is nothing else and it still grows at the end.
pub(super) fn growing(process: &ProcessSeries, axis: &Axis) -> Option<Array> {
    let (mut blocks, mut bytes) = (process.series.before.blocks, process.series.before.bytes);
    let mut levels: Vec<(usize, u64)> = Vec::new();
    for (index, bucket) in process.series.buckets.iter().enumerate() {
        if bucket.born.blocks == 0 && bucket.freed.blocks == 0 {
            continue;
        }
        blocks = (blocks + bucket.born.blocks).checked_sub(bucket.freed.blocks)?;
        bytes = (bytes + bucket.born.bytes).checked_sub(bucket.freed.bytes)?;
        if blocks > MOST_ARRAYS || levels.last().is_some_and(|&(_, level)| bytes < level) {
            return None;
        }
        if bytes > 0 && levels.last().is_none_or(|&(_, level)| bytes > level) {
            levels.push((index, bytes));
        }
    }
    let &(last, most) = levels.last()?;
    let &(first, least) = levels.first()?;
    let steps = levels.len() - 1;
    let &(half, half_bytes) = levels.iter().find(|level| level.1 * 2 >= most)?;
    if steps < LEAST_STEPS || half == last || most < least * 2 {
        return None;
    }
    // Each step came when the size before it was full.
    let before = levels[levels.len() - 2].1 as f64;
    let filled = before - half_bytes as f64 * before / most as f64;
    let (half_at, last_at) = (axis.middle(half), axis.middle(last));
    let due = last_at + LATE * (last_at - half_at) * (most as f64 - before) / filled;
    let is_kept =
        process.series.buckets.iter().map(|bucket| bucket.unfreed.blocks).sum::<u64>() <= MOST_ARRAYS;
    (is_kept && due >= 1.0).then_some(Array {
        steps: steps as u64,
        bytes: (least, most),
        buckets: (first, last),
    })
}
