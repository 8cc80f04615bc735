//! Replays a run within a window and judges its sites.
use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use recording::layout::flag;

use super::buckets::{Life, Looked, Part};
use super::calls::{Calls, Numbers};
use super::descriptors::{self, Opened, Sorted};
use super::handed_on::{self, Kept};
use super::requests::{Counting, Meaning, Requests};
use super::units::{Rate, Unit, Units};
use super::watch::Watch;
use crate::aggregate::{Callers, Grouped, Loaded, Member, PathId, Report, Selection, in_parallel};
use crate::fast_map::FastMap;
use crate::growth::{Amount, Bucket, Judgement, ProcessSeries, Series, Verdict, judge};
use crate::python::merge::Fit;
use crate::reader::{Definitions, Recording, Run};
use crate::replay::{self, Born, Edge, Moment, Reading, Replayed, Source};
use crate::servers::{Handlers, Mask};

/// What is asked.
pub struct Asked {
    /// What makes a site, and which there are.
    pub selection: Selection,
    /// When the window begins, and the same on the monotonic clock, ms; `None`: with the run.
    pub from: Option<(Edge, u64)>,
    /// When the run began, monotonic ms.
    pub begun_ms: u64,
    /// What to divide growth by; `None`: requests, if there are any.
    pub unit: Option<Unit>,
    /// What works on requests.
    pub handlers: Handlers,
    /// How many requests there were, if the user knows.
    pub requests: Option<u64>,
    /// The descriptors that each process has now, if that is known and asked for.
    pub open: Vec<Option<HashSet<u32>>>,
}

/// A site and its verdict.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its place among the sites of the report.
    pub site: usize,
    /// The verdict.
    pub judgement: Judgement,
    /// The processes of [`Judgement::processes`], by their place in the report.
    pub processes: Vec<usize>,
    /// Bytes by which it grows in a minute in each of these, if it does.
    pub per_minute: Vec<Option<f64>>,
    /// Blocks and bytes by which its unfreed memory changed in the window.
    pub change: (i128, i128),
    /// Unfreed at the end.
    pub unfreed: Amount,
    /// Of what was allocated in the window, the share that was freed, 0 to 1; `None`: not known.
    pub freed: Option<f64>,
    /// Blocks that Python's cyclic collector freed in the window.
    pub collected: u64,
    /// How fast it grows, if it does.
    pub rate: Option<Rate>,
    /// Of its stacks the one with most of what was allocated in the window and is unfreed.
    pub stack: Option<PathId>,
}

/// Requests that were counted.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Counted {
    /// What works on them: `gunicorn`, or a function that the user named.
    pub servers: Vec<String>,
    /// Of each process.
    pub processes: Vec<u64>,
    /// What one request allocates can be told from what another does.
    pub has_extent: bool,
}

impl Counted {
    /// Of all processes.
    pub fn count(&self) -> u64 {
        self.processes.iter().sum()
    }
}

/// The verdicts of a run.
pub struct Verdicts {
    /// Its processes and sites.
    pub report: Report,
    /// First and last moment of the window, monotonic ms.
    pub window_ms: (u64, u64),
    /// What growth was divided by.
    pub unit: Unit,
    /// The requests, as far as they are known.
    pub requests: Counted,
    /// How many requests there were, if the user named it.
    pub named_requests: Option<u64>,
    /// How many marks there are in the window.
    pub marks: usize,
    /// Most important first.
    pub sites: Vec<Judged>,
    /// Bytes by which each process grows in a minute, of what grows in it.
    pub per_minute: Vec<f64>,
    /// Of each process whether only its unfreed blocks are known.
    pub only_unfreed: Vec<bool>,
    /// The same of descriptors, if these were recorded.
    pub descriptors: Option<Box<Opened>>,
}

/// One process, watched.
struct Watched {
    watch: Watch,
    only_unfreed: bool,
}

