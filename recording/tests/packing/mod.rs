//! Packs events and definitions into chunks the way the interposer does: a record at a time, the first eight bytes
//! last, a new chunk when less than [`ROOM`] is left. Used by the tests and the fuzz targets.

use recording::layout::{CHUNK, CHUNK_HEADER, ChunkHeader, ChunkKind, ROOM};
use recording::{
    Definition, DefinitionDecoder, DefinitionEncoder, DefinitionModel, Event, EventDecoder, EventModel,
    Packed, Said, Stop, Wide, module_bytes,
};

/// A chunk, what was put into it (with the offset behind the header at which each record ends), and the writer's
/// model when it was left.
pub struct Filled<T, M> {
    pub bytes: Vec<u8>,
    pub records: Vec<(usize, T)>,
    pub model: Box<M>,
}

/// A chunk that is being written.
struct Page {
    bytes: Vec<u8>,
    at: usize,
}

impl Page {
    fn new(header: ChunkHeader) -> Page {
        let mut bytes = vec![0; CHUNK];
        for (place, word) in bytes.chunks_exact_mut(8).zip(header.to_words()) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Page { bytes, at: CHUNK_HEADER }
    }

    fn left(&self) -> usize {
        CHUNK - self.at
    }

    fn store(&mut self, offset: usize, word: u64) {
        self.bytes[self.at + offset..][..8].copy_from_slice(&word.to_le_bytes());
    }

    fn packed(&mut self, packed: Packed) {
        assert_eq!(packed.bytes()[packed.len()..].iter().find(|&&byte| byte != 0), None);
        self.store(8, packed.high());
        self.store(0, packed.low());
        self.at += packed.len();
    }

    fn said(&mut self, said: Said) {
        self.stamp(said.gap);
        self.packed(said.record);
    }

    fn stamp(&mut self, gap: Option<Packed>) {
        if let Some(gap) = gap {
            self.packed(gap);
        }
    }

    fn wide(&mut self, wide: Wide) {
        for i in (0..3).rev() {
            self.store(8 * i, wide.words[i]);
        }
        self.at += wide.len;
    }
}

/// One writer of events.
pub struct EventWriter {
    page: Page,
    model: Box<EventModel>,
    records: Vec<(usize, Event)>,
    done: Vec<Filled<Event, EventModel>>,
}

impl EventWriter {
    pub fn new(clock_ms: u64) -> EventWriter {
        let page = Page::new(header(ChunkKind::Events, 0, clock_ms, 0));
        let mut model = Box::new(EventModel::new());
        model.begin_chunk(clock_ms);
        EventWriter { page, model, records: Vec::new(), done: Vec::new() }
    }

    /// Writes `event`; a clock that did not move is no record.
    pub fn push(&mut self, event: Event) {
        if self.page.left() < ROOM {
            self.turn();
        }
        let before = self.page.at;
        self.write(event);
        if self.page.at > before {
            self.records.push((self.page.at - CHUNK_HEADER, event));
        }
    }

    fn write(&mut self, event: Event) {
        let (page, model) = (&mut self.page, &mut self.model);
        match event {
            Event::Alloc { address, size, stack, stamp }
            | Event::ReallocEnd { address, size, stack, stamp } => {
                let realloc = matches!(event, Event::ReallocEnd { .. });
                match model.alloc(address, size, stack, realloc, stamp) {
                    Some(said) => page.said(said),
                    None => {
                        page.stamp(model.stamp(address, stamp));
                        page.wide(model.wide_alloc(address, size, stack, realloc));
                    }
                }
            }
            Event::Free { address, stamp } | Event::ReallocBegin { address, stamp } => {
                let realloc = matches!(event, Event::ReallocBegin { .. });
                match model.free(address, realloc, stamp, || address.0 as usize >> 4 & 2047) {
                    Some(said) => page.said(said),
                    None => {
                        page.stamp(model.stamp(address, stamp));
                        page.wide(model.wide_free(address, realloc));
                    }
                }
            }
            Event::ReallocUndo { address, stamp } => {
                page.stamp(model.stamp(address, stamp));
                page.packed(model.realloc_undo(address));
            }
            Event::Clock(ms) => {
                if let Some(packed) = model.clock(ms) {
                    page.packed(packed);
                }
            }
            Event::Thread { number, tid } => page.packed(model.thread(number, tid)),
            Event::ThreadName(name) => page.packed(model.thread_name(&name)),
            Event::Mark(mark) => page.packed(model.mark(mark)),
            Event::Lost(count) => page.packed(model.lost(count)),
        }
    }

