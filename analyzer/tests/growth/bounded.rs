//! Sites that do not leak: what should not be GROWING.
use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::scene::Scene;

/// Which entry a store drops when it is full.
#[derive(Clone, Copy)]
pub enum Drop {
    /// The one that was not used for the longest time.
    Oldest,
    /// Any.
    Any,
}

/// A cache of so many entries; `keys`: how many different ones are asked for, the popular ones more often.
pub fn cache(scene: &mut Scene, capacity: usize, keys: Option<usize>, drop: Drop, spread: f64) {
    let mut entries: HashMap<usize, (f64, u64, usize)> = HashMap::new();
    let mut by_use: BTreeMap<usize, usize> = BTreeMap::new();
    for (turn, at) in scene.requests.clone().into_iter().enumerate() {
        let key = keys.map_or(turn, |keys| scene.random.zipf(keys));
        if let Some(entry) = entries.get_mut(&key) {
            by_use.remove(&entry.2);
            entry.2 = turn;
            by_use.insert(turn, key);
            continue;
        }
        if entries.len() == capacity {
            let used = match drop {
                Drop::Oldest => *by_use.keys().next().unwrap(),
                Drop::Any => *by_use.keys().nth(scene.random.below(capacity)).unwrap(),
            };
            let (born, size, _) = entries.remove(&by_use.remove(&used).unwrap()).unwrap();
            scene.free(born, at, size);
        }
        let size = scene.random.size(400.0, spread);
        entries.insert(key, (at, size, turn));
        by_use.insert(turn, key);
    }
    let mut left: Vec<(f64, u64, usize)> = entries.into_values().collect();
    left.sort_by_key(|entry| entry.2);
    left.into_iter().for_each(|(born, size, _)| scene.keep(born, size));
}

/// Blocks that live as long as some time and some chance says; sessions, connections, entries with a time to live.
pub fn sessions(scene: &mut Scene, mean: f64, random: f64) {
    let mean = mean * scene.end();
    for at in scene.requests.clone() {
        let lives = mean * (1.0 - random) + scene.random.exponential(mean * random);
        let size = scene.random.size(900.0, 0.3);
        scene.free(at, at + lives, size);
    }
}

/// A registry of a fixed number of things, each entered when it is first met; `passes`: how often each is met.
pub fn registry(scene: &mut Scene, passes: f64) {
    let things = (scene.requests.len() as f64 / passes) as usize;
    let mut known = vec![false; things];
    for at in scene.requests.clone() {
        let thing = scene.random.below(things);
        if !std::mem::replace(&mut known[thing], true) {
            let size = scene.random.size(60.0, 0.3);
            scene.keep(at, size);
        }
    }
}

/// A registry in which some things are met more often than others.
pub fn popular_registry(scene: &mut Scene, things: usize) {
    let mut known = vec![false; things];
    for at in scene.requests.clone() {
        for _ in 0..4 {
            let thing = scene.random.zipf(things);
            if !std::mem::replace(&mut known[thing], true) {
                scene.keep(at, 90);
            }
        }
    }
}

/// A pool that makes another connection when all are in use, and keeps them.
pub fn pool(scene: &mut Scene, in_use_ms: f64) {
    let mut busy: Vec<f64> = Vec::new();
    for at in scene.requests.clone() {
        match busy.iter_mut().find(|until| **until <= at) {
            Some(free) => *free = at + scene.random.exponential(in_use_ms),
            None => {
                busy.push(at + scene.random.exponential(in_use_ms));
                for part in 0..6 {
                    scene.keep(at, 1_000 + part * 700);
                }
            }
        }
    }
}

/// Things that are made when they are first used: few, unlike, at times spread over magnitudes.
pub fn first_uses(scene: &mut Scene, count: usize) {
    for _ in 0..count {
        let part = scene.random.log_between(0.003, 0.9);
        let at = scene.after(part);
        for _ in 0..scene.random.log_between(1.0, 3_000.0) as usize {
            let size = scene.random.size(100.0, 1.0);
            scene.keep(at, size);
        }
    }
}

/// One thing that is made late: it takes some requests' time.
pub fn once(scene: &mut Scene, blocks: usize, part: f64) {
    let at = scene.after(part);
    for _ in 0..blocks {
        let later = at + scene.random.unit() * scene.end() / 200.0;
        let size = scene.random.size(500.0, 1.0);
        scene.keep(later, size);
    }
}

