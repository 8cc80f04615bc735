//! The stages from an open run to its report: replay, definitions, symbols, sites.
use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

use super::by::By;
use super::callers::Callers;
use super::classes::Classes;
use super::filter::Filter;
use super::own::Own;
use super::parallel::{in_parallel, lock};
use super::paths::{PathId, Paths};
use super::phase::{Phase, phases};
use super::process::{counts_of, is_counted, process};
use super::report::{Process, PythonStacks, Report, SumTotals};
use super::resolver::Resolver;
use super::sites::{Owner, Sites, Sorted};
use super::stacks::{NodePlaces, Places};
use crate::control::Control;
use crate::python::merge::Fit;
use crate::reader::{Definitions, Recording, Run, parents};
use crate::replay::{self, Block, BornIn, Heir, Inherited, Moment, Reading, Replayed, Source, Wanted};
use crate::servers::Handlers;
use crate::symbols;

/// What to report.
#[derive(Clone, Default, Debug)]
pub struct Selection {
    /// What makes a site.
    pub by: By,
    /// The moment of which to speak.
    pub at: Moment,
    /// Where the unfreed blocks are read from.
    pub from: Source,
    /// What to leave out.
    pub filter: Filter,
    /// Which code is the user's own.
    pub own: Own,
    /// By line or function, whether that is the user's own, beneath these functions; else it is what asked for the memory.
    pub callers: Option<Handlers>,
    /// What else to see of the events, where these are read.
    pub wanted: Wanted,
    /// See [`replay::Options::counts_only`].
    pub counts_only: bool,
    /// Where symbols are.
    pub symbols: symbols::Options,
}

/// A stack of a process, one of [`Replayed::sites`].
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its frames.
    pub path: PathId,
    /// When in the life of a Python program it allocates.
    pub phase: Option<Phase>,
    /// If it has Python frames: how these go together with the native ones.
    pub fit: Option<Fit>,
}

/// A report, and what it was made of.
pub struct Grouped {
    /// It.
    pub report: Report,
    /// For each process what was replayed, and its stacks.
    pub processes: Vec<(Replayed, Vec<Member>)>,
}

/// A run after its events were replayed.
pub struct Loaded {
    processes: Vec<LoadedProcess>,
    places: Places,
    options: replay::Options,
}

struct LoadedProcess {
    replayed: Replayed,
    definitions: Definitions,
    nodes: NodePlaces,
    inherited: Inherited,
}

impl LoadedProcess {
    fn process(&self, recording: &Recording, options: replay::Options) -> Process {
        let process = process(recording, &self.replayed, &self.definitions, options);
        Process { inherited: self.inherited, ..process }
    }
}

impl Loaded {
    /// Replays all processes, several at a time; `progress` is told of bytes read.
    pub fn read(run: &Run, selection: &Selection, progress: &(dyn Fn(u64) + Sync)) -> Loaded {
        let by_thread = selection.by == By::Thread;
        let options = replay::Options {
            by_thread,
            until: selection.at,
            from: selection.from,
            wanted: selection.wanted,
            counts_only: selection.counts_only,
        };
        let readings = in_parallel(&run.recordings, |recording| {
            Mutex::new(Some(Reading::begin(recording, options, progress)))
        });
        let follows =
            |reading: &&Mutex<Option<Reading>>| lock(reading).as_ref().is_some_and(Reading::follows_epochs);
        let now = run.recordings.iter().zip(&readings).find(|(_, reading)| follows(reading));
        let now = match &run.packed {
            Some(packed) => packed.epoch(),
            None => now.and_then(|(recording, _)| begin_epoch(recording)),
        };
        let both: Vec<_> = run.recordings.iter().zip(&readings).collect();
        let replayed = in_parallel(&both, |(recording, reading)| {
            let replayed = lock(reading).take().map_or_else(Replayed::default, |reading| reading.finish(now));
            (replayed, Definitions::read(recording))
        });
        Loaded::of(run, replayed, options)
    }

    /// Of the processes of a run that were replayed by these options.
    pub fn of(run: &Run, replayed: Vec<(Replayed, Definitions)>, options: replay::Options) -> Loaded {
        let mut replayed = replayed;
        let inherited = inherit(run, &mut replayed, options);
        Loaded::new(replayed, inherited, options)
    }

    /// The same, of what no process inherits, or of which that does not matter.
    pub fn without_inherited(replayed: Vec<(Replayed, Definitions)>, options: replay::Options) -> Loaded {
        let inherited = vec![Inherited::Nothing; replayed.len()];
        Loaded::new(replayed, inherited, options)
    }

