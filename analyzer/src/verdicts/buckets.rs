//! From what was watched in a process to the series that are judged: without gaps, one for each site of the report.
use recording::{Address, StackId};

use super::cells::{Cells, Did};
use super::last_frees::LastFree;
use super::names;
use super::scale::Scale;
use super::startup::{is_start, startup};
use super::watch::Watch;
use crate::aggregate::Member;
use crate::fast_map::FastMap;
use crate::growth::{Amount, Bucket, Lifetimes, Series, Window};
use crate::replay::{FINE_BUCKETS, Replayed, Survivors};

/// A process's part of the window, of its blocks or of its descriptors.
pub struct Part {
    /// Its time.
    pub cells: Cells,
    /// What all its sites have in common.
    pub window: Window,
    watch: Watch,
    /// By stack: what is unfreed and was born in the window, and before it.
    unfreed: Vec<(Vec<Survivors>, Amount)>,
    /// The same of what had only waited for a collection; it is not in `unfreed`.
    waited: Vec<(Vec<Survivors>, Amount)>,
    /// The same of what Python's table of attributes holds; neither is it in `unfreed`. Empty: it holds nothing.
    names: Vec<(Vec<Survivors>, Amount)>,
    /// Whether that is known: Python ended in an orderly way.
    pub tells_what_waited: bool,
    /// By stack: blocks that are in `unfreed` although they were freed when the program ended, and when.
    last_frees: FastMap<usize, Vec<LastFree>>,
    stacks: Vec<StackId>,
    only_unfreed: bool,
}

/// How a process lived in the window.
pub struct Life {
    /// How its time is told.
    pub scale: Scale,
    /// Up to when, monotonic ms.
    pub end_ms: u64,
    /// Its window begins with it.
    pub from_birth: bool,
    /// Nothing is known but its unfreed blocks.
    pub only_unfreed: bool,
}

/// What was watched of a process: its blocks, or its descriptors.
pub struct Looked<'a> {
    /// What came and went.
    pub watch: Watch,
    /// What is left.
    pub replayed: &'a Replayed,
    /// Its stacks.
    pub members: &'a [Member],
    /// The program has ended: what it freed last counts as unfreed.
    pub has_ended: bool,
}

/// What is unfreed of a process, by stack.
struct Unfreed {
    held: Vec<(Vec<Survivors>, Amount)>,
    waited: Vec<(Vec<Survivors>, Amount)>,
    names: Vec<(Vec<Survivors>, Amount)>,
    tells_what_waited: bool,
    last_frees: FastMap<usize, Vec<LastFree>>,
}

impl Looked<'_> {
    fn unfreed(&mut self) -> Unfreed {
        let Looked { watch, replayed, members, has_ended } = self;
        let ending = if *has_ended { watch.take_last_frees() } else { Vec::new() };
        let collected =
            |site| watch.timeline.points(site as usize).iter().map(|point| point.collected_blocks).sum();
        let is_of_imports =
            |site| members.get(site as usize).is_some_and(|member| is_start(member.phase) == Some(true));
        let waited = watch.at_exit.waited(replayed, is_of_imports, collected);
        let tells_what_waited = waited.is_some();
        let waited = waited.unwrap_or_default();
        let are_names = |site| {
            let is_python = members.get(site as usize).is_some_and(|member| member.phase.is_some());
            is_python && watch.sites.get(site as usize).is_some_and(|watched| watched.pushed_out.are_names())
        };
        let mut names = names::held(replayed, are_names);
        names.retain(|address| !waited.contains(address));
        let is_left_out = |address: Address| waited.contains(&address.0) || names.contains(&address.0);
        let held = watch.unfreed(replayed, &ending, is_left_out);
        let waited = watch.unfreed(replayed, &[], |address| !waited.contains(&address.0));
        let names = match names.is_empty() {
            true => Vec::new(),
            false => watch.unfreed(replayed, &[], |address| !names.contains(&address.0)),
        };
        let mut last_frees: FastMap<usize, Vec<LastFree>> = FastMap::default();
        ending
            .into_iter()
            .for_each(|free| last_frees.entry(free.block.site as usize).or_default().push(free));
        Unfreed { held, waited, names, tells_what_waited, last_frees }
    }
}

