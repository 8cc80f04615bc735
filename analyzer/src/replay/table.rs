//! What is unfreed out of the live table, without any replay: as much work as there are blocks.
//!
//! How much each stack allocated is out of its counts; what was allocated and is not in the table was freed. Of what
//! only events tell (threads, the peak) nothing is known.
use std::cell::Cell;
use std::collections::HashSet;

use recording::counts::{Count, ENTRIES};
use recording::layout::{CHUNK, flag};
use recording::table::{Kind, PAGE, PAGES, TAGS, Tag, WORDS, Word};
use recording::{Address, StackId};

use super::arenas::Arenas;
use super::live::{Birth, Block};
use super::moment::{Born, Edge, Moment, cut, has_epochs};
use super::replayed::{Options, Replayed};
use super::sites::SiteIndex;
use super::window::{Fate, Positions, Window};
use crate::fast_map::FastMap;
use crate::reader::{ChunkReader, Cut, Recording};

/// A live table that was read, and where its process's log was before.
pub struct TableReading<'r> {
    recording: &'r Recording,
    options: Options,
    reader: ChunkReader,
    positions: [Positions; 2],
    index: SiteIndex,
    blocks: Blocks,
    /// What was allocated and is in no site: after the moment of which to speak, and arenas.
    besides: u64,
    /// Of that, what is not freed.
    besides_unfreed: u64,
    out: Replayed,
    /// Readings before this one.
    tries: u32,
}

/// How often a table is read whose process drops its log meanwhile.
const TRIES: u32 = 4;

/// The blocks of a table.
#[derive(Default)]
struct Blocks {
    live: Vec<(Address, Block)>,
    arenas: Arenas,
}

/// [`Block::moving`] of a block that the table says is being moved.
const MOVING: u32 = 1;

