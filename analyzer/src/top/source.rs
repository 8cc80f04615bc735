//! Reads the recording again and again, each part of it as often as it may cost, and says what there is to show.
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::budget::Budget;
use super::ledger::{Ledger, Site as Sums};
use super::opened;
use super::scan::{Held, can_scan};
use super::snapshot::{Opened, Process, Site, Snapshot};
use super::watched::{Processes, Watched};
use crate::aggregate::{Name, Naming, spoken};
use crate::error::Failure;
use crate::output::state;
use crate::reader::{ProcessState, Recording, Run};
use crate::top::order::TopBy;

/// Opens the run again, since there are other processes in it.
pub type Reopen = Box<dyn FnMut() -> Result<Run, Failure> + Send>;

/// Parts of one core that some work may take at most, so that all of it stays below a fiftieth: reading the tables, ...
const READING: f64 = 0.01;
/// ... finding out how far the files are and which processes run, ...
const LOOKING: f64 = 0.003;
/// ... reading what stacks are, opening files to find out what processes there are, and ...
const DEFINING: f64 = 0.0015;
/// ... looking up symbols, of which ...
const NAMING: f64 = 0.003;
/// ... so much may be done at any time, if it is for what holds a noticeable part of all.
const CREDIT: Duration = Duration::from_secs(1);
/// What is noticed.
const NOTICED: u64 = 500;

/// Stacks whose symbols are looked up at a time, those that hold most first: until the others hold less than a hundredth of all, but so
/// many at least, ...
const NAMED_AT_LEAST: usize = 50;
/// ... and at most.
const NAMED_AT_MOST: usize = 1000;
/// Stacks of a site that are shown.
const SHOWN: usize = 5;

/// A recording that is watched.
pub struct Source {
    recording: String,
    processes: Processes,
    reopen: Reopen,
    by: TopBy,
    naming: Naming,
    ledger: Ledger,
    began: Instant,
    read: Option<Instant>,
    is_stale: bool,
    looking: Budget,
    reading: Budget,
    reopening: Budget,
    defining: Budget,
    looking_up: Budget,
}

impl Source {
    /// Watches these processes of the recording that was typed so.
    pub fn new(recording: String, processes: Processes, reopen: Reopen, by: TopBy, naming: Naming) -> Source {
        Source {
            recording,
            processes,
            reopen,
            by,
            naming,
            ledger: Ledger::default(),
            began: Instant::now(),
            read: None,
            is_stale: false,
            looking: Budget::new(LOOKING),
            reading: Budget::new(READING),
            reopening: Budget::new(DEFINING),
            defining: Budget::new(DEFINING),
            looking_up: Budget::with_credit(NAMING, CREDIT),
        }
    }

    /// Looks at what is due.
    pub fn look(&mut self) -> Snapshot {
        let now = Instant::now();
        let mut ended = false;
        if self.looking.is_due(now) {
            let processes = &mut self.processes;
            let (has_ended, may_be_more) =
                self.looking.spend(now, || (processes.look(), processes.may_be_more()));
            ended = has_ended;
            self.is_stale |= has_ended | may_be_more;
        }
        if self.is_stale && self.reopening.is_due(now) {
            let (reopening, reopen) = (&mut self.reopening, &mut self.reopen);
            // A directory that cannot be read now is read later; what is known stays.
            if let Ok(run) = reopening.spend(now, reopen) {
                self.processes.replace(run);
                self.is_stale = false;
            }
        }
        let is_over = ended && self.processes.all.iter().all(|watched| !watched.recording.is_running());
        if is_over || self.reading.is_due(now) {
            let (processes, ledger) = (&mut self.processes, &mut self.ledger);
            let time_ms = now.duration_since(self.began).as_millis() as u64;
            self.reading.spend(now, || read(processes, ledger, time_ms));
            self.read = Some(now);
        }
        self.name(now);
        self.snapshot(now)
    }

