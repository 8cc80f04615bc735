//! What happened while a live table was read, and what of a killed process never reached its table.
//!
//! A process stores an event first, then its block's word in the table, then how far its chunk is applied. So the words of
//! a table that is at rest are right but for the events behind that. Of a process that runs the words are read at
//! different moments; its log makes one moment of it: the positions of all writers are noted twice before the words are
//! read. Of an address of which no event came after the second position the word is right. Of any other the last event
//! tells; and that came after the first position of its writer, since it came after another one did after the second.
use std::collections::BTreeMap;

use recording::layout::{CHUNK, CHUNK_HEADER};
use recording::{Address, Event, EventDecoder, EventModel, StackId, mark};

use super::live::Birth;
use crate::fast_map::FastMap;
use crate::reader::{ChunkPlace, ChunkReader, Recording};

/// How far a writer's events were in the table: a chunk's ordinal, and an offset in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
struct Position {
    ordinal: u32,
    applied: usize,
}

/// Positions of all writers.
pub(super) struct Positions(BTreeMap<u32, Position>);

impl Positions {
    /// As they are now, for the chunks known of.
    pub fn note(recording: &Recording, reader: &ChunkReader) -> Positions {
        let position = |chunks: &Vec<ChunkPlace>| {
            let last = chunks.last()?;
            let ordinal = last.header.ordinal;
            Some(match reader.applied(last) {
                Some(applied) => Position { ordinal, applied },
                // Its writer has left it since, and it is used again.
                None => Position { ordinal: ordinal.saturating_add(1), applied: 0 },
            })
        };
        let writers = recording.writers.iter();
        Positions(writers.filter_map(|(&writer, chunks)| Some((writer, position(chunks)?))).collect())
    }

    /// As they were noted.
    pub fn of_snapshot(noted: &[(u32, u32, usize)]) -> Positions {
        let position = |&(writer, ordinal, applied)| (writer, Position { ordinal, applied });
        Positions(noted.iter().map(position).collect())
    }

    /// To be noted.
    pub fn noted(&self) -> Vec<(u32, u32, usize)> {
        self.0.iter().map(|(&writer, position)| (writer, position.ordinal, position.applied)).collect()
    }

    /// Bytes of event records and their chunks' headers up to them; but for the last one a writer's chunks are full.
    pub fn bytes(&self, recording: &Recording) -> u64 {
        let full = |chunks: &Vec<ChunkPlace>| chunks.len().saturating_sub(1) * CHUNK;
        let writers = recording.writers.iter();
        writers.map(|(&writer, chunks)| (full(chunks) + self.of(writer).applied) as u64).sum()
    }

    fn of(&self, writer: u32) -> Position {
        self.0.get(&writer).copied().unwrap_or_default()
    }
}

/// What events tell of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// There is no block any more.
    Gone,
    /// There is none any more if the table says that the block is being moved: it was, and came back elsewhere.
    Moved,
    /// A block of this size and stack.
    Block { size: u64, stack: StackId, birth: Birth },
}

/// An address of which the table does not tell.
struct Told {
    stamp: u64,
    fate: Fate,
    /// Whether an event of it came after the second position.
    is_late: bool,
}

/// What events tell that the table does not.
#[derive(Default)]
pub(super) struct Window {
    told: FastMap<u64, Told>,
    /// The latest clock of an event, ms.
    pub last_clock_ms: u64,
}

impl Window {
    /// Reads the events behind the first positions but those that `is_after`, which is given an event's epoch too; `None`
    /// if some of them are not there any more.
    pub fn read(
        recording: &Recording,
        reader: &ChunkReader,
        positions: [&Positions; 2],
        is_after: &dyn Fn(u32, &Event) -> bool,
    ) -> Option<Window> {
        let mut window = Window::default();
        let mut tail =
            Tail { recording, reader, is_after, model: Box::new(EventModel::new()), bytes: Vec::new() };
        for (&writer, chunks) in &recording.writers {
            let positions = positions.map(|positions| positions.of(writer));
            let begin = chunks.partition_point(|place| place.header.ordinal < positions[0].ordinal);
            let ordinals = chunks[begin..].iter().map(|place| place.header.ordinal);
            if !ordinals.eq((positions[0].ordinal..).take(chunks.len() - begin)) {
                return None;
            }
            let mut is_paired = tail.events(&chunks[begin..], positions, &mut window)?;
            // A realloc that ended in these chunks began in one before, mostly the last.
            let (mut earlier, mut back) = (begin, 1);
            while !is_paired && earlier > 0 {
                earlier = earlier.saturating_sub(back);
                back *= 4;
                is_paired = tail.events(&chunks[earlier..], positions, &mut window).unwrap_or(true);
            }
        }
        Some(window)
    }

