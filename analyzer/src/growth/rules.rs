//! A profile -> whether it rises. The rules, with the reasons for their constants, are in docs/growth.md.
use std::ops::Range;

use super::profile::{CELLS, FLOORS, Mass, Profile};
use super::steady::{Course, course};

/// How it is known that something rises.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Rise {
    /// Blocks that are never freed keep coming, in these cells of the judged part.
    Kept { cells: Range<usize>, steps: usize, slower: bool, even: bool },
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
/// What is live must agree with what stays to at least so great a part.
const AGREES: f64 = 0.5;
/// Standard deviations by which fluctuation may hide it.
const HIDDEN: f64 = 3.0;

/// Judges a profile. `never_freed`: the unfreed in it are older than any block that was freed; `is_freed`: most blocks are freed.
pub(super) fn rise(profile: &Profile, never_freed: bool, is_freed: bool, course: &Course) -> Option<Rise> {
    if let (true, Course::Steady { cells, steps, slower, even }) = (never_freed, course)
        && !is_contradicted(profile, cells)
    {
        return Some(Rise::Kept { cells: cells.clone(), steps: *steps, slower: *slower, even: *even });
    }
    if !is_freed {
        return None;
    }
    let blocks: Vec<f64> = profile.floors.iter().map(|floor| floor.blocks).collect();
    let bytes: Vec<f64> = profile.floors.iter().map(|floor| floor.bytes).collect();
    (floors_rise(&blocks, &profile.births) || floors_rise(&bytes, &profile.births)).then_some(Rise::Floors)
}

/// The course of what stayed.
pub(super) fn course_of(profile: &Profile) -> Course {
    course(&profile.unfreed)
}

/// Whether what is live did not grow with what stayed: as in a store that is full, whose entries are just not dropped yet.
fn is_contradicted(profile: &Profile, cells: &Range<usize>) -> bool {
    let middle = (cells.start + cells.end) / 2;
    let stayed = profile.stayed(middle..cells.end);
    let grown = profile.live[cells.end - 1].blocks - profile.live[middle.max(1) - 1].blocks;
    grown + HIDDEN * fluctuation(&profile.live[cells.clone()]) < AGREES * stayed
}

/// Standard deviation of what is live around its mean of the cells around.
fn fluctuation(live: &[Mass]) -> f64 {
    let reach = CELLS / 20;
    let squares = (0..live.len()).map(|cell| {
        let (from, to) = (cell.saturating_sub(reach), (cell + reach + 1).min(live.len()));
        // At the ends the window is cut on one side, where a slope would count as fluctuation.
        let reach = (cell - from).min(to - 1 - cell);
        let around = &live[cell - reach..=cell + reach];
        let mean = around.iter().map(|mass| mass.blocks).sum::<f64>() / around.len() as f64;
        (live[cell].blocks - mean).powi(2)
    });
    (squares.sum::<f64>() / live.len().max(1) as f64).sqrt()
}

/// Whether the floors rise steadily, and more than the births do: more work at a time has more in use.
fn floors_rise(floors: &[f64], births: &[f64]) -> bool {
    let waits: Vec<f64> = floors
        .iter()
        .zip(births)
        .map(|(floor, births)| if *births > 0.0 { floor / births } else { 0.0 })
        .collect();
    rises(floors)
        && (waits.contains(&0.0)
            || grown(&waits[FIRST_FLOOR..]) >= MORE_THAN_BIRTHS * grown(&floors[FIRST_FLOOR..]))
}

fn grown(floors: &[f64]) -> f64 {
    let last = floors[floors.len() - 1];
    if last > 0.0 { (last - floors[0]) / last } else { 0.0 }
}

fn rises(floors: &[f64]) -> bool {
    let floors = &floors[FIRST_FLOOR..];
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
