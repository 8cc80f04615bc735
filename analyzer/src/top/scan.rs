//! The live table of one process, read quickly: what each stack has not freed, and no more than that.
//!
//! The process runs on meanwhile. A block that moves while the table is read may be missing or counted twice; the sums are those
//! of what was read. `replay` asks the log for what is exact, which takes many times as long.
use std::collections::HashMap;

use recording::StackId;
use recording::layout::{CHUNK, IDS_PER_CHUNK, flag};
use recording::table::{Kind, PAGE, PAGES, TAGS, Tag, WORDS, Word};

use crate::fast_map::FastMap;
use crate::reader::Recording;
use crate::replay::{self, Moment, Options, Source};

/// What is unfreed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Held {
    /// Bytes.
    pub bytes: u64,
    /// Blocks.
    pub blocks: u64,
}

impl Held {
    /// Adds `other`; saturates, since a damaged recording may say anything.
    pub fn add(&mut self, other: Held) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.blocks = self.blocks.saturating_add(other.blocks);
    }
}

/// What each stack of a process holds, as of the last reading.
#[derive(Default)]
pub struct Scan {
    index: StackIndex,
    /// By the index of the stack.
    held: Vec<Held>,
    chunk: Vec<u8>,
    /// Blocks whose sizes are in the next page of the heap: their stacks, and the tags of those pages.
    wanted: Vec<(StackId, u64)>,
    /// What the first word of a page says, by its tag.
    firsts: FastMap<u64, u64>,
}

impl Scan {
    /// The stacks in the order in which they were met, each with what it holds: 0 if it holds nothing any more.
    pub fn stacks(&self) -> impl ExactSizeIterator<Item = (StackId, Held)> {
        self.index.stacks.iter().copied().zip(self.held.iter().copied())
    }

    /// The stack with this number.
    pub fn stack(&self, number: usize) -> StackId {
        self.index.stacks[number]
    }

    /// What all stacks hold.
    pub fn total(&self) -> Held {
        let mut total = Held::default();
        self.held.iter().for_each(|&held| total.add(held));
        total
    }

    /// Reads the table of a process as it is now.
    pub fn read(&mut self, recording: &Recording) {
        self.begin(recording);
        let before_exit = is_before_exit(recording);
        let reader = recording.chunks();
        let mut chunk = std::mem::take(&mut self.chunk);
        for place in &recording.table {
            // What cannot be read is not there: the next reading may be luckier.
            if reader.whole(place, &mut chunk).is_ok() {
                chunk.resize(CHUNK, 0);
                self.chunk(&chunk, before_exit);
            }
        }
        self.chunk = chunk;
        for (stack, tag) in std::mem::take(&mut self.wanted) {
            let bytes = self.firsts.get(&tag).copied().unwrap_or(0);
            self.count(stack, bytes, 0);
        }
    }

    /// Reads what a process that has ended held then, exactly; or one without a live table, out of its events.
    pub fn read_exactly(&mut self, recording: &Recording) {
        self.begin(recording);
        let options = Options { until: Moment::BeforeExit, from: Source::Table, ..Options::default() };
        let replayed = replay::replay(recording, options, &|_| {});
        for (_, block) in &replayed.live {
            self.count(replayed.sites[block.site as usize].stack, block.size, 1);
        }
    }

    fn begin(&mut self, recording: &Recording) {
        self.index.extend(recording);
        self.held.fill(Held::default());
        self.firsts.clear();
    }

    fn chunk(&mut self, chunk: &[u8], before_exit: bool) {
        for page in 0..PAGES {
            let Some(tag) = Tag::from_word(word(chunk, TAGS + 8 * page)) else { continue };
            let words = chunk[PAGE * (page + 1)..PAGE * (page + 2)].as_chunks().0;
            if let Some(size) = Word(u64::from_le_bytes(words[0])).next_size() {
                self.firsts.insert(tag.to_word(), size);
            }
            if !(before_exit && tag.late) {
                self.page(tag, words, before_exit);
            }
        }
    }

    fn page(&mut self, tag: Tag, words: &[[u8; 8]], before_exit: bool) {
        for (row, eight) in words.as_chunks::<8>().0.iter().enumerate() {
            // Most words of most heaps are 0, since blocks are larger than what a word stands for.
            if eight.iter().fold(0, |all, word| all | u64::from_le_bytes(*word)) == 0 {
                continue;
            }
            for (column, word) in eight.iter().enumerate() {
                let word = Word(u64::from_le_bytes(*word));
                match word.kind() {
                    Some(Kind::Block | Kind::Moving) => {}
                    Some(Kind::FreedLate) if before_exit => {}
                    _ => continue,
                }
                let stack = word.stack();
                if stack == StackId::ARENA {
                    continue;
                }
                let index = 8 * row + column;
                let behind = words.get(index + 1).map(|word| Word(u64::from_le_bytes(*word)));
                let size = word.size().or(behind.and_then(Word::next_size));
                if size.is_none() && index + 1 == WORDS {
                    let base = tag.base.wrapping_add(1 << tag.plane.page_shift());
                    self.wanted.push((stack, Tag { base, ..tag }.to_word()));
                }
                self.count(stack, size.unwrap_or(0), 1);
            }
        }
    }

    #[inline(always)]
    fn count(&mut self, stack: StackId, bytes: u64, blocks: u64) {
        let index = self.index.of(stack);
        if self.held.len() <= index {
            self.held.resize(index + 1, Held::default());
        }
        self.held[index].add(Held { bytes, blocks });
    }
}

/// From a stack to a small number: by table for the ids that the file gave out, by map for the rest.
#[derive(Default)]
struct StackIndex {
    /// For each block of ids, where its table is, from 1; 0 if there is none.
    blocks: Vec<u32>,
    /// Numbers from 1; 0: the stack was not met.
    tables: Vec<Vec<u32>>,
    /// Ends of stacks, and ids that no chunk defines.
    others: HashMap<u32, u32>,
    /// The stacks by their numbers.
    stacks: Vec<StackId>,
}

impl StackIndex {
    /// Makes room for the ids that the file has given out since.
    fn extend(&mut self, recording: &Recording) {
        for place in &recording.definitions {
            let block = (place.header.first_id / IDS_PER_CHUNK) as usize;
            if self.blocks.len() <= block {
                self.blocks.resize(block + 1, 0);
            }
            if self.blocks[block] == 0 {
                self.tables.push(vec![0; IDS_PER_CHUNK as usize]);
                self.blocks[block] = self.tables.len() as u32;
            }
        }
    }

    #[inline(always)]
    fn of(&mut self, stack: StackId) -> usize {
        let next = self.stacks.len() as u32 + 1;
        let number = match self.blocks.get((stack.0 / IDS_PER_CHUNK) as usize) {
            Some(&table) if table != 0 => {
                &mut self.tables[table as usize - 1][(stack.0 % IDS_PER_CHUNK) as usize]
            }
            _ => self.others.entry(stack.0).or_insert(0),
        };
        if *number == 0 {
            *number = next;
            self.stacks.push(stack);
        }
        *number as usize - 1
    }
}

/// Whether what was there before Python's exit is what to count: as in a report.
fn is_before_exit(recording: &Recording) -> bool {
    recording.finalizing.is_some() && recording.has(flag::BEFORE_EXIT)
}

/// Whether the live table alone tells what a process holds.
pub fn can_scan(recording: &Recording) -> bool {
    recording.has_table() && (recording.finalizing.is_none() || recording.has(flag::BEFORE_EXIT))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
