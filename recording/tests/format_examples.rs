//! The examples of FORMAT.md are what the encoder writes and what the decoder reads, and every record has one.
//!
//! An example is a fenced block of lines `HEX | TEXT`; a line whose text does not begin with a capital goes on with
//! the record before it. `UNFREED_BLESS=1` writes the hex columns anew.

#[allow(dead_code, reason = "each test uses its part")]
mod packing;

use std::collections::BTreeMap;

use packing::{EventWriter, define};
use recording::compressed::Entry;
use recording::layout::{self, CHUNK_HEADER, ChunkHeader, ChunkKind, FileHeader, State, StopCause};
use recording::{
    Address, CodeLines, CodeObject, Definition, DefinitionModel, EvalLoop, Event, FrameKind, Interpreter,
    Module, Segment, StackId,
};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/FORMAT.md");
/// Bytes on a line, and the columns they take.
const LINE: usize = 16;
const COLUMNS: usize = LINE * 3;

/// A record of an example: its text, and the bytes that the document gives.
struct Example {
    text: String,
    hex: Vec<u8>,
}

/// A fenced block: the words behind the fence, its records, and its lines in the document.
struct Block {
    kind: String,
    options: Fields,
    examples: Vec<Example>,
    lines: std::ops::Range<usize>,
}

/// `key=value` words.
#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Fields {
    fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Fields {
        let pairs = words.filter_map(|word| word.split_once('='));
        Fields(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    fn text(&self, key: &str) -> &str {
        self.0.get(key).unwrap_or_else(|| panic!("{key}= is missing"))
    }

    fn number(&self, key: &str) -> u64 {
        number(self.text(key))
    }

    fn small(&self, key: &str) -> u32 {
        self.number(key).try_into().unwrap_or_else(|_| panic!("{key} is too large"))
    }
}

fn number(text: &str) -> u64 {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("no number: {text}"))
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap_or_else(|_| panic!("no byte: {byte}")))
        .collect()
}

fn blocks(document: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    for (line, text) in document.lines().enumerate() {
        if let Some(info) = text.strip_prefix("```") {
            open = !open;
            if open {
                let mut words = info.split(' ');
                let kind = words.next().unwrap_or_default().to_owned();
                let lines = line + 1..line + 1;
                found.push(Block { kind, options: Fields::parse(words), examples: Vec::new(), lines });
            }
        } else if let Some(block) = found.last_mut().filter(|_| open) {
            block.lines.end = line + 1;
            let (bytes, words) = text.split_once('|').unwrap_or((text, ""));
            let words = words.trim();
            if words.starts_with(|first: char| first.is_ascii_uppercase()) {
                block.examples.push(Example { text: String::new(), hex: Vec::new() });
            }
            let example = block.examples.last_mut().expect("a block begins with a record");
            example.text = format!("{} {words}", example.text).trim().to_owned();
            example.hex.extend(hex(bytes));
        }
    }
    found
}

/// The block's lines with these bytes.
fn rendered(block: &Block, records: &[Vec<u8>]) -> Vec<String> {
    let mut lines = Vec::new();
    for (example, bytes) in block.examples.iter().zip(records) {
        let mut texts = wrapped(&example.text).into_iter();
        let mut rows =
            bytes.chunks(LINE).map(|row| row.iter().map(|byte| format!("{byte:02X} ")).collect::<String>());
        loop {
            let line = match (rows.next(), texts.next()) {
                (None, None) => break,
                (row, Some(text)) => format!("{:COLUMNS$}| {text}", row.unwrap_or_default()),
                (Some(row), None) => row.trim_end().to_owned(),
            };
            lines.push(line);
        }
    }
    lines
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("one line at least");
        if !line.is_empty() && line.len() + word.len() > 70 {
            lines.push(word.to_owned());
        } else {
            *line = format!("{line} {word}").trim().to_owned();
        }
    }
    lines
}