    fn turn(&mut self) {
        let clock_ms = self.records.iter().fold(self.clock_of_page(), |clock, (_, event)| match event {
            Event::Clock(ms) => *ms,
            _ => clock,
        });
        let next = Page::new(header(ChunkKind::Events, self.done.len() as u32 + 1, clock_ms, 0));
        let page = std::mem::replace(&mut self.page, next);
        self.done.push(Filled {
            bytes: page.bytes,
            records: std::mem::take(&mut self.records),
            model: self.model.clone(),
        });
        self.model.begin_chunk(clock_ms);
    }

    fn clock_of_page(&self) -> u64 {
        ChunkHeader::decode(&self.page.bytes).expect("the page has a header").clock_ms
    }

    /// All chunks.
    pub fn finish(mut self) -> Vec<Filled<Event, EventModel>> {
        self.turn();
        self.done
    }
}

/// A definition to write; a module is owned elsewhere.
pub fn define(model: &mut DefinitionModel, definition: &Definition<'_>) -> Vec<u8> {
    let packed = match *definition {
        Definition::Node { parent, pc, kind, .. } => model.node(parent, pc, kind),
        Definition::Epoch(epoch) => model.epoch(epoch),
        Definition::ModuleGone { number, epoch } => model.module_gone(number, epoch),
        Definition::Module(module) => {
            let mut bytes = vec![0; recording::Module::MAX];
            let len = module_bytes(&module, &mut bytes);
            bytes.truncate(len);
            return bytes;
        }
    };
    packed.bytes()[..packed.len()].to_vec()
}

fn header(kind: ChunkKind, ordinal: u32, clock_ms: u64, first_id: u32) -> ChunkHeader {
    ChunkHeader { kind, writer: 0, ordinal, thread: 0, tid: 1, clock_ms, first_id, epoch: 0 }
}

/// Everything that decodes from the bytes behind a chunk's header, why it stops, and the model then.
pub fn events(bytes: &[u8], clock_ms: u64) -> (Vec<(usize, Event)>, Stop, Box<EventModel>) {
    let mut model = Box::new(EventModel::new());
    let mut decoder = EventDecoder::new(bytes, clock_ms, &mut model);
    let mut found = Vec::new();
    let stop = loop {
        let before = decoder.position();
        match decoder.next_event() {
            Ok(event) => found.push((decoder.position(), event)),
            Err(stop) => {
                assert_eq!(decoder.position(), before, "a stop does not move");
                assert_eq!(decoder.next_event(), Err(stop), "and is the same again");
                break stop;
            }
        }
        assert!(decoder.position() > before, "every record takes bytes");
    };
    (found, stop, model)
}

/// The same for definitions.
pub fn definitions(
    bytes: &[u8],
    first_id: u32,
) -> (Vec<(usize, Definition<'_>)>, Stop, Box<DefinitionModel>) {
    let mut model = Box::new(DefinitionModel::new(0));
    let mut decoder = DefinitionDecoder::new(bytes, first_id, &mut model);
    let mut found = Vec::new();
    let stop = loop {
        let before = decoder.position();
        match decoder.next_definition() {
            Ok(definition) => found.push((decoder.position(), definition)),
            Err(stop) => {
                assert_eq!(decoder.position(), before, "a stop does not move");
                assert_eq!(decoder.next_definition(), Err(stop), "and is the same again");
                break stop;
            }
        }
        assert!(decoder.position() > before, "every record takes bytes");
    };
    (found, stop, model)
}