impl Part {
    /// Of all that was watched of a process: it has one time, in which all of it is work.
    pub fn of(life: &Life, mut all: Vec<Looked>) -> Vec<Part> {
        let mut shift = least_shift(life, &all);
        let (first, last, end) = loop {
            all.iter_mut().for_each(|looked| looked.watch.timeline.coarsen(shift));
            let timelines = || all.iter().map(|looked| &looked.watch.timeline);
            let first = timelines().map(|timeline| *timeline.buckets().start()).min().unwrap_or(0);
            let last = timelines().map(|timeline| *timeline.buckets().end()).max().unwrap_or(first);
            let end = timelines().map(|timeline| timeline.axis().bucket(life.scale.ticks(life.end_ms)));
            let end = end.max().unwrap_or(last).max(last);
            // A process that waits after its work needs no longer buckets for that: it is one.
            let last = if life.only_unfreed { end } else { end.min(last + 1) };
            if last - first < FINE_BUCKETS {
                break (first, last, end);
            }
            shift += 1;
        };
        let Some(axis) = all.first().map(|looked| looked.watch.timeline.axis()) else { return Vec::new() };
        let unfreed: Vec<_> = all.iter_mut().map(Looked::unfreed).collect();
        let mut started = vec![0; (last - first + 1) as usize];
        let mut starting = started.clone();
        for (looked, unfreed) in all.iter().zip(&unfreed) {
            for (stack, (survivors, _)) in unfreed.held.iter().enumerate() {
                let is_start =
                    looked.members.get(stack).is_some_and(|member| is_start(member.phase) == Some(true));
                let work = if is_start { &mut starting } else { &mut started };
                let mut add = |bucket: u64, blocks: u64| {
                    let at = bucket.checked_sub(first).and_then(|at| work.get_mut(at as usize));
                    at.into_iter().for_each(|count| *count += blocks);
                };
                let points = looked.watch.timeline.points(stack);
                points.iter().for_each(|point| add(point.bucket, point.born_blocks));
                if life.only_unfreed {
                    survivors.iter().for_each(|born| add(born.bucket, born.blocks));
                }
            }
        }
        let work: Vec<u64> = started.iter().zip(&starting).map(|(run, start)| run + start).collect();
        let did = started.iter().zip(&starting).map(|blocks| match blocks {
            (0, 0) => Did::Nothing,
            (0, _) => Did::Start,
            _ => Did::Work,
        });
        let did: Vec<Did> = did.collect();
        // Of what was freed again nothing is known: where nothing is unfreed there may have been work.
        let cells = Cells::new(life.scale, axis, first..end + 1, &did, life.only_unfreed);
        let by_cell = |work: Vec<u64>| {
            let mut sums = vec![0; cells.len()];
            for (bucket, blocks) in work.into_iter().enumerate() {
                if let Some(cell) = cells.of(first + bucket as u64) {
                    sums[cell] += blocks;
                }
            }
            sums
        };
        let (allocations, after_start) = match is_little(&started, &starting) {
            true => (by_cell(work), by_cell(started)),
            false => (by_cell(started), Vec::new()),
        };
        let window = Window {
            ticks_per_ms: life.scale.per_ms,
            bucket: cells.width(),
            ends: cells.ends(),
            allocations,
            after_start,
            from_birth: life.from_birth,
        };
        let part = |(looked, unfreed): (Looked, Unfreed)| Part {
            cells: cells.clone(),
            window: window.clone(),
            stacks: looked.replayed.sites.iter().map(|site| site.stack).collect(),
            watch: looked.watch,
            unfreed: unfreed.held,
            waited: unfreed.waited,
            names: unfreed.names,
            tells_what_waited: unfreed.tells_what_waited,
            last_frees: unfreed.last_frees,
            only_unfreed: life.only_unfreed,
        };
        all.into_iter().zip(unfreed).map(part).collect()
    }

    /// Its stacks.
    pub fn stacks(&self) -> impl Iterator<Item = StackId> {
        self.stacks.iter().copied()
    }

    /// Bytes and blocks of a stack that are unfreed and were born in the window.
    pub fn unfreed(&self, stack: usize) -> Amount {
        let sum = |sum: Amount, born: &Survivors| sum + Amount { blocks: born.blocks, bytes: born.bytes };
        self.unfreed[stack].0.iter().fold(Amount::default(), sum)
    }

    /// Adds, by bucket, the blocks of a stack that were born in the window and freed again.
    pub fn add_freed_again(&self, stack: usize, counts: &mut [u64]) {
        for point in self.watch.timeline.points(stack) {
            if let Some(count) = self.cells.of(point.bucket).and_then(|at| counts.get_mut(at)) {
                *count += point.born_blocks;
            }
        }
        let (names, _) = self.names(stack);
        for born in self.unfreed[stack].0.iter().chain(&self.waited[stack].0).chain(names) {
            if let Some(count) = self.cells.of(born.bucket).and_then(|at| counts.get_mut(at)) {
                *count = count.saturating_sub(born.blocks);
            }
        }
    }

