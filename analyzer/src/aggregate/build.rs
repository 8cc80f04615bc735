//! The stages from an open run to its report: replay, definitions, symbols, sites.
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use recording::layout::STRINGS_END;

use super::filter::Filter;
use super::own::Own;
use super::parallel::{in_parallel, lock};
use super::paths::Paths;
use super::phase::phases;
use super::report::{Counts, Process, PythonStacks, Report, SumTotals};
use super::resolver::Resolver;
use super::sites::{Owner, Sites};
use super::stacks::{NodePlaces, Places};
use crate::cli::By;
use crate::control::Control;
use crate::reader::{Definitions, ProcessState, Recording, Run, monotonic_ns, parents};
use crate::replay::{self, BornIn, Moment, Reading, Replayed, Source};
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
    /// Where symbols are.
    pub symbols: symbols::Options,
}

/// A run after its events were replayed.
pub struct Loaded {
    processes: Vec<LoadedProcess>,
    places: Places,
    at: Moment,
}

struct LoadedProcess {
    replayed: Replayed,
    definitions: Definitions,
    nodes: NodePlaces,
}

impl Loaded {
    /// Replays all processes, several at a time; `progress` is told of bytes read.
    pub fn read(run: &Run, selection: &Selection, progress: &(dyn Fn(u64) + Sync)) -> Loaded {
        let readings = in_parallel(&run.recordings, |recording| {
            let by_thread = selection.by == By::Thread;
            let options = replay::Options { by_thread, until: selection.at, from: selection.from };
            Mutex::new(Some(Reading::begin(recording, options, progress)))
        });
        let follows =
            |reading: &&Mutex<Option<Reading>>| lock(reading).as_ref().is_some_and(Reading::follows_epochs);
        let now = run.recordings.iter().zip(&readings).find(|(_, reading)| follows(reading));
        let now = now.and_then(|(recording, _)| begin_epoch(recording));
        let both: Vec<_> = run.recordings.iter().zip(&readings).collect();
        let replayed = in_parallel(&both, |(recording, reading)| {
            let replayed = lock(reading).take().map_or_else(Replayed::default, |reading| reading.finish(now));
            (replayed, Definitions::read(recording))
        });
        let mut places = Places::default();
        let mut processes = Vec::new();
        for (mut replayed, definitions) in replayed {
            replayed.losses.extend(&definitions.losses);
            let nodes = places.add(&definitions, replayed.sites.iter().map(|site| site.stack));
            processes.push(LoadedProcess { replayed, definitions, nodes });
        }
        Loaded { processes, places, at: selection.at }
    }

    /// How many addresses are to be looked up.
    pub fn addresses(&self) -> usize {
        self.places.len()
    }

    /// The processes, without any symbol.
    pub fn processes(&self, run: &Run) -> Vec<Process> {
        let loaded = run.recordings.iter().zip(&self.processes);
        let mut processes: Vec<Process> =
            loaded.map(|(recording, loaded)| process(recording, loaded, self.at)).collect();
        for (process, parent) in processes.iter_mut().zip(parents(&run.recordings)) {
            process.parent = parent;
        }
        processes
    }

