//! The events of one writer, chunk after chunk, with a place to leave and come back to.
//!
//! A writer holds one chunk and one predictor model, used again for each chunk, so memory does not grow with the log.
use recording::layout::{CHUNK, CHUNK_HEADER};
use recording::{Event, EventDecoder, EventModel, Stop};

use super::chunks::{ChunkPlace, ChunkReader};
use super::loss::Loss;
use super::recording::Recording;

/// What a writer says when it is asked to go on.
pub enum Step {
    /// The next event.
    Event(Event),
    /// A chunk begins, of this thread, with the clock at this many ms.
    Chunk {
        /// Number of the thread.
        thread: u32,
        /// Its kernel thread id.
        tid: u32,
        /// Monotonic clock.
        clock_ms: u64,
        /// The run's epoch, as far as is known; 0 if it is not.
        epoch: u32,
    },
    /// There are no more events.
    End,
}

/// A writer's events.
pub struct Writer<'r> {
    recording: &'r Recording,
    reader: &'r ChunkReader,
    chunks: &'r [ChunkPlace],
    next_chunk: usize,
    records: Vec<u8>,
    at: usize,
    model: Box<EventModel>,
    /// What could not be read so far.
    pub losses: Vec<Loss>,
    /// Bytes of records and chunk headers so far.
    pub bytes_used: u64,
}

impl<'r> Writer<'r> {
    /// Begins before the writer's first chunk.
    pub fn new(recording: &'r Recording, reader: &'r ChunkReader, chunks: &'r [ChunkPlace]) -> Writer<'r> {
        let model = Box::new(EventModel::new());
        Writer {
            recording,
            reader,
            chunks,
            next_chunk: 0,
            records: Vec::new(),
            at: 0,
            model,
            losses: Vec::new(),
            bytes_used: 0,
        }
    }

    /// A second reader that goes on from here on its own.
    pub fn fork(&self) -> Writer<'r> {
        Writer { records: self.records.clone(), model: self.model.clone(), losses: Vec::new(), ..*self }
    }

    /// Bytes that may still hold events.
    pub fn bytes_left(&self) -> u64 {
        let chunks = self.chunks.len() - self.next_chunk;
        (chunks * CHUNK + self.records.len() - self.at) as u64
    }

    /// Hands over steps until `take` returns false, or [`Step::End`] was handed over.
    #[inline]
    pub fn run(&mut self, mut take: impl FnMut(Step) -> bool) {
        loop {
            let mut decoder = EventDecoder::resume(&self.records, self.at, &mut self.model);
            let stop = loop {
                match decoder.next_event() {
                    Ok(event) => {
                        if !take(Step::Event(event)) {
                            self.at = decoder.position();
                            return;
                        }
                    }
                    Err(stop) => break stop,
                }
            };
            self.at = decoder.position();
            let step = self.turn(stop);
            let ended = matches!(step, Step::End);
            if !take(step) || ended {
                return;
            }
        }
    }

    /// Goes on to the next chunk.
    fn turn(&mut self, stop: Stop) -> Step {
        let running = self.recording.is_running();
        if let Some(entered) = self.next_chunk.checked_sub(1)
            // The last record of a process that still runs may be in the making.
            && !(running && self.next_chunk == self.chunks.len())
            && let Some(loss) = Loss::of_stop(self.chunks[entered].number, stop)
            && self.losses.last() != Some(&loss)
        {
            self.losses.push(loss);
        }
        self.bytes_used += self.at as u64;
        let Some(place) = self.chunks.get(self.next_chunk) else {
            self.records.clear();
            self.at = 0;
            return Step::End;
        };
        self.next_chunk += 1;
        self.bytes_used += CHUNK_HEADER as u64;
        let loaded = if running && self.next_chunk == self.chunks.len() {
            self.reader.read_settled(place, &mut self.records)
        } else {
            self.reader.read(place, &mut self.records)
        };
        self.losses.extend(loaded.err());
        // A process that runs may have used it again meanwhile.
        if running && !self.reader.is_same(place) {
            self.records.clear();
        }
        let header = &place.header;
        self.at = EventDecoder::new(&self.records, header.clock_ms, &mut self.model).position();
        let epoch = match header.epoch {
            0 => self.recording.words.epoch_at(header.clock_ms),
            epoch => epoch,
        };
        Step::Chunk { thread: header.thread, tid: header.tid, clock_ms: header.clock_ms, epoch }
    }
}
