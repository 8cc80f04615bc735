//! A profile -> whether it rises. The rules, with the reasons for their constants, are in docs/growth.md.
use std::ops::Range;

use super::profile::{CELLS, FLOORS, Part, Profile};
use super::steady::{Course, Steady, course};

/// How it is known that something rises.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Rise {
    /// Blocks that are never freed keep coming.
    Kept(Part, Steady),
    /// What is freed is outrun: the least that is live rises from tenth to tenth of the window.
    Floors,
}

/// The floors of the first tenth are not looked at: that is where a program fills up.
const FIRST_FLOOR: usize = 1;
/// Mean of the increments of the floors over its standard error; for eight of them 4 comes by chance in 1 of 400 cases.
const SURE: f64 = 4.0;
/// Of the increments of the floors, as many may be none: one.
const LEVEL_FLOORS: usize = 1;
/// The second half of the floors must rise by as great a part of all: a steady rise has a half, a store that is full none.
const LATE_SHARE: f64 = 0.35;
/// A rise by less of what is live cannot be told from a wave.
const LEAST_RISE: f64 = 0.2;
/// With more work at a time more is in use; as great a part of the rise must be there for the same work.
const MORE_THAN_BIRTHS: f64 = 0.7;
/// So many steps show that what stays is as much of the oldest as of the younger.
const HALF_STEPS: usize = 15;
/// What is live must agree with what stays to at least so great a part.
const AGREES: f64 = 0.5;
/// Standard errors by which fluctuation may hide it.
const HIDDEN: f64 = 3.0;
/// Parts in each of which what is live fluctuates for itself.
const WAVES: usize = 10;

/// Rule 1: what is older than any block that was freed keeps coming.
pub(super) fn never_freed(profile: &Profile, course: &Course) -> Option<Steady> {
    let Course::Steady(steady) = course else { return None };
    (!is_contradicted(profile, &steady.cells, steady.is_slower)).then(|| steady.clone())
}

/// Rule 2: what stays of the older half of the work came evenly from early on, and blocks of that age are never freed, or what is live
/// grew by as much in the other half. `profile`: of the older half; `whole`: of all.
pub(super) fn stays_of_the_older_half(
    profile: &Profile,
    whole: &Profile,
    is_never_freed: impl Fn(f64) -> bool,
) -> Option<Steady> {
    let Course::Steady(mut steady) = course_of(profile) else { return None };
    if steady.is_faster || steady.steps < HALF_STEPS || steady.cells.start > CELLS / 4 {
        return None;
    }
    let cells = steady.cells.clone();
    // What is younger may still be freed: the rate is that of the older ones.
    steady.cells.end -= cells.len() / 2;
    // What leaks in one half of the work leaks in the other: a store that is full by then was filled in the first.
    let later = live_grown(whole, CELLS / 2..CELLS, HIDDEN);
    let expected = profile.stayed(cells.clone()) * CELLS as f64 / cells.len() as f64;
    let is_full = later < AGREES * expected;
    if is_never_freed(profile.stayed(cells.clone()))
        && !is_contradicted(profile, &cells, steady.is_slower)
        && !is_full
    {
        return Some(steady);
    }
    // What is expected in a tenth of the window.
    let stayed = profile.stayed(steady.cells.clone()) * CELLS as f64 / steady.cells.len() as f64;
    let tenth = stayed / (FLOORS / 2) as f64;
    let floor = |index: usize| profile.floors[index].blocks;
    let mean = |from: usize| (from..from + 3).map(floor).sum::<f64>() / 3.0;
    let grown = (mean(FLOORS - 3) - mean(FLOORS - 6)) / 3.0;
    let at_last = (floor(FLOORS - 1) - floor(FLOORS - 3)) / 2.0;
    (grown >= AGREES * tenth && at_last >= AGREES / 2.0 * tenth).then_some(steady)
}

/// Rule 3: the floors rise.
pub(super) fn outrun(profile: &Profile) -> bool {
    let blocks: Vec<f64> = profile.floors.iter().map(|floor| floor.blocks).collect();
    let bytes: Vec<f64> = profile.floors.iter().map(|floor| floor.bytes).collect();
    floors_rise(&blocks, &profile.births) || floors_rise(&bytes, &profile.births)
}

/// The course of what stayed.
pub(super) fn course_of(profile: &Profile) -> Course {
    course(&profile.unfreed)
}

/// Whether what is live did not grow with what stayed: as in a store that is full, whose entries are just not dropped yet. What comes ever
/// more slowly is mostly of a store that fills up: there it must be seen to grow, however much it fluctuates.
fn is_contradicted(profile: &Profile, cells: &Range<usize>, is_slower: bool) -> bool {
    let late = (cells.start + cells.end) / 2..cells.end;
    let hidden = if is_slower { 0.0 } else { HIDDEN };
    live_grown(profile, late.clone(), hidden) < AGREES * profile.stayed(late)
}

/// By how many blocks what is live grew in these cells, and so many standard errors more.
fn live_grown(profile: &Profile, cells: Range<usize>, errors: f64) -> f64 {
    let live = profile.live[cells].iter().map(|mass| mass.blocks).collect::<Vec<_>>();
    let (grown, error) = trend(&live);
    grown + errors * error
}

/// By how much values rise from first to last, by a straight line through them, and its standard error: what is not on the line comes in
/// waves, so that only what it does in each tenth is independent.
fn trend(values: &[f64]) -> (f64, f64) {
    let middle = (values.len() as f64 - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let places = || values.iter().enumerate().map(|(at, value)| (at as f64 - middle, value - mean));
    let squares = places().map(|(place, _)| place * place).sum::<f64>().max(1.0);
    let slope = places().map(|(place, value)| place * value).sum::<f64>() / squares;
    let rests: Vec<f64> = places().map(|(place, value)| place * (value - slope * place)).collect();
    let of_part = |part: &[f64]| part.iter().sum::<f64>().powi(2);
    let error = rests.chunks(values.len().div_ceil(WAVES)).map(of_part).sum::<f64>().sqrt() / squares;
    (slope * values.len() as f64, error * values.len() as f64)
}

/// Whether the floors rise steadily, and more than the births do: more work at a time has more in use.
fn floors_rise(floors: &[f64], births: &[f64]) -> bool {
    let (floors, births) = (&floors[FIRST_FLOOR..], &births[FIRST_FLOOR..]);
    let waits: Vec<f64> = floors.iter().zip(births).map(|(floor, births)| floor / births).collect();
    // In the first half a program fills up, whatever the births are.
    let late = floors.len() / 2..;
    let is_work =
        births.contains(&0.0) || grown(&waits[late.clone()]) >= MORE_THAN_BIRTHS * grown(&floors[late]);
    rises(floors) && is_work
}

fn grown(floors: &[f64]) -> f64 {
    let last = floors[floors.len() - 1];
    if last > 0.0 { (last - floors[0]) / last } else { 0.0 }
}

fn rises(floors: &[f64]) -> bool {
    let increments: Vec<f64> = floors.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (mean, error) = mean_and_error(&increments);
    let middle = floors[floors.len() / 2];
    let (first, last) = (floors[0], floors[floors.len() - 1]);
    mean > SURE * error
        && increments.last().is_some_and(|&last| last > 0.0)
        && increments.iter().filter(|&&increment| increment <= 0.0).count() <= LEVEL_FLOORS
        && last - middle >= LATE_SHARE * (last - first)
        && grown(floors) >= LEAST_RISE
}

/// The mean, and its standard error.
pub(super) fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0) / count).sqrt())
}

const _: () = assert!(FLOORS > FIRST_FLOOR + 4, "too few increments to judge by");
