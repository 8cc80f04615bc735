//! What each stack held at the last readings, and what that makes of sites: sums, series and rates.
//!
//! A stack's series is kept as its changes, since most stacks never change; that of a site is the sum over its stacks. So
//! what makes a site can be chosen anew without losing what was seen. Pure: the clock is given.
use std::collections::{HashMap, VecDeque};

use super::scan::Held;
use crate::aggregate::Name;

/// Readings that are kept: at one a second, the last minute.
pub const READINGS: usize = 60;

/// What a stack held.
#[derive(Default)]
struct Stack {
    now: Held,
    /// What it held before all of `changes`, bytes.
    base: u64,
    /// From this reading on it held so many bytes.
    changes: Vec<(u64, u64)>,
    /// Which site it is of, if that is known.
    site: Option<u32>,
}

/// A site.
pub struct Site {
    /// What it is.
    pub name: Name,
    /// What its stacks hold.
    pub held: Held,
    /// Its stacks that hold something.
    pub stacks: u64,
    /// Bytes at each reading, the last one last.
    pub series: VecDeque<u64>,
}

/// The stacks of one process.
#[derive(Default)]
struct Process {
    stacks: Vec<Stack>,
    /// Bytes of all of them at each reading.
    series: VecDeque<u64>,
    /// The reading from which on it counts no more.
    ended: Option<u64>,
}

/// All of it.
#[derive(Default)]
pub struct Ledger {
    /// When each reading was, ms.
    times: VecDeque<u64>,
    /// Number of the reading that is the first of `times`.
    first: u64,
    processes: Vec<Process>,
    sites: Vec<Site>,
    by_key: HashMap<u64, u32>,
    /// Of all stacks.
    total: Site,
    /// Of those whose site is not known.
    nameless: (u64, Held),
}

impl Default for Site {
    fn default() -> Site {
        let name = Name { key: 0, text: "".into() };
        Site { name, held: Held::default(), stacks: 0, series: VecDeque::new() }
    }
}

impl Ledger {
    /// Begins a reading; [`Ledger::count`] says what was read, [`Ledger::finish`] that this is all.
    pub fn begin(&mut self, time_ms: u64) {
        self.times.push_back(time_ms);
        if self.times.len() > READINGS {
            self.times.pop_front();
            self.first += 1;
        }
    }

    fn process(&mut self, process: usize) -> &mut Process {
        if self.processes.len() <= process {
            self.processes.resize_with(process + 1, Process::default);
        }
        &mut self.processes[process]
    }

    fn latest(&self) -> u64 {
        (self.first + self.times.len() as u64).saturating_sub(1)
    }

    /// Stack number `stack` of this process holds so much.
    pub fn count(&mut self, process: usize, stack: usize, held: Held) {
        let (first, latest) = (self.first, self.latest());
        let stacks = &mut self.process(process).stacks;
        if stacks.len() <= stack {
            stacks.resize_with(stack + 1, Stack::default);
        }
        stacks[stack].set(held, first, latest);
    }

    /// What this process held has no place in the sums from now on.
    pub fn end(&mut self, process: usize) {
        let (first, latest) = (self.first, self.latest());
        let process = self.process(process);
        process.ended.get_or_insert(latest);
        process.stacks.iter_mut().for_each(|stack| stack.set(Held::default(), first, latest));
    }

    /// Whether it was said that this process has ended.
    pub fn has_ended(&self, process: usize) -> bool {
        self.processes.get(process).is_some_and(|process| process.ended.is_some())
    }

    /// All of a reading was said.
    pub fn finish(&mut self) {
        let readings = self.times.len();
        for process in &mut self.processes {
            if process.ended.is_some_and(|ended| ended < self.first) {
                process.stacks = Vec::new();
            }
            let bytes = process.stacks.iter().fold(0, |sum: u64, stack| sum.saturating_add(stack.now.bytes));
            push(&mut process.series, bytes, readings);
        }
        for site in self.sites.iter_mut().chain([&mut self.total]) {
            (site.held, site.stacks) = (Held::default(), 0);
        }
        for stack in self.processes.iter().flat_map(|process| &process.stacks) {
            let site = stack.site.map(|site| &mut self.sites[site as usize]);
            for site in [&mut self.total].into_iter().chain(site) {
                site.held.add(stack.now);
                site.stacks += u64::from(stack.now.blocks > 0);
            }
        }
        for site in self.sites.iter_mut().chain([&mut self.total]) {
            push(&mut site.series, site.held.bytes, readings);
        }
        self.count_nameless();
    }

