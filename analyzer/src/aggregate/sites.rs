//! Sites in the making: adds up the stacks of all processes by what makes a site.
use std::collections::{HashMap, HashSet};

use super::family::spoken;
use super::group::{self, Group};
use super::paths::{PathId, Paths};
use super::phase::Phase;
use super::report::{Counts, Process, Site};
use crate::cli::By;
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
    pub paths: &'p mut Paths,
    index: HashMap<Key, usize>,
    by_frame: HashMap<Option<u32>, usize>,
    /// Exact stacks counted in [`Site::stacks`].
    seen: HashSet<PathId>,
    sites: Vec<Site>,
    /// The counts of the one stack that is shown for a site: its largest.
    shown: Vec<Counts>,
}

impl<'p> Sites<'p> {
    pub fn new(by: By, paths: &'p mut Paths) -> Sites<'p> {
        Sites {
            by,
            paths,
            index: HashMap::new(),
            by_frame: HashMap::new(),
            seen: HashSet::new(),
            sites: Vec::new(),
            shown: Vec::new(),
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
        let known = self.sites.len();
        let site = match self.by {
            By::Stack => self.add_stack(path, counts),
            By::Function | By::Line | By::Module => {
                let frame = group::asking_frame(self.by, self.paths, path);
                let site = match self.by_frame.get(&frame) {
                    Some(&site) => site,
                    None => {
                        let group = group::of_frame(self.by, frame.map(|frame| self.paths.frame_at(frame)));
                        let site = self.group(group);
                        self.by_frame.insert(frame, site);
                        site
                    }
                };
                self.sites[site].counts.add(&counts);
                site
            }
            By::Thread | By::Process => {
                let site = self.group(owner.group(self.by, totals.thread));
                self.sites[site].counts.add(&counts);
                site
            }
        };
        let fresh = site == known;
        let made = &mut self.sites[site];
        if fresh {
            made.phase = phase;
        } else if made.phase != phase {
            made.phase = None;
        }
        Some(site)
    }

    /// Returns the index of the site.
    fn add_stack(&mut self, path: PathId, counts: Counts) -> usize {
        let site = self.paths.site(path);
        let fresh = self.sites.len();
        let index = *self.index.entry(Key::Stack(site)).or_insert(fresh);
        if index == fresh {
            let hash = self.paths.site_hash(site);
            self.sites.push(Site { hash, name: None, counts, path, phase: None, stacks: 1 });
            self.seen.insert(path);
            self.shown.push(counts);
            return index;
        }
        let site = &mut self.sites[index];
        site.counts.add(&counts);
        if site.path != path && self.seen.insert(path) {
            site.stacks += 1;
        }
        let shown = self.shown[index];
        if counts > shown || (counts == shown && self.paths.frames(path).lt(self.paths.frames(site.path))) {
            self.shown[index] = counts;
            site.path = path;
        }
        index
    }

    fn group(&mut self, group: Group) -> usize {
        let fresh = self.sites.len();
        let index = *self.index.entry(Key::Hash(group.hash)).or_insert(fresh);
        if index == fresh {
            let mut path = self.paths.root(Some(recording::EndReason::Complete));
            if let Some(frame) = group.frame {
                let frame = self.paths.frame(frame);
                path = self.paths.extend(path, frame);
            }
            self.sites.push(Site {
                stacks: 0,
                hash: group.hash,
                name: Some(group.name),
                counts: Counts::default(),
                path,
                phase: None,
            });
        }
        index
    }

    /// Largest first, in an order that depends on nothing else than the sites; and the place of each by its number.
    pub fn sorted(self) -> (Vec<Site>, Vec<usize>) {
        let mut sites: Vec<(usize, Site)> = self.sites.into_iter().enumerate().collect();
        sites.sort_by(|(_, a), (_, b)| {
            b.counts.cmp(&a.counts).then(a.hash.cmp(&b.hash)).then_with(|| a.name.cmp(&b.name))
        });
        let mut places = vec![0; sites.len()];
        sites.iter().enumerate().for_each(|(place, (number, _))| places[*number] = place);
        (sites.into_iter().map(|(_, site)| site).collect(), places)
    }
}