    /// Finds out what sites there are by something else.
    pub fn set_by(&mut self, by: TopBy) {
        self.by = by;
        self.naming.set_by(by.into());
        self.ledger.forget_sites();
        self.processes.all.iter_mut().for_each(|watched| watched.names = Default::default());
        self.looking_up = Budget::with_credit(NAMING, CREDIT);
    }

    fn name(&mut self, now: Instant) {
        let mut nameless = self.ledger.without_site();
        if nameless.is_empty() {
            return;
        }
        let place_of = self.processes.places();
        nameless.retain_mut(|(process, _, _)| match place_of.get(*process).copied().flatten() {
            Some(place) => {
                *process = place;
                true
            }
            None => false,
        });
        let processes = &mut self.processes.all;
        let is_undefined =
            |&(process, stack, _): &(usize, usize, Held)| processes[process].is_undefined(stack);
        if nameless.iter().any(is_undefined) && self.defining.is_due(now) {
            self.defining.spend(now, || processes.iter_mut().for_each(Watched::define));
        }
        let (naming, mut names, mut others) = (&mut self.naming, Vec::new(), Vec::new());
        let least = self.ledger.total().held.bytes / NOTICED;
        let may_look_up = self.looking_up.is_full(now);
        let must_look_up = self.looking_up.is_due(now);
        // Many stacks may be of one site: those of many processes that do the same.
        let are_many = self.ledger.nameless().1.bytes > self.ledger.total().held.bytes / 100;
        for (process, stack, held) in nameless {
            let watched = &mut processes[process];
            if watched.is_undefined(stack) {
                continue;
            }
            let id = watched.scan.stack(stack);
            match naming.of_python(&watched.definitions, id, &mut watched.names) {
                Some(name) => names.push((watched.number, stack, name)),
                None if may_look_up || (must_look_up && (are_many || held.bytes >= least)) => {
                    others.push((Reverse(held.bytes), process, stack))
                }
                None => {}
            }
        }
        if !others.is_empty() {
            others.sort_unstable();
            others.truncate(enough(&others, self.ledger.total().held.bytes));
            let found = self.looking_up.spend(now, || look_up(naming, processes, &others));
            names.extend(found);
        }
        self.ledger.name(names);
    }

    /// The stacks of a site.
    pub fn open(&mut self, key: u64) -> Option<Opened> {
        let sites = self.ledger.sites().iter();
        let name = sites.map(|site| &site.name).find(|name| name.key == key)?.text.clone();
        let stacks = self.ledger.stacks_of(key);
        let mut lines = Vec::new();
        for (at, &(number, stack, held)) in stacks.iter().take(SHOWN).enumerate() {
            let Some(watched) = self.processes.all.iter().find(|watched| watched.number == number) else {
                continue;
            };
            let paths = self.naming.look_up(&[(&watched.definitions, vec![watched.scan.stack(stack)])]);
            let (paths_of_all, own) = (self.naming.paths(), self.naming.own());
            let which = (at + 1, stacks.len());
            lines.extend(
                paths
                    .into_iter()
                    .flatten()
                    .flat_map(|path| opened::stack(paths_of_all, own, path, held, which)),
            );
        }
        Some(Opened { key, name, stacks: stacks.len(), lines })
    }

    fn snapshot(&self, now: Instant) -> Snapshot {
        let ledger = &self.ledger;
        let has_ended = self.processes.all.iter().all(|watched| !watched.recording.is_running());
        let site = |sums: &Sums| Site {
            key: sums.name.key,
            name: sums.name.text.clone(),
            held: sums.held,
            growth: ledger.growth(&sums.series),
            series: sums.series.clone(),
        };
        let is_seen = |sums: &&Sums| sums.held.blocks > 0 || sums.series.iter().any(|&bytes| bytes > 0);
        Snapshot {
            recording: self.recording.clone(),
            at_ns: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64),
            processes: self.processes.all.iter().map(|watched| self.process(watched)).collect(),
            by: self.by,
            sites: ledger.sites().iter().filter(is_seen).map(site).collect(),
            total: site(ledger.total()),
            nameless: ledger.nameless(),
            window_ms: ledger.window_ms(),
            age_ms: self.read.map_or(0, |read| now.duration_since(read).as_millis() as u64),
            disk_bytes: self.processes.disk_bytes,
            lost: self.processes.all.iter().fold(0, |sum, one| one.recording.lost().saturating_add(sum)),
            has_ended,
        }
    }

    fn process(&self, watched: &Watched) -> Process {
        let recording = &watched.recording;
        let series = self.ledger.series_of(watched.number).filter(|_| recording.is_running());
        Process {
            pid: recording.header.pid,
            command: command(recording),
            state: state(&recording.state),
            runs: recording.is_running(),
            held: watched.is_read.then(|| watched.scan.total()),
            growth: series.and_then(|series| self.ledger.growth(series)),
            resident: watched.pid.and(watched.resident),
        }
    }
}