    fn new(
        replayed: Vec<(Replayed, Definitions)>,
        inherited: Vec<Inherited>,
        options: replay::Options,
    ) -> Loaded {
        let mut places = Places::default();
        let mut processes = Vec::new();
        for ((mut replayed, definitions), inherited) in replayed.into_iter().zip(inherited) {
            replayed.losses.extend(&definitions.losses);
            let nodes = places.add(&definitions, replayed.sites.iter().map(|site| site.stack));
            processes.push(LoadedProcess { replayed, definitions, nodes, inherited });
        }
        Loaded { processes, places, options }
    }

    /// What was read of each process, in the order of the run's recordings.
    pub fn replayed(&self) -> impl ExactSizeIterator<Item = &Replayed> {
        self.processes.iter().map(|process| &process.replayed)
    }

    /// The stacks and modules of each process, in the same order.
    pub fn definitions(&self) -> impl ExactSizeIterator<Item = &Definitions> {
        self.processes.iter().map(|process| &process.definitions)
    }

    /// How many addresses are to be looked up.
    pub fn addresses(&self) -> usize {
        self.places.len()
    }

    /// The processes, without any symbol.
    pub fn processes(&self, run: &Run) -> Vec<Process> {
        let loaded = run.recordings.iter().zip(&self.processes);
        let mut processes: Vec<Process> =
            loaded.map(|(recording, loaded)| loaded.process(recording, self.options)).collect();
        for (process, parent) in processes.iter_mut().zip(parents(&run.recordings)) {
            process.parent = parent;
        }
        processes
    }

    /// Looks up the symbols and makes the sites; `done` is told of addresses looked up.
    pub fn report(self, run: &Run, selection: &Selection, done: &(dyn Fn(usize) + Sync)) -> Report {
        self.grouped(run, selection, done).report
    }

    /// The same, with what it was made of.
    pub fn grouped(self, run: &Run, selection: &Selection, done: &(dyn Fn(usize) + Sync)) -> Grouped {
        let mut paths = Paths::new(selection.filter.clone());
        let symbols = run.symbols(&selection.symbols);
        let (frames, problems) = self.places.symbolize(0, &symbols, &mut paths, done);
        let mut processes = self.processes(run);
        let names = occurrences(&run.recordings);
        let callers = selection.callers.as_ref().map(|handlers| Callers::new(&selection.own, handlers));
        let mut sites = Sites::new(selection.by, callers, &mut paths);
        let mut stacks: Vec<Vec<Member>> = Vec::new();
        let mut members: Vec<Vec<Option<usize>>> = Vec::new();
        let mut classes = Classes::new(selection.by);
        for (index, loaded) in self.processes.iter().enumerate() {
            let oldest = selection.filter.older.map(|older| {
                (processes[index].window_ns.1 / 1_000_000).saturating_sub(older.as_millis() as u64)
            });
            let born = selection.filter.born.of(&run.recordings[index]);
            let counts = counts_of(&loaded.replayed, oldest, &born);
            let parent = processes[index].parent.map(|parent| processes[parent].pid);
            let (process, replayed) = (&processes[index], &loaded.replayed);
            let owner = Owner { process, parent, replayed, identity: &names[index] };
            let mut resolver = Resolver::new(&loaded.definitions, &loaded.nodes, &frames);
            let mut python = PythonStacks::default();
            let totals = || replayed.sites.iter();
            let resolved: Vec<_> = totals().map(|totals| resolver.path(totals.stack, sites.paths)).collect();
            let marks: Vec<_> = resolved.iter().map(|&(path, _)| sites.paths.marks(path)).collect();
            // Without frames there is no phase.
            let has_python = loaded.definitions.python.interpreters.iter().any(|found| found.walked);
            let phases = if has_python { phases(&marks) } else { vec![None; marks.len()] };
            for (phase, counts) in phases.iter().zip(counts_of(replayed, None, &BornIn::ANY)) {
                phase.iter().for_each(|&phase| python.phases[phase as usize].add(&counts));
            }
            let member = |(&(path, fit), &phase): (&(PathId, _), &_)| Member { path, phase, fit };
            stacks.push(resolved.iter().zip(&phases).map(member).collect());
            let mut numbers = Vec::with_capacity(replayed.sites.len());
            for (((totals, counts), (path, fit)), phase) in totals().zip(counts).zip(resolved).zip(phases) {
                numbers.push(sites.add(path, phase, counts, totals, &owner));
                fit.into_iter().for_each(|fit| python.add(fit, totals.allocations));
            }
            if let Some(classes) = &mut classes {
                let end_ms = processes[index].window_ns.1 / 1_000_000;
                let is_shown = |block: &Block| {
                    numbers[block.site as usize].is_some() && is_counted(block, oldest, &born)
                };
                let blocks = replayed.live.iter().map(|(_, block)| block);
                blocks.filter(|block| is_shown(block)).for_each(|block| classes.add(block, end_ms));
                numbers.fill(None);
            }
            members.push(numbers);
            python.versions = std::mem::take(&mut processes[index].python.versions);
            processes[index].python = python;
        }
        let Sorted { sites, places, suppressed } = sites.sorted();
        members.iter_mut().flatten().flatten().for_each(|site| *site = places[*site]);
        let sites = match classes {
            Some(classes) => classes.sites(paths.root(Some(recording::EndReason::Complete))),
            None => sites,
        };
        let report = Report {
            recording: String::new(),
            moment: None,
            totals: totals(&processes),
            processes,
            problems,
            lost_files: run
                .unreadable
                .iter()
                .filter(|error| error.why.may_hold_events())
                .map(ToString::to_string)
                .collect(),
            unreadable: run.unreadable.iter().map(ToString::to_string).collect(),
            by: selection.by,
            filtered: selection.filter.selects(),
            own: selection.own.clone(),
            suppressed,
            sites,
            members,
            courses: None,
            temporary: None,
            lifetimes: None,
            paths,
        };
        let replayed = self.processes.into_iter().map(|loaded| loaded.replayed);
        Grouped { report, processes: replayed.zip(stacks).collect() }
    }
}