fn event(text: &str) -> Event {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let fields = Fields::parse(rest.split(' '));
    let address = || Address(fields.number("address"));
    let (stack, stamp) = (|| StackId(fields.small("stack")), || fields.number("stamp"));
    match kind {
        "Alloc" => {
            Event::Alloc { address: address(), size: fields.number("size"), stack: stack(), stamp: stamp() }
        }
        "ReallocEnd" => Event::ReallocEnd {
            address: address(),
            size: fields.number("size"),
            stack: stack(),
            stamp: stamp(),
        },
        "Free" => Event::Free { address: address(), stamp: stamp() },
        "ReallocBegin" => Event::ReallocBegin { address: address(), stamp: stamp() },
        "ReallocUndo" => Event::ReallocUndo { address: address(), stamp: stamp() },
        "Clock" => Event::Clock(number(rest)),
        "Thread" => Event::Thread { number: fields.small("number"), tid: fields.small("tid") },
        "ThreadName" => {
            let mut name = [0; 15];
            name[..rest.len()].copy_from_slice(rest.as_bytes());
            Event::ThreadName(name)
        }
        "Mark" => Event::Mark(number(rest)),
        "Lost" => Event::Lost(number(rest)),
        _ => panic!("no event: {kind}"),
    }
}

/// What the allocator says of a block that is freed; the event does not have it.
fn usable(text: &str) -> usize {
    let fields = Fields::parse(text.split(' '));
    fields.0.get("usable").map_or(0, |text| number(text) as usize)
}

/// The parts of a definition that need a place of their own.
struct Parts {
    segments: Vec<u8>,
    build_id: Vec<u8>,
    lines: Vec<u8>,
}

fn parts(text: &str) -> Parts {
    let fields = Fields::parse(text.split(' '));
    let list = fields.0.get("segments").map_or("", String::as_str);
    let segment = |text: &str| {
        let words: Vec<u64> = text.split(':').map(number).collect();
        Segment { address: words[0], size: words[1], offset: words[2], flags: words[3] }.to_bytes()
    };
    let digits = |key: &str| {
        let digits = fields.0.get(key).map_or("", String::as_str);
        (0..digits.len()).step_by(2).flat_map(|i| hex(&digits[i..i + 2])).collect()
    };
    Parts {
        segments: list.split(',').filter(|text| !text.is_empty()).flat_map(segment).collect(),
        build_id: digits("build_id"),
        lines: digits("lines"),
    }
}

fn definition<'a>(text: &'a str, parts: &'a Parts) -> Definition<'a> {
    let (kind, rest) = text.split_once(' ').expect("a definition has values");
    let fields = Fields::parse(rest.split(' '));
    match kind {
        "Node" => Definition::Node {
            id: StackId(fields.small("id")),
            parent: StackId(fields.small("parent")),
            pc: Address(fields.number("pc")),
            kind: match fields.text("kind") {
                "Return" => FrameKind::Return,
                "Interrupted" => FrameKind::Interrupted,
                other => panic!("no kind of frame: {other}"),
            },
        },
        "PythonNode" => Definition::PythonNode {
            id: StackId(fields.small("id")),
            parent: StackId(fields.small("parent")),
            code: fields.small("code"),
            instruction: fields.text("instruction").parse().expect("an i32"),
            entry: fields.text("entry") == "yes",
        },
        "Merged" => Definition::Merged {
            id: StackId(fields.small("id")),
            native: StackId(fields.small("native")),
            python: StackId(fields.small("python")),
        },
        "CodeObject" => Definition::CodeObject(CodeObject {
            number: fields.small("number"),
            interpreter: fields.small("interpreter"),
            first_line: fields.text("first_line").parse().expect("an i32"),
            lines_size: fields.small("lines_size"),
            file: word(rest, "file="),
            name: word(rest, "name="),
            lines: &parts.lines,
        }),
        "CodeLines" => Definition::CodeLines(CodeLines {
            number: fields.small("number"),
            offset: fields.small("offset"),
            lines: &parts.lines,
        }),
        "Interpreter" => Definition::Interpreter(Interpreter {
            number: fields.small("number"),
            version: fields.small("version"),
            walked: fields.text("walked") == "yes",
            objects: fields.text("objects") == "yes",
            text: word(rest, "text="),
        }),
        "EvalLoop" => Definition::EvalLoop(EvalLoop {
            interpreter: fields.small("interpreter"),
            begin: fields.number("begin"),
            end: fields.number("end"),
        }),
        "Epoch" => Definition::Epoch(number(rest).try_into().expect("u32")),
        "ModuleGone" => {
            Definition::ModuleGone { number: fields.small("number"), epoch: fields.small("epoch") }
        }
        "Module" => Definition::Module(Module {
            number: fields.small("number"),
            epoch: fields.small("epoch"),
            bias: fields.number("bias"),
            device: fields.number("device"),
            inode: fields.number("inode"),
            raw_segments: &parts.segments,
            build_id: &parts.build_id,
            path: word(rest, "path="),
        }),
        _ => panic!("no definition: {kind}"),
    }
}