/// Judges. `progress` is told of bytes read, `done` of addresses looked up.
pub fn verdicts(
    run: &Run,
    asked: &Asked,
    progress: &(dyn Fn(u64) + Sync),
    done: &(dyn Fn(usize) + Sync),
) -> Verdicts {
    let origin_ms = asked.from.map_or(asked.begun_ms, |(_, ms)| ms);
    let options =
        replay::Options { until: asked.selection.at, from: Source::Best, ..replay::Options::default() };
    let indices: Vec<usize> = (0..run.recordings.len()).collect();
    let watched = in_parallel(&indices, |&index| {
        let recording = &run.recordings[index];
        let (replayed, watched) = watch(recording, asked, options, origin_ms, progress);
        let open = asked.open.get(index).and_then(Option::as_ref);
        let opened = descriptors::watch(recording, asked, &options, origin_ms, !watched.only_unfreed, open);
        (replayed, Definitions::read(recording), watched, opened)
    });
    let (mut replayed, mut watches, mut opened) = (Vec::new(), Vec::new(), Vec::new());
    for (one, definitions, watched, descriptors) in watched {
        replayed.push((one, definitions));
        watches.push(watched);
        opened.push(descriptors);
    }
    let only_unfreed: Vec<bool> = watches.iter().map(|watched| watched.only_unfreed).collect();
    let mut opened = descriptors::sorted(run, asked, options, opened);
    let grouped = Loaded::of(run, replayed, options).grouped(run, &asked.selection, done);
    let Grouped { report, processes } = grouped;
    let ends = report.processes.iter().map(|process| process.window_ns.1 / 1_000_000);
    let begins = report.processes.iter().map(|process| process.window_ns.0 / 1_000_000);
    let begins: Vec<u64> = begins.collect();
    let ends: Vec<u64> = ends.collect();
    let mut of_descriptors = opened.iter_mut().flat_map(|opened| std::mem::take(&mut opened.watches));
    let watches = watches.into_iter().map(|one| (one, of_descriptors.next()));
    let watches: Vec<_> = watches.map(|both| Mutex::new(Some(both))).collect();
    let parts = in_parallel(&indices, |&index| {
        let mut watched = watches[index].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some((Watched { watch, only_unfreed }, of_descriptors)) = watched.take() else {
            return Vec::new();
        };
        let from_birth = asked.from.is_none() || begins[index] >= origin_ms;
        let life = Life { end_ms: ends[index], from_birth, only_unfreed };
        let (replayed, members) = &processes[index];
        let has_ended = asked.selection.at == Moment::BeforeExit && !run.recordings[index].is_running();
        let mut all = vec![Looked { watch, replayed, members, has_ended }];
        if let (Some(opened), Some(watch)) = (&opened, of_descriptors) {
            let (replayed, members) = &opened.grouped.processes[index];
            all.push(Looked { watch, replayed, members, has_ended: false });
        }
        Part::of(&life, all)
    });
    let (mut of_blocks, mut of_descriptors) = (Vec::new(), Vec::new());
    for mut parts in parts {
        of_descriptors.extend((parts.len() > 1).then(|| parts.pop()).flatten());
        of_blocks.append(&mut parts);
    }
    let mut blocks = Judging::new(report, of_blocks, processes, &asked.handlers);
    let mut opened =
        opened.map(|Sorted { grouped: Grouped { report, processes }, kinds, unknown, .. }| {
            (Judging::new(report, of_descriptors, processes, &asked.handlers), kinds, unknown)
        });
    let counted = count(&mut blocks, opened.as_mut().map(|(judging, ..)| judging), run, asked);
    let window_ms = (origin_ms, ends.iter().copied().max().unwrap_or(origin_ms).max(origin_ms));
    let mut sites = blocks.sites();
    handed_on::explain(&mut sites, |judged| blocks.kept_by_python(judged.site));
    let divided = |judging: Judging, sites| {
        judging.divided(run, asked, sites, window_ms, counted.clone(), only_unfreed.clone())
    };
    let descriptors = opened.map(|(judging, kinds, unknown)| {
        let sites = judging.sites();
        Box::new(Opened::new(divided(judging, sites), kinds, unknown))
    });
    Verdicts { descriptors, ..divided(blocks, sites) }
}

