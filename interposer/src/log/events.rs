//! One writer's events.
//!
//! Order: every event of a block takes the next stamp of the block's shard. A free takes it before the block is
//! given back, an allocation after it was handed out; so the stamps of one address are in the order in which its
//! uses really happened. A stamp is taken only when there is room to write the event.
//!
//! Where no events are kept ([`config::events`]) no stamps are taken either, and nothing is written.

use super::cursor::Cursor;
use super::{chunks, file};
use crate::protocol::stamps::{Counter, Counters};
use crate::{clock, config, sys};
use recording::layout::{ChunkHeader, ChunkKind, ROOM, SHARDS};
use recording::{Address, EventModel, LostKind, Packed, Said, StackId, mark, shard_of};

/// Next stamp of each shard. Survives fork: the child goes on counting, and its first stamps say what it inherited.
static COUNTERS: Counters<SHARDS> = Counters([const { Counter::new() }; SHARDS]);

/// Makes every later stamp say that the recording has stopped. Several threads may do it together.
pub fn stop_counting() {
    COUNTERS.stop();
}

/// Begins to count in a forked child; returns the stamps that the parent had reached, by shard.
pub fn go_on_counting(shard: usize) -> u64 {
    COUNTERS.go_on(shard)
}

/// The stamp that the next event of this shard gets.
pub fn next_stamp(shard: usize) -> u64 {
    COUNTERS.next(shard)
}

#[inline(always)]
fn take_stamp(address: Address) -> Option<u64> {
    COUNTERS.take(shard_of(address))
}

/// Who writes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Writer {
    /// Number of the writer.
    pub writer: u32,
    /// Number of its thread now.
    pub thread: u32,
    /// Kernel id of its thread now.
    pub tid: u32,
}

/// See the module's contract. All-zero is a writer without a chunk.
#[repr(C)]
pub struct Events {
    cursor: Cursor,
    /// What was last seen of Python's collector, since the chunk was begun.
    collector: u32,
    /// Whether the chunk says that the writer is in it.
    is_collecting: bool,
    model: EventModel,
}

impl Events {
    /// Whether there is room for one event.
    #[inline(always)]
    pub fn has_room(&self) -> bool {
        self.cursor.has_room(ROOM)
    }

    /// Makes room for one event; false if there can be none. `epoch` is the one that the writer saw last, 0 if none.
    #[cold]
    #[inline(never)]
    pub fn make_room(&mut self, writer: Writer, epoch: u32) -> bool {
        if self.has_room() || self.cursor.grow(ROOM) {
            return true;
        }
        if !config::events() {
            self.cursor.keep_nothing();
            return true;
        }
        let clock_ms = clock::coarse_ms().unwrap_or_else(clock::precise_ms);
        let header = ChunkHeader {
            kind: ChunkKind::Events,
            writer: writer.writer,
            ordinal: 0,
            thread: writer.thread,
            tid: writer.tid,
            clock_ms,
            first_id: 0,
            epoch,
            process: 0,
        };
        let memory = self.cursor.memory();
        self.model.begin_chunk(clock_ms, memory);
        if !self.cursor.turn(header, memory) {
            return false;
        }
        self.put(EventModel::predictors);
        self.forget_collector();
        if chunks::are_reused() {
            // Where it was said may be gone.
            self.put(|model| model.thread_name(&sys::thread_name()));
        }
        true
    }

    /// A block was handed out, at `clock_ms` if that is known. There must be room. False, here and below, if the recording has
    /// stopped before.
    #[inline(always)]
    pub fn allocated(
        &mut self,
        address: Address,
        size: u64,
        stack: StackId,
        realloc: bool,
        clock_ms: Option<u64>,
    ) -> bool {
        if self.cursor.keeps_nothing() {
            return self.goes_on();
        }
        let Some(stamp) = take_stamp(address) else { return self.stopped() };
        if let Some(ms) = clock_ms
            && let Some(record) = self.model.clock(ms)
        {
            self.cursor.put(record);
        }
        match self.model.alloc(address, size, stack, realloc, stamp) {
            Some(said) => self.put_said(said),
            None => self.allocated_wide(address, size, stack, realloc, stamp),
        }
        true
    }

