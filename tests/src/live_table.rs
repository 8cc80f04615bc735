//! A second reader of live tables: what a process's table says, and what its threads had not put there yet.
//!
//! A process that was killed has for each writer at most one event that is not in its table: that behind `APPLIED` in the
//! writer's last chunk. With these the table must be what the replay of all events gives, block by block.

use std::collections::HashMap;

use recording::layout::{APPLIED, CHUNK, CHUNK_HEADER, ChunkHeader, ChunkKind};
use recording::table::{Kind, PAGE, PAGES, Plane, TAGS, Tag, WORDS, Word};
use recording::{Address, Event, EventDecoder, EventModel};

use crate::replay::Block;

/// The table of one process.
#[derive(Default, Debug)]
pub struct LiveTable {
    /// Its unfreed blocks, as they are when the events in flight are done.
    pub blocks: HashMap<Address, Block>,
    /// Events that were recorded and not in the table.
    pub in_flight: Vec<Event>,
    /// Blocks that `realloc` had. Its own work, which is in no event, may have freed them, and another block may have had their
    /// words since: then they are not in the table.
    pub in_realloc: Vec<Address>,
    /// Pages, of both planes.
    pub pages: usize,
    /// What cannot be.
    pub impossible: Vec<String>,
}

/// A page: whether it is late, its plane, and where its part of the heap begins.
type Pages<'f> = HashMap<(bool, u64, u64), (Tag, &'f [u8])>;

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
}

/// The word behind this one, which may be in another page.
fn word_behind(pages: &Pages, tag: Tag, index: usize) -> Word {
    let base = tag.base + (((index + 1) / WORDS) as u64) * (1 << tag.plane.page_shift());
    let page = pages.get(&(tag.late, tag.plane as u64, base));
    Word(page.map_or(0, |(_, bytes)| word(bytes, 8 * ((index + 1) % WORDS))))
}

impl LiveTable {
    /// Reads that of the process whose header is chunk `process`, from the bytes of its file.
    pub fn read(file: &[u8], process: u32) -> LiveTable {
        let mut table = LiveTable::default();
        let chunks = file.chunks(CHUNK).filter_map(|chunk| Some((ChunkHeader::decode(chunk)?, chunk)));
        let own: Vec<_> = chunks.filter(|(header, _)| header.process == process).collect();
        table.read_pages(
            own.iter().filter(|(header, _)| header.kind == ChunkKind::LiveTable).map(|own| own.1),
        );
        let mut writers: HashMap<u32, Vec<&(ChunkHeader, &[u8])>> = HashMap::new();
        for chunk in own.iter().filter(|(header, _)| header.kind == ChunkKind::Events) {
            writers.entry(chunk.0.writer).or_default().push(chunk);
        }
        for mut chunks in writers.into_values() {
            chunks.sort_by_key(|(header, _)| header.ordinal);
            let mut begun = Vec::new();
            for (index, (header, chunk)) in chunks.iter().enumerate() {
                table.apply_rest(header, chunk, index + 1 == chunks.len(), &mut begun);
            }
            table.in_realloc.extend(begun);
        }
        table
    }

    fn read_pages<'f>(&mut self, chunks: impl Iterator<Item = &'f [u8]>) {
        let mut pages = Pages::new();
        for chunk in chunks {
            for page in 0..PAGES {
                let Some(tag) = Tag::from_word(word(chunk, TAGS + 8 * page)) else { continue };
                let bytes = chunk.get(PAGE * (page + 1)..PAGE * (page + 2)).unwrap_or(&[]);
                if pages.insert((tag.late, tag.plane as u64, tag.base), (tag, bytes)).is_some() {
                    self.impossible.push(format!("two pages for {tag:x?}"));
                }
            }
        }
        self.pages = pages.len();
        for &(tag, bytes) in pages.values() {
            for index in 0..WORDS {
                let found = Word(word(bytes, 8 * index));
                match found.kind() {
                    Some(Kind::Block | Kind::Moving) => {}
                    None if found.0 != 0 => {
                        self.impossible.push(format!("{found:x?} in {tag:x?}"));
                        continue;
                    }
                    _ => continue,
                }
                let address = found.address(tag, index);
                let Some(size) = found.size().or_else(|| word_behind(&pages, tag, index).next_size()) else {
                    self.impossible.push(format!("no size of {address:x?}"));
                    continue;
                };
                if tag.plane == Plane::Narrow && size > 24 {
                    self.impossible.push(format!("{address:x?} of {size} bytes in {tag:x?}"));
                }
                if self.blocks.insert(address, Block { size, stack: found.stack() }).is_some() {
                    self.impossible.push(format!("{address:x?} has two words"));
                }
            }
        }
    }

    /// Does what a writer's last chunk has behind what is applied. `begun` are its reallocs without an end.
    fn apply_rest(&mut self, header: &ChunkHeader, chunk: &[u8], is_last: bool, begun: &mut Vec<Address>) {
        let applied = word(chunk, APPLIED) as usize;
        let mut model = Box::new(EventModel::new());
        let mut decoder = EventDecoder::new(&chunk[CHUNK_HEADER..], header.clock_ms, &mut model);
        let mut missing = 0;
        while let Ok(event) = decoder.next_event() {
            if event.is_of_resource() {
                continue;
            }
            let is_applied = CHUNK_HEADER + decoder.position() <= applied;
            if event.place().is_some() && !is_applied {
                self.in_flight.push(event);
                missing += 1;
            }
            match event {
                Event::ReallocBegin { address, .. } => begun.push(address),
                Event::ReallocUndo { .. } => _ = begun.pop(),
                Event::ReallocEnd { address, size, stack, .. } => {
                    let old = begun.pop();
                    if !is_applied {
                        old.map(|old| self.blocks.remove(&old));
                        self.blocks.insert(address, Block { size, stack });
                    }
                }
                Event::Alloc { address, size, stack, .. } if !is_applied => {
                    self.blocks.insert(address, Block { size, stack });
                }
                Event::Free { address, .. } if !is_applied => _ = self.blocks.remove(&address),
                _ => {}
            }
        }
        if missing > usize::from(is_last) {
            self.impossible.push(format!("{missing} events of writer {} are not applied", header.writer));
        }
    }
}
