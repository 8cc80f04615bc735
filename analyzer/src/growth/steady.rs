//! Whether what stays keeps coming: a steady rate up to the end, an ever slower one, one that stopped, or a few steps.
use std::ops::Range;

use super::profile::Mass;

/// How what stays came about.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Course {
    /// Nothing stayed.
    Nothing,
    /// At a steady rate, up to the last cell.
    Steady(Steady),
    /// Ever more slowly.
    Slowing,
    /// Not any more.
    Stopped,
    /// In a few steps that are unlike each other, or too few to say.
    Few { steps: usize },
    /// It began too late to say.
    Late { steps: usize },
}

/// A steady rate.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Steady {
    /// From where on.
    pub cells: Range<usize>,
    /// In how many steps.
    pub steps: usize,
    /// It is a little slower at the end.
    pub is_slower: bool,
    /// Each third has about as much as the others.
    pub is_even: bool,
    /// The second half has much more than the first.
    pub is_faster: bool,
}

/// Fewer steps say nothing.
const LEAST_STEPS: usize = 4;
/// Fewer steps must be alike: things that are made when they are first used are few and unlike.
pub(super) const FEW_STEPS: usize = 10;
/// Steps are alike if all but one of five are within so great a factor.
const LIKE: f64 = 4.0;
/// Fewer steps must be alike to some degree: first uses in many workers.
const SOME_STEPS: usize = 40;
const LIKE_OF_SOME: f64 = 100.0;
/// A cell counts for at most so many times the median one: a batch is one event however many blocks it has.
const MOST: f64 = 8.0;
/// Growth must last for so great a part of the judged one.
const LEAST_PART: f64 = 0.2;
/// Slowing: the rate at the end is below a sixth of that at the beginning (what was met three times on average is a
/// twentieth), or falls faster than that of square-root growth.
const SLOWER: f64 = 6.0;
/// Logarithm of likelihood that a better description must bring: 4 is wrong in about 1 of 200 cases.
const BETTER: f64 = 4.0;
/// The same for a start, of which there are many to choose from.
const MUCH_BETTER: f64 = 6.0;
/// And so many steps must follow it.
const STEPS_AFTER_START: usize = 15;
/// Thirds are even if one has at most so many times as much as another: by chance those of a store that fills are so seldom.
const EVEN: f64 = 1.6;
/// The second half of what is never freed has as much as the first; of what is freed late, the younger half has more.
const FASTER: f64 = 1.5;
/// And there must be so many steps to see it.
const EVEN_STEPS: f64 = 20.0;
/// A gap among few steps that comes by chance in fewer cases is none of a steady rate.
const BY_CHANCE: f64 = 0.005;
/// So many expected steps that did not come: by chance in 1 of 400 cases.
const MISSING: f64 = 6.0;

/// Judges the births of what stayed, by cell.
pub(super) fn course(cells: &[Mass]) -> Course {
    let Some(first) = cells.iter().position(|cell| cell.blocks > 0.0) else { return Course::Nothing };
    let last = cells.iter().rposition(|cell| cell.blocks > 0.0).unwrap_or(first);
    let mut begin = first;
    let steps = steps(&cells[begin..]);
    let is_one = cells[first..last].iter().all(|cell| cell.blocks > 0.0);
    if is_one && ((last + 1 - first) as f64) < LEAST_PART * cells.len() as f64 && last + 1 < cells.len() {
        return Course::Few { steps: 1 };
    }
    if steps < LEAST_STEPS {
        return Course::Few { steps };
    }
    let mut weights = weights(&cells[begin..]);
    let mut slowing = Slowing::of(&weights);
    // A start, then a steady rate?
    if let Some((cell, likelihood)) = start(&weights)
        && self::steps(&cells[begin + cell..]) >= STEPS_AFTER_START
        && (likelihood - slowing.likelihood) * independence(&weights[cell..]).max(1.0) > MUCH_BETTER
    {
        begin += cell;
        weights = self::weights(&cells[begin..]);
        slowing = Slowing::of(&weights);
    }
    if slowing.is_slow() {
        return Course::Slowing;
    }
    let count = self::steps(&cells[begin..]);
    if count < LEAST_STEPS {
        return Course::Few { steps };
    }
    let gap = (cells.len() - 1 - last) as f64;
    let events: f64 = weights.iter().sum();
    if events * gap / (last + 1 - begin) as f64 > MISSING {
        return Course::Stopped;
    }
    if ((cells.len() - begin) as f64) < LEAST_PART * cells.len() as f64 {
        return Course::Late { steps };
    }
    let like = if count < FEW_STEPS { Some(LIKE) } else { (count < SOME_STEPS).then_some(LIKE_OF_SOME) };
    if like.is_some_and(|like| !are_alike(&cells[begin..], like) || has_gap(&cells[begin..], count)) {
        return Course::Few { steps };
    }
    Course::Steady(Steady {
        cells: begin..cells.len(),
        steps: count,
        is_slower: slowing.likelihood > BETTER,
        is_even: is_even(&weights),
        is_faster: is_faster(&weights),
    })
}

/// Whether so few steps leave a gap that is hardly there by chance.
fn has_gap(cells: &[Mass], steps: usize) -> bool {
    let gaps = cells.chunk_by(|a, b| (a.blocks > 0.0) == (b.blocks > 0.0)).filter(|run| run[0].blocks == 0.0);
    let longest = gaps.map(<[Mass]>::len).max().unwrap_or(0) as f64 / cells.len() as f64;
    steps as f64 * (1.0 - longest).powi(steps as i32 - 1) < BY_CHANCE
}

