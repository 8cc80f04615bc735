//! What a report of open descriptors or of mappings says: a report whose blocks are these.
use std::collections::BTreeMap;

use recording::resource::{Descriptor, Resource};

use crate::aggregate::{Grouped, Report};
use crate::replay::Resources;

/// See the module's contract.
pub struct HeldReport {
    /// By sites; of descriptors a byte is one.
    pub report: Report,
    /// What its blocks are.
    pub of: Resources,
    /// For each site how many of each kind it has, of those that no filter by age leaves out.
    pub kinds: Vec<BTreeMap<Descriptor, u64>>,
    /// For each process how many descriptors it has now, recorded or not; `None`: that is not known.
    pub now: Vec<Option<u64>>,
}

impl HeldReport {
    /// How many of each kind there are.
    pub fn all_kinds(&self) -> BTreeMap<Descriptor, u64> {
        let mut all = BTreeMap::new();
        for (kind, count) in self.kinds.iter().flatten() {
            *all.entry(*kind).or_default() += count;
        }
        all
    }
}

/// The kind of each of a process's live descriptors.
pub type Kinds = Vec<Option<Descriptor>>;

/// How many descriptors of each kind a site has; `kinds`: of each process.
pub fn kinds_by_site(grouped: &Grouped, kinds: &[Kinds]) -> Vec<BTreeMap<Descriptor, u64>> {
    let mut sites = vec![BTreeMap::new(); grouped.report.sites.len()];
    for (((replayed, _), kinds), members) in grouped.processes.iter().zip(kinds).zip(&grouped.report.members)
    {
        for ((address, block), kind) in replayed.live.iter().zip(kinds) {
            if let (Some(kind), Some(Some(site)), Some(Resource::Descriptor(_))) =
                (kind, members.get(block.site as usize), Resource::of(*address))
            {
                *sites[*site].entry(*kind).or_default() += 1;
            }
        }
    }
    sites
}

/// What a kind is called, one of them.
pub fn name(kind: Descriptor) -> &'static str {
    match kind {
        Descriptor::File => "file",
        Descriptor::Directory => "directory",
        Descriptor::Socket => "socket",
        Descriptor::Accepted => "accepted socket",
        Descriptor::Pipe => "pipe end",
        Descriptor::Epoll => "epoll",
        Descriptor::Event => "eventfd",
        Descriptor::Memory => "memfd",
        Descriptor::Timer => "timerfd",
        Descriptor::Signal => "signalfd",
        Descriptor::Inotify => "inotify",
        Descriptor::Duplicate => "duplicate",
        Descriptor::Received => "received descriptor",
    }
}
