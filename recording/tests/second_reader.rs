//! `second_reader.py` was written from FORMAT.md alone: what it reads from a file is what this crate reads.

#[allow(dead_code, reason = "each test uses its part")]
mod packing;

use std::collections::HashSet;
use std::fmt::Write;
use std::process::Command;

use packing::{EventWriter, define};
use recording::layout::{
    AT_FILE_ID, AT_PARENT_FILE_ID, AT_PID, CHUNK, CHUNK_HEADER, ChunkHeader, ChunkKind, MAGIC, NEXT_CHUNK,
};
use recording::{
    Address, CodeLines, CodeObject, Definition, DefinitionModel, EvalLoop, Event, EventModel, FrameKind,
    Interpreter, Module, Segment, StackId, shard_of,
};

/// Numbers that only look random, the same in every run.
struct Random {
    state: u64,
    /// The next stamp of each shard.
    stamps: [u64; 256],
}

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.state >> 20) % limit
    }

    fn any(&mut self) -> u64 {
        let bits = self.below(64);
        (self.below(1 << 32) << 32 | self.below(1 << 32)) >> bits
    }

    fn address(&mut self) -> Address {
        Address(match self.below(8) {
            0 => self.any(),
            1 => 0x5555_5555_0000 + self.below(4096),
            2 => 0x7fff_f000_0010 + self.below(64) * 4096,
            3 => 0x7fff_d000_0000 + (self.below(5) << 20) + 16 * self.below(65536),
            _ => 0x5555_5555_0010 + self.below(300) * 48,
        })
    }

    fn size(&mut self) -> u64 {
        match self.below(8) {
            0 => self.any(),
            1 => self.below(3000),
            _ => 24 + 16 * self.below(6),
        }
    }

    /// Mostly the next one of the address, or little later.
    fn stamp(&mut self, address: Address) -> u64 {
        let gap = match self.below(16) {
            0 => self.any(),
            1..=3 => self.below(40),
            4..=6 => 1,
            _ => 0,
        };
        let next = &mut self.stamps[shard_of(address)];
        let stamp = next.wrapping_add(gap);
        *next = stamp.wrapping_add(1);
        stamp
    }

    fn stack(&mut self) -> StackId {
        StackId(match self.below(8) {
            0 => self.any() as u32,
            1 | 2 => 32768 + self.below(3000) as u32,
            _ => 32768 + self.below(8) as u32,
        })
    }

    fn event(&mut self, clock: &mut u64, freed: &mut Vec<Address>) -> Event {
        let kind = self.below(40);
        let again = if (19..=28).contains(&kind) { freed.pop() } else { None };
        let address = again.unwrap_or_else(|| self.address());
        let (size, stack, stamp) = (self.size(), self.stack(), self.stamp(address));
        match kind {
            0 => {
                *clock += 1 + self.below(5000);
                Event::Clock(*clock)
            }
            1 => Event::Thread { number: self.below(90) as u32, tid: self.any() as u32 },
            2 => Event::ThreadName([self.below(256) as u8; 15]),
            3 => Event::Mark(self.any()),
            4 => Event::Lost(self.any()),
            5 => Event::ReallocBegin { address, stamp },
            6 => Event::ReallocEnd { address, size, stack, stamp },
            7 => Event::ReallocUndo { address, stamp },
            8..=18 => {
                freed.push(address);
                Event::Free { address, stamp }
            }
            _ => Event::Alloc { address, size, stack, stamp },
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn event_line(event: Event) -> String {
    let at = |address: Address, stamp: u64| format!("address={:#x} stamp={stamp}", address.0);
    match event {
        Event::Alloc { address, size, stack, stamp } => {
            format!("Alloc {} size={size} stack={}", at(address, stamp), stack.0)
        }
        Event::ReallocEnd { address, size, stack, stamp } => {
            format!("ReallocEnd {} size={size} stack={}", at(address, stamp), stack.0)
        }
        Event::Free { address, stamp } => format!("Free {}", at(address, stamp)),
        Event::ReallocBegin { address, stamp } => format!("ReallocBegin {}", at(address, stamp)),
        Event::ReallocUndo { address, stamp } => format!("ReallocUndo {}", at(address, stamp)),
        Event::Clock(ms) => format!("Clock {ms}"),
        Event::Thread { number, tid } => format!("Thread number={number} tid={tid}"),
        Event::ThreadName(name) => format!("ThreadName {}", hex(&name)),
        Event::Mark(mark) => format!("Mark {mark}"),
        Event::Lost(count) => format!("Lost {count}"),
    }
}

fn definition_line(definition: &Definition) -> String {
    match definition {
        Definition::Node { id, parent, pc, kind } => {
            format!("Node id={} parent={} pc={:#x} kind={kind:?}", id.0, parent.0, pc.0)
        }
        Definition::Epoch(epoch) => format!("Epoch {epoch}"),
        Definition::ModuleGone { number, epoch } => format!("ModuleGone number={number} epoch={epoch}"),
        Definition::PythonNode { id, parent, code, instruction, entry } => {
            let ids = format!("id={} parent={}", id.0, parent.0);
            format!("PythonNode {ids} code={code} instruction={instruction} entry={}", *entry as u8)
        }
        Definition::Merged { id, native, python } => {
            format!("Merged id={} native={} python={}", id.0, native.0, python.0)
        }
        Definition::CodeObject(code) => {
            let CodeObject { number, interpreter, first_line, lines_size, file, name, lines } = code;
            let words = format!("number={number} interpreter={interpreter} first_line={first_line}");
            let (file, name, lines) = (hex(file), hex(name), hex(lines));
            format!("CodeObject {words} lines_size={lines_size} file={file} name={name} lines={lines}")
        }
        Definition::CodeLines(CodeLines { number, offset, lines }) => {
            format!("CodeLines number={number} offset={offset} lines={}", hex(lines))
        }
        Definition::Interpreter(Interpreter { number, version, walked, objects, text }) => {
            let flags = *walked as u8 + 2 * *objects as u8;
            format!("Interpreter number={number} version={version:#x} flags={flags} text={}", hex(text))
        }
        Definition::EvalLoop(EvalLoop { interpreter, begin, end }) => {
            format!("EvalLoop interpreter={interpreter} begin={begin:#x} end={end:#x}")
        }
        Definition::Module(module) => {
            let Module { number, epoch, bias, device, inode, raw_segments, build_id, path } = module;
            let words = format!("number={number} epoch={epoch} bias={bias:#x} device={device} inode={inode}");
            let (segments, build_id, path) = (hex(raw_segments), hex(build_id), hex(path));
            format!("Module {words} segments={segments} build_id={build_id} path={path}")
        }
    }
}

/// The process whose chunk of definitions it is.
const PROCESS: u32 = 9;

/// The header of a further process.
fn process_chunk() -> Vec<u8> {
    let mut bytes = vec![0; CHUNK];
    bytes[..8].copy_from_slice(&MAGIC);
    for (at, word) in [(AT_FILE_ID, 0x77u64), (AT_PARENT_FILE_ID, 0x11), (AT_PID, 4711)] {
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// A chunk of definitions of all kinds, and their lines.
fn definitions_chunk(random: &mut Random) -> (Vec<u8>, Vec<String>) {
    let header = ChunkHeader {
        kind: ChunkKind::Definitions,
        writer: 0,
        ordinal: 0,
        thread: 0,
        tid: 1,
        clock_ms: 0,
        first_id: 65536,
        epoch: 0,
        process: PROCESS,
    };
    let mut bytes: Vec<u8> = header.to_words().iter().flat_map(|word| word.to_le_bytes()).collect();
    let (mut model, mut lines) = (DefinitionModel::new(header.first_id), Vec::new());
    let segments = Segment { address: 1, size: 2, offset: 3, flags: 5 }.to_bytes().repeat(3);
    for i in 0..8000u32 {
        let id = model.next_id();
        let definition = match random.below(200) {
            0 => Definition::Epoch(i),
            1 => Definition::ModuleGone { number: i, epoch: i + 1 },
            2 => Definition::Module(Module {
                number: i,
                epoch: 3,
                bias: random.any(),
                device: random.any(),
                inode: random.any(),
                raw_segments: &segments,
                build_id: &[7; 20],
                path: b"/usr/lib/libc.so.6",
            }),
            3 => Definition::CodeObject(CodeObject {
                number: i,
                interpreter: 1,
                first_line: random.any() as i32,
                lines_size: 300,
                file: b"/srv/app.py",
                name: "Größe.<locals>".as_bytes(),
                lines: &[7; 90],
            }),
            4 => Definition::CodeLines(CodeLines { number: i, offset: 90, lines: &[8; 40] }),
            5 => Definition::Interpreter(Interpreter {
                number: i,
                version: 0x030b_07f0,
                walked: i % 2 == 0,
                objects: i % 3 == 0,
                text: b"3.11.7 (main)",
            }),
            6 => Definition::EvalLoop(EvalLoop { interpreter: i, begin: random.any(), end: random.any() }),
            7..=30 => Definition::Merged {
                id,
                native: StackId(id.0.wrapping_sub(1 + random.below(3) as u32)),
                python: StackId(random.any() as u32),
            },
            31..=90 => Definition::PythonNode {
                id,
                parent: StackId(id.0.wrapping_sub(1 + random.below(3) as u32)),
                code: if random.below(9) == 0 { random.any() as u32 } else { random.below(300) as u32 },
                instruction: random.below(900) as i32 - 1,
                entry: random.below(2) == 0,
            },
            _ => Definition::Node {
                id,
                parent: match random.below(5) {
                    0 => StackId(random.below(16) as u32),
                    1 => StackId(random.any() as u32),
                    _ => StackId(id.0.wrapping_sub(1 + random.below(3) as u32)),
                },
                pc: Address(0x5555_5555_0000 + random.below(3000) * 7),
                kind: if random.below(9) == 0 { FrameKind::Interrupted } else { FrameKind::Return },
            },
        };
        lines.push(definition_line(&definition));
        bytes.extend(define(&mut model, &definition));
    }
    assert!(bytes.len() < CHUNK);
    bytes.resize(CHUNK, 0);
    (bytes, lines)
}

#[test]
fn the_document_is_enough_to_write_a_reader() {
    let mut random = Random { state: 4, stamps: [0; 256] };
    let (mut writer, mut clock, mut freed) = (EventWriter::new(77), 77, Vec::new());
    for _ in 0..60_000 {
        let event = random.event(&mut clock, &mut freed);
        writer.push_with(event, random.any() as usize % 2000);
    }
    let mut file = vec![0; CHUNK];
    let mut expected = String::new();
    let (chunks, mut tags) = (writer.finish(), HashSet::new());
    for chunk in &chunks {
        let clock_ms = ChunkHeader::decode(&chunk.bytes).expect("a begun chunk").clock_ms;
        let (found, _, model): (_, _, Box<EventModel>) =
            packing::events(&chunk.bytes[CHUNK_HEADER..], clock_ms);
        assert!(model == chunk.model && found == chunk.records);
        writeln!(expected, "Chunk {} process=0", file.len() / CHUNK).expect("a string");
        found.iter().for_each(|(_, event)| writeln!(expected, "{}", event_line(*event)).expect("a string"));
        let mut start = CHUNK_HEADER;
        for &(end, _) in &found {
            tags.extend(packing::event_tags(&chunk.bytes[start..CHUNK_HEADER + end]));
            start = CHUNK_HEADER + end;
        }
        file.extend(&chunk.bytes);
    }
    for form in packing::EVENT_FORMS {
        assert!(tags.iter().any(|&tag| form.matches(tag)), "no {} was written", form.name);
    }
    let (bytes, lines) = definitions_chunk(&mut random);
    writeln!(expected, "Chunk {} process={PROCESS}\n{}", file.len() / CHUNK, lines.join("\n"))
        .expect("a string");
    file.extend(bytes);
    writeln!(expected, "Process {} id=0x77 parent=0x11 pid=4711", file.len() / CHUNK).expect("a string");
    file.extend(process_chunk());
    file[..8].copy_from_slice(&MAGIC);
    file[8] = recording::layout::VERSION as u8;
    let count = file.len() / CHUNK;
    file[NEXT_CHUNK..][..8].copy_from_slice(&(count as u64).to_le_bytes());
    assert!(count > 5, "{count} chunks");

    let path = std::env::temp_dir().join(format!("second-reader-{}.unfreed", std::process::id()));
    std::fs::write(&path, file).expect("a file in the temporary folder");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_reader.py");
    let output = Command::new("python3").arg(script).arg(&path).output();
    std::fs::remove_file(&path).expect("the file is ours");
    let output = output.expect("python3 runs: apt-get install python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = String::from_utf8(output.stdout).expect("text");
    for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "line {number}");
    }
    assert_eq!(found.len(), expected.len());
}