    /// Looks up the symbols and makes the sites; `done` is told of addresses looked up.
    pub fn report(self, run: &Run, selection: &Selection, done: &(dyn Fn(usize) + Sync)) -> Report {
        let mut paths = Paths::new(selection.filter.clone());
        let (frames, problems) = self.places.symbolize(&selection.symbols, &mut paths, done);
        let mut processes = self.processes(run);
        let names = occurrences(&run.recordings);
        let mut sites = Sites::new(selection.by, &mut paths);
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
            for (((totals, counts), (path, fit)), phase) in totals().zip(counts).zip(resolved).zip(phases) {
                sites.add(path, phase, counts, totals, &owner);
                fit.into_iter().for_each(|fit| python.add(fit, totals.allocations));
            }
            python.versions = std::mem::take(&mut processes[index].python.versions);
            processes[index].python = python;
        }
        let sites = sites.sorted();
        Report {
            recording: String::new(),
            moment: None,
            totals: totals(&processes),
            processes,
            problems,
            unreadable: run.unreadable.iter().map(ToString::to_string).collect(),
            by: selection.by,
            filtered: selection.filter.selects(),
            own: selection.own.clone(),
            sites,
            paths,
        }
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

/// Begins an epoch now in all processes of the run that this one is of; `None` where that is not allowed.
fn begin_epoch(recording: &Recording) -> Option<u32> {
    Some(Control::open(&recording.path).ok()?.begin_epoch()?.0)
}

/// The counts of each site; only blocks allocated in a window, and at or before `oldest` if that is given, count as
/// unfreed.
fn counts_of(replayed: &Replayed, oldest: Option<u64>, born: &BornIn) -> Vec<Counts> {
    let mut counts: Vec<Counts> = replayed
        .sites
        .iter()
        .map(|totals| Counts {
            allocated_bytes: totals.allocated_bytes,
            allocations: totals.allocations,
            frees: totals.frees,
            ..Counts::default()
        })
        .collect();
    for (_, block) in &replayed.live {
        if oldest.is_none_or(|oldest| block.birth.time_ms() <= oldest) && born.contains(block.birth) {
            let site = &mut counts[block.site as usize];
            site.unfreed_bytes = site.unfreed_bytes.saturating_add(block.size);
            site.unfreed_blocks += 1;
        }
    }
    counts
}

fn process(recording: &Recording, loaded: &LoadedProcess, at: Moment) -> Process {
    let replayed = &loaded.replayed;
    let mut counts = Counts::default();
    counts_of(replayed, None, &BornIn::ANY).iter().for_each(|site| counts.add(site));
    let header = &recording.header;
    let last_clock = replayed.last_clock_ms.saturating_mul(1_000_000);
    let end = match &recording.state {
        ProcessState::Running => monotonic_ns().max(last_clock),
        _ if header.end_monotonic_ns != 0 => header.end_monotonic_ns,
        _ => last_clock,
    };
    let moment_ns = moment_ns(recording, at).filter(|moment| *moment < end);
    let end = moment_ns.unwrap_or(end);
    let last = if header.end_monotonic_ns == 0 { last_clock } else { header.end_monotonic_ns };
    let ended = header.realtime_ns.saturating_add(last.saturating_sub(header.monotonic_ns));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let interpreters = &loaded.definitions.python.interpreters;
    let python_notes = interpreters.iter().filter_map(|interpreter| match interpreter {
        found if !found.walked => Some(format!("Python {} is not known: native stacks only", found.name())),
        found if !found.objects => {
            Some(format!("of Python {}'s objects only what it takes from malloc is recorded", found.name()))
        }
        _ => None,
    });
    Process {
        file: recording.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        pid: header.pid,
        parent_pid: header.parent_pid,
        parent: None,
        exe: recording.exe.as_deref().map(text),
        command: recording.command.iter().map(|argument| argument.to_string_lossy().into_owned()).collect(),
        state: recording.state.clone(),
        events: replayed.events,
        lost: replayed.lost,
        without_stack: replayed.without_stack,
        counts,
        peak_bytes: replayed.peak_bytes,
        at: if moment_ns.is_some() { at } else { Moment::End },
        arenas: replayed.arenas,
        window_ns: (header.monotonic_ns, end.max(header.monotonic_ns)),
        ended_ns: (recording.state != ProcessState::Running).then_some(ended),
        log_bytes: STRINGS_END as u64 + replayed.bytes_used + loaded.definitions.bytes_used,
        anomalies: replayed.anomalies,
        losses: replayed.losses.clone(),
        notes: recording.notes.iter().cloned().chain(python_notes).collect(),
        python: PythonStacks {
            versions: interpreters.iter().map(|interpreter| interpreter.name()).collect(),
            ..PythonStacks::default()
        },
    }
}

/// When the moment was, monotonic ns; `None`: at the end, as far as is known.
fn moment_ns(recording: &Recording, at: Moment) -> Option<u64> {
    let finalizing = replay::cut(recording, at).map(|cut| cut.monotonic_ns);
    let words = &recording.words;
    let asked = match at {
        Moment::End | Moment::BeforeExit => None,
        Moment::Epoch(epoch) => words.time_of(epoch).map(|ms| ms.saturating_mul(1_000_000)),
        Moment::Time(ms) => Some(ms.saturating_mul(1_000_000)),
    };
    finalizing.into_iter().chain(asked).min()
}

fn totals(processes: &[Process]) -> SumTotals {
    let mut totals = SumTotals { peak_bytes: Some(0), ..SumTotals::default() };
    for process in processes {
        totals.counts.add(&process.counts);
        totals.peak_bytes =
            totals.peak_bytes.zip(process.peak_bytes).map(|(sum, peak)| sum.saturating_add(peak));
        totals.events = totals.events.saturating_add(process.events);
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