    #[cold]
    #[inline(never)]
    fn allocated_wide(&mut self, address: Address, size: u64, stack: StackId, realloc: bool, stamp: u64) {
        self.put_gap(address, stamp);
        let record = self.model.wide_alloc(address, size, stack, realloc);
        self.cursor.put_wide(record);
    }

    /// A block is about to be given back, for which `usable` is as for [`EventModel::free`]. There must be room.
    #[inline(always)]
    pub fn freed(&mut self, address: Address, realloc: bool, usable: impl FnOnce() -> usize) -> bool {
        if self.cursor.keeps_nothing() {
            return self.goes_on();
        }
        let Some(stamp) = take_stamp(address) else { return self.stopped() };
        match self.model.free(address, realloc, stamp, usable) {
            Some(said) => self.put_said(said),
            None => self.freed_wide(address, realloc, stamp),
        }
        true
    }

    #[cold]
    #[inline(never)]
    fn freed_wide(&mut self, address: Address, realloc: bool, stamp: u64) {
        self.put_gap(address, stamp);
        let record = self.model.wide_free(address, realloc);
        self.cursor.put_wide(record);
    }

    #[inline(always)]
    fn put_said(&mut self, said: Said) {
        if let Some(gap) = said.gap {
            self.cursor.put(gap);
        }
        self.cursor.put(said.record);
    }

    /// The realloc begun last failed. There must be room.
    #[cold]
    pub fn realloc_failed(&mut self, address: Address) -> bool {
        if self.cursor.keeps_nothing() {
            return self.goes_on();
        }
        let Some(stamp) = take_stamp(address) else { return self.stopped() };
        self.put_gap(address, stamp);
        let record = self.model.realloc_undo(address);
        self.cursor.put(record);
        true
    }

    #[cold]
    fn put_gap(&mut self, address: Address, stamp: u64) {
        if let Some(record) = self.model.stamp(address, stamp) {
            self.cursor.put(record);
        }
    }

    /// What was written so far is in the live table too.
    #[inline(always)]
    pub fn applied(&self) {
        self.cursor.say_applied();
    }

    /// The writer was left in the middle of an event: begins anew in another chunk, since the model may be ahead
    /// of what was written.
    pub fn abandon(&mut self) {
        self.cursor.close();
    }

    /// What was last seen of Python's collector.
    #[inline(always)]
    pub fn collector(&self) -> u32 {
        self.collector
    }

    /// Python's collector is seen to be in another state, and this writer to be in it or not. There must be room.
    #[cold]
    pub fn collector_seen(&mut self, collector: u32, is_collecting: bool) {
        self.collector = collector;
        if core::mem::replace(&mut self.is_collecting, is_collecting) != is_collecting {
            let mark = if is_collecting { mark::COLLECTING } else { mark::COLLECTED };
            self.put(|model| model.mark(mark));
        }
    }

    /// What the chunk says from here on holds for none that was in the collector.
    pub fn forget_collector(&mut self) {
        (self.collector, self.is_collecting) = (0, false);
    }

    /// A record without a stamp. There must be room.
    pub fn put(&mut self, record: impl FnOnce(&mut EventModel) -> Packed) {
        let record = record(&mut self.model);
        self.cursor.put(record);
    }

    /// What there is to ask where no stamp is needed.
    #[inline(always)]
    fn goes_on(&mut self) -> bool {
        COUNTERS.are_given() || self.stopped()
    }

    /// The recording stopped: no later event needs to ask.
    #[cold]
    #[inline(never)]
    fn stopped(&mut self) -> bool {
        self.cursor.close();
        file::count_lost(LostKind::AfterStop);
        false
    }
}