/// The bytes behind `key` in one of the words.
fn word<'a>(text: &'a str, key: &str) -> &'a [u8] {
    let found = text.split(' ').find_map(|word| word.strip_prefix(key));
    found.unwrap_or_else(|| panic!("{key} is missing")).as_bytes()
}

fn chunk_header(text: &str) -> ChunkHeader {
    let fields = Fields::parse(text.split(' '));
    ChunkHeader {
        kind: match fields.number("kind") {
            2 => ChunkKind::Definitions,
            3 => ChunkKind::Events,
            other => panic!("no kind of chunk with examples: {other}"),
        },
        writer: fields.small("writer"),
        ordinal: fields.small("ordinal"),
        thread: fields.small("thread"),
        tid: fields.small("tid"),
        clock_ms: fields.number("clock_ms"),
        first_id: fields.small("first_id"),
        epoch: fields.small("epoch"),
        process: fields.small("process"),
    }
}

/// The header that the file examples describe together.
fn file_header(blocks: &[Block]) -> FileHeader {
    let words = blocks.iter().filter(|block| block.kind.starts_with("file-"));
    let all: Vec<&str> =
        words.flat_map(|block| block.examples.iter().flat_map(|e| e.text.split(' '))).collect();
    let fields = Fields::parse(all.into_iter());
    let mut lost = [0; layout::LOST_KINDS];
    for (place, text) in lost.iter_mut().zip(fields.text("lost").split(',')) {
        *place = number(text);
    }
    FileHeader {
        version: fields.small("version"),
        machine: fields.small("machine"),
        file_id: fields.number("file_id"),
        parent_file_id: fields.number("parent_file_id"),
        pid: fields.small("pid"),
        parent_pid: fields.small("parent_pid"),
        pid_namespace: fields.number("pid_namespace"),
        start_ticks: fields.number("start_ticks"),
        realtime_ns: fields.number("realtime_ns"),
        monotonic_ns: fields.number("monotonic_ns"),
        user: fields.small("user"),
        next_chunk: fields.number("next_chunk"),
        state: State::from_number(fields.number("state")),
        stop_cause: StopCause::from_number(fields.number("stop_cause")),
        stop_errno: fields.number("stop_errno"),
        end_monotonic_ns: fields.number("end_monotonic_ns"),
        lost,
        finalizing_monotonic_ns: fields.number("finalizing_monotonic_ns"),
        processes: fields.number("processes"),
        reused: fields.number("reused"),
        held_monotonic_ns: fields.number("held_monotonic_ns"),
        unknown_frees: fields.number("unknown_frees"),
        flags: fields.number("flags"),
        compressed: fields.number("compressed"),
    }
}

