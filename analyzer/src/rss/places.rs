//! What each stretch of a process's address space is for: told by the mappings, by where unfreed blocks lie, and by what is known
//! of the allocators.
use std::collections::HashSet;

use super::Kind;
use super::kernel::Kernel;
use super::smaps::Mapping;

/// A heap of a glibc arena, but the first one, begins at a multiple of this and is no larger.
pub const ARENA: u64 = 64 << 20;

/// What a stretch of a mapping is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// A part of one of glibc's heaps.
    Glibc(Bounds),
    /// Memory that an allocator manages which is not known in detail.
    Heap,
    /// An arena of Python's allocator, by its place among those that were recorded.
    Python(usize),
    /// What the program has mapped itself, by its place among what was recorded.
    Mapped(usize),
    /// Not managed by an allocator: what lies outside of blocks is of this kind.
    Other(Kind),
}

/// From where to where a heap of glibc reaches: in a forked process it may be of several mappings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// First address.
    pub start: u64,
    /// The one behind the last that it may have.
    pub end: u64,
    /// Whether it is the first one, which brk extends. The others are of arenas.
    pub main: bool,
}

/// A stretch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// First address.
    pub start: u64,
    /// The one behind the last.
    pub end: u64,
    /// What it is.
    pub what: Use,
}

/// What is known beside the mappings.
pub struct Known<'a> {
    /// The addresses of the unfreed blocks and their sizes, by address.
    pub blocks: &'a [(u64, u64)],
    /// Address and size of Python's arenas, by address.
    pub arenas: &'a [(u64, u64)],
    /// Address and size of what the program has mapped itself, by address.
    pub mapped: &'a [(u64, u64)],
    /// The segments of recorded modules: first address and the one behind the last.
    pub segments: &'a [(u64, u64)],
}

/// The allocator behind malloc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allocator {
    /// The GNU C library's.
    Glibc,
    /// One that is named after its library.
    Named(&'static str),
    /// Another.
    Unknown,
}

impl Allocator {
    /// What to call it.
    pub fn name(self) -> &'static str {
        match self {
            Allocator::Glibc => "glibc",
            Allocator::Named(name) => name,
            Allocator::Unknown => "the allocator",
        }
    }

    /// Of a process with these files mapped.
    pub fn of<'a>(mut files: impl Iterator<Item = &'a str>) -> Allocator {
        let mut found = Allocator::Unknown;
        let libraries = ["jemalloc", "tcmalloc", "mimalloc", "snmalloc", "hoard", "rpmalloc", "scudo"];
        files
            .find_map(|file| {
                if file == "libc.so.6" || file.starts_with("libc-2.") {
                    found = Allocator::Glibc;
                } else if file.starts_with("ld-musl-") || file.starts_with("libc.musl-") {
                    found = Allocator::Named("musl");
                }
                libraries.into_iter().find(|library| file.contains(library)).map(Allocator::Named)
            })
            .unwrap_or(found)
    }
}

/// Blocks that are in mappings of their own are not smaller in glibc, unless it is told otherwise.
pub const MAPPED: u64 = 128 << 10;

/// Whether glibc has mapped a block for itself: it lies 16 bytes behind the beginning of a page.
pub fn is_mapped_alone(address: u64, size: u64, page: u64) -> bool {
    address % page == 16 || size >= MAPPED
}

/// What every mapping of a process is for; the areas of each one, which cover it.
pub struct Places<'a> {
    kernel: &'a Kernel,
    known: Known<'a>,
    allocator: Allocator,
    modules: HashSet<&'a str>,
    stacks: HashSet<u64>,
    /// By address.
    arena_heaps: Vec<Bounds>,
    main_heap: Bounds,
}