/// Replays a process and watches it.
fn watch(
    recording: &Recording,
    asked: &Asked,
    options: replay::Options,
    origin_ms: u64,
    progress: &dyn Fn(u64),
) -> (Replayed, Watched) {
    let mut watch = Watch::new(recording, asked.from.map(|(edge, _)| edge), origin_ms);
    let held_ms = recording.held.as_ref().map_or(0, |held| held.monotonic_ns.div_ceil(1_000_000));
    let has_events = !recording.has(flag::NO_EVENTS) && (held_ms <= origin_ms || recording.has_all_events());
    if has_events || !recording.has_table() {
        let replayed = replay::observe(recording, &options, &mut watch, progress);
        return (replayed, Watched { watch, only_unfreed: false });
    }
    let options = replay::Options { from: Source::Table, ..options };
    let replayed = Reading::begin(recording, options, progress).finish(None);
    watch.timeline.coarsen(TICK_SHIFT);
    (replayed, Watched { watch, only_unfreed: true })
}

/// A live table knows the second in which a block was allocated: shorter buckets would be empty at times.
const TICK_SHIFT: u32 = 11;

/// All that is needed to judge a site.
struct Judging {
    report: Report,
    parts: Vec<Part>,
    members: Vec<Vec<Member>>,
    /// Of each process, by stack: the sizes of its unfreed blocks; and how many there are of each.
    sizes: Vec<Vec<Vec<(u64, u64)>>>,
    calls: Vec<Calls>,
    /// By site: its stacks in each process.
    stacks: Vec<Vec<(usize, Vec<usize>)>>,
    /// By site: its number among those for which requests are counted.
    numbers: Vec<Option<u32>>,
    /// Of each process.
    requests: Arc<Vec<Requests>>,
}

/// Fewer requests say nothing of when others came.
const LEAST_REQUESTS: u64 = 10;

/// By stack, the sizes of the unfreed blocks and how many there are of each.
fn sizes(replayed: &Replayed) -> Vec<Vec<(u64, u64)>> {
    let mut all: Vec<(u32, u64)> = replayed.live.iter().map(|(_, block)| (block.site, block.size)).collect();
    all.sort_unstable();
    let mut sizes = vec![Vec::new(); replayed.sites.len()];
    for same in all.chunk_by(|a, b| a == b) {
        sizes[same[0].0 as usize].push((same[0].1, same.len() as u64));
    }
    sizes
}

/// So great a part of the work of what leads to a site comes after the last request that allocated there, if it is full: it was
/// reached, and needed no more.
const AFTER: f64 = 0.2;

/// Whether what leads to a site works on after the last request that allocated there.
fn goes_on_after(work: &[u64], reached: &[u64]) -> bool {
    let last = reached.iter().rposition(|&requests| requests > 0).map_or(0, |last| last + 1);
    let sum = |work: &[u64]| work.iter().sum::<u64>() as f64;
    sum(work.get(last..).unwrap_or_default()) > AFTER * sum(work)
}

/// So great a part of what a site keeps comes while requests do, if it comes with them.
const WITH_REQUESTS: f64 = 0.9;

/// Whether what a site keeps came with requests, as far as the clock tells: of servers that work on several at a time it is
/// known when one begins, and not which of them allocates.
fn comes_with(series: &Series, begun: &[u64]) -> bool {
    // What a request does may come one tick of the clock after it began.
    let is_with = |at: usize| begun[at] > 0 || at > 0 && begun[at - 1] > 0;
    let kept = |(_, bucket): (usize, &Bucket)| bucket.unfreed.blocks as f64;
    let buckets = || series.buckets.iter().enumerate().take(begun.len());
    let with: f64 = buckets().filter(|(at, _)| is_with(*at)).map(kept).sum();
    with > 0.0 && with >= WITH_REQUESTS * buckets().map(kept).sum::<f64>()
}

impl Judging {
    fn new(
        report: Report,
        parts: Vec<Part>,
        processes: Vec<(Replayed, Vec<Member>)>,
        handlers: &Handlers,
    ) -> Judging {
        let sizes = processes.iter().map(|(replayed, _)| sizes(replayed)).collect();
        let members: Vec<Vec<Member>> = processes.into_iter().map(|(_, members)| members).collect();
        let mut callers = Callers::new(&report.own, handlers);
        let mut numbers = Numbers::default();
        let calls = parts.iter().zip(&members);
        let calls =
            calls.map(|(part, members)| Calls::new(part, members, &report, &mut callers, &mut numbers));
        let calls = calls.collect();
        let mut stacks: Vec<Vec<(usize, Vec<usize>)>> = vec![Vec::new(); report.sites.len()];
        for (process, sites) in report.members.iter().enumerate() {
            for (stack, site) in sites.iter().enumerate() {
                let Some(site) = *site else { continue };
                match stacks[site].last_mut() {
                    Some((last, stacks)) if *last == process => stacks.push(stack),
                    _ => stacks[site].push((process, vec![stack])),
                }
            }
        }
        let numbers = vec![None; stacks.len()];
        Judging { report, parts, members, sizes, calls, stacks, numbers, requests: Arc::default() }
    }

