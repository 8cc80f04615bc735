//! A second reader of recordings: it shares the format with `unfreed`, but neither its replay nor its order.
//!
//! Small and slow on purpose. It sorts the events of each shard by their stamps and plays them, and every
//! sequence that no allocator can produce is named: these tests are about the recorder's order as much as about
//! the reader's counts. A stamp that is missing is no fault: its thread was killed between taking and writing it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::live_table::LiveTable;
use recording::compressed::{ENTRIES, ENTRY, Entry};
use recording::layout::{
    self, CHUNK, CHUNK_HEADER, ChunkHeader, ChunkKind, FileHeader, HELD_STAMPS, INHERITED_STAMPS,
    LIVE_DIRECTORY, SHARDS,
};
use recording::{
    Address, Definition, DefinitionDecoder, DefinitionModel, EndReason, Event, EventDecoder, EventModel,
    StackId, Stop, mark, shard_of,
};

/// A block that is still there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Bytes asked for.
    pub size: u64,
    /// Where it was allocated.
    pub stack: StackId,
}

/// What is recorded of one process.
pub struct ProcessFile {
    /// Its file, in which others may be too.
    pub path: PathBuf,
    /// Its header.
    pub header: FileHeader,
    /// Blocks that the process allocated and did not free.
    pub live: HashMap<Address, Block>,
    /// Allocations, frees and reallocs.
    pub events: u64,
    /// Frees of addresses that this process did not allocate: inherited, or from before the recording.
    pub unknown_frees: u64,
    /// What its writers have counted: allocations and bytes of each stack.
    pub counts: HashMap<StackId, (u64, u64)>,
    /// The same out of its events.
    pub allocated: HashMap<StackId, (u64, u64)>,
    /// Stamps from [`ProcessFile::first_stamps`] on, up to the last of each shard, that no event has.
    pub missing: u64,
    /// The first stamp of each shard that the recording has, if nothing is missing.
    pub first_stamps: Vec<u64>,
    /// Sequences that cannot be, and chunks that do not decode.
    pub impossible: Vec<String>,
    /// Blocks that were freed, by their sizes: by Python's collector, and otherwise.
    pub freed: HashMap<u64, (u64, u64)>,
    /// The events of descriptors and mappings in their order.
    pub resources: Vec<Event>,
    /// Threads that have events.
    pub threads: HashSet<u32>,
    /// What its live table says, where it keeps one.
    pub table: Option<LiveTable>,
    /// Each stack node's parent.
    parents: HashMap<StackId, StackId>,
}

/// The processes of a run, in the order of their ids.
pub fn read_directory(directory: &Path) -> Vec<ProcessFile> {
    let entries = |directory: &Path| {
        let entries =
            fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect::<Vec<_>>()
    };
    let mut paths = entries(directory);
    let live = directory.join(LIVE_DIRECTORY);
    if live.is_dir() {
        paths.extend(entries(&live));
    }
    let mut files: Vec<_> = paths.iter().flat_map(|path| read_file(path)).collect();
    files.sort_by_key(|file| (file.header.pid, file.header.realtime_ns));
    files
}