impl<'r> TableReading<'r> {
    /// Reads the table.
    pub(super) fn begin(recording: &'r Recording, options: Options) -> TableReading<'r> {
        let reader = recording.chunks();
        let first = Positions::note(recording, &reader);
        let again = if recording.is_running() { recording.again() } else { None };
        let now = again.as_ref().unwrap_or(recording);
        let positions = match &recording.snapshot {
            Some(snapshot) => snapshot.positions.each_ref().map(|noted| Positions::of_snapshot(noted)),
            None => [first, Positions::note(now, &reader)],
        };
        let mut reading = TableReading {
            recording,
            options,
            positions,
            index: SiteIndex::new(recording),
            blocks: Blocks::default(),
            besides: 0,
            besides_unfreed: 0,
            tries: 0,
            out: Replayed { is_table: true, ..Replayed::default() },
            reader,
        };
        reading.read_counts(now);
        reading.read_pages(now);
        reading
    }

    fn read_counts(&mut self, recording: &Recording) {
        let before_exit = cut_of(recording, self.options.until).is_some();
        let mut chunk = Vec::new();
        for place in &recording.counts {
            self.out.losses.extend(self.reader.whole(place, &mut chunk).err());
            let counts = (0..ENTRIES).map_while(|index| Count::read(&chunk, index));
            for count in counts {
                let allocations = u64::from(count.allocations);
                self.out.events = self.out.events.saturating_add(allocations);
                if count.stack == StackId::ARENA || before_exit && count.late {
                    self.besides = self.besides.saturating_add(allocations);
                    continue;
                }
                let site = self.index.of(count.stack, 0, &mut self.out.sites);
                let totals = &mut self.out.sites[site as usize];
                totals.allocations += allocations;
                totals.allocated_bytes = totals.allocated_bytes.wrapping_add(count.bytes);
            }
        }
    }

    fn read_pages(&mut self, recording: &Recording) {
        let before_exit = cut_of(recording, self.options.until).is_some();
        let ages = Ages::of(recording);
        let (mut chunk, mut sizes) = (Vec::new(), Sizes::default());
        for place in &recording.table {
            self.out.losses.extend(self.reader.whole(place, &mut chunk).err());
            chunk.resize(CHUNK, 0);
            for page in 0..PAGES {
                let Some(tag) = Tag::from_word(word(&chunk, TAGS + 8 * page)) else { continue };
                let words = &chunk[PAGE * (page + 1)..PAGE * (page + 2)];
                sizes.page(tag, words);
                match before_exit && tag.late {
                    true => self.besides_unfreed += unfreed(words),
                    false => self.read_page(tag, words, before_exit, &ages, &mut sizes),
                }
            }
        }
        sizes.settle(&mut self.blocks);
    }

    fn read_page(&mut self, tag: Tag, words: &[u8], before_exit: bool, ages: &Ages, sizes: &mut Sizes) {
        let mut words = words.as_chunks().0.iter().map(|bytes| Word(u64::from_le_bytes(*bytes))).enumerate();
        let mut next = words.next();
        while let Some((index, word)) = next {
            next = words.next();
            let moving = match word.kind() {
                Some(Kind::Block) => 0,
                Some(Kind::Moving) => MOVING,
                Some(Kind::FreedLate) if before_exit => {
                    self.out.events += 1;
                    0
                }
                _ => continue,
            };
            let (address, stack) = (word.address(tag, index), word.stack());
            let behind = next.and_then(|(_, word)| word.next_size());
            let size = word.size().or(behind);
            let is_arena = stack == StackId::ARENA;
            if size.is_none() && index + 1 == WORDS {
                sizes.want(if is_arena { Err(address) } else { Ok(self.blocks.live.len()) }, tag);
            }
            let size = size.unwrap_or(0);
            if is_arena {
                self.blocks.arenas.add(address, size);
                self.besides_unfreed += 1;
                continue;
            }
            let site = self.index.of(stack, 0, &mut self.out.sites);
            let birth = ages.birth(word.epoch());
            self.blocks.live.push((address, Block { size, birth, site, moving }));
        }
    }

    /// See [`super::Reading::follows_epochs`].
    pub(super) fn follows_epochs(&self) -> bool {
        let recording = self.recording;
        recording.is_running() && has_epochs(recording) && !recording.has(flag::NO_EVENTS)
    }

    /// Adds what the log knows better. `until`: the epoch, begun since the table was read, of which to speak.
    pub(super) fn finish(mut self, until: Option<u32>) -> Replayed {
        let again = if self.recording.is_running() { self.recording.again() } else { None };
        let now = again.as_ref().unwrap_or(self.recording);
        let window = match self.recording.has(flag::NO_EVENTS) {
            true => Some(Window::default()),
            false => {
                let until = until.filter(|_| self.follows_epochs());
                let cut = cut_of(self.recording, self.options.until);
                let [first, second] = &self.positions;
                Window::read(now, &self.reader, [first, second], &|epoch, event| {
                    until.is_some_and(|until| epoch >= until) || cut.is_some_and(|cut| cut.is_before(event))
                })
            }
        };
        if window.is_none() && self.tries < TRIES {
            // The log is small and the process fast: perhaps this reading is faster.
            let again = TableReading::begin(self.recording, self.options);
            return TableReading { tries: self.tries + 1, ..again }.finish(None);
        }
        self.out.is_inexact = window.is_none();
        self.settle(&window.unwrap_or_default());
        self.keep_born();
        self.count();
        self.out.arenas = self.blocks.arenas.counts(&self.blocks.live);
        self.out.arena_list = self.blocks.arenas.list();
        self.out.live = self.blocks.live;
        self.out.bytes_used = self.positions[1].bytes(self.recording);
        self.out.with_header(self.recording)
    }

    /// Of the addresses that the log tells of, puts what it tells in place of what the table says.
    fn settle(&mut self, window: &Window) {
        let chunks = self.recording.writers.values().filter_map(|chunks| chunks.last());
        let began = chunks.map(|place| place.header.clock_ms).max().unwrap_or(0);
        let births = self.blocks.live.iter().map(|(_, block)| block.birth.time_ms()).max();
        self.out.last_clock_ms = window.last_clock_ms.max(began).max(births.unwrap_or(0));
        let fates: FastMap<u64, Fate> = window.fates().map(|(address, fate)| (address.0, fate)).collect();
        if fates.is_empty() {
            return;
        }
        // What is not in the table is not counted either.
        let mut counted = HashSet::new();
        self.blocks.live.retain(|(address, block)| match fates.get(&address.0) {
            None => true,
            Some(Fate::Moved) => block.moving == 0,
            Some(Fate::Gone) => false,
            Some(Fate::Block { size, stack, .. }) => {
                if (block.size, self.out.sites[block.site as usize].stack) == (*size, *stack) {
                    counted.insert(address.0);
                }
                false
            }
        });
        for (address, fate) in window.fates() {
            let was_arena = self.blocks.arenas.remove(address);
            let Fate::Block { size, stack, birth } = fate else { continue };
            if stack == StackId::ARENA {
                self.blocks.arenas.add(address, size);
                continue;
            }
            let site = self.index.of(stack, 0, &mut self.out.sites);
            self.blocks.live.push((address, Block { size, birth, site, moving: 0 }));
            if !counted.contains(&address.0) && !was_arena {
                let totals = &mut self.out.sites[site as usize];
                totals.allocations += 1;
                totals.allocated_bytes = totals.allocated_bytes.wrapping_add(size);
                self.out.events += 1;
            }
        }
    }

    /// At a moment before the table was read there were, of its blocks, those that were born before it.
    fn keep_born(&mut self) {
        let to = match self.options.until {
            Moment::End | Moment::BeforeExit | Moment::Peak => return,
            Moment::Epoch(epoch) => Edge::Epoch(epoch),
            Moment::Time(ms) => Edge::Time(ms),
        };
        let born = Born { from: None, to: Some(to) }.of(self.recording);
        self.blocks.live.retain(|(_, block)| born.contains(block.birth));
    }

    /// What was allocated and is not there was freed.
    fn count(&mut self) {
        self.out.events = self.out.events.saturating_add(self.besides.saturating_sub(self.besides_unfreed));
        let mut unfreed = vec![(0u64, 0u64); self.out.sites.len()];
        for (_, block) in &self.blocks.live {
            let (blocks, bytes) = &mut unfreed[block.site as usize];
            *blocks += 1;
            *bytes = bytes.saturating_add(block.size);
            self.out.live_bytes = self.out.live_bytes.saturating_add(block.size);
        }
        for (totals, (blocks, bytes)) in self.out.sites.iter_mut().zip(unfreed) {
            totals.allocations = totals.allocations.max(blocks);
            totals.allocated_bytes = totals.allocated_bytes.max(bytes);
            totals.frees = totals.allocations - blocks;
            self.out.events = self.out.events.saturating_add(totals.frees);
        }
    }
}

/// The moment before exit, if it is that of which to speak and the table has its blocks.
fn cut_of(recording: &Recording, until: Moment) -> Option<&Cut> {
    cut(recording, until).filter(|_| recording.has(flag::BEFORE_EXIT))
}

/// When the blocks of an epoch were allocated.
struct Ages<'r> {
    recording: &'r Recording,
    last: Cell<(u32, Birth)>,
}

