//! What goes into a chunk comes out of it: any sequence of records, cut at any byte, and no bytes do harm.

#[allow(dead_code, reason = "each test uses its part")]
mod packing;

use packing::{EventWriter, Filled, define, definitions, events};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use recording::layout::{CHUNK, CHUNK_HEADER, ChunkHeader, FileHeader, HeaderError};
use recording::{
    Address, CodeLines, CodeObject, Definition, DefinitionModel, EvalLoop, Event, EventModel, FrameKind,
    Interpreter, Memory, Module, Segment, StackId, Stop, shard_of,
};

/// What a program does next.
#[derive(Clone, Debug)]
enum Step {
    /// Allocates where the last freed block was.
    Reuse(u64, u32),
    /// Allocates somewhere.
    Alloc(u64, u64, u32),
    /// Frees the block that was allocated last.
    FreeLast,
    Free(Index),
    FreeUnknown(u64),
    ReallocInPlace(Index, u64, u32),
    ReallocMoved(Index, u64, u64, u32),
    ReallocFailed(Index),
    /// Other threads take this many stamps of every shard.
    Gap(u64),
    Clock(u64),
    Thread(u32, u32),
    Name([u8; 15]),
    Mark(u64),
    Lost(u64),
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0u64..80).prop_map(|units| units * 16 + 8),
        2 => 0u64..5000,
        1 => any::<u64>().prop_map(|bits| bits >> (bits & 63)),
    ]
}

fn place() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => (0u64..512).prop_map(|block| 0x5555_5555_5010 + block * 32),
        2 => (0u64..512).prop_map(|page| 0x7fff_f000_0010 + page * 4096),
        1 => (0u64..512).prop_map(|byte| 0x5555_5555_5001 + byte),
        1 => any::<u64>(),
    ]
}

fn stack() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 32768u32..32800, 2 => 32768u32..400_000, 1 => any::<u32>()]
}

/// What an allocator may say that a block holds.
fn usable() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0usize..1200, 1 => any::<usize>(), 1 => Just(usize::MAX), 1 => Just(0)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (size(), stack()).prop_map(|(size, stack)| Step::Reuse(size, stack)),
        8 => (place(), size(), stack()).prop_map(|(at, size, stack)| Step::Alloc(at, size, stack)),
        6 => Just(Step::FreeLast),
        6 => any::<Index>().prop_map(Step::Free),
        1 => place().prop_map(Step::FreeUnknown),
        2 => (any::<Index>(), size(), stack()).prop_map(|(i, size, stack)| Step::ReallocInPlace(i, size, stack)),
        2 => (any::<Index>(), place(), size(), stack()).prop_map(|(i, at, n, s)| Step::ReallocMoved(i, at, n, s)),
        1 => any::<Index>().prop_map(Step::ReallocFailed),
        4 => prop_oneof![4 => 1u64..40, 1 => 0u64..1000, 1 => any::<u64>()].prop_map(Step::Gap),
        1 => prop_oneof![0u64..1000, any::<u64>()].prop_map(Step::Clock),
        1 => any::<(u32, u32)>().prop_map(|(number, tid)| Step::Thread(number, tid)),
        1 => any::<[u8; 15]>().prop_map(Step::Name),
        1 => any::<u64>().prop_map(Step::Mark),
        1 => any::<u64>().prop_map(Step::Lost),
    ]
}

/// The events of a program that takes these steps.
#[derive(Default)]
struct Program {
    live: Vec<Address>,
    freed: Vec<Address>,
    stamps: Vec<u64>,
    clock: u64,
    events: Vec<Event>,
}

impl Program {
    fn stamp(&mut self, address: Address) -> u64 {
        self.stamps.resize(256, 0);
        let counter = &mut self.stamps[shard_of(address)];
        *counter = counter.wrapping_add(1);
        counter.wrapping_sub(1)
    }

    fn alloc(&mut self, address: Address, size: u64, stack: u32) {
        let (stamp, stack) = (self.stamp(address), StackId(stack));
        self.events.push(Event::Alloc { address, size, stack, stamp });
        self.live.push(address);
    }

    fn free(&mut self, address: Address) {
        let stamp = self.stamp(address);
        self.events.push(Event::Free { address, stamp });
        self.freed.push(address);
    }

