//! Sites that leak: what should be GROWING.
use crate::scene::Scene;

/// Each request leaves some blocks.
pub fn each(scene: &mut Scene, blocks: usize, spread: f64) {
    for at in scene.requests.clone() {
        for _ in 0..blocks {
            let size = scene.random.size(300.0, spread);
            scene.leak(at, size);
        }
    }
}

/// Every `step`th request leaves a block.
pub fn every(scene: &mut Scene, step: usize, median: f64, spread: f64) {
    let first = scene.random.below(step);
    for at in scene.requests.clone().into_iter().skip(first).step_by(step) {
        let size = scene.random.size(median, spread);
        scene.leak(at, size);
    }
}

/// A request leaves a block with some probability such that there are about so many.
pub fn about(scene: &mut Scene, count: usize, median: f64, spread: f64) {
    let probability = count as f64 / scene.requests.len() as f64;
    for at in scene.requests.clone() {
        if scene.random.chance(probability) {
            let size = scene.random.size(median, spread);
            scene.leak(at, size);
        }
    }
}

/// So many batches of many blocks, at about equal distances.
pub fn batches(scene: &mut Scene, count: usize, most: usize) {
    let step = scene.requests.len() / count;
    for index in 0..count {
        let at = scene.requests[index * step + scene.random.below(step)];
        for _ in 0..most / 2 + scene.random.below(most / 2) {
            let size = scene.random.size(80.0, 0.5);
            scene.leak(at, size);
        }
    }
}

/// Each request uses blocks for a while and sometimes forgets one.
pub fn beneath_churn(scene: &mut Scene, blocks: usize, one_in: usize, mean_ms: f64) {
    for at in scene.requests.clone() {
        for _ in 0..blocks {
            let size = scene.random.size(200.0, 0.8);
            if scene.random.below(one_in) == 0 {
                scene.leak(at, size);
            } else {
                let freed = at + scene.random.exponential(mean_ms);
                scene.free(at, freed, size);
            }
        }
    }
}

/// One array that grows with what it holds.
pub fn enlarged(scene: &mut Scene, factor: f64, from: f64) {
    let mut held = from;
    let mut capacity = from;
    let mut since = scene.at(0.0);
    for at in scene.requests.clone() {
        held += 8.0;
        if held > capacity {
            scene.free(since, at, capacity as u64);
            capacity = (capacity * factor).max(held);
            since = at;
        }
    }
    scene.leak(since, capacity as u64);
}

/// As [`each`], after a part of the run.
pub fn began(scene: &mut Scene, part: f64, churn: bool) {
    let begin = scene.after(part);
    for at in scene.requests.clone() {
        if at >= begin {
            scene.leak(at, 512);
        }
        if churn {
            let freed = at + scene.random.exponential(scene.end() / 500.0);
            scene.free(at, freed, 512);
        }
    }
}

/// Leaked by a timer, whatever the load is.
pub fn timer(scene: &mut Scene, count: usize) {
    for index in 0..count {
        let part = (index as f64 + scene.random.unit()) / count as f64;
        let at = scene.at(part);
        scene.leak(at, 4096);
    }
}

/// Entries by a key that is new ever less often, but without end: Heaps' law.
pub fn heaps(scene: &mut Scene, exponent: f64) {
    let mut distinct = 0.0;
    for (index, at) in scene.requests.clone().into_iter().enumerate() {
        let expected = ((index + 1) as f64).powf(exponent) * 3.0;
        while distinct < expected {
            distinct += 1.0;
            let size = scene.random.size(120.0, 0.4);
            scene.leak(at, size);
        }
    }
}

/// Connections of so many blocks, that come in clumps.
pub fn clumps(scene: &mut Scene, probability: f64) {
    for at in scene.requests.clone() {
        if scene.random.chance(probability) {
            for _ in 0..1 + scene.random.exponential(8.0) as usize {
                let size = scene.random.size(2_000.0, 0.7);
                scene.leak(at, size);
            }
        }
    }
}

/// Cycles that are collected in time, and one in some that is not.
pub fn beneath_collector(scene: &mut Scene, teeth: usize, one_in: usize) {
    for at in scene.requests.clone() {
        let tooth = scene.end() / teeth as f64;
        let collected = ((at / tooth).floor() + 1.0) * tooth;
        for _ in 0..5 {
            if scene.random.below(one_in) == 0 {
                scene.leak(at, 160);
            } else {
                scene.collect(at, collected, 160);
            }
        }
    }
}

/// The leak is in code that was called in one part of the run only; other requests came before and after it.
pub fn in_turn(scene: &mut Scene, from: f64, to: f64) -> Vec<f64> {
    let (from, to) = (scene.after(from), scene.after(to));
    let calls: Vec<f64> = scene.requests.iter().copied().filter(|&at| at >= from && at < to).collect();
    for &at in &calls {
        scene.leak(at, 777);
    }
    calls
}