/// What the interposer's single stores leave at the offset of the changing words.
fn changing_words(header: &FileHeader) -> Vec<u8> {
    let mut bytes = vec![0; layout::COMPRESSED + 8 - layout::NEXT_CHUNK];
    let mut put = |at: usize, word: u64| {
        bytes[at - layout::NEXT_CHUNK..][..8].copy_from_slice(&word.to_le_bytes());
    };
    put(layout::NEXT_CHUNK, header.next_chunk);
    put(layout::STATE, header.state.expect("known") as u64);
    put(layout::STOP_CAUSE, header.stop_cause.expect("known") as u64);
    put(layout::STOP_ERRNO, header.stop_errno);
    put(layout::END_MONOTONIC, header.end_monotonic_ns);
    for (kind, &count) in header.lost.iter().enumerate() {
        put(layout::LOST + 8 * kind, count);
    }
    put(layout::FINALIZING_MONOTONIC, header.finalizing_monotonic_ns);
    put(layout::PROCESSES, header.processes);
    put(layout::REUSED, header.reused);
    put(layout::HELD_MONOTONIC, header.held_monotonic_ns);
    put(layout::UNKNOWN_FREES, header.unknown_frees);
    put(layout::FLAGS, header.flags);
    put(layout::COMPRESSED, header.compressed);
    bytes
}

/// An entry of a compressed file with the header that is the first example of one.
fn entry(text: &str, all: &[Block]) -> Entry {
    let fields = Fields::parse(text.split(' '));
    let headers = all.iter().find(|block| block.kind == "chunk-header").expect("there is an example");
    let header = headers.examples[0].hex[..].try_into().expect("a header");
    Entry { number: fields.small("number"), frame: fields.small("frame"), header }
}

fn string(text: &str) -> (u8, Vec<u8>) {
    let fields = Fields::parse(text.split(' '));
    (fields.small("tag") as u8, fields.text("text").replace("\\0", "\0").into_bytes())
}

/// What the encoder writes for each record of the block.
fn encoded(block: &Block, all: &[Block]) -> Vec<Vec<u8>> {
    let texts = || block.examples.iter().map(|example| example.text.as_str());
    match block.kind.as_str() {
        "file-header" => vec![file_header(all).to_bytes().to_vec()],
        "file-words" => vec![changing_words(&file_header(all))],
        "compressed" => texts().map(|text| entry(text, all).to_bytes().to_vec()).collect(),
        "strings" => texts()
            .map(string)
            .map(|(tag, text)| [&[tag, 0][..], &(text.len() as u16).to_le_bytes(), &text].concat())
            .collect(),
        "chunk-header" => texts()
            .map(|text| chunk_header(text).to_words().iter().flat_map(|word| word.to_le_bytes()).collect())
            .collect(),
        "events" => {
            let mut writer = EventWriter::new(block.options.number("clock_ms"));
            texts().for_each(|text| writer.push_with(event(text), usable(text)));
            let chunk = writer.finish().swap_remove(0);
            let decoded = packing::events(&chunk.bytes[CHUNK_HEADER..], block.options.number("clock_ms")).2;
            assert!(decoded == chunk.model, "encoder and decoder predict alike");
            let mut start = 0;
            let record = |&(end, _): &(usize, Event)| {
                chunk.bytes[CHUNK_HEADER + std::mem::replace(&mut start, end)..CHUNK_HEADER + end].to_vec()
            };
            chunk.records.iter().map(record).collect()
        }
        // What older versions have written is read only.
        "events-4" => block.examples.iter().map(|example| example.hex.clone()).collect(),
        "definitions" => {
            let mut model = DefinitionModel::new(block.options.small("first_id"));
            texts().map(|text| define(&mut model, &definition(text, &parts(text)))).collect()
        }
        other => panic!("no kind of example: {other}"),
    }
}