    /// Gives a number from `count` on to each site of which something is unfreed that requests may reach.
    fn number(&mut self, masks: &[Mask], count: &mut u32) {
        let is_concerned = |&(process, ref stacks): &(usize, Vec<usize>)| {
            stacks.iter().any(|&stack| {
                let mask = masks[self.members[process][stack].path.index()];
                Handlers::concerned(mask) != 0 && self.parts[process].unfreed(stack).blocks > 0
            })
        };
        let numbers = self.stacks.iter().map(|each| {
            let is_concerned = each.iter().any(is_concerned);
            *count += u32::from(is_concerned);
            is_concerned.then_some(count.saturating_sub(1))
        });
        self.numbers = numbers.collect();
    }

    /// What the stacks of a process mean to the counting of requests.
    fn meanings(&self, process: usize, masks: &[Mask]) -> impl Iterator<Item = (u32, Meaning)> {
        let of_sites = self.report.members[process].iter();
        let members = self.members[process].iter().zip(of_sites).zip(self.parts[process].stacks());
        members.map(|((member, site), stack)| {
            let mask = masks[member.path.index()];
            let is_whole =
                member.fit != Some(Fit::NotWalked) && self.report.paths.incomplete(member.path).is_none();
            let site = site.and_then(|site| self.numbers[site]);
            (stack.0, Meaning { mask: (mask != 0 || is_whole).then_some(mask), site })
        })
    }

    /// What leads to a site in a process: the requests in which it allocated, or all of them if it allocates where there
    /// are some, or the work of the code that calls it; and whether these are requests.
    fn calls(
        &self,
        site: usize,
        process: usize,
        stacks: &[usize],
        series: &Series,
    ) -> Option<(Vec<u64>, bool)> {
        let requests = self.requests.get(process).filter(|requests| requests.count() >= LEAST_REQUESTS);
        let reached = requests.and_then(|requests| match requests.has_extent {
            true => requests.sites.get(self.numbers[site]? as usize).cloned(),
            false => Some(requests.begun.clone()),
        });
        // Calls one right after the other, with nothing allocated in between, are counted as one, which lasts.
        let reached = reached
            .filter(|reached| reached.iter().sum::<u64>() >= LEAST_REQUESTS && comes_with(series, reached));
        let work = self.calls[process].of(stacks.iter().copied());
        match (reached, work) {
            (Some(reached), Some(work)) if goes_on_after(&work, &reached) => Some((work, false)),
            (Some(reached), _) => Some((reached, true)),
            (None, work) => Some((work?, false)),
        }
    }

    fn sites(&self) -> Vec<Judged> {
        let sites: Vec<usize> = (0..self.stacks.len()).collect();
        in_parallel(&sites, |&site| self.judge(site))
    }

    /// What a site keeps, if it is of Python.
    fn kept_by_python(&self, site: usize) -> Option<Kept> {
        let is_held = self.stacks[site].iter().all(|(process, _)| self.parts[*process].tells_what_waited);
        let mut kept = Kept { is_held, ..Kept::default() };
        for (process, stacks) in &self.stacks[site] {
            let mut listed: FastMap<u64, u64> = FastMap::default();
            for &stack in stacks {
                let member = &self.members[*process][stack];
                member.phase?;
                let is_listed = handed_on::is_listed(self.report.paths.frames(member.path));
                for &(size, blocks) in &self.sizes[*process][stack] {
                    kept.blocks += blocks;
                    kept.largest = size.max(kept.largest);
                    if is_listed && size <= handed_on::SMALL {
                        *listed.entry(size).or_default() += blocks;
                    }
                }
            }
            kept.listed += listed.values().sum::<u64>();
            kept.most_of_a_size = listed.into_values().fold(kept.most_of_a_size, u64::max);
        }
        Some(kept)
    }

