//! Descriptors that were opened and not closed, judged as blocks are: a descriptor is a block of one byte.
use std::collections::{BTreeMap, HashMap, HashSet};

use recording::resource::Descriptor;

use super::judged::{Asked, Judged, Verdicts};
use super::watch::Watch;
use crate::aggregate::{Grouped, Loaded};
use crate::held::kinds_by_site;
use crate::reader::{Definitions, Recording, Run};
use crate::replay::{self, Held, Options, Resources};

/// What is said of descriptors.
pub struct Opened {
    /// The sites that opened them, each with its verdict: its blocks and bytes are descriptors.
    pub verdicts: Verdicts,
    /// By site of the report: how many of each kind are open.
    pub kinds: Vec<BTreeMap<Descriptor, u64>>,
    /// Processes of which nothing is said, since their events are not held from the beginning of the window on.
    pub unknown: usize,
    /// The place of each site's verdict, by its hash.
    places: HashMap<u64, usize>,
}

impl Opened {
    pub(super) fn new(verdicts: Verdicts, kinds: Vec<BTreeMap<Descriptor, u64>>, unknown: usize) -> Opened {
        let hash = |judged: &Judged| verdicts.report.sites[judged.site].hash;
        let places = verdicts.sites.iter().enumerate().map(|(place, judged)| (hash(judged), place)).collect();
        Opened { verdicts, kinds, unknown, places }
    }

    /// What is said of the descriptors of the site that has this hash.
    pub fn at(&self, hash: u64) -> Option<&Judged> {
        self.places.get(&hash).map(|&place| &self.verdicts.sites[place])
    }

    /// How many of each kind a site has open.
    pub fn kinds(&self, judged: &Judged) -> &BTreeMap<Descriptor, u64> {
        &self.kinds[judged.site]
    }
}

/// What a process opened and closed in the window.
pub(super) struct Watched {
    held: Held,
    watch: Watch,
    is_known: bool,
}

/// Watches the descriptors of a process; `open`: those that it has, if that is known. Nothing, where the events of the window are
/// not held.
pub(super) fn watch(
    recording: &Recording,
    asked: &Asked,
    options: &Options,
    origin_ms: u64,
    has_events: bool,
    open: Option<&HashSet<u32>>,
) -> Watched {
    let mut watch = Watch::new(recording, asked.from.map(|(edge, _)| edge), origin_ms);
    let are_in = Resources::Descriptors.are_in(recording);
    if !are_in || !has_events {
        return Watched { held: Held::default(), watch, is_known: !are_in };
    }
    let mut held = replay::held(recording, Resources::Descriptors, options, &mut watch, &|_| {});
    if let Some(open) = open {
        // It may close some where nobody looks.
        held.retain(|number| open.contains(&number));
    }
    Watched { held, watch, is_known: true }
}

/// What was watched of all processes, by sites.
pub(super) struct Sorted {
    pub grouped: Grouped,
    pub watches: Vec<Watch>,
    pub kinds: Vec<BTreeMap<Descriptor, u64>>,
    pub unknown: usize,
}

/// Finds the sites. `None`: no descriptors were recorded.
pub(super) fn sorted(run: &Run, asked: &Asked, options: Options, watched: Vec<Watched>) -> Option<Sorted> {
    if !run.recordings.iter().any(|recording| Resources::Descriptors.are_in(recording)) {
        return None;
    }
    let unknown = watched.iter().filter(|watched| !watched.is_known).count();
    let (mut replayed, mut kinds, mut watches) = (Vec::new(), Vec::new(), Vec::new());
    for (Watched { held, watch, .. }, recording) in watched.into_iter().zip(&run.recordings) {
        replayed.push((held.replayed, Definitions::read(recording)));
        kinds.push(held.kinds);
        watches.push(watch);
    }
    let grouped = Loaded::without_inherited(replayed, options).grouped(run, &asked.selection, &|_| {});
    let kinds = kinds_by_site(&grouped, &kinds);
    Some(Sorted { grouped, watches, kinds, unknown })
}
