//! Every resident byte of anonymous memory to what it is: of an unfreed block, beside one, free, or no heap at all.
use super::Kind;
use super::pages::Run;
use super::places::{Allocator, Area, Bounds, MAPPED, Use};

/// An unfreed block.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Block {
    /// Its address.
    pub address: u64,
    /// Bytes asked for.
    pub size: u64,
    /// Whose it is: process and site, as the caller counts them. `None`: a table of Python's allocator.
    pub owner: Option<(u32, u32)>,
    /// Free memory that is resident because of it.
    pub holds: Holds,
}

/// Free memory that is kept resident by blocks, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Holds {
    /// Whole pages beneath it in its heap, of which glibc gives back only what no block is above.
    pub beneath: u64,
    /// Its share of what is free on the pages that it lies on.
    pub beside: u64,
    /// Its share of what is free in its arena of Python's.
    pub arena: u64,
}

impl Holds {
    /// The sum.
    pub fn bytes(&self) -> u64 {
        self.beneath + self.beside + self.arena
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Holds) {
        self.beneath += other.beneath;
        self.beside += other.beside;
        self.arena += other.arena;
    }
}

/// Resident bytes of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Resident {
    /// On pages that no other process has.
    pub own: u64,
    /// On the others.
    pub shared: u64,
}

/// Resident bytes of a mapping by [`Kind`].
pub type Parts = [Resident; Kind::COUNT];

/// The free whole pages of a heap.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Heap {
    /// First address.
    pub start: u64,
    /// Whether it is glibc's first one.
    pub main: bool,
    /// Beneath its topmost block.
    pub beneath: u64,
    /// Above it.
    pub above: u64,
    /// Free on pages with blocks.
    pub beside: u64,
    /// The topmost block: a place among the blocks.
    pub top: Option<usize>,
}

/// An arena of Python's allocator.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Arena {
    /// Its size.
    pub size: u64,
    /// Resident bytes.
    pub resident: u64,
    /// Of these, of unfreed objects.
    pub filled: u64,
    /// Of these, in pages without any object.
    pub empty_pages: u64,
    /// Unfreed objects.
    pub objects: u64,
}

/// What was found in all of a process's areas.
pub struct Partition<'a> {
    allocator: Allocator,
    page: u64,
    /// By address.
    blocks: &'a mut [Block],
    /// glibc's heaps.
    pub heaps: Vec<Heap>,
    /// In the order in which [`Use::Python`] counts them.
    pub arenas: Vec<Arena>,
    /// Resident bytes of each of what [`Use::Mapped`] counts.
    pub mapped: Vec<u64>,
}

