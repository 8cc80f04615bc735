//! Sites in the making: adds up the stacks of all processes by what makes a site.
use std::collections::{HashMap, HashSet};

use super::by::By;
use super::callers::Callers;
use super::family::spoken;
use super::group::{self, Group};
use super::paths::{PathId, Paths};
use super::phase::Phase;
use super::report::{Counts, Process, Site};
use crate::replay::{Replayed, Totals, UNKNOWN_THREAD};

/// Whose totals are added.
pub(super) struct Owner<'a> {
    pub process: &'a Process,
    /// The pid of its parent, if that was recorded.
    pub parent: Option<u32>,
    pub replayed: &'a Replayed,
    /// The same in another run: program and which of its processes.
    pub identity: &'a str,
}

impl Owner<'_> {
    fn program(&self) -> &str {
        self.identity.split('\0').next().unwrap_or("?")
    }

    fn group(&self, by: By, thread: u32) -> Group {
        let (program, pid) = (self.program(), self.process.pid);
        if by == By::Process {
            let parent = self.parent.map_or_else(String::new, |parent| format!(", child of {parent}"));
            let command = spoken(&self.process.command);
            let command = if command.is_empty() { program } else { &command };
            return group::named(by, self.identity, format!("pid {pid}{parent}: {command}"));
        }
        if thread == UNKNOWN_THREAD {
            let identity = format!("{}\0unknown", self.identity);
            return group::named(by, &identity, format!("not known any more (pid {pid})"));
        }
        let known = self.replayed.threads.get(&thread);
        let name = known.and_then(|known| known.name.as_deref()).unwrap_or(program);
        let tid = known.map_or(0, |known| known.tid);
        let identity = format!("{}\0{thread}\0{name}", self.identity);
        group::named(by, &identity, format!("{name} (tid {tid}, pid {pid})"))
    }
}

/// What tells groups apart while they are made.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Stack(u32),
    Hash(u64),
}

/// Sites in the making.
pub(super) struct Sites<'p> {
    by: By,
    /// If functions and lines are the user's own.
    callers: Option<Callers>,
    pub paths: &'p mut Paths,
    index: HashMap<Key, usize>,
    by_frame: HashMap<Option<u32>, usize>,
    /// Exact stacks that were counted.
    seen: HashSet<PathId>,
    sites: Vec<Site>,
    /// The counts of a site's largest stack.
    largest: Vec<Counts>,
    /// What each suppression leaves out.
    suppressed: Vec<Counts>,
}

/// All of it.
pub(super) struct Sorted {
    pub sites: Vec<Site>,
    /// The place of each by its number.
    pub places: Vec<usize>,
    /// What each suppression has left out.
    pub suppressed: Vec<Counts>,
}

impl<'p> Sites<'p> {
    pub fn new(by: By, callers: Option<Callers>, paths: &'p mut Paths) -> Sites<'p> {
        Sites {
            suppressed: vec![Counts::default(); paths.suppressions().all().len()],
            by,
            callers,
            paths,
            index: HashMap::new(),
            by_frame: HashMap::new(),
            seen: HashSet::new(),
            sites: Vec::new(),
            largest: Vec::new(),
        }
    }

    /// Adds a stack's counts; the number of its site, if the filter leaves it in.
    pub fn add(
        &mut self,
        path: PathId,
        phase: Option<Phase>,
        counts: Counts,
        totals: &Totals,
        owner: &Owner,
    ) -> Option<usize> {
        if !self.paths.shown(path, phase) {
            return None;
        }
        if let Some(suppression) = self.paths.suppression(path) {
            self.suppressed[suppression].add(&counts);
            return None;
        }
        let known = self.sites.len();
        let site = match self.by {
            By::Stack => self.stack(path),
            By::Function | By::Line | By::Module => {
                let own = self.callers.as_mut().filter(|_| self.by != By::Module);
                let own = own.and_then(|callers| callers.innermost(self.paths, path));
                let frame = own.or_else(|| group::asking_frame(self.by, self.paths, path));
                match self.by_frame.get(&frame) {
                    Some(&site) => site,
                    None => {
                        let group = group::of_frame(self.by, frame.map(|frame| self.paths.frame_at(frame)));
                        let site = self.group(group, path);
                        self.by_frame.insert(frame, site);
                        site
                    }
                }
            }
            // What is left out is left out of classes of blocks, too.
            By::Size | By::Age => self.stack(path),
            By::Thread | By::Process => self.group(owner.group(self.by, totals.thread), path),
        };
        if site == known {
            self.sites[site].phase = phase;
        } else if self.sites[site].phase != phase {
            self.sites[site].phase = None;
        }
        self.count(site, path, counts);
        Some(site)
    }

    /// Adds the counts of a stack to its site.
    fn count(&mut self, index: usize, path: PathId, counts: Counts) {
        let site = &mut self.sites[index];
        site.counts.add(&counts);
        let largest = self.largest[index];
        let is_less = |other| self.paths.frames(path).lt(self.paths.frames(other));
        if counts > largest || (counts == largest && is_less(site.largest)) {
            self.largest[index] = counts;
            site.largest = path;
            if self.by == By::Stack {
                site.path = path;
            }
        }
    }

    /// The site of a stack.
    fn stack(&mut self, path: PathId) -> usize {
        let site = self.paths.site(path);
        let fresh = self.sites.len();
        let index = *self.index.entry(Key::Stack(site)).or_insert(fresh);
        if index == fresh {
            let hash = self.paths.site_hash(site);
            self.push(hash, None, path, path);
        }
        if self.seen.insert(path) {
            self.sites[index].stacks += 1;
        }
        index
    }

    /// The site of a group, in which `path` is.
    fn group(&mut self, group: Group, path: PathId) -> usize {
        let fresh = self.sites.len();
        let index = *self.index.entry(Key::Hash(group.hash)).or_insert(fresh);
        if index == fresh {
            let mut frame_path = self.paths.root(Some(recording::EndReason::Complete));
            if let Some(frame) = group.frame {
                let frame = self.paths.frame(frame);
                frame_path = self.paths.extend(frame_path, frame);
            }
            self.push(group.hash, Some(group.name), frame_path, path);
        }
        index
    }

    fn push(&mut self, hash: u64, name: Option<String>, path: PathId, largest: PathId) {
        let counts = Counts::default();
        self.sites.push(Site { hash, name, counts, path, largest, phase: None, stacks: 0 });
        self.largest.push(counts);
    }

    /// Largest first, in an order that depends on nothing else than the sites.
    pub fn sorted(self) -> Sorted {
        let mut sites: Vec<(usize, Site)> = self.sites.into_iter().enumerate().collect();
        sites.sort_by(|(_, a), (_, b)| {
            b.counts.cmp(&a.counts).then(a.hash.cmp(&b.hash)).then_with(|| a.name.cmp(&b.name))
        });
        let mut places = vec![0; sites.len()];
        sites.iter().enumerate().for_each(|(place, (number, _))| places[*number] = place);
        let sites = sites.into_iter().map(|(_, site)| site).collect();
        Sorted { sites, places, suppressed: self.suppressed }
    }
}