/// Whether there is much more of it in the second half, and not by chance.
fn is_faster(weights: &[f64]) -> bool {
    let (first, second) = weights.split_at(weights.len() / 2);
    let (first, second): (f64, f64) = (first.iter().sum(), second.iter().sum());
    second > FASTER * first && second - first > (first + second).sqrt()
}

/// Whether each third has about as much.
fn is_even(weights: &[f64]) -> bool {
    let third = weights.len() / 3;
    let sums = [0, 1, 2].map(|index| weights[index * third..(index + 1) * third].iter().sum::<f64>());
    let (least, most) =
        sums.iter().fold((f64::INFINITY, 0.0f64), |(least, most), &sum| (least.min(sum), most.max(sum)));
    weights.iter().sum::<f64>() >= EVEN_STEPS && most <= EVEN * least
}

/// Times at which something stayed: neighbours are one, unless most cells are filled.
fn steps(cells: &[Mass]) -> usize {
    let filled = cells.iter().filter(|cell| cell.blocks > 0.0).count();
    let runs = usize::from(cells.first().is_some_and(|cell| cell.blocks > 0.0))
        + cells.windows(2).filter(|pair| pair[0].blocks == 0.0 && pair[1].blocks > 0.0).count();
    if filled > 3 * runs { filled } else { runs }
}

/// The bytes of each step.
fn step_bytes(cells: &[Mass]) -> Vec<f64> {
    let runs = cells.split(|cell| cell.blocks == 0.0).filter(|run| !run.is_empty());
    runs.map(|run| run.iter().map(|cell| cell.bytes).sum()).collect()
}

fn are_alike(cells: &[Mass], like: f64) -> bool {
    let mut steps = step_bytes(cells);
    if steps.len() < LEAST_STEPS {
        return true;
    }
    steps.sort_by(f64::total_cmp);
    let odd = steps.len() / 5;
    (0..=odd).any(|from| {
        let kept = &steps[from..from + steps.len() - odd];
        kept[kept.len() - 1] <= like * kept[0]
    })
}

/// How many independent events each cell stands for.
fn weights(cells: &[Mass]) -> Vec<f64> {
    let mut filled: Vec<f64> = cells.iter().map(|cell| cell.blocks).filter(|&blocks| blocks > 0.0).collect();
    filled.sort_by(f64::total_cmp);
    let most = MOST * filled.get(filled.len() / 2).copied().unwrap_or(0.0);
    let mut weights: Vec<f64> = cells.iter().map(|cell| cell.blocks.min(most)).collect();
    let scale = independence(&weights);
    weights.iter_mut().for_each(|weight| *weight *= scale);
    weights
}

/// How many independent events there are for each unit of weight: fewer, the less evenly it is spread.
fn independence(weights: &[f64]) -> f64 {
    let (sum, squares) =
        weights.iter().fold((0.0, 0.0), |(sum, squares), weight| (sum + weight, squares + weight * weight));
    if squares > 0.0 { sum / squares } else { 0.0 }
}

/// The best description by a rate that falls.
struct Slowing {
    /// Logarithm of its likelihood over that of a steady rate.
    likelihood: f64,
    falls_far: bool,
}

impl Slowing {
    fn of(weights: &[f64]) -> Slowing {
        let sum: f64 = weights.iter().sum();
        let at = |cell: usize| (cell as f64 + 0.5) / weights.len() as f64;
        let mean = |value: &dyn Fn(f64) -> f64| -> f64 {
            weights.iter().enumerate().map(|(cell, weight)| weight * value(at(cell))).sum::<f64>()
        };
        let (places, logarithms) = (mean(&|at| at), mean(&|at| at.ln()));
        let exponential = |rate: f64| sum * (rate / (1.0 - (-rate).exp())).ln() - rate * places;
        let power = |exponent: f64| sum * (1.0 - exponent).ln() - exponent * logarithms;
        let best = |values: &mut dyn Iterator<Item = (f64, f64)>| {
            values.fold((0.0, 0.0), |best: (f64, f64), next| if next.1 > best.1 { next } else { best })
        };
        let (rate, by_rate) =
            best(&mut (1..160).map(|step| f64::from(step) / 4.0).map(|rate| (rate, exponential(rate))));
        let (exponent, by_power) =
            best(&mut (1..50).map(|step| f64::from(step) / 50.0).map(|exponent| (exponent, power(exponent))));
        Slowing {
            likelihood: by_rate.max(by_power),
            falls_far: if by_rate >= by_power { rate > SLOWER.ln() } else { exponent > 0.5 },
        }
    }

    fn is_slow(&self) -> bool {
        self.falls_far && self.likelihood > BETTER
    }
}

/// The best description by one rate, then one that is at most half of it: where the lower begins, and the logarithm of its likelihood.
fn start(weights: &[f64]) -> Option<(usize, f64)> {
    let sum: f64 = weights.iter().sum();
    let term = |count: f64, part: f64| if count > 0.0 { count * (count / (sum * part)).ln() } else { 0.0 };
    let mut before = 0.0;
    let mut best = None;
    for cell in 1..weights.len() * 3 / 5 {
        before += weights[cell - 1];
        let part = cell as f64 / weights.len() as f64;
        let likelihood = term(before, part) + term(sum - before, 1.0 - part);
        let is_lower = (sum - before) / (1.0 - part) < before / part / 2.0;
        if is_lower && best.is_none_or(|(_, most)| likelihood > most) {
            best = Some((cell, likelihood));
        }
    }
    best
}
