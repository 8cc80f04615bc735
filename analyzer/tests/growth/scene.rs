//! A program at work: how long it runs, when its requests come, and how the blocks of a site come and go with them.
use crate::random::Random;
use crate::trace::{Life, Process};

/// When requests come.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// One after the other.
    Steady,
    /// Independent of each other.
    Random,
    /// In short bursts with pauses between them.
    Bursts,
    /// A slow wave.
    Waves,
    /// More and more.
    Rising,
    /// For the first half, then none.
    ThenIdle,
}

/// How a program runs.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// How long, ms.
    pub ms: f64,
    /// Of that, start-up.
    pub startup: f64,
    /// How many requests or iterations.
    pub requests: usize,
    pub load: Load,
    /// Step of the recorded clock, ms.
    pub clock: f64,
    pub buckets: u64,
}

/// A run that is being made up.
pub struct Scene {
    pub random: Random,
    pub setting: Setting,
    /// When each request came, ms, in order.
    pub requests: Vec<f64>,
    pub lives: Vec<Life>,
}

impl Scene {
    pub fn new(setting: Setting, seed: u64) -> Scene {
        let mut random = Random::new(seed);
        let begin = setting.startup * setting.ms;
        let mut requests: Vec<f64> = (0..setting.requests)
            .map(|index| {
                let even = (index as f64 + 0.5) / setting.requests as f64;
                let at = match setting.load {
                    Load::Steady => even,
                    Load::Random => random.unit(),
                    Load::Bursts => {
                        let burst = (even * 9.0).floor();
                        (burst + 0.12 * random.unit() + 0.3 * (burst * 1.7).sin().abs()) / 9.0
                    }
                    Load::Waves => {
                        let mut at = random.unit();
                        while !random.chance(0.5 + 0.45 * (at * 15.0).sin()) {
                            at = random.unit();
                        }
                        at
                    }
                    Load::Rising => random.unit().sqrt(),
                    Load::ThenIdle => 0.5 * random.unit(),
                };
                begin + at * (setting.ms - begin)
            })
            .collect();
        requests.sort_by(f64::total_cmp);
        Scene { random, setting, requests, lives: Vec::new() }
    }

    /// The end of the run, ms.
    pub fn end(&self) -> f64 {
        self.setting.ms
    }

    /// A time as a part of the run, start-up left out.
    pub fn at(&self, part: f64) -> f64 {
        let begin = self.setting.startup * self.setting.ms;
        begin + part * (self.end() - begin)
    }

    /// When so great a part of the requests had come.
    pub fn after(&self, part: f64) -> f64 {
        let index = (part * self.requests.len() as f64) as usize;
        self.requests.get(index).copied().unwrap_or(self.end())
    }

    /// A block that is never freed and should have been.
    pub fn leak(&mut self, born: f64, size: u64) {
        self.lives.push(Life { born, freed: None, size, is_collected: false, is_leaked: true });
    }

    /// A block that stays, as it should.
    pub fn keep(&mut self, born: f64, size: u64) {
        self.lives.push(Life { born, freed: None, size, is_collected: false, is_leaked: false });
    }

    /// A block that is freed.
    pub fn free(&mut self, born: f64, freed: f64, size: u64) {
        self.lives.push(Life { born, freed: Some(freed), size, is_collected: false, is_leaked: false });
    }

    /// A block that the cyclic collector frees.
    pub fn collect(&mut self, born: f64, freed: f64, size: u64) {
        self.lives.push(Life { born, freed: Some(freed), size, is_collected: true, is_leaked: false });
    }

    /// Blocks of start-up.
    pub fn load_at_startup(&mut self, blocks: usize, median: f64) {
        for _ in 0..blocks {
            let at = self.random.unit() * self.setting.startup * self.setting.ms;
            let size = self.random.size(median, 1.0);
            self.keep(at, size);
        }
    }

    /// The run as one process; each request allocates some fifty blocks elsewhere, start-up as much as a tenth of all of them.
    pub fn process(mut self) -> Process {
        let startup = self.setting.startup * self.setting.ms;
        let mut others: Vec<(f64, u64)> =
            self.requests.iter().map(|&at| (at, self.random.size(50.0, 0.3))).collect();
        let loading = self.requests.len() as u64 * 5;
        others.extend((0..20).map(|step| (startup * f64::from(step) / 20.0, loading / 20)));
        Process { end: self.setting.ms, lives: self.lives, others, ..Process::default() }
    }
}