    fn realloc_begin(&mut self, block: Index) -> Option<(usize, Address)> {
        if self.live.is_empty() {
            return None;
        }
        let index = block.index(self.live.len());
        let address = self.live[index];
        let stamp = self.stamp(address);
        self.events.push(Event::ReallocBegin { address, stamp });
        Some((index, address))
    }

    fn realloc_end(&mut self, index: usize, address: Address, size: u64, stack: u32) {
        let (stamp, stack) = (self.stamp(address), StackId(stack));
        self.events.push(Event::ReallocEnd { address, size, stack, stamp });
        self.live[index] = address;
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Reuse(size, stack) => {
                let address = self.freed.pop().unwrap_or(Address(0x5555_5555_4010));
                self.alloc(address, size, stack);
            }
            Step::Alloc(at, size, stack) => self.alloc(Address(at), size, stack),
            Step::FreeLast => {
                if let Some(address) = self.live.pop() {
                    self.free(address);
                }
            }
            Step::Free(block) => {
                if !self.live.is_empty() {
                    let address = self.live.swap_remove(block.index(self.live.len()));
                    self.free(address);
                }
            }
            Step::FreeUnknown(at) => self.free(Address(at)),
            Step::ReallocInPlace(block, size, stack) => {
                if let Some((index, address)) = self.realloc_begin(block) {
                    self.realloc_end(index, address, size, stack);
                }
            }
            Step::ReallocMoved(block, to, size, stack) => {
                if let Some((index, _)) = self.realloc_begin(block) {
                    self.realloc_end(index, Address(to), size, stack);
                }
            }
            Step::ReallocFailed(block) => {
                if let Some((_, address)) = self.realloc_begin(block) {
                    let stamp = self.stamp(address);
                    self.events.push(Event::ReallocUndo { address, stamp });
                }
            }
            Step::Gap(gap) => {
                self.stamps.resize(256, 0);
                for counter in &mut self.stamps {
                    *counter = counter.wrapping_add(gap);
                }
            }
            Step::Clock(moved) => {
                let clock = self.clock.saturating_add(moved);
                if clock > self.clock {
                    self.clock = clock;
                    self.events.push(Event::Clock(clock));
                }
            }
            Step::Thread(number, tid) => self.events.push(Event::Thread { number, tid }),
            Step::Name(name) => self.events.push(Event::ThreadName(name)),
            Step::Mark(mark) => self.events.push(Event::Mark(mark)),
            Step::Lost(count) => self.events.push(Event::Lost(count)),
        }
    }
}

/// Long enough for several chunks where `repeats` is large: the steps again and again.
fn program(steps: &[Step], repeats: usize) -> Vec<Event> {
    let mut program = Program::default();
    for _ in 0..repeats {
        for step in steps {
            program.take(step.clone());
        }
    }
    program.events
}

fn written(events: &[Event]) -> Vec<Filled<Event, EventModel>> {
    written_with(events, Memory::Whole)
}

fn written_with(events: &[Event], memory: Memory) -> Vec<Filled<Event, EventModel>> {
    let mut writer = EventWriter::with(0, memory);
    for &event in events {
        writer.push(event);
    }
    writer.finish()
}

fn clock_of(chunk: &Filled<Event, EventModel>) -> u64 {
    ChunkHeader::decode(&chunk.bytes).expect("a begun chunk").clock_ms
}