impl<'a> Partition<'a> {
    /// Of nothing so far. `arenas`: their sizes; `mapped`: how many stretches the program has mapped.
    pub fn new(
        allocator: Allocator,
        page: u64,
        blocks: &'a mut [Block],
        arenas: impl Iterator<Item = u64>,
        mapped: usize,
    ) -> Partition<'a> {
        let arenas = arenas.map(|size| Arena { size, ..Arena::default() }).collect();
        Partition { allocator, page, blocks, heaps: Vec::new(), arenas, mapped: vec![0; mapped] }
    }

    /// Adds an area of which these pages are resident. Runs of its mapping that lie outside are passed over.
    pub fn area(&mut self, area: Area, runs: &[Run], parts: &mut Parts) {
        let mut first = self.blocks.partition_point(|block| block.address < area.start);
        if let Some(before) = first.checked_sub(1)
            && self.blocks[before].address + self.blocks[before].size > area.start
        {
            first = before;
        }
        // What holds free memory may be above the area, in the same heap.
        let (end, heap) = match area.what {
            Use::Glibc(bounds) => (bounds.end, Some(self.heap(bounds))),
            _ => (area.end, None),
        };
        let behind = self.blocks.partition_point(|block| block.address < end);
        let mut scan = Scan { area, first, behind, next: first, last: None, heap };
        let from = runs.partition_point(|run| run.end <= area.start);
        for run in runs[from..].iter().take_while(|run| run.start < area.end) {
            let (mut at, end) = (run.start.max(area.start), run.end.min(area.end));
            while at < end {
                let part_end = self.alike(&mut scan, at).min(end);
                let found = self.piece(&mut scan, at, part_end);
                for (kind, bytes) in found.into_iter().filter(|(_, bytes)| *bytes > 0) {
                    let part = &mut parts[kind as usize];
                    if run.exclusive { part.own += bytes } else { part.shared += bytes }
                }
                at = part_end;
            }
        }
    }

    /// The place of a heap, of which this may be the first part.
    fn heap(&mut self, bounds: Bounds) -> usize {
        if let Some(known) = self.heaps.iter().position(|heap| heap.start == bounds.start) {
            return known;
        }
        let first = self.blocks.partition_point(|block| block.address < bounds.start);
        let behind = self.blocks.partition_point(|block| block.address < bounds.end);
        let top = (first < behind).then(|| behind - 1);
        self.heaps.push(Heap { start: bounds.start, main: bounds.main, top, ..Heap::default() });
        self.heaps.len() - 1
    }

    /// Where the page ends that `at` is in; or the last one of those in a row that lie within one block, or in which none is.
    fn alike(&self, scan: &mut Scan, at: u64) -> u64 {
        let style = Style::of(scan.area.what, self.allocator);
        // Blocks whose footprint ends before this page are behind us.
        while scan.next < scan.behind && self.footprint(scan, style, scan.next).1 <= at {
            scan.next += 1;
        }
        let start = |scan: &mut Scan, index: usize| match index < scan.behind {
            true => self.footprint(scan, style, index).0,
            false => u64::MAX,
        };
        let next = start(scan, scan.next);
        let limit = if next > at {
            next
        } else {
            let block = self.blocks[scan.next];
            let is_inside = block.address <= at && block.owner.is_some();
            let behind = start(scan, scan.next + 1);
            if is_inside { (block.address + block.size).min(behind) } else { at }
        };
        (limit / self.page * self.page).max(at / self.page * self.page + self.page)
    }

    /// What lies in a page, in the part of one that is in the area, or in several of which the same is to be said.
    fn piece(&mut self, scan: &mut Scan, start: u64, end: u64) -> [(Kind, u64); 3] {
        let style = Style::of(scan.area.what, self.allocator);
        let (mut live, mut taken, mut index) = (0, 0, scan.next);
        while index < scan.behind {
            let (from, to) = self.footprint(scan, style, index);
            if from >= end {
                break;
            }
            let Block { address, size, owner, .. } = self.blocks[index];
            taken += overlap((from, to), (start, end));
            live += if owner.is_some() { overlap((address, address + size), (start, end)) } else { 0 };
            index += 1;
        }
        let on_page = scan.next..index;
        let taken = taken.min(end - start);
        let (live, free) = (live.min(taken), end - start - taken);
        let kind = self.free(scan, on_page, free, live, end - start);
        [(Kind::Blocks, live), (Kind::Overhead, taken - live), (kind, free)]
    }

    /// Of which kind what is free on a page is; and who is to be held to account for it.
    fn free(
        &mut self,
        scan: &mut Scan,
        on_page: std::ops::Range<usize>,
        free: u64,
        live: u64,
        bytes: u64,
    ) -> Kind {
        let is_empty = on_page.is_empty();
        match scan.area.what {
            Use::Other(kind) => kind,
            Use::Mapped(index) => {
                self.mapped[index] += free;
                Kind::Mapped
            }
            Use::Python(index) => {
                let arena = &mut self.arenas[index];
                arena.resident += bytes;
                arena.filled += live;
                arena.empty_pages += if is_empty { free } else { 0 };
                Kind::PythonFree
            }
            Use::Glibc(_) if is_empty => {
                let above = scan.next < scan.behind;
                if let Some(heap) = scan.heap.map(|heap| &mut self.heaps[heap]) {
                    if above { heap.beneath += free } else { heap.above += free }
                }
                if above {
                    self.blocks[scan.next].holds.beneath += free;
                }
                Kind::FreePages
            }
            Use::Heap if is_empty => Kind::FreePages,
            Use::Glibc(_) | Use::Heap => {
                scan.heap.iter().for_each(|&heap| self.heaps[heap].beside += free);
                let count = on_page.len() as u64;
                for (nth, index) in on_page.enumerate() {
                    let share = free / count + u64::from((nth as u64) < free % count);
                    self.blocks[index].holds.beside += share;
                }
                Kind::FreeSpace
            }
        }
    }

    /// From where to where a block's place reaches: with what the allocator keeps beside it, and what is too small for another.
    fn footprint(&self, scan: &mut Scan, style: Style, index: usize) -> (u64, u64) {
        if let Some((last, footprint)) = scan.last
            && last == index
        {
            return footprint;
        }
        let own = |index: usize| {
            let Block { address, size, .. } = self.blocks[index];
            style.footprint(address, size, self.page)
        };
        let (mut start, mut end) = own(index);
        if index > scan.first {
            // A damaged recording may have blocks that overlap.
            let before = &self.blocks[index - 1];
            start = start.max((before.address + before.size).min(self.blocks[index].address));
        }
        if index + 1 < scan.behind {
            let next = own(index + 1).0;
            if next < end || next - end < style.smallest() {
                end = next.max(self.blocks[index].address);
            }
        }
        scan.last = Some((index, (start, end)));
        (start, end)
    }

    /// Shares out what is free in Python's arenas to the objects in them: one alone keeps it all.
    pub fn share_arenas(&mut self, places: &[(u64, u64)]) {
        for (arena, &(start, size)) in self.arenas.iter_mut().zip(places) {
            let first = self.blocks.partition_point(|block| block.address < start);
            let behind = self.blocks.partition_point(|block| block.address < start.saturating_add(size));
            let objects = &mut self.blocks[first..behind.max(first)];
            arena.objects = objects.len() as u64;
            let free = arena.resident.saturating_sub(arena.filled);
            for (nth, block) in objects.iter_mut().enumerate() {
                let share = free / arena.objects + u64::from((nth as u64) < free % arena.objects);
                block.holds.arena += share;
            }
        }
    }
}

