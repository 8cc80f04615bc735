//! Copies of the files of processes that run, of which a reader makes the same as of the files themselves.
//!
//! A reader reads the live tables of all processes first, begins an epoch, and then reads what the logs tell of the time
//! since: events first, then the definitions that they name. So the copies are made in this order, with what a reader
//! notes before it begins: every stack in a copy is defined in it. A chunk that was used again meanwhile is left out, as
//! one that was not begun; the header, copied last, says what is no longer held. Of a chunk that grows there are whole
//! records only. As many chunks are copied as there were, so that this ends however fast the process is.
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use recording::layout::{
    APPLIED, CHUNK, CHUNK_HEADER, ChunkHeader, ChunkKind, FileHeader, MAGIC, NEXT_CHUNK, State,
};
use recording::{DefinitionDecoder, DefinitionModel, EventDecoder, EventModel};

use crate::reader::{Recording, Snapshot, data_after, monotonic_ns, read_fully, with_file};
use crate::replay::positions;

type Head = [u8; CHUNK_HEADER];

/// The copy of a file, of which the tables are copied.
pub struct Begun {
    path: PathBuf,
    to: PathBuf,
    copy: Copy,
    state: Option<State>,
    /// By the ids of the processes in the file.
    snapshots: HashMap<u64, Snapshot>,
}

/// Begins to copy the file at `path`, which these processes are recorded in.
pub fn begin(path: &Path, to: &Path, processes: &[&Recording]) -> io::Result<Begun> {
    let began_ms = monotonic_ns() / 1_000_000;
    let first: Vec<_> = processes.iter().map(|process| positions(process)).collect();
    let mut snapshots = HashMap::new();
    for (process, first) in processes.iter().zip(first) {
        let again = process.again();
        let second = positions(again.as_ref().unwrap_or(process));
        let snapshot = Snapshot { began_ms, done_ns: 0, positions: [first, second] };
        snapshots.insert(process.header.file_id, snapshot);
    }
    let mut copy = Copy::new(path, to)?;
    let state = header(&copy.from)?.state;
    copy.chunks(|head| place(head) == Place::Table)?;
    Ok(Begun { path: path.to_owned(), to: to.to_owned(), copy, state, snapshots })
}

impl Begun {
    /// Copies the rest; what was noted of the processes that still run.
    pub fn finish(mut self) -> io::Result<HashMap<u64, Snapshot>> {
        self.copy.chunks(|head| place(head) == Place::Log)?;
        let chunks = self.copy.chunks(|head| place(head) == Place::End)?;
        self.copy.header(chunks)?;
        if header(&self.copy.to)?.state != self.state {
            // It has just ended: its last events may not be in the copy, but from now on they stay as they are.
            self.copy = Copy::new(&self.path, &self.to)?;
            let chunks = self.copy.chunks(|_| true)?;
            self.copy.header(chunks)?;
            return Ok(HashMap::new());
        }
        let done_ns = monotonic_ns();
        self.snapshots.values_mut().for_each(|snapshot| snapshot.done_ns = done_ns);
        Ok(self.snapshots)
    }
}

fn header(file: &File) -> io::Result<FileHeader> {
    let mut head = vec![0; CHUNK];
    let len = read_fully(file, &mut head, 0)?;
    FileHeader::decode(&head[..len]).map_err(|why| io::Error::other(format!("its header: {why:?}")))
}

/// When a chunk is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Table,
    Log,
    /// Definitions, and the headers of further processes.
    End,
}

fn place(head: &Head) -> Place {
    match ChunkHeader::decode(head).map(|header| header.kind) {
        Some(ChunkKind::LiveTable | ChunkKind::Counts) => Place::Table,
        Some(ChunkKind::Definitions) => Place::End,
        None if head.starts_with(&MAGIC) => Place::End,
        _ => Place::Log,
    }
}

struct Copy {
    from: File,
    to: File,
    buffers: [Vec<u8>; 2],
    events: Option<Box<EventModel>>,
    definitions: Option<Box<DefinitionModel>>,
}

