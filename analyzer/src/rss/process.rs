//! One process: its rows, and what there is to say of its heaps and arenas.
use super::Kind;
use super::kernel::Kernel;
use super::pages::{self, Run};
use super::partition::{Arena, Block, Heap, Partition, Parts};
use super::places::{Allocator, Area, Known, Places, TABLE, Use};
use super::smaps::Mapping;

/// A site of a process, both as the caller counts them.
pub type Owner = (u32, u32);

/// What is recorded of a process.
#[derive(Clone, Default, Debug)]
pub struct Recorded {
    /// Its unfreed blocks and what it inherited of them, by address.
    pub blocks: Vec<Block>,
    /// Address and size of Python's arenas, by address.
    pub arenas: Vec<(u64, u64)>,
    /// Address and size of what the program has mapped itself and whose it is, by address; `None`: not recorded.
    pub mapped: Option<Vec<(u64, u64, Owner)>>,
    /// The segments of its modules: first address and the one behind the last.
    pub segments: Vec<(u64, u64)>,
    /// The files of its modules, for where nothing is mapped any more.
    pub files: Vec<String>,
}

/// Resident bytes of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Row {
    /// In this process.
    pub rss: u64,
    /// Each page divided by the number of processes that share it.
    pub pss: u64,
    /// Mappings in which such memory is.
    pub mappings: u64,
}

/// Arenas of Python's allocator.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Python {
    /// How many there are.
    pub arenas: u64,
    /// Of these, those that are less than half full.
    pub half_empty: u64,
    /// The bytes of all.
    pub bytes: u64,
    /// Resident bytes.
    pub resident: u64,
    /// Of these, of unfreed objects.
    pub filled: u64,
    /// Of these, in pages without any object.
    pub empty_pages: u64,
}

/// What a process's memory is for.
#[derive(Clone, Debug)]
pub struct ProcessRss {
    /// What the kernel says of its pages is known; otherwise nothing is known but what the live table tells.
    pub is_running: bool,
    /// Which pages are resident is known of all; otherwise it is guessed from how many are.
    pub is_exact: bool,
    /// `VmRSS`.
    pub vm_rss: u64,
    /// By [`Kind`].
    pub rows: [Row; Kind::COUNT],
    /// Swapped out.
    pub swap: u64,
    /// The kernel may take it back at any time.
    pub lazy_free: u64,
    /// Huge pages of hugetlbfs, which no RSS counts.
    pub hugetlb: u64,
    /// Bytes of the unfreed blocks, resident or not.
    pub unfreed_bytes: u64,
    /// How many blocks that is.
    pub unfreed_blocks: u64,
    /// Threads.
    pub threads: u64,
    /// Mappings that are stacks of threads.
    pub stacks: u64,
    /// Behind malloc.
    pub allocator: Allocator,
    /// glibc's heaps, by address.
    pub heaps: Vec<Heap>,
    /// Python's arenas.
    pub python: Python,
    /// The blocks, with what they hold.
    pub blocks: Vec<Block>,
    /// What the program has mapped itself; `None`: not recorded.
    pub mapped: Option<Vec<Mapped>>,
}

/// Anonymous memory that the program has mapped itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// Bytes.
    pub size: u64,
    /// Of these, resident.
    pub rss: u64,
    /// Whose it is: process and site, as the caller counts them.
    pub owner: (u32, u32),
}

impl ProcessRss {
    /// Of a process that runs.
    pub fn of(kernel: &Kernel, mut recorded: Recorded) -> ProcessRss {
        let spans: Vec<(u64, u64)> =
            recorded.blocks.iter().map(|block| (block.address, block.size)).collect();
        let mapped: Vec<(u64, u64)> =
            recorded.mapped.iter().flatten().map(|(start, size, _)| (*start, *size)).collect();
        let (arenas, segments) = (&recorded.arenas, &recorded.segments);
        let known = Known { blocks: &spans, arenas, mapped: &mapped, segments };
        let places = Places::new(kernel, known);
        let allocator = places.allocator();
        let sizes = recorded.arenas.iter().map(|(_, size)| *size);
        let mut partition = Partition::new(allocator, kernel.page, &mut recorded.blocks, sizes, mapped.len());
        let mut rows = [Row::default(); Kind::COUNT];
        let mut is_exact = true;
        for (place, mapping) in kernel.mappings.iter().enumerate().filter(|(_, mapping)| mapping.rss > 0) {
            let areas = places.areas(place);
            let mut parts = Parts::default();
            match (&areas[..], &kernel.pages[place]) {
                ([Area { what: Use::Other(kind), .. }], pages)
                    if pages.is_none() && *kind != Kind::Anonymous =>
                {
                    parts[*kind as usize].shared = mapping.rss;
                }
                (_, pages) => {
                    let guessed =
                        if pages.is_none() { Some(guess(mapping, kernel.page, &spans)) } else { None };
                    is_exact &= guessed.is_none();
                    let runs: &[Run] = guessed.as_ref().or(pages.as_ref()).map_or(&[], Vec::as_slice);
                    areas.iter().for_each(|area| partition.area(*area, runs, &mut parts));
                }
            }
            add(&mut rows, &parts, mapping);
        }
        partition.share_arenas(&recorded.arenas);
        let (heaps, arenas) = (partition.heaps, partition.arenas);
        let resident = partition.mapped;
        let mapped = recorded.mapped.take().map(|mapped| {
            mapped
                .into_iter()
                .zip(resident)
                .map(|((_, size, owner), rss)| Mapped { size, rss, owner })
                .collect()
        });
        let sum = |of: fn(&Mapping) -> u64| kernel.mappings.iter().map(of).sum();
        ProcessRss {
            is_running: true,
            is_exact,
            vm_rss: kernel.vm_rss,
            rows,
            swap: sum(|mapping| mapping.swap),
            lazy_free: sum(|mapping| mapping.lazy_free),
            hugetlb: sum(|mapping| mapping.hugetlb),
            threads: kernel.threads,
            stacks: places.stacks() as u64,
            mapped,
            ..ProcessRss::new(allocator, heaps, &arenas, recorded.blocks)
        }
    }