    fn judge(&self, site: usize) -> Judged {
        let all = &self.stacks[site];
        let processes: Vec<usize> = all.iter().map(|(process, _)| *process).collect();
        let series: Vec<Series> = all.iter().map(|(process, stacks)| self.series(*process, stacks)).collect();
        let calls: Vec<Option<(Vec<u64>, bool)>> = (all.iter().zip(&series))
            .map(|((process, stacks), series)| self.calls(site, *process, stacks, series))
            .collect();
        let each = all.iter().zip(&series).zip(&calls).map(|(((process, _), series), calls)| ProcessSeries {
            window: &self.parts[*process].window,
            series,
            calls: calls.as_ref().map(|(calls, _)| calls.as_slice()),
            calls_are_requests: calls.as_ref().is_some_and(|(_, are_requests)| *are_requests),
        });
        let judgement = judge(&each.collect::<Vec<_>>());
        let buckets = series.iter().flat_map(|series| &series.buckets);
        let collected = buckets.map(|bucket| bucket.collected.blocks).sum();
        let (mut unfreed, mut change, mut known, mut waited) = (Amount::default(), (0, 0), true, 0);
        for series in &series {
            let signed = |amount: Amount| (i128::from(amount.blocks), i128::from(amount.bytes));
            let held = series.buckets.iter().fold(Amount::default(), |sum, bucket| sum + bucket.unfreed);
            let born = held + series.collected_at_exit;
            waited += series.collected_at_exit.blocks;
            let (was, is) = (signed(series.before), signed(born + series.before_unfreed));
            change = (change.0 + is.0 - was.0, change.1 + is.1 - was.1);
            unfreed += born + series.before_unfreed;
            known &= !series.only_unfreed;
        }
        let counts = &self.report.sites[site].counts;
        let (allocated, stays) = match known {
            true => (judgement.born.blocks + waited, judgement.unfreed.blocks + waited),
            false if self.report.is_counted() => (counts.allocations, counts.unfreed_blocks),
            false => (0, 0),
        };
        let freed = (allocated > 0).then(|| 1.0 - stays as f64 / allocated as f64);
        let grown =
            all.iter().flat_map(|(process, stacks)| stacks.iter().map(move |&stack| (*process, stack)));
        let grown =
            grown.max_by_key(|&(process, stack)| (self.parts[process].unfreed(stack).bytes, Reverse(stack)));
        let stack = grown.map(|(process, stack)| self.members[process][stack].path);
        Judged {
            site,
            judgement,
            processes,
            per_minute: Vec::new(),
            change,
            unfreed,
            freed,
            collected,
            rate: None,
            stack,
        }
    }

    fn series(&self, process: usize, stacks: &[usize]) -> Series {
        self.parts[process].series(stacks.iter().copied(), &self.members[process])
    }

    /// Divides the growth of those that grow, and puts all in order.
    fn divided(
        self,
        run: &Run,
        asked: &Asked,
        mut sites: Vec<Judged>,
        window_ms: (u64, u64),
        counted: Counted,
        only_unfreed: Vec<bool>,
    ) -> Verdicts {
        let growing: Vec<usize> = sites
            .iter()
            .filter(|judged| judged.judgement.verdict == Verdict::Growing)
            .map(|one| one.site)
            .collect();
        let is_known = asked.requests.is_some() || counted.count() > 0;
        let unit = asked.unit.unwrap_or(if is_known { Unit::Request } else { Unit::Minute });
        let marks = run.words.marks.iter().map(|mark| mark.monotonic_ns / 1_000_000);
        let marks: Vec<u64> = marks.filter(|ms| (window_ms.0..=window_ms.1).contains(ms)).collect();
        let units = Units {
            unit,
            parts: &self.parts,
            requests: &self.requests,
            named: asked.requests,
            marks: &marks,
        };
        for &site in &growing {
            let judged = &mut sites[site];
            let unfreed = |process: usize| {
                let stacks = self.stacks[site].iter().find(|(of, _)| *of == process);
                let series =
                    stacks.map(|(process, stacks)| self.series(*process, stacks)).unwrap_or_default();
                series.buckets.iter().map(|bucket| bucket.unfreed).collect()
            };
            judged.rate = units.rate(
                &judged.judgement,
                &judged.processes,
                self.numbers[site].map(|number| number as usize),
                unfreed,
            );
        }
        let mut per_minute = vec![0.0; self.parts.len()];
        for &site in &growing {
            let judged = &mut sites[site];
            let each = judged.judgement.processes.iter().zip(&judged.processes);
            let rates = each.map(|(one, &process)| {
                let growth = one.growth.as_ref()?;
                let (begin_ms, end_ms) = self.parts[process].cells.times(&growth.part);
                let minutes = end_ms.saturating_sub(begin_ms).max(1) as f64 / 60_000.0;
                per_minute[process] += growth.bytes.value / minutes;
                Some(growth.bytes.value / minutes)
            });
            judged.per_minute = rates.collect();
        }
        let hash = |judged: &Judged| self.report.sites[judged.site].hash;
        sites.sort_by(|a, b| {
            let size = |judged: &Judged| match judged.judgement.verdict {
                Verdict::Growing => judged.judgement.bytes.value,
                Verdict::GcOnly => judged.judgement.born.bytes as f64,
                _ => judged.unfreed.bytes as f64,
            };
            let verdicts = a.judgement.verdict.cmp(&b.judgement.verdict);
            verdicts.then_with(|| size(b).total_cmp(&size(a))).then_with(|| hash(a).cmp(&hash(b)))
        });
        Verdicts {
            report: self.report,
            window_ms,
            unit,
            requests: counted,
            named_requests: asked.requests,
            marks: marks.len(),
            sites,
            per_minute,
            only_unfreed,
            descriptors: None,
        }
    }