/// Panics unless the document's bytes decode to the document's words.
fn check_decoder(block: &Block, all: &[Block]) {
    let bytes: Vec<u8> = block.examples.iter().flat_map(|example| example.hex.clone()).collect();
    match block.kind.as_str() {
        "file-header" | "file-words" => {
            let parts = all.iter().filter(|block| block.kind.starts_with("file-"));
            let file: Vec<u8> = parts.flat_map(|b| b.examples.iter().flat_map(|e| e.hex.clone())).collect();
            assert_eq!(FileHeader::decode(&file), Ok(file_header(all)));
        }
        "strings" => {
            let mut file = vec![0; layout::CHUNK];
            file[layout::STRINGS..][..bytes.len()].copy_from_slice(&bytes);
            let found: Vec<(u8, Vec<u8>)> =
                FileHeader::strings(&file).map(|(tag, text)| (tag, text.to_vec())).collect();
            assert_eq!(found, block.examples.iter().map(|e| string(&e.text)).collect::<Vec<_>>());
        }
        "chunk-header" => {
            for example in &block.examples {
                assert_eq!(ChunkHeader::decode(&example.hex), Some(chunk_header(&example.text)));
            }
        }
        "compressed" => {
            for example in &block.examples {
                assert_eq!(Entry::decode(&example.hex), Some(entry(&example.text, all)));
            }
        }
        "events" | "events-4" => {
            let found = packing::events(&bytes, block.options.number("clock_ms")).0;
            let found: Vec<Event> = found.into_iter().map(|(_, event)| event).collect();
            assert_eq!(found, block.examples.iter().map(|e| event(&e.text)).collect::<Vec<_>>());
        }
        "definitions" => {
            let found = packing::definitions(&bytes, block.options.small("first_id")).0;
            assert_eq!(found.len(), block.examples.len());
            for ((_, found), example) in found.iter().zip(&block.examples) {
                assert_eq!(*found, definition(&example.text, &parts(&example.text)));
            }
        }
        other => panic!("no kind of example: {other}"),
    }
}

#[test]
fn the_examples_are_what_is_written_and_read() {
    let document = std::fs::read_to_string(PATH).expect("FORMAT.md is read");
    let all = blocks(&document);
    if std::env::var_os("UNFREED_BLESS").is_some() {
        return bless(&document, &all);
    }
    for block in &all {
        let records = encoded(block, &all);
        assert_eq!(records.len(), block.examples.len(), "each example of {} is one record", block.kind);
        for (example, bytes) in block.examples.iter().zip(records) {
            assert_eq!(hex_of(&example.hex), hex_of(&bytes), "{}", example.text);
        }
        check_decoder(block, &all);
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X} ")).collect()
}

fn bless(document: &str, all: &[Block]) {
    let mut lines: Vec<String> = document.lines().map(str::to_owned).collect();
    for block in all.iter().rev() {
        lines.splice(block.lines.clone(), rendered(block, &encoded(block, all)));
    }
    std::fs::write(PATH, lines.join("\n") + "\n").expect("FORMAT.md is written");
}

/// The tags of each example: an event's gap records, if any, and its own.
fn tags(kind: &str) -> Vec<u8> {
    let document = std::fs::read_to_string(PATH).expect("FORMAT.md is read");
    let all = blocks(&document);
    let of_kind = all.iter().filter(|block| block.kind == kind);
    let examples = of_kind.flat_map(|block| &block.examples);
    match kind {
        "events" => examples.flat_map(|example| packing::event_tags(&example.hex)).collect(),
        _ => examples.map(|example| example.hex[0]).collect(),
    }
}

#[test]
fn every_record_has_an_example() {
    let events = tags("events");
    for form in packing::EVENT_FORMS {
        assert!(events.iter().any(|&byte| form.matches(byte)), "no example of: {}", form.name);
    }
    let definitions = tags("definitions");
    for (name, mask, value) in
        [("chained", 0xc0, 0xc0), ("known pc", 0xa0, 0xa0), ("interrupted", 0x90, 0x90)]
    {
        assert!(definitions.iter().any(|byte| byte & mask == value), "no example of a node: {name}");
    }
    for (name, value) in [("python", 0x40), ("chained", 0x60), ("entry", 0x50)] {
        assert!(
            definitions.iter().any(|byte| byte & (0xc0 | value) == value),
            "no example of a node: {name}"
        );
    }
    for tag in 0x20..=0x27 {
        assert!(definitions.contains(&tag), "no example of tag {tag:02X}");
    }
}