    /// Of one that has ended: as if of its heap those pages were resident that unfreed blocks lie on.
    pub fn of_ended(mut recorded: Recorded, page: u64) -> ProcessRss {
        let allocator = Allocator::of(recorded.files.iter().map(String::as_str));
        let end = recorded.blocks.last().map_or(0, |block| block.address.saturating_add(block.size));
        let mut areas = Vec::new();
        let mut at = 0;
        let arenas = recorded.arenas.iter().enumerate().filter(|(_, (_, size))| *size >= TABLE);
        for (index, &(start, size)) in arenas {
            areas.push(Area { start: at, end: start.max(at), what: Use::Heap });
            at = start.saturating_add(size).max(at);
            areas.push(Area { start: start.min(at), end: at, what: Use::Python(index) });
        }
        areas.push(Area { start: at, end: end.next_multiple_of(page).max(at), what: Use::Heap });
        let mut runs: Vec<Run> = Vec::new();
        for block in &recorded.blocks {
            let known = runs.last().map_or(0, |run| run.end);
            let start = (block.address / page * page).max(known);
            let end = block.address.saturating_add(block.size.max(1)).next_multiple_of(page);
            match runs.last_mut() {
                Some(run) if run.end == start => run.end = end.max(start),
                _ if start < end => runs.push(Run { start, end, exclusive: true }),
                _ => {}
            }
        }
        let mut parts = Parts::default();
        let sizes = recorded.arenas.iter().map(|(_, size)| *size);
        let mut partition = Partition::new(allocator, page, &mut recorded.blocks, sizes, 0);
        areas.iter().for_each(|area| partition.area(*area, &runs, &mut parts));
        partition.share_arenas(&recorded.arenas);
        let (heaps, arenas) = (partition.heaps, partition.arenas);
        let rows = parts.map(|part| Row { rss: part.own, pss: part.own, mappings: 0 });
        ProcessRss { rows, ..ProcessRss::new(allocator, heaps, &arenas, recorded.blocks) }
    }

    fn new(allocator: Allocator, heaps: Vec<Heap>, arenas: &[Arena], blocks: Vec<Block>) -> ProcessRss {
        let mut python = Python::default();
        for arena in arenas.iter().filter(|arena| arena.size >= TABLE) {
            python.arenas += 1;
            python.half_empty += u64::from(arena.filled < arena.size / 2);
            python.bytes = python.bytes.saturating_add(arena.size);
            python.resident += arena.resident;
            python.filled += arena.filled;
            python.empty_pages += arena.empty_pages;
        }
        let unfreed = blocks.iter().filter(|block| block.owner.is_some());
        ProcessRss {
            is_running: false,
            is_exact: true,
            vm_rss: 0,
            rows: [Row::default(); Kind::COUNT],
            swap: 0,
            lazy_free: 0,
            hugetlb: 0,
            unfreed_bytes: unfreed.clone().fold(0, |sum, block| sum.saturating_add(block.size)),
            unfreed_blocks: unfreed.count() as u64,
            threads: 0,
            stacks: 0,
            allocator,
            heaps,
            python,
            blocks,
            mapped: None,
        }
    }

    /// Resident bytes: the sum of the rows.
    pub fn rss(&self) -> u64 {
        self.rows.iter().map(|row| row.rss).sum()
    }

    /// The same, what is shared divided by those that share it.
    pub fn pss(&self) -> u64 {
        self.rows.iter().map(|row| row.pss).sum()
    }

    /// Of a kind.
    pub fn row(&self, kind: Kind) -> Row {
        self.rows[kind as usize]
    }
}

/// Adds what was found in a mapping to the rows.
///
/// Pages that other processes have too are counted by [`Mapping::pss`]. Pages of zeros that were never written are in the page
/// map like such pages, and not in [`Mapping::rss`]: what is beyond it is left out of what is shared.
fn add(rows: &mut [Row; Kind::COUNT], parts: &Parts, mapping: &Mapping) {
    let own: u64 = parts.iter().map(|part| part.own).sum();
    let shared: u64 = parts.iter().map(|part| part.shared).sum();
    let rss = mapping.rss.saturating_sub(own).min(shared);
    let pss = mapping.pss.saturating_sub(own).min(rss);
    let scaled = |part: u64, of: u64| (u128::from(part) * u128::from(of) / u128::from(shared.max(1))) as u64;
    for (row, part) in rows.iter_mut().zip(parts) {
        row.rss += part.own + scaled(part.shared, rss);
        row.pss += part.own + scaled(part.shared, pss);
        row.mappings += u64::from(part.own + part.shared > 0);
    }
}

fn guess(mapping: &Mapping, page: u64, blocks: &[(u64, u64)]) -> Vec<Run> {
    let first = blocks.partition_point(|(address, _)| *address < mapping.start);
    let within = blocks[first..].iter().take_while(|(address, _)| *address < mapping.end);
    let ends = within.map(|&(address, size)| (address, address.saturating_add(size.max(1)) - 1));
    pages::guess((mapping.start, mapping.end), mapping.rss, page, ends)
}