fn definition() -> impl Strategy<Value = Planned> {
    let parent = prop_oneof![4 => (0u32..4).prop_map(Parent::Back), 2 => (0u32..7).prop_map(Parent::Id),
                             1 => any::<u32>().prop_map(Parent::Id)];
    let pc = prop_oneof![4 => (0u64..64).prop_map(|i| 0x5555_5555_0000 + i * 97), 1 => any::<u64>()];
    let segments = vec(any::<(u64, u64, u64, u64)>(), 0..6);
    let bytes = |most: usize| vec(any::<u8>(), 0..most);
    let instruction = prop_oneof![4 => -1i32..900, 1 => any::<i32>()];
    let code = prop_oneof![4 => 0u32..40, 1 => any::<u32>()];
    prop_oneof![
        4 => (parent.clone(), code, instruction, any::<bool>())
            .prop_map(|(parent, code, at, entry)| Planned::Python(parent, code, at, entry)),
        4 => (parent.clone(), parent.clone()).prop_map(|(native, python)| Planned::Merged(native, python)),
        1 => (any::<(u32, u32, i32, u32)>(), bytes(80), bytes(60), bytes(400))
            .prop_map(|(fixed, file, name, lines)| Planned::Code(fixed, file, name, lines)),
        1 => (any::<(u32, u32)>(), bytes(400)).prop_map(|((code, at), lines)| Planned::Lines(code, at, lines)),
        1 => (any::<(u32, u32, (bool, bool))>(), bytes(90))
            .prop_map(|((number, version, flags), text)| Planned::Interpreter(number, version, flags, text)),
        1 => any::<(u32, u64, u64)>().prop_map(|(of, begin, end)| Planned::EvalLoop(of, begin, end)),
        8 => (parent, pc, any::<bool>()).prop_map(|(parent, pc, signal)| Planned::Node(parent, pc, signal)),
        1 => any::<u32>().prop_map(Planned::Epoch),
        1 => any::<(u32, u32)>().prop_map(|(number, epoch)| Planned::Gone(number, epoch)),
        1 => (any::<(u32, u32, u64, u64, u64)>(), segments, vec(any::<u8>(), 0..64), vec(any::<u8>(), 0..300))
            .prop_map(|(fixed, segments, build_id, path)| Planned::Module(fixed, raw(&segments), build_id, path)),
    ]
}

#[derive(Clone, Debug)]
enum Parent {
    /// The node this many before the new one.
    Back(u32),
    Id(u32),
}

/// A definition before it has an id.
#[derive(Clone, Debug)]
enum Planned {
    Node(Parent, u64, bool),
    Epoch(u32),
    Gone(u32, u32),
    Python(Parent, u32, i32, bool),
    Merged(Parent, Parent),
    Code((u32, u32, i32, u32), Vec<u8>, Vec<u8>, Vec<u8>),
    Lines(u32, u32, Vec<u8>),
    Interpreter(u32, u32, (bool, bool), Vec<u8>),
    EvalLoop(u32, u64, u64),
    Module((u32, u32, u64, u64, u64), Vec<u8>, Vec<u8>, Vec<u8>),
}

fn raw(segments: &[(u64, u64, u64, u64)]) -> Vec<u8> {
    let segment = |&(address, size, offset, flags): &_| Segment { address, size, offset, flags }.to_bytes();
    segments.iter().flat_map(segment).collect()
}

impl Parent {
    fn of(&self, id: StackId) -> StackId {
        match self {
            Parent::Back(distance) => StackId(id.0.wrapping_sub(*distance)),
            Parent::Id(id) => StackId(*id),
        }
    }
}

impl Planned {
    fn with_id(&self, id: StackId) -> Definition<'_> {
        match self {
            Planned::Node(parent, pc, interrupted) => Definition::Node {
                id,
                parent: parent.of(id),
                pc: Address(*pc),
                kind: if *interrupted { FrameKind::Interrupted } else { FrameKind::Return },
            },
            Planned::Epoch(epoch) => Definition::Epoch(*epoch),
            Planned::Gone(number, epoch) => Definition::ModuleGone { number: *number, epoch: *epoch },
            Planned::Python(parent, code, instruction, entry) => Definition::PythonNode {
                id,
                parent: parent.of(id),
                code: *code,
                instruction: *instruction,
                entry: *entry,
            },
            Planned::Merged(native, python) => {
                Definition::Merged { id, native: native.of(id), python: python.of(id) }
            }
            Planned::Code((number, interpreter, first_line, lines_size), file, name, lines) => {
                Definition::CodeObject(CodeObject {
                    number: *number,
                    interpreter: *interpreter,
                    first_line: *first_line,
                    lines_size: *lines_size,
                    file,
                    name,
                    lines,
                })
            }
            Planned::Lines(number, offset, lines) => {
                Definition::CodeLines(CodeLines { number: *number, offset: *offset, lines })
            }
            Planned::Interpreter(number, version, (walked, objects), text) => {
                Definition::Interpreter(Interpreter {
                    number: *number,
                    version: *version,
                    walked: *walked,
                    objects: *objects,
                    text,
                })
            }
            Planned::EvalLoop(interpreter, begin, end) => {
                Definition::EvalLoop(EvalLoop { interpreter: *interpreter, begin: *begin, end: *end })
            }
            Planned::Module((number, epoch, bias, device, inode), raw_segments, build_id, path) => {
                Definition::Module(Module {
                    number: *number,
                    epoch: *epoch,
                    bias: *bias,
                    device: *device,
                    inode: *inode,
                    raw_segments,
                    build_id,
                    path,
                })
            }
        }
    }
}

