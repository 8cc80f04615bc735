//! A thread's records in its chunks, as the library writes them.

use std::io;

use recording::layout::{APPLIED, CHUNK, CHUNK_HEADER, ChunkKind, ROOM, SHARDS};
use recording::{Address, EventModel, Memory, Packed, StackId, Wide, shard_of};

use crate::file::{BEGUN_MS, File, Page};

/// The counters of a process.
pub struct Stamps([u64; SHARDS]);

impl Default for Stamps {
    fn default() -> Stamps {
        Stamps([0; SHARDS])
    }
}

impl Stamps {
    fn next(&mut self, address: Address) -> u64 {
        let next = &mut self.0[shard_of(address)];
        *next += 1;
        *next - 1
    }
}

/// An allocation, or the end of a realloc.
#[derive(Clone, Copy)]
pub struct Allocation {
    /// Where it is.
    pub address: u64,
    /// Bytes asked for.
    pub size: u32,
    /// Where it was allocated.
    pub stack: StackId,
    /// It ends a realloc.
    pub realloc: bool,
}

/// A writer.
pub struct Writer {
    number: u32,
    ordinal: u32,
    page: Page,
    at: usize,
    clock_ms: u64,
    model: Box<EventModel>,
}

impl Writer {
    /// Writer number `number` begins.
    pub fn new(number: u32, file: &mut File) -> Writer {
        let (page, model) = (file.page(), Box::new(EventModel::new()));
        let mut writer = Writer { number, ordinal: 0, page, at: 0, clock_ms: BEGUN_MS, model };
        writer.begin_chunk();
        writer
    }

    fn begin_chunk(&mut self) {
        self.page.begin(ChunkKind::Events, self.number, self.ordinal, 0, self.clock_ms);
        self.model.begin_chunk(self.clock_ms, Memory::Whole);
        self.at = CHUNK_HEADER;
        let predictors = self.model.predictors();
        self.put(predictors);
    }

    /// Says that all of the chunk is in the live table.
    fn end_chunk(&mut self) {
        self.page.bytes[APPLIED..][..8].copy_from_slice(&(self.at as u64).to_le_bytes());
    }

    fn room(&mut self, file: &mut File) -> io::Result<()> {
        if CHUNK - self.at < ROOM {
            self.end_chunk();
            file.turn(&mut self.page)?;
            self.ordinal += 1;
            self.begin_chunk();
        }
        Ok(())
    }

    #[inline(always)]
    fn put(&mut self, record: Packed) {
        // What is stored too many are zeros, where the next record begins.
        self.page.bytes[self.at..self.at + 16].copy_from_slice(&record.bytes());
        self.at += record.len();
    }

    fn wide(&mut self, gap: Option<Packed>, record: Wide) {
        gap.into_iter().for_each(|gap| self.put(gap));
        for (word, place) in record.words.iter().zip(self.page.bytes[self.at..self.at + 24].as_chunks_mut().0)
        {
            *place = word.to_le_bytes();
        }
        self.at += record.len;
    }

    /// Records an allocation at this time.
    #[inline(never)]
    pub fn alloc(
        &mut self,
        allocation: Allocation,
        ms: u64,
        stamps: &mut Stamps,
        file: &mut File,
    ) -> io::Result<()> {
        let Allocation { address, size, stack, realloc } = allocation;
        let (address, size) = (Address(address), u64::from(size));
        self.room(file)?;
        self.clock_ms = ms;
        if let Some(record) = self.model.clock(ms) {
            self.put(record);
        }
        let stamp = stamps.next(address);
        match self.model.alloc(address, size, stack, realloc, stamp) {
            Some(said) => {
                said.gap.into_iter().for_each(|gap| self.put(gap));
                self.put(said.record);
            }
            None => {
                let gap = self.model.stamp(address, stamp);
                let record = self.model.wide_alloc(address, size, stack, realloc);
                self.wide(gap, record);
            }
        }
        Ok(())
    }

    /// Records a free, or the begin of a realloc, of a block of which so much can be used.
    #[inline(never)]
    pub fn free(
        &mut self,
        address: u64,
        usable: usize,
        realloc: bool,
        stamps: &mut Stamps,
        file: &mut File,
    ) -> io::Result<()> {
        self.room(file)?;
        let address = Address(address);
        let stamp = stamps.next(address);
        match self.model.free(address, realloc, stamp, || usable) {
            Some(said) => {
                said.gap.into_iter().for_each(|gap| self.put(gap));
                self.put(said.record);
            }
            None => {
                let gap = self.model.stamp(address, stamp);
                let record = self.model.wide_free(address, realloc);
                self.wide(gap, record);
            }
        }
        Ok(())
    }

    /// Its last chunk.
    pub fn end(mut self, file: &File) -> io::Result<()> {
        self.end_chunk();
        file.write(&self.page)
    }
}