    /// What Python's table of attributes holds of a stack.
    fn names(&self, stack: usize) -> (&[Survivors], Amount) {
        self.names.get(stack).map_or((&[], Amount::default()), |(born, before)| (born, *before))
    }

    /// The series of the site that these stacks are.
    pub fn series(&self, stacks: impl Iterator<Item = usize> + Clone, members: &[Member]) -> Series {
        let mut series = Series {
            buckets: vec![Bucket::default(); self.window.allocations.len()],
            lifetimes: (!self.only_unfreed).then(Lifetimes::default),
            is_startup: startup(
                stacks.clone().map(|stack| (members[stack].phase, self.unfreed(stack).blocks)),
            ),
            only_unfreed: self.only_unfreed,
            ..Series::default()
        };
        for stack in stacks {
            self.add(stack, &mut series);
        }
        series
    }

    fn add(&self, stack: usize, series: &mut Series) {
        let (survivors, before_unfreed) = &self.unfreed[stack];
        if let Some(watched) = self.watch.sites.get(stack) {
            series.before += watched.before;
            series.lifetimes.iter_mut().for_each(|sum| sum.merge(&watched.lifetimes));
            series.lived.0 += watched.lived.0;
            series.lived.1 += watched.lived.1;
        }
        let (waited, waited_before) = &self.waited[stack];
        let (names, names_before) = self.names(stack);
        if self.only_unfreed {
            series.before += *before_unfreed;
        }
        series.before_unfreed += *before_unfreed + *waited_before + names_before;
        let buckets = &mut series.buckets;
        for point in self.watch.timeline.points(stack) {
            let Some(bucket) = self.cells.of(point.bucket).and_then(|at| buckets.get_mut(at)) else {
                continue;
            };
            bucket.born += Amount { blocks: point.born_blocks, bytes: point.born_bytes };
            bucket.freed += Amount { blocks: point.freed_blocks, bytes: point.freed_bytes };
            bucket.collected += Amount { blocks: point.collected_blocks, bytes: point.collected_bytes };
        }
        for free in self.last_frees.get(&stack).into_iter().flatten() {
            let bucket = self.watch.timeline.axis().bucket(free.freed);
            if let Some(bucket) = self.cells.of(bucket).and_then(|at| buckets.get_mut(at)) {
                bucket.freed.blocks = bucket.freed.blocks.saturating_sub(1);
                bucket.freed.bytes = bucket.freed.bytes.saturating_sub(free.block.size);
            }
        }
        let amount = |born: &Survivors| Amount { blocks: born.blocks, bytes: born.bytes };
        waited.iter().for_each(|born| series.collected_at_exit += amount(born));
        names.iter().for_each(|born| series.names += amount(born));
        for born in waited.iter().chain(names) {
            let amount = amount(born);
            if let Some(bucket) = self.cells.of(born.bucket).and_then(|at| buckets.get_mut(at)) {
                bucket.born.blocks = bucket.born.blocks.saturating_sub(amount.blocks);
                bucket.born.bytes = bucket.born.bytes.saturating_sub(amount.bytes);
            }
        }
        for born in survivors {
            let Some(bucket) = self.cells.of(born.bucket).and_then(|at| buckets.get_mut(at)) else {
                continue;
            };
            let unfreed = Amount { blocks: born.blocks, bytes: born.bytes };
            bucket.unfreed += unfreed;
            if self.only_unfreed {
                bucket.born += unfreed;
            }
        }
    }
}

/// How wide the buckets are at least. Where stacks do not tell what belongs to the start of a program, all that a small one does looks
/// like growth: there the clock tells.
fn least_shift(life: &Life, all: &[Looked]) -> u32 {
    let shift = all.iter().map(|looked| looked.watch.timeline.axis().shift).max().unwrap_or(0);
    let mut members = all.iter().flat_map(|looked| looked.members);
    let points = all.iter().flat_map(|looked| looked.watch.timeline.all_points());
    let is_told = members.any(|member| is_start(member.phase).is_some())
        || points.map(|point| point.born_blocks).sum::<u64>() >= MORE_THAN_START;
    if is_told { shift } else { shift.max(life.scale.per_ms.ilog2()) }
}

/// No tool of some milliseconds allocates more blocks as it starts.
const MORE_THAN_START: u64 = 10_000;

/// A program that does less than this part of its work after its start works while a module is imported: all counts.
const LEAST_RUN: f64 = 0.02;

/// Whether what a process allocates once it has started is little beside its start.
fn is_little(started: &[u64], starting: &[u64]) -> bool {
    let (run, start): (u64, u64) = (started.iter().sum(), starting.iter().sum());
    (run as f64) < LEAST_RUN * (run + start) as f64
}