/// Bytes of the planned definitions, each with the offset at which it ends.
fn defined(planned: &[Planned], model: &mut DefinitionModel) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for plan in planned {
        let definition = plan.with_id(model.next_id());
        bytes.extend(define(model, &definition));
        ends.push(bytes.len());
    }
    (bytes, ends)
}

/// How many records end within `cut`, and whether decoding must say that one is cut.
fn expected(ends: impl Iterator<Item = usize>, cut: usize) -> (usize, bool) {
    let whole: Vec<usize> = ends.take_while(|&end| end <= cut).collect();
    (whole.len(), whole.last().copied().unwrap_or(0) < cut)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn events_come_back(steps in vec(step(), 1..600), repeats in 1usize..40) {
        let events_in = program(&steps, repeats);
        let chunks = written(&events_in);
        let mut back = Vec::new();
        for chunk in &chunks {
            let (found, stop, model) = events(&chunk.bytes[CHUNK_HEADER..], clock_of(chunk));
            prop_assert_eq!(stop, Stop::End);
            prop_assert_eq!(&found, &chunk.records);
            prop_assert!(model == chunk.model, "encoder and decoder predict alike");
            back.extend(found.into_iter().map(|(_, event)| event));
        }
        prop_assert_eq!(back, events_in);
    }

    #[test]
    fn a_writer_that_remembers_less_says_the_same(steps in vec(step(), 1..600), repeats in 1usize..40) {
        let events_in = program(&steps, repeats);
        let mut back = Vec::new();
        for chunk in written_with(&events_in, Memory::Small) {
            let (found, stop, _) = events(&chunk.bytes[CHUNK_HEADER..], clock_of(&chunk));
            prop_assert_eq!(stop, Stop::End);
            prop_assert_eq!(&found, &chunk.records);
            back.extend(found.into_iter().map(|(_, event)| event));
        }
        prop_assert_eq!(back, events_in);
    }

    #[test]
    fn what_the_allocator_says_of_a_block_is_only_a_hint(steps in vec(step(), 1..300), usable in vec(usable(), 1..50)) {
        let events_in = program(&steps, 2);
        let mut writer = EventWriter::new(0);
        events_in.iter().zip(usable.iter().cycle()).for_each(|(&event, &usable)| writer.push_with(event, usable));
        let mut back = Vec::new();
        for chunk in writer.finish() {
            let (found, stop, model) = events(&chunk.bytes[CHUNK_HEADER..], clock_of(&chunk));
            prop_assert_eq!(stop, Stop::End);
            prop_assert!(model == chunk.model, "encoder and decoder predict alike");
            back.extend(found.into_iter().map(|(_, event)| event));
        }
        prop_assert_eq!(back, events_in);
    }

    #[test]
    fn a_chunk_cut_anywhere_gives_a_prefix(steps in vec(step(), 1..120)) {
        for chunk in &written(&program(&steps, 1)) {
            let end = chunk.records.last().map_or(0, |&(end, _)| end);
            for cut in 0..=end {
                let (found, stop, _) = events(&chunk.bytes[CHUNK_HEADER..CHUNK_HEADER + cut], 0);
                let (count, is_cut) = expected(chunk.records.iter().map(|&(end, _)| end), cut);
                prop_assert_eq!(&found, &chunk.records[..count], "cut at {}", cut);
                let at = stop_offset(&chunk.records, count);
                // A stamp gap without its event, or a chunk that is only begun, is what a killed process leaves: nothing is missing.
                let gap = matches!(chunk.bytes[CHUNK_HEADER + at], 0x01 | 0x08 | 0x20..=0x3f);
                let only_gap = is_cut && stop == Stop::End && gap;
                prop_assert!(only_gap || stop == if is_cut { Stop::Cut(at) } else { Stop::End }, "{:?}", stop);
            }
        }
    }

    #[test]
    fn definitions_come_back(planned in vec(definition(), 1..300), first_id in prop_oneof![Just(32768u32), any::<u32>()]) {
        let mut model = DefinitionModel::new(first_id);
        let (bytes, _) = defined(&planned, &mut model);
        let (found, stop, decoded) = definitions(&bytes, first_id);
        prop_assert_eq!(stop, Stop::End);
        prop_assert_eq!(found.len(), planned.len());
        let mut id = first_id;
        for (plan, (_, definition)) in planned.iter().zip(found) {
            prop_assert_eq!(plan.with_id(StackId(id)), definition);
            let takes_id = matches!(plan, Planned::Node(..) | Planned::Python(..) | Planned::Merged(..));
            id = id.wrapping_add(u32::from(takes_id));
        }
        prop_assert!(*decoded == model, "encoder and decoder predict alike");
    }

    #[test]
    fn definitions_of_a_writer_that_remembers_less(planned in vec(definition(), 1..300)) {
        let mut model = DefinitionModel::new(0);
        model.begin_chunk(32768, Memory::Small);
        let (bytes, _) = defined(&planned, &mut model);
        let (found, stop, _) = definitions(&bytes, 32768);
        prop_assert_eq!(stop, Stop::End);
        let (mut whole, mut back) = (DefinitionModel::new(32768), DefinitionModel::new(32768));
        let again: Vec<u8> = found.iter().flat_map(|(_, definition)| define(&mut back, definition)).collect();
        prop_assert_eq!(again, defined(&planned, &mut whole).0);
    }

    #[test]
    fn definitions_cut_anywhere_give_a_prefix(planned in vec(definition(), 1..40)) {
        let (bytes, ends) = defined(&planned, &mut DefinitionModel::new(32768));
        let (all, _, _) = definitions(&bytes, 32768);
        for cut in 0..=bytes.len() {
            let (found, stop, _) = definitions(&bytes[..cut], 32768);
            let (count, is_cut) = expected(ends.iter().copied(), cut);
            prop_assert_eq!(&found, &all[..count], "cut at {}", cut);
            prop_assert_eq!(stop, if is_cut { Stop::Cut(stop_offset(&all, count)) } else { Stop::End });
        }
    }

    #[test]
    fn any_bytes_end_in_a_stop(bytes in vec(any::<u8>(), 0..3000), id: u32, clock: u64) {
        prop_assert!(events(&bytes, clock).0.len() <= bytes.len());
        prop_assert!(definitions(&bytes, id).0.len() <= bytes.len());
        let _ = (FileHeader::decode(&bytes), ChunkHeader::decode(&bytes));
        prop_assert!(FileHeader::strings(&bytes).count() <= bytes.len());
    }

    #[test]
    fn a_damaged_chunk_ends_in_a_stop(steps in vec(step(), 1..200), damage in vec(any::<(Index, u8)>(), 1..8)) {
        let chunk = written(&program(&steps, 1)).swap_remove(0);
        let mut bytes = chunk.bytes[CHUNK_HEADER..].to_vec();
        let used = chunk.records.last().map_or(1, |&(end, _)| end);
        for (place, value) in damage {
            bytes[place.index(used)] = value;
        }
        prop_assert!(events(&bytes, 0).0.len() <= CHUNK);
    }

    #[test]
    fn chunk_headers_come_back(kind in prop_oneof![2u8..=3, Just(5u8), Just(7u8)], words: [u32; 7], clock_ms: u64) {
        let mut bytes: Vec<u8> = [0x4b43_4655 | u64::from(kind) << 32, 0].iter().flat_map(|w: &u64| w.to_le_bytes()).collect();
        bytes.resize(CHUNK_HEADER, 0);
        let kind = ChunkHeader::decode(&bytes).expect("a known kind").kind;
        let [writer, ordinal, thread, tid, first_id, epoch, process] = words;
        let header = ChunkHeader { kind, writer, ordinal, thread, tid, clock_ms, first_id, epoch, process };
        let bytes: Vec<u8> = header.to_words().iter().flat_map(|word| word.to_le_bytes()).collect();
        prop_assert_eq!(ChunkHeader::decode(&bytes), Some(header));
    }

    #[test]
    fn file_headers_come_back(ids: [u64; 6], numbers: [u32; 4], words: [u64; 8], cut in 0usize..512) {
        let [file_id, parent_file_id, pid_namespace, start_ticks, realtime_ns, monotonic_ns] = ids;
        let [machine, pid, parent_pid, user] = numbers;
        let header = FileHeader {
            version: recording::layout::VERSION, compressed: words[0] ^ words[5], reused: words[4], held_monotonic_ns: words[5], unknown_frees: words[6], flags: words[7], finalizing_monotonic_ns: words[3] ^ words[0], processes: (words[1] ^ words[2]) & !recording::layout::CLOSED, machine, file_id, parent_file_id, pid, parent_pid, pid_namespace, start_ticks, realtime_ns,
            monotonic_ns, user, next_chunk: words[0], state: Some(recording::layout::State::Recording),
            stop_cause: Some(recording::layout::StopCause::Full), stop_errno: words[1], end_monotonic_ns: words[2],
            lost: [words[3]; recording::layout::LOST_KINDS],
        };
        let file = file(&header);
        prop_assert_eq!(FileHeader::decode(&file), Ok(header));
        let whole = recording::layout::COMPRESSED + 8;
        match FileHeader::decode(&file[..cut]) {
            Ok(_) => prop_assert!(cut >= whole),
            Err(HeaderError::NotARecording) => prop_assert!(cut < 8),
            Err(error) => prop_assert!(error == HeaderError::Cut && cut >= 8 && cut < whole, "{:?}", error),
        }
    }
}