/// What a request needs, freed when it is done; `lasts`: ms.
pub fn churn(scene: &mut Scene, blocks: usize, lasts: f64) {
    for at in scene.requests.clone() {
        let done = at + scene.random.exponential(lasts);
        for _ in 0..blocks {
            let size = scene.random.size(250.0, 1.0);
            scene.free(at, done, size);
        }
    }
}

/// A queue that is worked off about as fast as it is filled.
pub fn queue(scene: &mut Scene) {
    let mut waiting: VecDeque<f64> = VecDeque::new();
    for at in scene.requests.clone() {
        if scene.random.chance(0.5) {
            waiting.push_back(at);
        } else if let Some(born) = waiting.pop_front() {
            scene.free(born, at, 640);
        }
    }
    waiting.into_iter().for_each(|born| scene.keep(born, 640));
}

/// Work that gathers blocks, then frees all of them; so many times.
pub fn batch_jobs(scene: &mut Scene, jobs: f64) {
    let length = scene.end() / jobs;
    for at in scene.requests.clone() {
        let done = ((at / length).floor() + 1.0) * length;
        scene.free(at, done, 320);
    }
}

/// Cycles that wait for the collector; `teeth`: how often it comes. With `old`, one in twenty waits for every tenth.
pub fn cycles(scene: &mut Scene, teeth: f64, old: bool) {
    let length = scene.end() / teeth;
    for at in scene.requests.clone() {
        for _ in 0..4 {
            let waits = if old && scene.random.chance(0.05) { 10.0 } else { 1.0 };
            let collected = ((at / (length * waits)).floor() + 1.0) * length * waits;
            scene.collect(at, collected, 232);
        }
    }
}

/// An array that grew until all was in it.
pub fn array(scene: &mut Scene, until: f64) {
    let (mut capacity, mut since, mut held) = (64.0, scene.at(0.0), 64.0);
    for at in scene.requests.clone() {
        held += 8.0;
        if held > capacity && at < scene.after(until) {
            scene.free(since, at, capacity as u64);
            capacity *= 2.0;
            since = at;
        }
    }
    scene.keep(since, capacity as u64);
}

/// One value that is replaced now and then.
pub fn replaced(scene: &mut Scene, times: usize, blocks: usize) {
    let step = scene.requests.len() / times;
    let mut since = scene.at(0.0);
    for at in scene.requests.clone().into_iter().step_by(step) {
        for _ in 0..blocks {
            scene.free(since, at, 700);
        }
        since = at;
    }
    for _ in 0..blocks {
        scene.keep(since, 700);
    }
}

/// Leaves a block each time, up to a part of the run; then no more.
pub fn stopped(scene: &mut Scene, until: f64) {
    let until = scene.after(until);
    for at in scene.requests.clone().into_iter().filter(|&at| at < until) {
        scene.keep(at, 444);
    }
}

/// A buffer that each request enlarges until it holds all, and frees.
pub fn buffers(scene: &mut Scene, lasts: f64) {
    for at in scene.requests.clone() {
        let step = lasts / 8.0;
        for power in 0..8u32 {
            let born = at + step * f64::from(power);
            scene.free(born, born + step, 64 << power);
        }
    }
}

/// A table of slots, each of which holds what was put there last: few slots are met all the time, others hardly ever.
pub fn slots(scene: &mut Scene, slots: usize, skew: f64) {
    let mut table: Vec<Option<f64>> = vec![None; slots];
    for at in scene.requests.clone() {
        for _ in 0..3 {
            let slot = (scene.random.unit().powf(skew) * slots as f64) as usize;
            if let Some(born) = table[slot].replace(at) {
                scene.free(born, at, 64);
            }
        }
    }
    table.into_iter().flatten().for_each(|born| scene.keep(born, 64));
}

/// What the first requests load, to be kept.
pub fn loaded_first(scene: &mut Scene, blocks: usize) {
    for _ in 0..blocks {
        let part = 0.06 * scene.random.unit();
        let (at, size) = (scene.after(part), scene.random.size(100.0, 0.5));
        scene.keep(at, size);
    }
}
