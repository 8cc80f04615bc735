//! Which chunk of a file is whose: looks at the beginning of each chunk that was handed out.
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use recording::compressed::{ENTRIES, ENTRY, Entry};
use recording::layout::{CHUNK, CHUNK_HEADER, CHUNK_MAGIC, ChunkHeader, FileHeader, MAGIC};

use super::chunks::{ChunkPlace, decompressed};
use super::loss::{Damage, Loss};
use super::recording::{HEAD, MACHINE, Recording, read_fully};

/// The first version whose files may hold further processes.
const FURTHER_PROCESSES: u32 = 3;

/// Finds the chunks of `first`, which began the file, and the other processes of the file with theirs. `used` bytes of
/// the file were handed out and are there.
pub(super) fn read(first: Recording, file: &File, used: u64) -> io::Result<Vec<Recording>> {
    let is_compressed = first.compressed != 0;
    let mut processes = Processes { all: vec![first], places: HashMap::from([(0, 0)]) };
    if is_compressed {
        processes.read_entries(file, used)?;
    } else {
        processes.read_chunks(file, used)?;
    }
    processes.all.iter_mut().for_each(Recording::sort_chunks);
    Ok(processes.all)
}

struct Processes {
    /// The one that began the file is the first.
    all: Vec<Recording>,
    /// By the number of the chunk that is the header.
    places: HashMap<u32, usize>,
}

impl Processes {
    fn read_chunks(&mut self, file: &File, used: u64) -> io::Result<()> {
        let mut chunk = [0; CHUNK_HEADER];
        let mut next = 1;
        while next < used.div_ceil(CHUNK as u64) {
            let number = next;
            next += 1;
            if read_fully(file, &mut chunk, number * CHUNK as u64)? < CHUNK_HEADER {
                break;
            }
            if !self.add(number, None, &chunk, file)? {
                // Its writer never began it; or more than that in a file whose header is damaged.
                next = next.max(data_after(file, number * CHUNK as u64) / CHUNK as u64);
            }
        }
        Ok(())
    }

    fn read_entries(&mut self, file: &File, used: u64) -> io::Result<()> {
        let mut bytes = [0; ENTRY];
        let (mut at, mut last) = (ENTRIES as u64, 0);
        while at < used {
            let len = read_fully(file, &mut bytes, at)?;
            let Some(entry) = Entry::decode(&bytes[..len]) else { break };
            let number = u64::from(entry.number);
            if number <= last || !self.add(number, Some(at), &entry.header, file)? {
                self.lose(Loss::Damaged { chunk: number, offset: at, what: Damage::Malformed });
                break;
            }
            last = number;
            at += ENTRY as u64 + u64::from(entry.frame);
        }
        Ok(())
    }

    fn lose(&mut self, loss: Loss) {
        self.all[0].losses.push(loss);
    }

    /// Adds what begins with these bytes; false if nothing does.
    fn add(
        &mut self,
        number: u64,
        entry: Option<u64>,
        begin: &[u8; CHUNK_HEADER],
        file: &File,
    ) -> io::Result<bool> {
        let magic = begin.first_chunk::<4>().map(|magic| u32::from_le_bytes(*magic));
        match ChunkHeader::decode(begin) {
            Some(header) => self.add_chunk(ChunkPlace { number, header, entry }),
            None if begin.starts_with(&MAGIC) => self.add_process(number, entry, file)?,
            None if magic == Some(CHUNK_MAGIC) => self.lose(Loss::UnknownChunk(number)),
            None => return Ok(false),
        }
        Ok(true)
    }

    fn add_chunk(&mut self, place: ChunkPlace) {
        match self.places.get(&place.header.process) {
            Some(&process) => self.all[process].add_chunk(place),
            None => self.lose(Loss::NoProcess { chunk: place.number, process: place.header.process }),
        }
    }

    fn add_process(&mut self, number: u64, entry: Option<u64>, file: &File) -> io::Result<()> {
        let mut head = vec![0; HEAD as usize];
        match entry {
            None => {
                let len = read_fully(file, &mut head, number * CHUNK as u64)?;
                head.truncate(len);
            }
            // One that cannot be decompressed is of no process.
            Some(entry) => {
                let chunk = decompressed(file, entry).unwrap_or_default();
                head.iter_mut().zip(chunk).for_each(|(to, from)| *to = from);
            }
        }
        let known = self.all[0].header.version >= FURTHER_PROCESSES;
        let header = FileHeader::decode(&head).ok().filter(|header| known && header.machine == MACHINE);
        let (Some(header), Ok(process)) = (header, u32::try_from(number)) else {
            self.lose(Loss::UnknownChunk(number));
            return Ok(());
        };
        let mut further = Recording::new(&self.all[0].path, header, &head);
        further.process = process;
        further.file_id = self.all[0].file_id;
        further.compressed = self.all[0].compressed;
        self.places.insert(process, self.all.len());
        self.all.push(further);
        Ok(())
    }
}

/// Where data is in the file, from `offset` on: holes need not be read.
pub(crate) fn data_after(file: &File, offset: u64) -> u64 {
    let Ok(start) = i64::try_from(offset) else { return offset };
    // SAFETY: moves the place of a descriptor of our own, which is never read from there.
    let found = unsafe { libc::lseek(file.as_raw_fd(), start, libc::SEEK_DATA) };
    if found < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENXIO) {
        return u64::MAX;
    }
    u64::try_from(found).unwrap_or(offset)
}