fn command(recording: &Recording) -> String {
    let command: Vec<String> =
        recording.command.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    if command.is_empty() { recording.program() } else { spoken(&command) }
}

/// Reads what all that run hold now, and what those held that have ended since. Those count that run; where none runs any
/// more those that ran last, and all if none ran.
fn read(processes: &mut Processes, ledger: &mut Ledger, time_ms: u64) {
    ledger.begin(time_ms);
    let runs = processes.all.iter().any(|watched| watched.recording.is_running());
    for watched in &mut processes.all {
        let is_running = watched.recording.is_running();
        if is_running && can_scan(&watched.recording) {
            watched.scan.read(&watched.recording);
            watched.is_read = true;
        } else if !watched.is_settled && (is_running || !runs || watched.is_read) {
            watched.scan.read_exactly(&watched.recording);
            (watched.is_settled, watched.is_read) = (!is_running, true);
        }
        if ledger.has_ended(watched.number) {
            continue;
        }
        if runs && !is_running {
            ledger.end(watched.number);
            continue;
        }
        for (stack, (_, held)) in watched.scan.stacks().enumerate() {
            ledger.count(watched.number, stack, held);
        }
    }
    ledger.finish();
}

/// How many of these stacks to look up now.
fn enough(others: &[(Reverse<u64>, usize, usize)], total: u64) -> usize {
    let mut left = others.iter().fold(0u64, |sum, (held, ..)| sum.saturating_add(held.0));
    let many = others.iter().take_while(|(held, ..)| {
        let is_much = left > total / 100;
        left = left.saturating_sub(held.0);
        is_much
    });
    many.count().clamp(NAMED_AT_LEAST, NAMED_AT_MOST)
}

/// What these stacks of processes are called, for which symbols are needed.
fn look_up(
    naming: &mut Naming,
    processes: &[Watched],
    asked: &[(Reverse<u64>, usize, usize)],
) -> Vec<(usize, usize, Name)> {
    let mut of_processes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &(_, process, stack) in asked {
        of_processes.entry(process).or_default().push(stack);
    }
    let ids_of = |(&process, stacks): (&usize, &Vec<usize>)| {
        let watched = &processes[process];
        (&watched.definitions, stacks.iter().map(|&stack| watched.scan.stack(stack)).collect())
    };
    let paths = naming.look_up(&of_processes.iter().map(ids_of).collect::<Vec<_>>());
    let mut names = Vec::with_capacity(asked.len());
    for ((process, stacks), paths) in of_processes.into_iter().zip(paths) {
        let number = processes[process].number;
        names
            .extend(stacks.into_iter().zip(paths).map(|(stack, path)| (number, stack, naming.of_path(path))));
    }
    names
}

impl Watched {
    /// Whether it is not known as yet what a stack is.
    fn is_undefined(&self, stack: usize) -> bool {
        let id = self.scan.stack(stack);
        // Of a process that is gone nothing more will be known.
        let is_running = self.recording.state == ProcessState::Running;
        id.is_frame()
            && self.definitions.index(id).is_none()
            && (is_running || self.definitions.node_count() == 0)
    }

    /// Reads what was defined since.
    fn define(&mut self) {
        self.definitions.read_on(&self.recording, &self.recording.definitions);
    }
}