fn stop_offset<T>(records: &[(usize, T)], count: usize) -> usize {
    count.checked_sub(1).map_or(0, |last| records[last].0)
}

/// A file with this header and nothing else.
fn file(header: &FileHeader) -> Vec<u8> {
    use recording::layout::{
        COMPRESSED, END_MONOTONIC, FINALIZING_MONOTONIC, FLAGS, HELD_MONOTONIC, LOST, NEXT_CHUNK, PROCESSES,
        REUSED, STATE, STOP_CAUSE, STOP_ERRNO, UNKNOWN_FREES,
    };
    let mut file = header.to_bytes().to_vec();
    file.resize(CHUNK, 0);
    let mut put = |at: usize, word: u64| file[at..at + 8].copy_from_slice(&word.to_le_bytes());
    put(COMPRESSED, header.compressed);
    put(NEXT_CHUNK, header.next_chunk);
    put(STATE, header.state.map_or(99, |state| state as u64));
    put(STOP_CAUSE, header.stop_cause.map_or(99, |cause| cause as u64));
    put(STOP_ERRNO, header.stop_errno);
    put(END_MONOTONIC, header.end_monotonic_ns);
    put(FINALIZING_MONOTONIC, header.finalizing_monotonic_ns);
    put(PROCESSES, header.processes);
    put(REUSED, header.reused);
    put(HELD_MONOTONIC, header.held_monotonic_ns);
    put(UNKNOWN_FREES, header.unknown_frees);
    put(FLAGS, header.flags);
    for (kind, &count) in header.lost.iter().enumerate() {
        put(LOST + 8 * kind, count);
    }
    file
}