/// Reads the processes of one file; none when it is not a recording.
pub fn read_file(path: &Path) -> Vec<ProcessFile> {
    let bytes = used_bytes(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let headers = bytes.chunks(CHUNK).map(FileHeader::decode).enumerate();
    headers
        .filter_map(|(chunk, header)| Some(read_process(path, &bytes, chunk as u32, header.ok()?)))
        .collect()
}

/// Reads the process whose header is this chunk.
fn read_process(path: &Path, bytes: &[u8], process: u32, header: FileHeader) -> ProcessFile {
    let keeps_table = header.flags & layout::flag::TABLE != 0;
    let mut file = ProcessFile {
        path: path.to_owned(),
        table: keeps_table.then(|| LiveTable::read(bytes, process)),
        header,
        live: HashMap::new(),
        events: 0,
        unknown_frees: 0,
        counts: HashMap::new(),
        allocated: HashMap::new(),
        missing: 0,
        first_stamps: first_stamps(bytes, process),
        impossible: Vec::new(),
        freed: HashMap::new(),
        resources: Vec::new(),
        threads: HashSet::new(),
        parents: HashMap::new(),
    };
    let mut shards = Shards { first_stamps: file.first_stamps.clone(), ..Shards::default() };
    for (header, chunk) in chunks_in_order(bytes, process) {
        match header.kind {
            ChunkKind::Definitions => file.read_definitions(&header, chunk),
            ChunkKind::Events => file.read_events(&header, chunk, &mut shards),
            ChunkKind::Counts => file.read_counts(chunk),
            _ => {}
        }
    }
    let unfinished: Vec<(Address, u64)> = shards.begun.values().copied().collect();
    for (shard, events) in shards.sorted() {
        let stamps = events.last().map_or(0, |(last, ..)| last + 1 - file.first_stamps[shard]);
        file.missing += stamps.saturating_sub(events.len() as u64);
        file.replay(&events, &unfinished);
    }
    file.impossible.sort();
    file
}

/// The events of blocks of each kernel thread in the order in which it recorded them, from one file.
pub fn histories(path: &Path) -> HashMap<u32, Vec<Event>> {
    let bytes = used_bytes(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut histories: HashMap<u32, Vec<Event>> = HashMap::new();
    let events = |header: &ChunkHeader| header.kind == ChunkKind::Events;
    for (header, chunk) in chunks_in_order(&bytes, 0).into_iter().filter(|(header, _)| events(header)) {
        let mut model = Box::new(EventModel::new());
        let mut decoder = EventDecoder::new(chunk, header.clock_ms, &mut model);
        let mut thread = header.tid;
        while let Ok(event) = decoder.next_event() {
            match event {
                Event::Thread { tid, .. } => thread = tid,
                _ if event.place().is_some() => histories.entry(thread).or_default().push(event),
                _ => {}
            }
        }
    }
    histories
}

/// What was written of a file: the file of a killed process is as long as what was reserved for it. Of a compressed one what it was.
fn used_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(CHUNK as u64).read_to_end(&mut bytes)?;
    let Ok(header) = FileHeader::decode(&bytes) else { return Ok(bytes) };
    if header.compressed != 0 {
        file.read_to_end(&mut bytes)?;
        return decompressed(&bytes, header.next_chunk as usize);
    }
    file.take(header.next_chunk.saturating_sub(1) * CHUNK as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn decompressed(file: &[u8], chunks: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; chunks * CHUNK];
    bytes[..ENTRIES].copy_from_slice(&file[..ENTRIES]);
    let mut rest = &file[ENTRIES..];
    while let Some(entry) = Entry::decode(rest) {
        let (frame, behind) = rest[ENTRY..].split_at(entry.frame as usize);
        let chunk = &mut bytes[entry.number as usize * CHUNK..][..CHUNK];
        let (header, of_chunk) = chunk.split_at_mut(CHUNK_HEADER);
        header.copy_from_slice(&entry.header);
        let what = zstd::bulk::decompress(frame, of_chunk.len())?;
        of_chunk[..what.len()].copy_from_slice(&what);
        rest = behind;
    }
    Ok(bytes)
}

/// The chunks that a process began, each writer's in the order in which it wrote them.
fn chunks_in_order(bytes: &[u8], process: u32) -> Vec<(ChunkHeader, &[u8])> {
    let begun = bytes.chunks(CHUNK).skip(1).filter_map(|chunk| Some((ChunkHeader::decode(chunk)?, chunk)));
    let own = begun.filter(|(header, _)| header.process == process);
    let mut chunks: Vec<_> = own.map(|(header, chunk)| (header, &chunk[CHUNK_HEADER..])).collect();
    chunks.sort_by_key(|(header, _)| (header.writer, header.ordinal));
    chunks
}

/// From which stamp of each shard on the process's events are there: those before were its parent's, or are gone.
fn first_stamps(bytes: &[u8], process: u32) -> Vec<u64> {
    let header = &bytes[process as usize * CHUNK..];
    let words = |at: usize| header.get(at..at + 8 * SHARDS).unwrap_or(&[0; 8 * SHARDS]).chunks_exact(8);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let (inherited, held) = (words(INHERITED_STAMPS), words(HELD_STAMPS));
    inherited.zip(held).map(|(inherited, held)| word(inherited).max(word(held))).collect()
}

/// A stamp, its event, and whether Python's collector did it.
type Stamped = (u64, Event, bool);

/// The events of each shard with their stamps.
#[derive(Default)]
struct Shards {
    first_stamps: Vec<u64>,
    events: HashMap<usize, Vec<Stamped>>,
    /// The last realloc-begin of each writer with its stamp, while nothing followed.
    begun: HashMap<u32, (Address, u64)>,
}

impl Shards {
    fn add(&mut self, writer: u32, (address, stamp): (Address, u64), event: Event, collecting: bool) {
        if stamp < self.first_stamps[shard_of(address)] {
            return;
        }
        self.begun.remove(&writer);
        if matches!(event, Event::ReallocBegin { .. }) {
            self.begun.insert(writer, (address, stamp));
        }
        self.events.entry(shard_of(address)).or_default().push((stamp, event, collecting));
    }

    /// Each shard in its order.
    fn sorted(self) -> Vec<(usize, Vec<Stamped>)> {
        let mut shards: Vec<_> = self.events.into_iter().collect();
        shards.iter_mut().for_each(|(_, events)| events.sort_by_key(|&(stamp, ..)| stamp));
        shards
    }
}

impl ProcessFile {
    /// Frames of a stack and why it ends.
    pub fn depth_and_end(&self, stack: StackId) -> (usize, Option<EndReason>) {
        let mut depth = 0;
        let mut at = stack;
        while at.is_frame() {
            depth += 1;
            match self.parents.get(&at) {
                Some(&parent) => at = parent,
                None => return (depth, None),
            }
        }
        (depth, EndReason::from_id(at))
    }

    /// Each stack node's parent.
    pub fn parents(&self) -> &HashMap<StackId, StackId> {
        &self.parents
    }

    /// Blocks of exactly this size.
    pub fn live_of_size(&self, size: u64) -> Vec<Block> {
        self.live.values().filter(|block| block.size == size).copied().collect()
    }

    /// Bytes that are unfreed.
    pub fn live_bytes(&self) -> u64 {
        self.live.values().map(|block| block.size).sum()
    }

    /// Whether no event was left out: the log was not too long, and the process not switched off.
    pub fn has_all_events(&self) -> bool {
        let left_out = layout::flag::NO_EVENTS | layout::flag::WAS_OFF;
        self.header.reused == 0 && self.header.flags & left_out == 0
    }

    /// The live table says what the replay of all events gives.
    pub fn assert_table(&self) {
        let Some(table) = &self.table else { panic!("{} keeps no live table", self.path.display()) };
        assert_eq!(table.impossible, Vec::<String>::new(), "{}", self.path.display());
        let differs = |(address, block): &(&Address, &Block)| match table.blocks.get(address) {
            None => !table.in_realloc.contains(address),
            Some(found) => found != *block,
        };
        let missing: Vec<_> = self.live.iter().filter(differs).take(5).collect();
        let extra: Vec<_> =
            table.blocks.iter().filter(|(address, _)| !self.live.contains_key(address)).take(5).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "{}: of {} blocks the table does not have {missing:x?}, and has {extra:x?}; in flight: {:x?}",
            self.path.display(),
            self.live.len(),
            table.in_flight
        );
    }

    fn read_definitions(&mut self, header: &ChunkHeader, bytes: &[u8]) {
        let mut model = Box::new(DefinitionModel::new(header.first_id));
        let mut decoder = DefinitionDecoder::new(bytes, header.first_id, &mut model);
        let stop = loop {
            match decoder.next_definition() {
                Ok(
                    Definition::Node { id, parent, .. }
                    | Definition::PythonNode { id, parent, .. }
                    | Definition::Merged { id, native: parent, .. },
                ) => {
                    self.parents.insert(id, parent);
                }
                Ok(_) => {}
                Err(stop) => break stop,
            }
        };
        self.check_stop(stop);
    }

    fn read_events(&mut self, header: &ChunkHeader, bytes: &[u8], shards: &mut Shards) {
        let mut model = Box::new(EventModel::new());
        let mut decoder = EventDecoder::new(bytes, header.clock_ms, &mut model);
        self.threads.insert(header.thread);
        let mut collecting = false;
        let stop = loop {
            match decoder.next_event() {
                Ok(event) => match (event, event.place()) {
                    (_, Some(place)) => shards.add(header.writer, place, event, collecting),
                    (Event::Mark(mark::COLLECTING), _) => collecting = true,
                    (Event::Mark(mark::COLLECTED) | Event::Thread { .. }, _) => {
                        collecting = false;
                        self.note(event);
                    }
                    _ => {}
                },
                Err(stop) => break stop,
            }
        };
        self.check_stop(stop);
    }

    fn read_counts(&mut self, bytes: &[u8]) {
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let entries = bytes.chunks_exact(16).map(|entry| (word(&entry[..8]), word(&entry[8..])));
        for (first, bytes) in entries.take_while(|(first, _)| *first as u32 != 0) {
            let count =
                self.counts.entry(StackId((first as u32 - 1) & !recording::counts::LATE)).or_default();
            *count = (count.0 + (first >> 32), count.1 + bytes);
        }
    }

    fn note(&mut self, event: Event) {
        if let Event::Thread { number, .. } = event {
            self.threads.insert(number);
        }
    }

    fn check_stop(&mut self, stop: Stop) {
        if stop != Stop::End {
            self.impossible.push(format!("a chunk ends with {stop:?}"));
        }
    }

    /// Plays the events of one shard. A realloc in `unfinished` was begun and the process was killed in it: its block
    /// is still there, unless somebody else got its address since.
    fn replay(&mut self, events: &[Stamped], unfinished: &[(Address, u64)]) {
        // And when.
        let mut given_back: HashMap<Address, (Block, u64)> = HashMap::new();
        let mut last_stamp = None;
        for &(stamp, event, collecting) in events {
            if last_stamp.replace(stamp) == Some(stamp) {
                self.impossible.push(format!("stamp {stamp} twice: {event:x?}"));
            }
            if event.is_of_resource() {
                self.resources.push(event);
                continue;
            }
            self.events += 1;
            match event {
                Event::Alloc { address, size, stack, .. }
                | Event::ReallocEnd { address, size, stack, .. } => {
                    given_back.remove(&address);
                    let allocated = self.allocated.entry(stack).or_default();
                    *allocated = (allocated.0 + 1, allocated.1 + size);
                    if self.live.insert(address, Block { size, stack }).is_some() {
                        self.impossible.push(format!("allocated while allocated: {event:x?}"));
                    }
                }
                Event::Free { address, .. } | Event::ReallocBegin { address, .. } => {
                    match self.live.remove(&address) {
                        Some(block) => {
                            if let Event::Free { .. } = event {
                                let freed = self.freed.entry(block.size).or_default();
                                freed.0 += u64::from(collecting);
                                freed.1 += u64::from(!collecting);
                            }
                            given_back.insert(address, (block, stamp));
                        }
                        None if given_back.contains_key(&address) => {
                            self.impossible.push(format!("freed twice: {event:x?}"));
                        }
                        None => self.unknown_frees += 1,
                    }
                }
                Event::ReallocUndo { address, .. } => {
                    if let Some((block, _)) = given_back.remove(&address) {
                        self.live.insert(address, block);
                    }
                }
                _ => {}
            }
        }
        // The block of an unfinished realloc is as it was, unless its address was used again since.
        for (address, begun) in unfinished {
            if let Some((block, stamp)) = given_back.remove(address)
                && stamp == *begun
                && !self.live.contains_key(address)
            {
                self.live.insert(*address, block);
            }
        }
    }
}