    /// The fates of the addresses of which the table does not tell.
    pub fn fates(&self) -> impl Iterator<Item = (Address, Fate)> {
        self.told
            .iter()
            .filter(|(_, told)| told.is_late)
            .map(|(&address, told)| (Address(address), told.fate))
    }

    fn tell(&mut self, address: Address, stamp: u64, fate: Fate, is_late: bool) {
        let told = self.told.entry(address.0).or_insert(Told { stamp, fate, is_late });
        told.is_late |= is_late;
        if stamp >= told.stamp {
            (told.stamp, told.fate) = (stamp, fate);
        }
    }
}

/// A realloc that was begun: address and stamp, and whether that was after the second position.
type Begun = (Address, u64, bool);

/// Reads one writer's chunks after the other's.
struct Tail<'r> {
    recording: &'r Recording,
    reader: &'r ChunkReader,
    is_after: &'r dyn Fn(u32, &Event) -> bool,
    model: Box<EventModel>,
    bytes: Vec<u8>,
}

impl Tail<'_> {
    /// Adds the events of a writer's chunks that are behind the first position. `None`: a chunk is used again; `false`: a
    /// realloc was begun before.
    fn events(
        &mut self,
        chunks: &[ChunkPlace],
        positions: [Position; 2],
        window: &mut Window,
    ) -> Option<bool> {
        let (mut pending, mut is_paired): (Vec<Begun>, bool) = (Vec::new(), true);
        for (index, place) in chunks.iter().enumerate() {
            let may_be_written = self.recording.is_running() && index + 1 == chunks.len();
            let read = match may_be_written {
                true => self.reader.read_settled(place, &mut self.bytes),
                false => self.reader.read(place, &mut self.bytes),
            };
            if read.is_err() || !self.reader.is_same(place) {
                return None;
            }
            let (mut epoch, mut clock_ms) = (epoch_of(self.recording, place), place.header.clock_ms);
            let mut decoder = EventDecoder::new(&self.bytes, clock_ms, &mut self.model);
            while let Ok(event) = decoder.next_event() {
                let applied = CHUNK_HEADER + decoder.position();
                let position = Position { ordinal: place.header.ordinal, applied };
                let [is_told, is_late] = positions.map(|noted| position > noted);
                match event {
                    Event::Clock(ms) => clock_ms = ms,
                    Event::Mark(number) if number >= mark::EPOCH => {
                        epoch = u32::try_from(number - mark::EPOCH).unwrap_or(u32::MAX);
                    }
                    _ => {}
                }
                if event.is_of_resource() || (self.is_after)(epoch, &event) {
                    continue;
                }
                if let Event::ReallocEnd { .. } = event {
                    match pending.pop() {
                        Some((address, stamp, true)) => window.tell(address, stamp, Fate::Gone, true),
                        Some((address, stamp, _)) if is_told => {
                            window.tell(address, stamp, Fate::Moved, is_late)
                        }
                        Some(_) => {}
                        None => is_paired &= !is_told,
                    }
                }
                match event {
                    Event::ReallocBegin { address, stamp } => pending.push((address, stamp, is_late)),
                    Event::ReallocUndo { address, .. } => {
                        let begun = pending.iter().rposition(|(begun, ..)| *begun == address);
                        begun.map(|index| pending.remove(index));
                    }
                    Event::Alloc { address, size, stack, stamp }
                    | Event::ReallocEnd { address, size, stack, stamp }
                        if is_told =>
                    {
                        let birth = Birth::new(epoch, clock_ms);
                        window.tell(address, stamp, Fate::Block { size, stack, birth }, is_late);
                    }
                    Event::Free { address, stamp } if is_told => {
                        window.tell(address, stamp, Fate::Gone, is_late)
                    }
                    _ => {}
                }
            }
            window.last_clock_ms = window.last_clock_ms.max(clock_ms);
        }
        Some(is_paired)
    }
}

/// The epoch in which a chunk was begun.
fn epoch_of(recording: &Recording, place: &ChunkPlace) -> u32 {
    match place.header.epoch {
        0 => recording.words.epoch_at(place.header.clock_ms),
        epoch => epoch,
    }
}
