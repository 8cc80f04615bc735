//! Packs events and definitions into chunks the way the interposer does: a record at a time, the first eight bytes
//! last, a new chunk when less than [`ROOM`] is left. Used by the tests and the fuzz targets.

use recording::layout::{CHUNK, CHUNK_HEADER, ChunkHeader, ChunkKind, ROOM};
use recording::{
    Definition, DefinitionDecoder, DefinitionEncoder, DefinitionModel, Event, EventDecoder, EventModel,
    Memory, Packed, Said, Stop, Wide,
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
    memory: Memory,
    records: Vec<(usize, Event)>,
    done: Vec<Filled<Event, EventModel>>,
}

impl EventWriter {
    pub fn new(clock_ms: u64) -> EventWriter {
        EventWriter::with(clock_ms, Memory::Whole)
    }

    pub fn with(clock_ms: u64, memory: Memory) -> EventWriter {
        let mut page = Page::new(header(ChunkKind::Events, 0, clock_ms, 0));
        let mut model = Box::new(EventModel::new());
        model.begin_chunk(clock_ms, memory);
        page.packed(model.predictors());
        EventWriter { page, model, memory, records: Vec::new(), done: Vec::new() }
    }

    /// Writes `event`; a clock that did not move is no record.
    pub fn push(&mut self, event: Event) {
        let usable = match event {
            Event::Free { address, .. } | Event::ReallocBegin { address, .. } => {
                address.0 as usize >> 4 & 2047
            }
            _ => 0,
        };
        self.push_with(event, usable);
    }

    /// The same where the allocator says that a block to be freed holds `usable` bytes.
    pub fn push_with(&mut self, event: Event, usable: usize) {
        if self.page.left() < ROOM {
            self.turn();
        }
        let before = self.page.at;
        self.write(event, usable);
        if self.page.at > before {
            self.records.push((self.page.at - CHUNK_HEADER, event));
        }
    }

    fn write(&mut self, event: Event, usable: usize) {
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
                match model.free(address, realloc, stamp, || usable) {
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
        self.model.begin_chunk(clock_ms, self.memory);
        self.page.packed(self.model.predictors());
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

fn long(write: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut bytes = vec![0; recording::LONGEST];
    let len = write(&mut bytes);
    bytes.truncate(len);
    bytes
}

/// A definition to write; the parts of long ones are owned elsewhere.
pub fn define(model: &mut DefinitionModel, definition: &Definition<'_>) -> Vec<u8> {
    let packed = match *definition {
        Definition::Node { parent, pc, kind, .. } => model.node(parent, pc, kind),
        Definition::Epoch(epoch) => model.epoch(epoch),
        Definition::ModuleGone { number, epoch } => model.module_gone(number, epoch),
        Definition::PythonNode { parent, code, instruction, entry, .. } => {
            model.python_node(parent, code, instruction, entry)
        }
        Definition::Merged { native, python, .. } => model.merged(native, python),
        Definition::Module(module) => return long(|out| module.write(out)),
        Definition::CodeObject(code) => return long(|out| code.write(out)),
        Definition::CodeLines(lines) => return long(|out| lines.write(out)),
        Definition::Interpreter(interpreter) => return long(|out| interpreter.write(out)),
        Definition::EvalLoop(code) => return long(|out| code.write(out)),
    };
    packed.bytes()[..packed.len()].to_vec()
}

fn header(kind: ChunkKind, ordinal: u32, clock_ms: u64, first_id: u32) -> ChunkHeader {
    ChunkHeader { kind, writer: 0, ordinal, thread: 0, tid: 1, clock_ms, first_id, epoch: 0, process: 0 }
}

/// A form of an event's tag.
pub struct Form {
    pub name: &'static str,
    mask: u8,
    value: u8,
}

impl Form {
    pub fn matches(&self, tag: u8) -> bool {
        tag & self.mask == self.value
    }
}

const fn form(name: &'static str, mask: u8, value: u8) -> Form {
    Form { name, mask, value }
}

/// All forms of events and of what is before them.
pub const EVENT_FORMS: &[Form] = &[
    form("allocation", 0xc0, 0x80),
    form("realloc end", 0xc0, 0xc0),
    form("allocation where the last free was", 0xb0, 0x80),
    form("allocation where its size goes on", 0xb0, 0x90),
    form("allocation elsewhere", 0xb0, 0xa0),
    form("allocation behind the last", 0xf0, 0xb0),
    form("realloc end at the last address", 0xf0, 0xf0),
    form("known site", 0x8c, 0x80),
    form("known stack", 0x8c, 0x84),
    form("new stack", 0x8c, 0x88),
    form("known site with a gap", 0x8c, 0x8c),
    form("free of a recent block", 0xf0, 0x50),
    form("realloc begin of a recent block", 0xf0, 0x70),
    form("free by region", 0xf0, 0x40),
    form("realloc begin by region", 0xf0, 0x60),
    form("free in the latest region", 0xd7, 0x40),
    form("free in the second region", 0xd7, 0x41),
    form("free in the third region", 0xd7, 0x42),
    form("free in a new region", 0xd7, 0x47),
    form("free of a class that is said", 0xd8, 0x40),
    form("free of the expected class", 0xd8, 0x48),
    form("short gap", 0xe0, 0x20),
    form("stamp gap", 0xff, 0x01),
    form("clock", 0xff, 0x02),
    form("thread", 0xff, 0x03),
    form("thread name", 0xff, 0x04),
    form("realloc undo", 0xff, 0x05),
    form("mark", 0xff, 0x06),
    form("lost", 0xff, 0x07),
    form("predictors", 0xff, 0x08),
    form("wide allocation", 0xff, 0x10),
    form("wide realloc end", 0xff, 0x11),
    form("wide free", 0xff, 0x12),
    form("wide realloc begin", 0xff, 0x13),
];

/// The tags of one event's bytes: of its gap records and of a chunk's first record before it, and its own.
pub fn event_tags(bytes: &[u8]) -> Vec<u8> {
    let (mut at, mut found) = (0, Vec::new());
    loop {
        let tag = bytes[at];
        found.push(tag);
        at += match tag {
            1 => 2 + bytes[at + 1..].iter().take_while(|&&byte| byte >= 0x80).count(),
            8 | 0x20..=0x3f => 1,
            _ => return found,
        };
    }
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