/// Opens, replays and symbolises the recording at `path` without showing progress.
pub fn report(path: &Path, selection: &Selection) -> Result<Report, crate::reader::ReadError> {
    let run = crate::reader::open(path)?;
    let loaded = Loaded::read(&run, selection, &|_| {});
    let mut report = loaded.report(&run, selection, &|_| {});
    report.recording = path.display().to_string();
    Ok(report)
}

/// What each process has of its parent's blocks.
fn inherit(run: &Run, replayed: &mut [(Replayed, Definitions)], options: replay::Options) -> Vec<Inherited> {
    let heirs =
        run.recordings.iter().zip(replayed).enumerate().filter(|(_, (recording, _))| recording.is_forked());
    let heirs =
        heirs.map(|(index, (recording, (replayed, _)))| Heir::new(index, recording, replayed, options));
    let heirs: Vec<Heir> = heirs.collect();
    let places: Vec<usize> = heirs.iter().map(|heir| heir.index).collect();
    let all: Vec<&Recording> = run.recordings.iter().chain(&run.others).collect();
    let mut inherited = vec![Inherited::Nothing; run.recordings.len()];
    let answers = if heirs.is_empty() { Vec::new() } else { replay::inherited(&all, heirs) };
    places.into_iter().zip(answers).for_each(|(index, answer)| inherited[index] = answer);
    inherited
}

/// Begins an epoch now in all processes of the run that this one is of; `None` where that is not allowed.
pub(crate) fn begin_epoch(recording: &Recording) -> Option<u32> {
    Some(Control::open(&recording.path).ok()?.begin_epoch()?.0)
}

fn totals(processes: &[Process]) -> SumTotals {
    let mut totals = SumTotals { peak_bytes: Some(0), events: Some(0), ..SumTotals::default() };
    for process in processes {
        totals.counts.add(&process.counts);
        totals.peak_bytes =
            totals.peak_bytes.zip(process.peak_bytes).map(|(sum, peak)| sum.saturating_add(peak));
        totals.events = totals.events.zip(process.events).map(|(sum, events)| sum.saturating_add(events));
        totals.lost = totals.lost.saturating_add(process.lost);
        totals.log_bytes += process.log_bytes;
        totals.arenas.add(&process.arenas);
        let phases = totals.phases.iter_mut().zip(&process.python.phases);
        phases.for_each(|(sum, counts)| sum.add(counts));
    }
    let start = processes.iter().map(|process| process.window_ns.0).min().unwrap_or(0);
    let end = processes.iter().map(|process| process.window_ns.1).max().unwrap_or(0);
    totals.window_ns = end.saturating_sub(start);
    totals
}

/// Names that are the same in another run: the program, and which of its processes.
fn occurrences(recordings: &[Recording]) -> Vec<String> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let name = |recording: &Recording| {
        let program = recording.program();
        let number = seen.entry(program.clone()).or_insert(0);
        *number += 1;
        format!("{program}\0{number}")
    };
    recordings.iter().map(name).collect()
}
