//! All processes of a run, and the stacks whose blocks keep free memory resident.
use std::collections::{BTreeMap, HashMap};

use recording::resource::Resource;

use super::Kind;
use super::kernel::Kernel;
use super::partition::{Block, Holds};
use super::process::{Mapped, Owner, ProcessRss, Recorded, Row};
use crate::aggregate::{Loaded, Report};
use crate::reader::{Definitions, Recording, Run};
use crate::replay::{self, Moment, Options, Replayed, Source};

/// A process and its memory.
#[derive(Debug)]
pub struct Entry {
    /// Its place in the report.
    pub index: usize,
    /// Its memory.
    pub rss: ProcessRss,
    /// Why nothing is known of a process that runs.
    pub problem: Option<String>,
    /// The topmost block of its first heap: bytes, and its place among the sites.
    pub top: Option<(u64, Option<usize>)>,
}

/// A site whose blocks keep free memory resident.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Holder {
    /// Its place in the report.
    pub site: usize,
    /// How much.
    pub holds: Holds,
    /// Blocks of it that do.
    pub blocks: u64,
    /// Bytes of these.
    pub bytes: u64,
}

/// The memory of a run's processes.
pub struct RunRss {
    /// The stacks, and what is unfreed.
    pub report: Report,
    /// The processes that were asked for, in the order of the report.
    pub processes: Vec<Entry>,
    /// Those that hold most first.
    pub holders: Vec<Holder>,
    /// What programs have mapped themselves; `None`: it was not recorded.
    pub mapped: Option<MappedRss>,
}

/// Anonymous memory that programs have mapped themselves.
pub struct MappedRss {
    /// The stacks.
    pub report: Report,
    /// Those of which most is resident first.
    pub sites: Vec<MappedSite>,
}

/// A site that has mapped memory.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct MappedSite {
    /// Its place in the report.
    pub site: usize,
    /// Resident bytes.
    pub rss: u64,
    /// Bytes.
    pub size: u64,
    /// How many mappings.
    pub mappings: u64,
}

impl RunRss {
    /// The rows of all processes that run.
    pub fn rows(&self) -> [Row; Kind::COUNT] {
        let mut rows = [Row::default(); Kind::COUNT];
        for process in self.running() {
            for (sum, row) in rows.iter_mut().zip(&process.rss.rows) {
                sum.rss += row.rss;
                sum.pss += row.pss;
                sum.mappings += row.mappings;
            }
        }
        rows
    }

    /// The processes that the kernel has told of.
    pub fn running(&self) -> impl Iterator<Item = &Entry> {
        self.processes.iter().filter(|entry| entry.rss.is_running)
    }
}

/// A process that is looked at, in the course of that.
struct Looked {
    entry: Entry,
    /// By process and site of it.
    holders: HashMap<(u32, u32), Holder>,
    top: Option<(u64, Option<(u32, u32)>)>,
}

/// Looks at the memory of those of a run's processes that are `asked` for, by their places. `kernel`: what the kernel says of
/// a process that runs, or why it does not; `None` of one that does not. `mapped`: the same run with what its programs have mapped
/// themselves, where that was recorded.
pub fn look(
    run: &Run,
    loaded: &Loaded,
    mapped: Option<&Loaded>,
    asked: &[usize],
    kernel: impl Fn(usize) -> Option<Result<Kernel, String>>,
) -> Looks {
    let replayed: Vec<&Replayed> = loaded.replayed().collect();
    let definitions: Vec<&Definitions> = loaded.definitions().collect();
    let mapped: Option<Vec<&Replayed>> = mapped.map(|loaded| loaded.replayed().collect());
    let look = |&index: &usize| {
        let mut recorded = recorded(&run.recordings, &replayed, mapped.as_deref(), index);
        let modules = &definitions[index].modules;
        recorded.segments = modules.iter().flat_map(|module| module.ranges.iter().copied()).collect();
        let names = modules.iter().filter_map(|module| module.path.file_name());
        recorded.files = names.map(|name| name.to_string_lossy().into_owned()).collect();
        let (rss, problem) = match kernel(index) {
            Some(Ok(kernel)) => (ProcessRss::of(&kernel, recorded), None),
            Some(Err(why)) => (ProcessRss::of_ended(recorded, PAGE), Some(why)),
            None => (ProcessRss::of_ended(recorded, PAGE), None),
        };
        Looked::new(index, rss, problem)
    };
    Looks(asked.iter().map(look).collect())
}

/// Of machines whose pages are not known.
const PAGE: u64 = 4096;

/// What was seen, before the stacks have names.
pub struct Looks(Vec<Looked>);

impl Looks {
    /// With the sites of a report of the same run, and of one of what its programs have mapped.
    pub fn with(self, report: Report, mapped: Option<Report>) -> RunRss {
        let mut holders: BTreeMap<usize, Holder> = BTreeMap::new();
        let site = |owner: (u32, u32)| site_of(&report, owner);
        let mapped = mapped.map(|report| {
            let stretches = self.0.iter().flat_map(|looked| looked.entry.rss.mapped.iter().flatten());
            MappedRss { sites: mapped_sites(&report, stretches), report }
        });
        let mut processes = Vec::new();
        for looked in self.0 {
            for (owner, holder) in looked.holders {
                let Some(site) = site(owner) else { continue };
                let sum = holders.entry(site).or_insert(Holder { site, ..Holder::default() });
                sum.holds.add(&holder.holds);
                sum.blocks += holder.blocks;
                sum.bytes = sum.bytes.saturating_add(holder.bytes);
            }
            let top = looked.top.map(|(size, owner)| (size, owner.and_then(site)));
            processes.push(Entry { top, ..looked.entry });
        }
        let mut holders: Vec<Holder> = holders.into_values().collect();
        holders.sort_by_key(|holder| (std::cmp::Reverse(holder.holds.bytes()), holder.site));
        RunRss { report, processes, holders, mapped }
    }
}