impl<'a> Places<'a> {
    /// Looks at all mappings.
    pub fn new(kernel: &'a Kernel, known: Known<'a>) -> Places<'a> {
        let executable =
            kernel.mappings.iter().filter(|mapping| mapping.is_executable() && mapping.inode != 0);
        let modules: HashSet<&str> = executable.map(|mapping| mapping.name.as_str()).collect();
        let allocator = Allocator::of(kernel.mappings.iter().map(Mapping::file_name));
        let stacks = stacks(kernel);
        let heaps = kernel.mappings.iter().filter(|mapping| mapping.name == "[heap]");
        let start = heaps.clone().map(|mapping| mapping.start).min().unwrap_or(0);
        let end = heaps.map(|mapping| mapping.end).max().unwrap_or(0);
        let main_heap = Bounds { start, end, main: true };
        let mut places =
            Places { kernel, known, allocator, modules, stacks, arena_heaps: Vec::new(), main_heap };
        if allocator == Allocator::Glibc {
            places.arena_heaps =
                (0..kernel.mappings.len()).flat_map(|place| places.arena_heaps(place)).collect();
        }
        places
    }

    /// The allocator behind malloc.
    pub fn allocator(&self) -> Allocator {
        self.allocator
    }

    /// The stacks of threads, those that are kept for new threads included.
    pub fn stacks(&self) -> usize {
        self.stacks.len()
    }

    /// The areas of a mapping, by its place.
    pub fn areas(&self, place: usize) -> Vec<Area> {
        let mapping = &self.kernel.mappings[place];
        let kind = self.kind(place);
        let mut areas = match kind {
            Kind::Anonymous => self.anonymous(place),
            Kind::Heap if self.allocator == Allocator::Glibc => {
                vec![area(mapping, Use::Glibc(self.main_heap))]
            }
            Kind::Heap => vec![area(mapping, Use::Heap)],
            kind => vec![area(mapping, Use::Other(kind))],
        };
        if mapping.is_anonymous() {
            let arenas = self.known.arenas.iter().enumerate().filter(|(_, (_, size))| *size >= TABLE);
            cut(&mut areas, arenas, Use::Python, |_| true);
            let is_other = |what: Use| what == Use::Other(Kind::Anonymous);
            cut(&mut areas, self.known.mapped.iter().enumerate(), Use::Mapped, is_other);
        }
        areas
    }

    /// What a mapping is for as a whole.
    fn kind(&self, place: usize) -> Kind {
        let mapping = &self.kernel.mappings[place];
        let (name, file) = (mapping.name.as_str(), mapping.file_name());
        if is_recorder(mapping) {
            return Kind::Recorder;
        }
        match name {
            "[heap]" => return Kind::Heap,
            "[stack]" => return Kind::Stacks,
            _ if name.starts_with("[anon:") && name.contains("stack") => return Kind::Stacks,
            _ if mapping.is_anonymous() => {}
            _ if name.starts_with('[') => return Kind::Code,
            _ => {
                let shared = ["/dev/shm/", "/memfd:", "/SYSV", "/dev/zero", "/anon_hugepage"];
                return match () {
                    () if self.modules.contains(name) => Kind::Code,
                    () if name.is_empty() || shared.iter().any(|path| name.starts_with(path)) => Kind::Shared,
                    () if mapping.permissions.ends_with('s') && mapping.is_writable() => Kind::Written,
                    () if file.starts_with("libunfreed") => Kind::Recorder,
                    () => Kind::Files,
                };
            }
        }
        if self.stacks.contains(&mapping.start) {
            return Kind::Stacks;
        }
        Kind::Anonymous
    }

    /// The file whose writable data ends where this mapping begins: then its first bytes are data too, which are zero in the file.
    fn data_before(&self, place: usize) -> Option<&Mapping> {
        let before = self.kernel.mappings.get(place.checked_sub(1)?)?;
        let adjoins = before.end == self.kernel.mappings[place].start && before.is_writable();
        (adjoins && self.modules.contains(before.name.as_str())).then_some(before)
    }

    fn anonymous(&self, place: usize) -> Vec<Area> {
        let mapping = &self.kernel.mappings[place];
        let mut areas = Vec::new();
        let mut start = mapping.start;
        if let Some(before) = self.data_before(place) {
            let segment =
                self.known.segments.iter().find(|(start, end)| (*start..*end).contains(&mapping.start));
            let page = self.kernel.page;
            let end =
                segment.map_or(mapping.end, |segment| segment.1.next_multiple_of(page)).min(mapping.end);
            let kind = if before.file_name().starts_with("libunfreed") { Kind::Recorder } else { Kind::Code };
            areas.push(Area { start, end, what: Use::Other(kind) });
            start = end;
        }
        let next = self.arena_heaps.partition_point(|heap| heap.end <= start);
        for heap in self.arena_heaps[next..].iter().take_while(|heap| heap.start < mapping.end) {
            let (from, to) = (heap.start.max(start), heap.end.min(mapping.end));
            areas.extend(self.between(start, from));
            areas.push(Area { start: from, end: to, what: Use::Glibc(*heap) });
            start = to;
        }
        areas.extend(self.between(start, mapping.end));
        areas
    }

    /// The heaps of glibc's arenas that begin in a mapping.
    fn arena_heaps(&self, place: usize) -> Vec<Bounds> {
        let mapping = &self.kernel.mappings[place];
        // The last page of all is no heap.
        let first = mapping.start.checked_next_multiple_of(ARENA).unwrap_or(u64::MAX);
        if !mapping.is_anonymous() || mapping.is_forbidden() || first >= mapping.end {
            return Vec::new();
        }
        let starts = (first..mapping.end).step_by(ARENA as usize);
        let heaps = starts.map(|start| Bounds { start, end: start + ARENA, main: false });
        heaps.filter(|heap| self.is_arena_heap(place, heap)).collect()
    }

    /// Whether what begins in this mapping is a heap of a glibc arena: what it does not use yet may not be touched.
    fn is_arena_heap(&self, place: usize, heap: &Bounds) -> bool {
        let mut end = heap.start;
        for mapping in &self.kernel.mappings[place..] {
            let is_reserved = mapping.has("nr") || mapping.flags.is_empty();
            let is_its = mapping.is_anonymous() && is_reserved && !mapping.has("dd");
            if mapping.start > end.max(heap.start) || !is_its {
                return false;
            }
            end = mapping.end;
            if end >= heap.end {
                return mapping.is_forbidden() || self.has_small_block(heap.start, heap.end);
            }
            if mapping.is_forbidden() {
                return false;
            }
        }
        false
    }

    /// An area of anonymous memory that is of no arena.
    fn between(&self, start: u64, end: u64) -> Option<Area> {
        let managed = match self.allocator {
            Allocator::Glibc => self.has_small_block(start, end),
            // Others give large blocks mappings of their own too.
            _ => self.blocks(start, end).iter().any(|(_, size)| *size < MAPPED),
        };
        let what = if managed { Use::Heap } else { Use::Other(Kind::Anonymous) };
        (start < end).then_some(Area { start, end, what })
    }

    fn blocks(&self, start: u64, end: u64) -> &[(u64, u64)] {
        let first = self.known.blocks.partition_point(|(address, _)| *address < start);
        let behind = self.known.blocks.partition_point(|(address, _)| *address < end);
        &self.known.blocks[first..behind.max(first)]
    }

    /// Whether a block lies there as blocks lie in a heap; objects in Python's arenas do so too.
    fn has_small_block(&self, start: u64, end: u64) -> bool {
        let page = self.kernel.page;
        let in_arena = |address: u64| {
            let next = self.known.arenas.partition_point(|(arena, _)| *arena <= address);
            next.checked_sub(1).is_some_and(|at| {
                let (arena, size) = self.known.arenas[at];
                address - arena < size
            })
        };
        let mut blocks = self.blocks(start, end).iter();
        blocks.any(|&(address, size)| !is_mapped_alone(address, size, page) && !in_arena(address))
    }
}