/// How far one is in an area.
struct Scan {
    area: Area,
    /// The blocks of it.
    first: usize,
    behind: usize,
    /// The first one that does not end before the page at hand.
    next: usize,
    /// The footprint that was computed last.
    last: Option<(usize, (u64, u64))>,
    /// The place of its heap.
    heap: Option<usize>,
}

/// What an allocator keeps beside a block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// A word before it, and sizes in steps of 16 bytes, of 32 at least.
    Glibc,
    /// Two words before it, and whole pages: glibc's mappings of one block each.
    Mapped,
    /// Steps of 16 bytes.
    Python,
    /// Not known: size classes, four to each doubling, as most have them.
    Classes,
}

impl Style {
    fn of(what: Use, allocator: Allocator) -> Style {
        match (what, allocator) {
            (Use::Python(_), _) => Style::Python,
            (Use::Other(_) | Use::Mapped(_), Allocator::Glibc) => Style::Mapped,
            (Use::Glibc(_), _) | (_, Allocator::Glibc) => Style::Glibc,
            _ => Style::Classes,
        }
    }

    fn footprint(self, address: u64, size: u64, page: u64) -> (u64, u64) {
        match self {
            Style::Mapped => {
                (address.saturating_sub(16), address.saturating_add(size).next_multiple_of(page))
            }
            Style::Glibc => {
                let start = address.saturating_sub(8);
                (start, start.saturating_add(size.saturating_add(8).next_multiple_of(16).max(32)))
            }
            Style::Python => (address, address.saturating_add(size.max(1).next_multiple_of(16))),
            Style::Classes if size >= MAPPED => {
                (address, address.saturating_add(size).next_multiple_of(page))
            }
            Style::Classes => {
                let step = (size.max(1).next_power_of_two() / 8).max(16);
                (address, address.saturating_add(size.max(1).next_multiple_of(step)))
            }
        }
    }

    /// A gap that is smaller is of no use to anybody.
    fn smallest(self) -> u64 {
        if self == Style::Glibc { 32 } else { 16 }
    }
}

fn overlap(a: (u64, u64), b: (u64, u64)) -> u64 {
    a.1.min(b.1).saturating_sub(a.0.max(b.0))
}