/// The place in a report of a site of one of its processes.
fn site_of(report: &Report, (process, site): (u32, u32)) -> Option<usize> {
    report.members.get(process as usize)?.get(site as usize).copied().flatten()
}

fn mapped_sites<'m>(report: &Report, stretches: impl Iterator<Item = &'m Mapped>) -> Vec<MappedSite> {
    let mut sites: BTreeMap<usize, MappedSite> = BTreeMap::new();
    for stretch in stretches {
        let Some(site) = site_of(report, stretch.owner) else { continue };
        let sum = sites.entry(site).or_insert(MappedSite { site, ..MappedSite::default() });
        sum.rss += stretch.rss;
        sum.size = sum.size.saturating_add(stretch.size);
        sum.mappings += 1;
    }
    let mut sites: Vec<MappedSite> = sites.into_values().collect();
    sites.sort_by_key(|site| (std::cmp::Reverse((site.rss, site.size)), site.site));
    sites
}

impl Looked {
    fn new(index: usize, mut rss: ProcessRss, problem: Option<String>) -> Looked {
        let blocks = std::mem::take(&mut rss.blocks);
        let mut holders: HashMap<(u32, u32), Holder> = HashMap::new();
        for block in blocks.iter().filter(|block| block.holds.bytes() > 0) {
            let Some(owner) = block.owner else { continue };
            let holder = holders.entry(owner).or_default();
            holder.holds.add(&block.holds);
            holder.blocks += 1;
            holder.bytes = holder.bytes.saturating_add(block.size);
        }
        let main = rss.heaps.iter().find(|heap| heap.main && heap.top.is_some());
        let top = main.and_then(|heap| blocks.get(heap.top?)).map(|block| (block.size, block.owner));
        Looked { entry: Entry { index, rss, problem, top: None }, holders, top }
    }
}

/// No process has more address space, whatever a damaged recording says.
const ADDRESSES: u64 = 1 << 56;

/// What is known of a process's blocks: its own, and those that it has of the processes that it was forked from.
fn recorded(
    recordings: &[Recording],
    replayed: &[&Replayed],
    mappings: Option<&[&Replayed]>,
    index: usize,
) -> Recorded {
    let mut blocks: Vec<Block> = Vec::new();
    let mut arenas: Vec<(u64, u64)> = Vec::new();
    let mut mapped: Vec<(u64, u64, Owner)> = Vec::new();
    let is_sane = |address: u64, size: u64| address < ADDRESSES && size < ADDRESSES;
    let mut add = |process: usize, born_by: u64, freed: &[u64]| {
        let of = &replayed[process];
        for (address, block) in &of.live {
            let is_here = block.birth.time_ms() <= born_by && freed.binary_search(&address.0).is_err();
            if is_here && is_sane(address.0, block.size) {
                let owner = Some((process as u32, block.site));
                blocks.push(Block { address: address.0, size: block.size, owner, holds: Holds::default() });
            }
        }
        let list = of.arena_list.iter().filter(|(address, size)| is_sane(address.0, *size));
        arenas.extend(list.map(|(address, size)| (address.0, *size)));
        for (address, block) in mappings.iter().flat_map(|mappings| &mappings[process].live) {
            let Some(Resource::Mapping(start)) = Resource::of(*address) else { continue };
            if block.birth.time_ms() <= born_by && is_sane(start, block.size) {
                mapped.push((start, block.size, (process as u32, block.site)));
            }
        }
    };
    add(index, u64::MAX, &[]);
    let mut child = index;
    let mut freed = Vec::new();
    // In a damaged directory it may be a circle.
    for _ in 0..recordings.len() {
        let recording = &recordings[child];
        let is_parent = |other: &Recording| other.header.file_id == recording.header.parent_file_id;
        let Some(parent) = recordings.iter().position(is_parent).filter(|_| recording.is_forked()) else {
            break;
        };
        freed.extend(freed_of_parents(recording));
        freed.sort_unstable();
        add(parent, recording.header.monotonic_ns / 1_000_000, &freed);
        child = parent;
    }
    // What was allocated where an inherited block was is later: the process's own come first, and stay.
    blocks.sort_by_key(|block| block.address);
    blocks.dedup_by(|later, first| later.address == first.address);
    arenas.sort_by_key(|(address, _)| *address);
    arenas.dedup_by_key(|(address, _)| *address);
    let tables = arenas.iter().filter(|(_, size)| *size < super::places::TABLE);
    let table = |&(address, size): &(u64, u64)| Block { address, size, owner: None, holds: Holds::default() };
    blocks.extend(tables.map(table));
    blocks.sort_by_key(|block| block.address);
    mapped.sort_by_key(|(start, ..)| *start);
    Recorded { blocks, arenas, mapped: mappings.map(|_| mapped), ..Recorded::default() }
}

/// A log of this size is replayed in a fraction of a second.
const FEW: u64 = 32 << 20;

/// What a forked process freed of its parents' blocks, as far as that is known.
fn freed_of_parents(recording: &Recording) -> Vec<u64> {
    if !recording.has_all_events() || recording.event_bytes() > FEW {
        return Vec::new();
    }
    let options = Options { from: Source::Events, until: Moment::End, ..Options::default() };
    replay::replay(recording, options, &|_| {}).inherited_freed
}
