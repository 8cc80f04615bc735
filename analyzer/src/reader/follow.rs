//! A file that its processes still write, looked at again and again: only what is new of it is read.
//!
//! That is the words of the headers, and the headers of chunks that were handed out since the last look.
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;

use recording::layout::{CHUNK, CHUNK_HEADER, ChunkHeader, ChunkKind, FileHeader, MAGIC};

use super::chunks::ChunkPlace;
use super::cut::Cut;
use super::places::with_file;
use super::recording::{HEAD, Recording, read_fully};

/// Chunks that are looked for again because their writers had not begun them. There are as many as writers that begin one
/// now; what is beyond is of a damaged file.
const WAITING: usize = 4096;

/// How far a file was looked at.
pub struct Follower {
    /// The first chunk that was not handed out.
    next: u64,
    /// Chunks that were handed out and not begun.
    waiting: Vec<u64>,
    /// [`FileHeader::reused`] when chunks were last looked at for that.
    reused: u64,
}

impl Follower {
    /// Goes on where the opening of `processes`, all those of one file, ended.
    pub fn new(processes: &[&Recording]) -> Follower {
        let mut known: HashSet<u64> = processes.iter().map(|process| process.process.into()).collect();
        for process in processes {
            known.extend(process.all_chunks().map(|place| place.number));
        }
        let first = processes.iter().find(|process| process.process == 0);
        let next = first.map_or(1, |first| first.header.next_chunk.max(1));
        let waiting = (1..next).filter(|number| !known.contains(number));
        Follower {
            waiting: waiting.take(WAITING).collect(),
            next,
            reused: first.map_or(0, |first| first.header.reused),
        }
    }

    /// Brings `processes`, those of the file that were known, up to date. True if there are others in it now.
    pub fn look(&mut self, path: &Path, processes: &mut [&mut Recording]) -> io::Result<bool> {
        let file = with_file(path, |path| File::open(path))?;
        let mut head = vec![0; HEAD as usize];
        let (mut next, mut reused) = (self.next, self.reused);
        for process in processes.iter_mut() {
            let len = read_fully(&file, &mut head, u64::from(process.process) * CHUNK as u64)?;
            let Ok(header) = FileHeader::decode(&head[..len]) else { continue };
            if header.file_id != process.header.file_id {
                continue;
            }
            // Nobody writes it any more.
            if header.compressed != 0 {
                return Ok(true);
            }
            if process.process == 0 {
                (next, reused) = (header.next_chunk, header.reused);
            }
            process.finalizing = Cut::finalizing(&header, &head).map(Box::new);
            process.held = Cut::held(&header, &head).map(Box::new);
            process.header = header;
        }
        let chunks = file.metadata()?.len().div_ceil(CHUNK as u64);
        let next = next.min(chunks).max(self.next);
        // Chunks of events become others only where the file does not grow.
        if reused != self.reused && next == self.next {
            self.reused = reused;
            processes.iter_mut().try_for_each(|process| look_at_events(&file, process))?;
        }
        let fresh = std::mem::replace(&mut self.next, next)..next;
        let mut others = false;
        for number in std::mem::take(&mut self.waiting).into_iter().chain(fresh) {
            others |= self.look_at(&file, number, processes)?;
        }
        Ok(others)
    }

    fn look_at(&mut self, file: &File, number: u64, processes: &mut [&mut Recording]) -> io::Result<bool> {
        let bytes = header(file, number)?;
        let Some(header) = ChunkHeader::decode(&bytes) else {
            let is_process = bytes.starts_with(&MAGIC);
            if !is_process && self.waiting.len() < WAITING {
                self.waiting.push(number);
            }
            return Ok(is_process);
        };
        match processes.iter_mut().find(|process| process.process == header.process) {
            Some(process) => process.add_chunk(ChunkPlace { number, header, entry: None }),
            None => return Ok(true),
        }
        Ok(false)
    }
}

fn header(file: &File, number: u64) -> io::Result<[u8; CHUNK_HEADER]> {
    let mut bytes = [0; CHUNK_HEADER];
    read_fully(file, &mut bytes, number * CHUNK as u64)?;
    Ok(bytes)
}

/// Finds out which chunks of events were used again as others.
fn look_at_events(file: &File, process: &mut Recording) -> io::Result<()> {
    let mut changed: Vec<ChunkPlace> = Vec::new();
    for chunks in process.writers.values_mut() {
        for place in chunks.iter() {
            let now = ChunkHeader::decode(&header(file, place.number)?);
            changed.extend(
                now.filter(|now| now.kind != ChunkKind::Events && now.process == process.process)
                    .map(|header| ChunkPlace { number: place.number, header, entry: None }),
            );
        }
        chunks.retain(|place| changed.iter().all(|changed| changed.number != place.number));
    }
    changed.into_iter().for_each(|place| process.add_chunk(place));
    Ok(())
}