/// What Python's allocator takes in smaller pieces are tables of its own, not arenas.
pub const TABLE: u64 = 128 << 10;

/// Cuts stretches out of those areas, by address, that are `of` what they may lie in.
fn cut<'s>(
    areas: &mut Vec<Area>,
    stretches: impl Iterator<Item = (usize, &'s (u64, u64))>,
    what: fn(usize) -> Use,
    of: impl Fn(Use) -> bool,
) {
    let bounds = areas.first().zip(areas.last()).map(|(first, last)| (first.start, last.end));
    let Some((start, end)) = bounds else { return };
    let ends = |&(from, size): &(u64, u64)| from.saturating_add(size);
    let within = stretches.filter(|(_, stretch)| ends(stretch) > start && stretch.0 < end);
    for (index, stretch) in within {
        let (from, to) = (stretch.0.max(start), ends(stretch).min(end));
        let touched = areas.partition_point(|area| area.end <= from);
        let count = areas[touched..].iter().take_while(|area| area.start < to).count();
        let parts = areas[touched..touched + count].iter().flat_map(|&area| match of(area.what) {
            true => [
                Area { end: area.end.min(from), ..area },
                Area { start: area.start.max(from), end: area.end.min(to), what: what(index) },
                Area { start: area.start.max(to), ..area },
            ],
            false => [area, Area { end: area.start, ..area }, Area { end: area.start, ..area }],
        });
        let parts: Vec<Area> = parts.filter(|part| part.start < part.end).collect();
        areas.splice(touched..touched + count, parts);
    }
}

fn area(mapping: &Mapping, what: Use) -> Area {
    Area { start: mapping.start, end: mapping.end, what }
}

/// What unfreed has mapped in the process: its files, its library, and private memory that it keeps out of core dumps.
fn is_recorder(mapping: &Mapping) -> bool {
    let file = mapping.file_name();
    let is_file = file.ends_with(".unfreed") || mapping.name.ends_with("/live/run");
    let is_private =
        mapping.is_anonymous() && mapping.name.is_empty() && mapping.has("dd") && mapping.has("nr");
    is_file || is_private || (file.starts_with("libunfreed") && file.contains(".so"))
}

/// The mappings that are stacks of threads, by their first address: those that a thread has its descriptor in, and those
/// that look like them, which the C library keeps for new threads.
fn stacks(kernel: &Kernel) -> HashSet<u64> {
    let mappings = &kernel.mappings;
    let guarded = |place: usize| {
        let before = place.checked_sub(1).map(|before| &mappings[before]);
        before.is_some_and(|guard| guard.end == mappings[place].start && guard.is_forbidden())
    };
    let plain = |mapping: &Mapping| {
        mapping.is_anonymous() && mapping.name.is_empty() && mapping.is_writable() && !mapping.has("nr")
    };
    let at = |address: &u64| {
        let behind = mappings.partition_point(|mapping| mapping.start <= *address);
        behind.checked_sub(1).filter(|&place| *address < mappings[place].end)
    };
    let certain = kernel.stacks.iter().filter_map(at).filter(|&place| plain(&mappings[place]));
    let certain: Vec<usize> = certain.collect();
    // musl tells the kernel nothing.
    let any = certain.is_empty() && kernel.threads > 1;
    let size = |place: usize| mappings[place].end - mappings[place].start;
    let sizes: HashSet<u64> =
        certain.iter().filter(|&&place| guarded(place)).map(|&place| size(place)).collect();
    let alike = (0..mappings.len())
        .filter(|&place| plain(&mappings[place]) && guarded(place) && (any || sizes.contains(&size(place))));
    certain.iter().copied().chain(alike).map(|place| mappings[place].start).collect()
}