impl Ages<'_> {
    fn of(recording: &Recording) -> Ages<'_> {
        Ages { recording, last: Cell::new((0, Self::look_up(recording, 0))) }
    }

    fn look_up(recording: &Recording, epoch: u32) -> Birth {
        // The epochs of a process that does not share the run's have no times.
        let known = if has_epochs(recording) { recording.words.time_of(epoch) } else { None };
        Birth::new(epoch, known.unwrap_or(recording.header.monotonic_ns / 1_000_000))
    }

    #[inline(always)]
    fn birth(&self, epoch: u32) -> Birth {
        let (last, birth) = self.last.get();
        if last == epoch {
            return birth;
        }
        let birth = Self::look_up(self.recording, epoch);
        self.last.set((epoch, birth));
        birth
    }
}

/// Sizes of blocks whose own words are the last ones of their pages: they are in the next page of the heap.
#[derive(Default)]
struct Sizes {
    /// By the page's tag, what its first word says.
    firsts: FastMap<u64, u64>,
    /// The index of a block, or the address of an arena, and the tag of the page that has its size.
    wanted: Vec<(Result<usize, Address>, u64)>,
}

impl Sizes {
    fn page(&mut self, tag: Tag, words: &[u8]) {
        if let Some(size) = Word(word(words, 0)).next_size() {
            self.firsts.insert(tag.to_word(), size);
        }
    }

    fn want(&mut self, which: Result<usize, Address>, tag: Tag) {
        let base = tag.base.wrapping_add(1 << tag.plane.page_shift());
        self.wanted.push((which, Tag { base, ..tag }.to_word()));
    }

    fn settle(&self, blocks: &mut Blocks) {
        for (which, tag) in &self.wanted {
            let Some(&size) = self.firsts.get(tag) else { continue };
            match which {
                Ok(index) => blocks.live[*index].1.size = size,
                Err(address) => blocks.arenas.add(*address, size),
            }
        }
    }
}

/// How many blocks these words stand for.
fn unfreed(words: &[u8]) -> u64 {
    let kinds = words.as_chunks().0.iter().map(|bytes| Word(u64::from_le_bytes(*bytes)).kind());
    kinds.filter(|kind| matches!(kind, Some(Kind::Block | Kind::Moving))).count() as u64
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
