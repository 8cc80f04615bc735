//! The live table and the counts of a synthetic process, kept event by event.
use std::collections::BTreeMap;

use recording::counts::{Count, ENTRIES, ENTRY};
use recording::layout::{CHUNK, CHUNK_HEADER};
use recording::table::{Kind, PAGE, PAGES, Plane, TAGS, Tag, Word};
use recording::{Address, StackId};

/// A block of the table.
#[derive(Clone, Copy)]
struct Kept {
    size: u64,
    stack: StackId,
    epoch: u32,
    kind: Kind,
}

/// What a process would keep beside its events.
#[derive(Default)]
pub struct LiveTable {
    /// By address, and whether they were allocated late.
    blocks: BTreeMap<(u64, bool), Kept>,
    /// By writer, in the order in which it met the stacks.
    counts: Vec<(usize, Count)>,
    /// The reallocs that each writer has begun.
    pending: BTreeMap<usize, Vec<u64>>,
    /// The epoch of what is allocated.
    pub epoch: u32,
    /// Python has begun to finalize.
    pub late: bool,
    /// The process was killed: what comes is in the log alone.
    pub is_killed: bool,
}

impl LiveTable {
    pub fn begin_realloc(&mut self, writer: usize, address: u64) {
        self.pending.entry(writer).or_default().push(address);
        if let (false, Some(kept)) = (self.is_killed, self.find(address)) {
            kept.kind = Kind::Moving;
        }
    }

    pub fn undo(&mut self, writer: usize, address: u64) {
        self.pending.entry(writer).or_default().retain(|begun| *begun != address);
        if let (false, Some(kept)) = (self.is_killed, self.find(address)) {
            kept.kind = Kind::Block;
        }
    }

    pub fn end_realloc(&mut self, writer: usize, address: u64, size: u64, stack: StackId) {
        let begun = self.pending.entry(writer).or_default().pop();
        if let Some(begun) = begun.filter(|begun| *begun != address)
            && self.find(begun).is_some_and(|kept| kept.kind == Kind::Moving)
        {
            self.free(begun);
        }
        self.alloc(writer, address, size, stack);
    }

    pub fn alloc(&mut self, writer: usize, address: u64, size: u64, stack: StackId) {
        if self.is_killed {
            return;
        }
        // A realloc may leave a block where it is.
        self.free(address);
        self.blocks.insert((address, self.late), Kept { size, stack, epoch: self.epoch, kind: Kind::Block });
        let late = self.late;
        let of_stack =
            |(of, count): &&mut (usize, Count)| *of == writer && (count.stack, count.late) == (stack, late);
        match self.counts.iter_mut().find(of_stack) {
            Some((_, count)) => {
                count.allocations += 1;
                count.bytes += size;
            }
            None => self.counts.push((writer, Count { stack, late, allocations: 1, bytes: size })),
        }
    }

    pub fn free(&mut self, address: u64) {
        if self.is_killed {
            return;
        }
        if !self.late || self.blocks.remove(&(address, true)).is_none() {
            match (self.late, self.blocks.get_mut(&(address, false))) {
                (true, Some(kept)) => kept.kind = Kind::FreedLate,
                _ => _ = self.blocks.remove(&(address, false)),
            }
        }
    }

    /// The block that is at an address now.
    fn find(&mut self, address: u64) -> Option<&mut Kept> {
        let late = self.blocks.contains_key(&(address, true));
        self.blocks.get_mut(&(address, late)).filter(|kept| kept.kind != Kind::FreedLate)
    }

    /// Chunks of the table, behind their headers.
    pub fn pages(&self) -> Vec<Vec<u8>> {
        let mut pages: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut put = |plane: Plane, late: bool, address: u64, word: Word| {
            let base = address >> plane.page_shift() << plane.page_shift();
            let page = pages.entry(Tag { base, plane, late }.to_word()).or_insert_with(|| vec![0; PAGE]);
            let at = 8 * plane.index(Address(address));
            page[at..at + 8].copy_from_slice(&word.0.to_le_bytes());
        };
        for (&(address, late), kept) in &self.blocks {
            let plane = if kept.size > 24 { Plane::Wide } else { Plane::Narrow };
            let (word, next) = Word::block(Address(address), kept.size, kept.stack, kept.epoch);
            if let Some(next) = next {
                put(plane, late, address + (1 << plane.shift()), next);
            }
            put(plane, late, address, word.with_kind(kept.kind));
        }
        let pages: Vec<_> = pages.into_iter().collect();
        let chunk = |pages: &[(u64, Vec<u8>)]| {
            let mut chunk = vec![0; CHUNK];
            for (index, (tag, page)) in pages.iter().enumerate() {
                chunk[TAGS + 8 * index..][..8].copy_from_slice(&tag.to_le_bytes());
                chunk[PAGE * (index + 1)..][..PAGE].copy_from_slice(page);
            }
            chunk
        };
        pages.chunks(PAGES).map(chunk).collect()
    }

    /// Chunks of counts with their writers, behind their headers.
    pub fn counts(&self) -> Vec<(usize, Vec<u8>)> {
        let mut writers: BTreeMap<usize, Vec<Count>> = BTreeMap::new();
        self.counts.iter().for_each(|(writer, count)| writers.entry(*writer).or_default().push(*count));
        let chunk = |counts: &[Count]| {
            let mut chunk = vec![0; CHUNK];
            for (index, count) in counts.iter().enumerate() {
                let bytes: Vec<u8> = count.to_words().iter().flat_map(|word| word.to_le_bytes()).collect();
                chunk[CHUNK_HEADER + ENTRY * index..][..ENTRY].copy_from_slice(&bytes);
            }
            chunk
        };
        let chunks = |(writer, counts): (usize, Vec<Count>)| {
            counts.chunks(ENTRIES).map(|counts| (writer, chunk(counts))).collect::<Vec<_>>()
        };
        writers.into_iter().flat_map(chunks).collect()
    }
}