#[test]
fn many_chunks_are_turned_and_an_undo_may_follow_a_turn() {
    let mut events_in = Vec::new();
    for i in 0..100_000u64 {
        let address = Address(0x5555_5555_5010 + (i % 7000) * 48);
        events_in.push(Event::Mark(i % 200)); // one or two bytes, so that chunks are turned at different places
        events_in.push(Event::ReallocBegin { address, stamp: 2 * i });
        events_in.push(Event::ReallocUndo { address, stamp: 2 * i + 1 });
    }
    let chunks = written(&events_in);
    assert!(chunks.len() > 3, "{} chunks", chunks.len());
    assert!(
        chunks.iter().any(|chunk| matches!(chunk.records[0].1, Event::ReallocUndo { .. })),
        "some undo begins a chunk"
    );
    let mut back = Vec::new();
    for chunk in &chunks {
        let (found, stop, _) = events(&chunk.bytes[CHUNK_HEADER..], clock_of(chunk));
        assert_eq!(stop, Stop::End);
        back.extend(found.into_iter().map(|(_, event)| event));
    }
    assert!(back == events_in);
}

#[test]
fn a_newer_version_is_said() {
    let mut bytes = vec![0; CHUNK];
    bytes[..8].copy_from_slice(&recording::layout::MAGIC);
    let newer = recording::layout::VERSION + 1;
    bytes[8] = newer as u8;
    assert_eq!(FileHeader::decode(&bytes), Err(HeaderError::NewerVersion(newer)));
}