    /// What the frames of each path say of requests, by the path's index.
    fn masks(&self, handlers: &Handlers) -> Vec<Mask> {
        let paths = &self.report.paths;
        let frames: Vec<Mask> = paths.all_frames().iter().map(|frame| handlers.mask(frame)).collect();
        paths.fold(0, |mask, frame| mask | frames[frame as usize])
    }
}

/// Counts the requests of each process, and those that reach a site of which something is unfreed, of blocks or of descriptors.
fn count(blocks: &mut Judging, descriptors: Option<&mut Judging>, run: &Run, asked: &Asked) -> Counted {
    let mut sites = 0;
    let mut all: Vec<(&mut Judging, Vec<Mask>)> = Vec::new();
    for judging in [Some(blocks), descriptors].into_iter().flatten() {
        let masks = judging.masks(&asked.handlers);
        judging.number(&masks, &mut sites);
        all.push((judging, masks));
    }
    let to = match asked.selection.at {
        Moment::Epoch(epoch) => Some(Edge::Epoch(epoch)),
        Moment::Time(ms) => Some(Edge::Time(ms)),
        Moment::End | Moment::BeforeExit | Moment::Peak => None,
    };
    let born = Born { from: asked.from.map(|(edge, _)| edge), to };
    let kinds = asked.handlers.kinds();
    let indices: Vec<usize> = (0..run.recordings.len()).collect();
    let found = in_parallel(&indices, |&index| {
        let recording = &run.recordings[index];
        let meanings = all.iter().flat_map(|(judging, masks)| judging.meanings(index, masks));
        let stacks: FastMap<u32, Meaning> = meanings.collect();
        if stacks.values().all(|meaning| meaning.mask.is_none_or(|mask| mask == 0)) {
            return (Requests::default(), None);
        }
        let (span, cells) = (born.of(recording), &all[0].0.parts[index].cells);
        let counting = Counting { stacks: &stacks, sites: sites as usize, kinds, span: &span, cells };
        let counted = counting.count(recording).into_iter().enumerate();
        // Of equally many those of the first kind.
        let best = counted.max_by_key(|(kind, requests)| (requests.count(), Reverse(*kind)));
        match best.filter(|(_, requests)| requests.count() > 0) {
            Some((kind, requests)) => (requests, Some(kind)),
            None => (Requests::default(), None),
        }
    });
    let mut kinds: Vec<usize> = found.iter().filter_map(|(_, kind)| *kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let counted = Counted {
        servers: kinds.into_iter().map(|kind| asked.handlers.name(kind)).collect(),
        processes: found.iter().map(|(requests, _)| requests.count()).collect(),
        has_extent: found.iter().all(|(requests, kind)| kind.is_none() || requests.has_extent),
    };
    let requests: Arc<Vec<Requests>> = Arc::new(found.into_iter().map(|(requests, _)| requests).collect());
    all.into_iter().for_each(|(judging, _)| judging.requests = Arc::clone(&requests));
    counted
}