    fn count_nameless(&mut self) {
        self.nameless = (0, Held::default());
        for (_, _, held) in nameless(&self.processes) {
            self.nameless.0 += 1;
            self.nameless.1.add(held);
        }
    }

    /// The stacks that hold something and whose site is not known: process, number and what they hold.
    pub fn without_site(&self) -> Vec<(usize, usize, Held)> {
        nameless(&self.processes).collect()
    }

    /// Says which sites stacks are of: process, stack, and what the site is.
    pub fn name(&mut self, names: impl IntoIterator<Item = (usize, usize, Name)>) {
        for (process, stack, name) in names {
            let Some(stack) =
                self.processes.get_mut(process).and_then(|process| process.stacks.get_mut(stack))
            else {
                continue;
            };
            let fresh = self.sites.len() as u32;
            let site = *self.by_key.entry(name.key).or_insert(fresh);
            if site == fresh {
                let series = VecDeque::from(vec![0; self.times.len()]);
                self.sites.push(Site { name, series, ..Site::default() });
            }
            stack.site = Some(site);
            let site = &mut self.sites[site as usize];
            site.held.add(stack.now);
            site.stacks += u64::from(stack.now.blocks > 0);
            for (bytes, reading) in site.series.iter_mut().zip(self.first..) {
                *bytes = bytes.saturating_add(stack.at(reading));
            }
        }
        self.count_nameless();
    }

    /// Forgets which sites there are.
    pub fn forget_sites(&mut self) {
        self.sites.clear();
        self.by_key.clear();
        let stacks = self.processes.iter_mut().flat_map(|process| &mut process.stacks);
        stacks.for_each(|stack| stack.site = None);
        self.count_nameless();
    }

    /// The stacks of a site that hold something, what holds most first: process, number, and what they hold.
    pub fn stacks_of(&self, key: u64) -> Vec<(usize, usize, Held)> {
        let Some(&site) = self.by_key.get(&key) else { return Vec::new() };
        let all = stacks(&self.processes).filter(|(_, _, stack)| stack.site == Some(site));
        let mut found: Vec<_> = all.map(|(process, at, stack)| (process, at, stack.now)).collect();
        found.retain(|(_, _, held)| held.blocks > 0);
        found.sort_by_key(|&(process, at, held)| (std::cmp::Reverse((held.bytes, held.blocks)), process, at));
        found
    }

    /// All sites, those that hold nothing now too.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The sum of all stacks.
    pub fn total(&self) -> &Site {
        &self.total
    }

    /// How many stacks have no site as yet, and what they hold.
    pub fn nameless(&self) -> (u64, Held) {
        self.nameless
    }

    /// From the first to the last of the readings, ms.
    pub fn window_ms(&self) -> u64 {
        let ends = self.times.back().zip(self.times.front());
        ends.map_or(0, |(last, first)| last.saturating_sub(*first))
    }

    /// How fast a series grows, bytes per minute: the slope of the straight line that fits the readings best. So the
    /// rates of sites add up to that of their sum. `None` before there are two readings.
    pub fn growth(&self, series: &VecDeque<u64>) -> Option<f64> {
        let count = self.times.len().min(series.len());
        let times = self.times.iter().skip(self.times.len() - count);
        let start = *times.clone().next()?;
        let points = || {
            let minutes = times.clone().map(move |time| time.saturating_sub(start) as f64 / 60_000.0);
            minutes.zip(series.iter().skip(series.len() - count).map(|&bytes| bytes as f64))
        };
        let mean = |sum: f64| sum / count as f64;
        let (x, y) = points().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        let (x, y) = (mean(x), mean(y));
        let spread: f64 = points().map(|point| (point.0 - x).powi(2)).sum();
        let rise: f64 = points().map(|point| (point.0 - x) * (point.1 - y)).sum();
        (spread > 0.0).then(|| rise / spread)
    }

    /// The bytes of one process at each reading.
    pub fn series_of(&self, process: usize) -> Option<&VecDeque<u64>> {
        self.processes.get(process).map(|process| &process.series)
    }
}

/// Adds the latest of so many readings.
fn push(series: &mut VecDeque<u64>, bytes: u64, readings: usize) {
    series.push_back(bytes);
    while series.len() > readings {
        series.pop_front();
    }
}

fn stacks(processes: &[Process]) -> impl Iterator<Item = (usize, usize, &Stack)> {
    processes.iter().enumerate().flat_map(|(process, it)| {
        it.stacks.iter().enumerate().map(move |(number, stack)| (process, number, stack))
    })
}