impl Copy {
    /// Of the file at `path`, to a new file.
    fn new(path: &Path, to: &Path) -> io::Result<Copy> {
        let from = with_file(path, |path| File::open(path))?;
        let to = File::options().read(true).write(true).create(true).truncate(true).open(to)?;
        Ok(Copy { from, to, buffers: Default::default(), events: None, definitions: None })
    }

    /// Copies these chunks; returns how many there are of all kinds.
    fn chunks(&mut self, wanted: impl Fn(&Head) -> bool) -> io::Result<u64> {
        let there = self.from.metadata()?.len().div_ceil(CHUNK as u64);
        let chunks = header(&self.from)?.next_chunk.clamp(1, there.max(1));
        for (number, head) in self.begun(chunks)?.iter().filter(|(_, head)| wanted(head)) {
            self.chunk(*number, Some(head))?;
        }
        Ok(chunks)
    }

    /// Copies the header, in which there are so many chunks, whatever was begun since they were looked at.
    fn header(&mut self, chunks: u64) -> io::Result<()> {
        self.chunk(0, None)?;
        self.to.write_all_at(&chunks.to_le_bytes(), NEXT_CHUNK as u64)?;
        self.to.set_len(chunks * CHUNK as u64)
    }

    /// The headers of the chunks that are begun.
    fn begun(&self, chunks: u64) -> io::Result<Vec<(u64, Head)>> {
        let mut begun = Vec::new();
        let mut head = [0; CHUNK_HEADER];
        let mut next = 1;
        while next < chunks {
            let number = next;
            next += 1;
            if read_fully(&self.from, &mut head, number * CHUNK as u64)? < CHUNK_HEADER {
                break;
            }
            if head.iter().any(|&byte| byte != 0) {
                begun.push((number, head));
            } else {
                next = next.max(data_after(&self.from, number * CHUNK as u64) / CHUNK as u64);
            }
        }
        Ok(begun)
    }

    /// Copies a chunk; `expected` is its header when it was looked at first.
    fn chunk(&mut self, number: u64, expected: Option<&Head>) -> io::Result<()> {
        let offset = number * CHUNK as u64;
        let [earlier, later] = &mut self.buffers;
        for buffer in [&mut *earlier, &mut *later] {
            buffer.resize(CHUNK, 0);
            let len = read_fully(&self.from, buffer, offset)?;
            buffer.truncate(len);
        }
        // What lies behind changes while the chunk is the same one.
        let is_another = |head: &Head| later.get(..APPLIED) != Some(&head[..APPLIED]);
        if later.len() < CHUNK_HEADER || expected.is_some_and(is_another) {
            return Ok(());
        }
        let agreed = earlier.iter().zip(&*later).take_while(|(a, b)| a == b).count();
        let whole = match ChunkHeader::decode(later) {
            Some(header) if agreed < later.len() && agreed >= CHUNK_HEADER => match header.kind {
                ChunkKind::Events => {
                    let model = self.events.get_or_insert_with(|| Box::new(EventModel::new()));
                    let records = &later[CHUNK_HEADER..];
                    let mut decoder = EventDecoder::new(records, header.clock_ms, model);
                    settled(agreed, || decoder.next_event().is_ok().then(|| decoder.position()))
                }
                ChunkKind::Definitions => {
                    let model = self.definitions.get_or_insert_with(|| Box::new(DefinitionModel::new(0)));
                    let records = &later[CHUNK_HEADER..];
                    let mut decoder = DefinitionDecoder::new(records, header.first_id, model);
                    settled(agreed, || decoder.next_definition().is_ok().then(|| decoder.position()))
                }
                // Words, each of which is stored whole.
                _ => later.len(),
            },
            _ => later.len(),
        };
        self.to.write_all_at(&later[..whole], offset)
    }
}

/// The end of the last record that lies in the first `agreed` bytes of a chunk; `next` decodes one and returns where it ends
/// among the records.
fn settled(agreed: usize, mut next: impl FnMut() -> Option<usize>) -> usize {
    let mut end = CHUNK_HEADER;
    while let Some(position) = next().map(|position| CHUNK_HEADER + position).filter(|end| *end <= agreed) {
        end = position;
    }
    end
}
