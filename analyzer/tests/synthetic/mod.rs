//! Writes recordings as a process would, without a process: several writers, stamps from shared counters, chunks
//! handed out as they are needed.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod flask;
pub mod run;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use recording::layout::{
    self, CHUNK, CHUNK_HEADER, ChunkHeader, ChunkKind, FileHeader, LOST_KINDS, ROOM, SHARDS, State, flag,
};
use recording::resource::Resource;
use recording::{
    Address, DefinitionEncoder, DefinitionModel, EventModel, FrameKind, LONGEST, Memory, Module, Packed,
    Said, Segment, StackId, Wide, mark, shard_of,
};
use serde_json::Value;
use table::LiveTable;

/// A directory of its own, removed at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("unfreed-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a fresh directory");
        Scratch(path)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("a file is written");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What `unfreed growth` says of a recording, as JSON.
pub fn growth(recorder: &Recorder, arguments: &[&str]) -> Value {
    let scratch = Scratch::new("growth");
    recorder.write(&scratch.0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_unfreed"));
    command.env("UNFREED_CACHE", "");
    command.args(["growth", "--format", "json"]).args(arguments).arg(&scratch.0);
    let output = command.output().expect("unfreed starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A chunk being written.
struct Page {
    number: usize,
    at: usize,
}

fn header_bytes(header: &ChunkHeader) -> Vec<u8> {
    header.to_words().iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A process that is being recorded.
pub struct Recorder {
    pub header: FileHeader,
    pub exe: String,
    pub command: Vec<String>,
    pub inherited: [u64; SHARDS],
    finalizing: [u64; SHARDS],
    held: [u64; SHARDS],
    next: [u64; SHARDS],
    chunks: Vec<Vec<u8>>,
    writers: Vec<(Page, Box<EventModel>, u32)>,
    definitions: Option<(Page, Box<DefinitionModel>)>,
    blocks: u32,
    clock_ms: u64,
    table: Option<LiveTable>,
}

impl Recorder {
    pub fn new(pid: u32) -> Recorder {
        let header = FileHeader {
            version: layout::VERSION,
            machine: 62,
            file_id: u64::from(pid) << 32 | 1,
            parent_file_id: 0,
            pid,
            parent_pid: 1,
            pid_namespace: 1,
            start_ticks: 77,
            realtime_ns: 1_790_000_000_000_000_000,
            monotonic_ns: 1_000_000_000 + u64::from(pid),
            user: 1000,
            next_chunk: 1,
            state: Some(State::Ended),
            stop_cause: None,
            stop_errno: 0,
            end_monotonic_ns: 61_000_000_000,
            lost: [0; LOST_KINDS],
            finalizing_monotonic_ns: 0,
            processes: 0,
            reused: 0,
            held_monotonic_ns: 0,
            unknown_frees: 0,
            flags: 0,
            compressed: 0,
        };
        Recorder {
            header,
            exe: "/usr/bin/app".into(),
            command: vec!["app".into(), "--flag".into()],
            inherited: [0; SHARDS],
            finalizing: [0; SHARDS],
            held: [0; SHARDS],
            next: [0; SHARDS],
            chunks: Vec::new(),
            writers: Vec::new(),
            definitions: None,
            blocks: 1,
            clock_ms: 1_000,
            table: None,
        }
    }

    /// A child that has the blocks of this process.
    pub fn fork(&self, pid: u32) -> Recorder {
        let mut child = Recorder::new(pid);
        child.header.parent_file_id = self.header.file_id;
        child.header.parent_pid = self.header.pid;
        child.inherited = self.next;
        child.next = self.next;
        child
    }

    /// A live table is kept, and counts. To be called before anything happens.
    pub fn keep_table(&mut self) {
        self.header.flags |= flag::TABLE;
        self.table.insert(LiveTable::default()).epoch = 1;
    }

    /// The process is killed, and this is what it has logged already.
    pub fn is_killed_in(&mut self, event: impl FnOnce(&mut Recorder)) {
        let mut kill = |is_killed| self.table.iter_mut().for_each(|table| table.is_killed = is_killed);
        kill(true);
        event(self);
        self.table.iter_mut().for_each(|table| table.is_killed = false);
    }

    /// An epoch begins for this writer.
    pub fn begin_epoch(&mut self, writer: usize, epoch: u32) {
        self.room(writer);
        let packed = self.writers[writer].1.mark(mark::EPOCH + u64::from(epoch));
        self.packed(writer, packed);
        self.table.iter_mut().for_each(|table| table.epoch = epoch);
    }

    /// Python's cyclic collector begins in this writer's thread, or ends.
    pub fn collector(&mut self, writer: usize, is_in_it: bool) {
        self.room(writer);
        let packed = self.writers[writer].1.mark(if is_in_it { mark::COLLECTING } else { mark::COLLECTED });
        self.packed(writer, packed);
    }

    /// A descriptor is opened, or memory is mapped or unmapped.
    pub fn open(&mut self, writer: usize, resource: Resource, size: u64, stack: StackId) {
        self.new_block(writer, resource.address().0, size, stack, false);
    }

    /// A descriptor is closed.
    pub fn close(&mut self, writer: usize, resource: Resource) {
        self.old_block(writer, resource.address().0, false);
    }

    /// Of what came before only some is there.
    pub fn hold(&mut self) {
        self.header.reused += 1;
        self.header.held_monotonic_ns = self.clock_ms * 1_000_000;
        self.held = self.next;
    }

    /// Python begins to free its globals.
    pub fn finalize(&mut self) {
        if let Some(table) = &mut self.table {
            table.late = true;
            self.header.flags |= flag::BEFORE_EXIT;
        }
        self.header.finalizing_monotonic_ns = self.clock_ms * 1_000_000;
        self.finalizing = self.next;
    }

    /// The same for the shard of this address alone, whose counter was read later than the others.
    pub fn finalize_shard(&mut self, address: u64) {
        let shard = shard_of(Address(address));
        self.finalizing[shard] = self.next[shard];
    }

    fn chunk_header(&self, kind: ChunkKind, writer: u32) -> ChunkHeader {
        ChunkHeader {
            kind,
            writer,
            ordinal: 0,
            thread: writer,
            tid: 100 + writer,
            clock_ms: self.clock_ms,
            first_id: 0,
            epoch: self.table.as_ref().filter(|_| kind == ChunkKind::Events).map_or(1, |table| table.epoch),
            process: 0,
        }
    }

    fn page(&mut self, kind: ChunkKind, writer: u32, ordinal: u32, first_id: u32) -> Page {
        let header = ChunkHeader { ordinal, first_id, ..self.chunk_header(kind, writer) };
        let mut bytes = vec![0; CHUNK];
        bytes[..CHUNK_HEADER].copy_from_slice(&header_bytes(&header));
        self.chunks.push(bytes);
        Page { number: self.chunks.len() - 1, at: CHUNK_HEADER }
    }

    /// A thread begins.
    pub fn writer(&mut self) -> usize {
        let index = self.writers.len();
        let page = self.page(ChunkKind::Events, index as u32, 0, 0);
        let mut model = Box::new(EventModel::new());
        model.begin_chunk(self.clock_ms, Memory::Whole);
        let begin = model.predictors();
        self.writers.push((page, model, 0));
        self.packed(index, begin);
        index
    }

    /// Room for one record of a writer.
    fn room(&mut self, writer: usize) {
        if CHUNK - self.writers[writer].0.at >= ROOM {
            return;
        }
        let ordinal = self.writers[writer].2 + 1;
        let page = self.page(ChunkKind::Events, writer as u32, ordinal, 0);
        self.writers[writer].0 = page;
        self.writers[writer].1.begin_chunk(self.clock_ms, Memory::Whole);
        self.writers[writer].2 = ordinal;
        let begin = self.writers[writer].1.predictors();
        self.packed(writer, begin);
    }

    fn packed(&mut self, writer: usize, packed: Packed) {
        self.record(writer, &packed.bytes()[..packed.len()]);
    }

    fn wide(&mut self, writer: usize, wide: Wide) {
        let bytes: Vec<u8> = wide.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.record(writer, &bytes[..wide.len]);
    }

    fn record(&mut self, writer: usize, bytes: &[u8]) {
        let page = &mut self.writers[writer].0;
        let chunk = &mut self.chunks[page.number];
        chunk[page.at..page.at + bytes.len()].copy_from_slice(bytes);
        page.at += bytes.len();
        if self.table.as_ref().is_some_and(|table| !table.is_killed) {
            chunk[layout::APPLIED..][..8].copy_from_slice(&(page.at as u64).to_le_bytes());
        }
    }

    /// Takes a stamp that no event gets, as a thread does that is killed before it stores the event.
    pub fn skip_stamp(&mut self, address: u64) {
        self.next[shard_of(Address(address))] += 1;
    }

    fn stamp(&mut self, address: Address) -> u64 {
        let stamp = &mut self.next[shard_of(address)];
        *stamp += 1;
        *stamp - 1
    }

    fn said(&mut self, writer: usize, said: Said) {
        if let Some(gap) = said.gap {
            self.packed(writer, gap);
        }
        self.packed(writer, said.record);
    }

    /// A record that has no short form for its stamp.
    fn gap(&mut self, writer: usize, address: Address, stamp: u64) {
        if let Some(gap) = self.writers[writer].1.stamp(address, stamp) {
            self.packed(writer, gap);
        }
    }

    fn new_block(&mut self, writer: usize, address: u64, size: u64, stack: StackId, realloc: bool) {
        self.room(writer);
        let address = Address(address);
        let stamp = self.stamp(address);
        match self.writers[writer].1.alloc(address, size, stack, realloc, stamp) {
            Some(said) => self.said(writer, said),
            None => {
                self.gap(writer, address, stamp);
                let wide = self.writers[writer].1.wide_alloc(address, size, stack, realloc);
                self.wide(writer, wide);
            }
        }
    }

    fn old_block(&mut self, writer: usize, address: u64, realloc: bool) {
        self.room(writer);
        let address = Address(address);
        let stamp = self.stamp(address);
        match self.writers[writer].1.free(address, realloc, stamp, || 24) {
            Some(said) => self.said(writer, said),
            None => {
                self.gap(writer, address, stamp);
                let wide = self.writers[writer].1.wide_free(address, realloc);
                self.wide(writer, wide);
            }
        }
    }

    pub fn alloc(&mut self, writer: usize, address: u64, size: u64, stack: StackId) {
        self.table.iter_mut().for_each(|table| table.alloc(writer, address, size, stack));
        self.new_block(writer, address, size, stack, false);
    }

    pub fn free(&mut self, writer: usize, address: u64) {
        self.table.iter_mut().for_each(|table| table.free(address));
        self.old_block(writer, address, false);
    }

    pub fn realloc_begin(&mut self, writer: usize, address: u64) {
        self.table.iter_mut().for_each(|table| table.begin_realloc(writer, address));
        self.old_block(writer, address, true);
    }

    pub fn realloc_end(&mut self, writer: usize, address: u64, size: u64, stack: StackId) {
        self.table.iter_mut().for_each(|table| table.end_realloc(writer, address, size, stack));
        self.new_block(writer, address, size, stack, true);
    }

    pub fn realloc_undo(&mut self, writer: usize, address: u64) {
        self.table.iter_mut().for_each(|table| table.undo(writer, address));
        self.room(writer);
        let stamp = self.stamp(Address(address));
        self.gap(writer, Address(address), stamp);
        let packed = self.writers[writer].1.realloc_undo(Address(address));
        self.packed(writer, packed);
    }

    /// Time passes; a writer notes it with its next record.
    pub fn clock(&mut self, writer: usize, ms: u64) {
        self.clock_ms = self.clock_ms.max(ms);
        self.room(writer);
        if let Some(packed) = self.writers[writer].1.clock(ms) {
            self.packed(writer, packed);
        }
    }

    pub fn thread_name(&mut self, writer: usize, name: &str) {
        self.room(writer);
        let mut bytes = [0; 15];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        let packed = self.writers[writer].1.thread_name(&bytes);
        self.packed(writer, packed);
    }

    pub fn lost(&mut self, writer: usize, count: u64) {
        self.room(writer);
        let packed = self.writers[writer].1.lost(count);
        self.packed(writer, packed);
    }

    fn definitions_room(&mut self, need: usize) {
        if self.definitions.as_ref().is_some_and(|(page, _)| CHUNK - page.at >= need.max(ROOM)) {
            return;
        }
        let first = self.blocks * layout::IDS_PER_CHUNK;
        let page = self.page(ChunkKind::Definitions, 0, self.blocks - 1, first);
        self.blocks += 1;
        let mut model = Box::new(DefinitionModel::new(first));
        model.begin_chunk(first, Memory::Whole);
        self.definitions = Some((page, model));
    }

    fn define(&mut self, bytes: &[u8]) {
        let (page, _) = self.definitions.as_mut().expect("room was made");
        self.chunks[page.number][page.at..page.at + bytes.len()].copy_from_slice(bytes);
        page.at += bytes.len();
    }

    /// A frame and its caller's.
    pub fn node(&mut self, parent: StackId, pc: u64) -> StackId {
        self.definitions_room(ROOM);
        let (_, model) = self.definitions.as_mut().expect("room was made");
        let id = model.next_id();
        let packed = model.node(parent, Address(pc), FrameKind::Return);
        self.define(&packed.bytes()[..packed.len()]);
        id
    }

    /// A stack of these pcs, innermost first.
    pub fn stack(&mut self, pcs: &[u64]) -> StackId {
        pcs.iter().rev().fold(StackId(0), |parent, &pc| self.node(parent, pc))
    }

    /// A Python frame and its caller's.
    pub fn python_node(&mut self, parent: StackId, code: u32, instruction: i32, entry: bool) -> StackId {
        self.definitions_room(ROOM);
        let (_, model) = self.definitions.as_mut().expect("room was made");
        let id = model.next_id();
        let packed = model.python_node(parent, code, instruction, entry);
        self.define(&packed.bytes()[..packed.len()]);
        id
    }

    /// A native and a Python stack as one.
    pub fn merged(&mut self, native: StackId, python: StackId) -> StackId {
        self.definitions_room(ROOM);
        let (_, model) = self.definitions.as_mut().expect("room was made");
        let id = model.next_id();
        let packed = model.merged(native, python);
        self.define(&packed.bytes()[..packed.len()]);
        id
    }

    /// A record that writes itself.
    pub fn long(&mut self, write: impl Fn(&mut [u8]) -> usize) {
        self.definitions_room(LONGEST);
        let mut bytes = vec![0; LONGEST];
        let len = write(&mut bytes);
        assert!(len > 0, "the record fits");
        self.define(&bytes[..len]);
    }

    /// A file is mapped.
    pub fn module(&mut self, number: u32, epoch: u32, path: &str, bias: u64, size: u64) {
        let segment = Segment { address: 0, size, offset: 0, flags: 5 };
        let module = Module {
            number,
            epoch,
            bias,
            device: 0,
            inode: 0,
            raw_segments: &segment.to_bytes(),
            build_id: &[1, 2, 3, 4],
            path: path.as_bytes(),
        };
        self.long(|out| module.write(out));
    }

    pub fn module_gone(&mut self, number: u32, epoch: u32) {
        self.definitions_room(ROOM);
        let packed = self.definitions.as_mut().expect("room was made").1.module_gone(number, epoch);
        self.define(&packed.bytes()[..packed.len()]);
    }

    pub fn epoch(&mut self, epoch: u32) {
        self.definitions_room(ROOM);
        let packed = self.definitions.as_mut().expect("room was made").1.epoch(epoch);
        self.define(&packed.bytes()[..packed.len()]);
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = vec![0; CHUNK];
        file[..layout::NEXT_CHUNK].copy_from_slice(&self.header.to_bytes());
        let mut word = |at: usize, value: u64| file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let kept = self.kept();
        word(layout::NEXT_CHUNK, (self.chunks.len() + kept.len()) as u64 + 1);
        word(layout::FLAGS, self.header.flags);
        word(layout::REUSED, self.header.reused);
        word(layout::HELD_MONOTONIC, self.header.held_monotonic_ns);
        word(layout::UNKNOWN_FREES, self.header.unknown_frees);
        word(layout::STATE, self.header.state.map_or(9, |state| state as u64));
        word(layout::STOP_CAUSE, self.header.stop_cause.map_or(0, |cause| cause as u64));
        word(layout::STOP_ERRNO, self.header.stop_errno);
        word(layout::END_MONOTONIC, self.header.end_monotonic_ns);
        for (kind, &lost) in self.header.lost.iter().enumerate() {
            word(layout::LOST + 8 * kind, lost);
        }
        word(layout::FINALIZING_MONOTONIC, self.header.finalizing_monotonic_ns);
        for (shard, (&inherited, &finalizing)) in self.inherited.iter().zip(&self.finalizing).enumerate() {
            word(layout::INHERITED_STAMPS + 8 * shard, inherited);
            word(layout::FINALIZING_STAMPS + 8 * shard, finalizing);
            word(layout::HELD_STAMPS + 8 * shard, self.held[shard]);
        }
        let mut at = layout::STRINGS;
        let command: String = self.command.iter().flat_map(|argument| [argument.as_str(), "\0"]).collect();
        for (tag, text) in [(layout::STRING_EXE, &self.exe), (layout::STRING_COMMAND, &command)] {
            file[at] = tag;
            file[at + 2..at + 4].copy_from_slice(&(text.len() as u16).to_le_bytes());
            file[at + 4..at + 4 + text.len()].copy_from_slice(text.as_bytes());
            at += 4 + text.len();
        }
        self.chunks.iter().chain(&kept).for_each(|chunk| file.extend_from_slice(chunk));
        file
    }

    /// The chunks of the live table and the counts.
    fn kept(&self) -> Vec<Vec<u8>> {
        let Some(table) = &self.table else { return Vec::new() };
        let pages = table.pages().into_iter().map(|chunk| (ChunkKind::LiveTable, 0, chunk));
        let counts =
            table.counts().into_iter().map(|(writer, chunk)| (ChunkKind::Counts, writer as u32, chunk));
        let with_header = |(ordinal, (kind, writer, mut chunk)): (usize, (ChunkKind, u32, Vec<u8>))| {
            let header = ChunkHeader { ordinal: ordinal as u32, ..self.chunk_header(kind, writer) };
            chunk[..CHUNK_HEADER].copy_from_slice(&header_bytes(&header));
            chunk
        };
        pages.chain(counts).enumerate().map(with_header).collect()
    }

    /// The file, in which these processes go on too.
    pub fn bytes_with(&self, further: &[&Recorder]) -> Vec<u8> {
        let mut file = self.bytes();
        for recorder in further {
            let (mut bytes, process) = (recorder.bytes(), (file.len() / CHUNK) as u32);
            bytes[layout::NEXT_CHUNK..][..8].fill(0);
            for chunk in bytes.chunks_mut(CHUNK).skip(1) {
                chunk[40..44].copy_from_slice(&process.to_le_bytes());
            }
            file.extend(bytes);
        }
        let chunks = (file.len() / CHUNK) as u64;
        file[layout::NEXT_CHUNK..][..8].copy_from_slice(&chunks.to_le_bytes());
        file[layout::PROCESSES..][..8].copy_from_slice(&(further.len() as u64).to_le_bytes());
        file
    }

    /// Writes the file into a directory.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join(format!("{}.unfreed", self.header.pid));
        std::fs::write(&path, self.bytes()).expect("a file is written");
        path
    }
}