fn nameless(processes: &[Process]) -> impl Iterator<Item = (usize, usize, Held)> {
    let held = stacks(processes).filter(|(_, _, stack)| stack.site.is_none() && stack.now.blocks > 0);
    held.map(|(process, number, stack)| (process, number, stack.now))
}

impl Stack {
    fn set(&mut self, held: Held, first: u64, latest: u64) {
        let before = std::mem::replace(&mut self.now, held).bytes;
        if latest == 0 {
            // What is there at the first reading was there before.
            self.base = held.bytes;
        } else if held.bytes != before {
            let gone = self.changes.partition_point(|&(reading, _)| reading <= first);
            if let Some((_, bytes)) = self.changes.drain(..gone).next_back() {
                self.base = bytes;
            }
            self.changes.push((latest, held.bytes));
        }
    }

    fn at(&self, reading: u64) -> u64 {
        let behind = self.changes.partition_point(|&(change, _)| change <= reading);
        behind.checked_sub(1).map_or(self.base, |change| self.changes[change].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(key: u64) -> Name {
        Name { key, text: format!("site {key}").into() }
    }

    /// Readings a second apart of one process: bytes of each stack.
    fn ledger(readings: &[&[u64]]) -> Ledger {
        let mut ledger = Ledger::default();
        for (at, stacks) in readings.iter().enumerate() {
            ledger.begin(1_000 * at as u64);
            for (stack, &bytes) in stacks.iter().enumerate() {
                ledger.count(0, stack, Held { bytes, blocks: u64::from(bytes > 0) });
            }
            ledger.finish();
        }
        ledger
    }

    #[test]
    fn sites_are_sums_of_their_stacks_whenever_they_are_named() {
        let readings: &[&[u64]] = &[&[10, 5], &[20, 5], &[30, 5, 100], &[30, 0, 100]];
        let mut late = ledger(readings);
        assert_eq!(late.nameless(), (2, Held { bytes: 130, blocks: 2 }));
        late.name([(0, 0, name(1)), (0, 1, name(1)), (0, 2, name(2))]);
        assert_eq!(late.sites()[0].series, [15, 25, 35, 30]);
        assert_eq!(late.sites()[1].series, [0, 0, 100, 100], "a stack that is new was not there before");
        assert_eq!(late.total().series, [15, 25, 135, 130]);
        assert_eq!(late.nameless(), (0, Held::default()));
        assert_eq!(late.stacks_of(1), [(0, 0, Held { bytes: 30, blocks: 1 })], "that hold something");
        late.forget_sites();
        late.name([(0, 0, name(3))]);
        assert_eq!(late.sites()[0].series, [10, 20, 30, 30], "another division of the same");
    }

    #[test]
    fn rates_are_slopes_and_add_up() {
        let mut ledger = ledger(&[&[100, 0], &[110, 7], &[120, 3], &[130, 9]]);
        ledger.name([(0, 0, name(1)), (0, 1, name(2))]);
        let rate = |site: &Site| ledger.growth(&site.series).expect("there are four readings");
        assert!((rate(&ledger.sites()[0]) - 600.0).abs() < 1e-6, "10 bytes a second");
        let sum: f64 = ledger.sites().iter().map(rate).sum();
        assert!((sum - rate(ledger.total())).abs() < 1e-6);
        assert_eq!(Ledger::default().growth(&VecDeque::new()), None);
    }

    #[test]
    fn only_the_last_readings_count() {
        let mut ledger = Ledger::default();
        for at in 0..3 * READINGS as u64 {
            ledger.begin(1_000 * at);
            ledger.count(0, 0, Held { bytes: at.min(100), blocks: 1 });
            ledger.finish();
        }
        ledger.name([(0, 0, name(1))]);
        let site = &ledger.sites()[0];
        assert_eq!((site.series.len(), site.series[0]), (READINGS, 100));
        assert_eq!(ledger.growth(&site.series), Some(0.0), "it grew before them");
        assert_eq!(ledger.window_ms(), 1_000 * (READINGS as u64 - 1));
    }

    #[test]
    fn what_a_process_held_that_has_ended_is_gone() {
        let mut ledger = ledger(&[&[100], &[200]]);
        ledger.begin(2_000);
        ledger.end(0);
        ledger.finish();
        assert_eq!(ledger.total().series, [100, 200, 0]);
        for at in 3..3 + READINGS as u64 {
            ledger.begin(1_000 * at);
            ledger.finish();
        }
        assert_eq!(ledger.total().series, [0; READINGS]);
        assert!(ledger.has_ended(0));
    }
}
