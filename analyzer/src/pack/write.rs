//! Makes a pack.
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use recording::layout::CHUNK;

use super::archive::{INDEX, Writer};
use super::extents::Extents;
use super::index::{self, Hex, Index, Name, Noted, Process};
use super::modules::{Found, Modules};
use super::sources::{Source, Sources};
use super::{RECORDING, snapshot};
use crate::aggregate::begin_epoch;
use crate::progress;
use crate::reader::{self, Definitions, ProcessState, Recording, Run, Snapshot, with_file};
use crate::symbols::{self, Reason, Stretch};
use crate::temporary::Temporary;

/// What to pack, and where to.
pub struct Request {
    /// The recording.
    pub recording: PathBuf,
    /// The file to make. What is there is replaced.
    pub output: PathBuf,
    /// Whether the modules' symbols are put in.
    pub modules: bool,
    /// And their debug information.
    pub debug: bool,
    /// How much work to put into its size, from 1 to [`super::HIGHEST_LEVEL`].
    pub level: i32,
    /// Where to look for modules and debug files.
    pub symbols: symbols::Options,
}

/// What was packed.
pub struct Summary {
    /// Bytes of the pack.
    pub size: u64,
    /// Modules with symbols.
    pub modules: usize,
    /// Modules without, and why.
    pub missing: Vec<(PathBuf, Reason)>,
}

/// A file that could not be read or written.
#[derive(Debug)]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub why: io::Error,
}

/// Packs a run that was opened at `request.recording`. The pack appears when it is complete.
pub fn write(run: &Run, request: &Request) -> Result<Summary, WriteError> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |why| WriteError { path, why }
    };
    let (temporary, out) = Temporary::beside(&request.output).map_err(at(&request.output))?;
    let mut sources = Sources::of(&request.recording, run).map_err(at(&request.recording))?;
    let copies = Copies::of(run, &mut sources, &request.output)?;
    let found = if request.modules {
        modules(run, &copies, &run.symbols(&request.symbols))
    } else {
        Found::default()
    };
    let Found { modules, files: parts, missing } = found;
    let mut files = Vec::new();
    let mut opened = Vec::new();
    for source in &sources.files {
        let (file, size) = open(source).map_err(at(&source.path))?;
        let extents = Extents::of_file(&file, size).map_err(at(&source.path))?;
        let name = Name::new(Path::new(RECORDING).join(&source.name));
        files.push(index::File { name, size, extents });
        opened.push(&source.path);
    }
    let kept: Vec<_> = parts.iter().filter(|(_, part)| !part.needed(request.debug).is_empty()).collect();
    for (name, part) in &kept {
        let stretches = part.needed(request.debug);
        let extents = Extents(stretches.iter().map(|(start, bytes)| (*start, bytes.len() as u64)).collect());
        files.push(index::File { name: name.clone(), size: part.size(), extents });
    }
    let index = Index {
        version: index::VERSION,
        unfreed: env!("CARGO_PKG_VERSION").to_owned(),
        only: sources.only.clone().map(Name),
        epoch: copies.epoch,
        processes: copies.processes(run),
        modules,
        files,
    };
    let json = serde_json::to_vec(&index).map_err(io::Error::from).map_err(at(&request.output))?;
    let bar = progress::bytes("packing", index.files.iter().map(|file| file.extents.bytes()).sum());
    let mut writer = Writer::new(out, request.level);
    let mut add = |name: &str, contents: &mut dyn Read, path: &Path| {
        let mut contents = Counted { contents, bar: &bar, failed: None };
        let added = writer.add(name, &mut contents);
        // Of the two files that it may be about.
        let path = if contents.failed.is_some() { path } else { &request.output };
        added.map_err(at(path))
    };
    add(INDEX, &mut &*json, &request.output)?;
    let (recording, rest) = index.files.split_at(opened.len());
    for (file, path) in recording.iter().zip(opened) {
        let from = with_file(path, |path| File::open(path)).map_err(at(path))?;
        add(&member(&file.name), &mut file.extents.read(&from), path)?;
    }
    for (file, (_, part)) in rest.iter().zip(kept) {
        let stretches = part.needed(request.debug);
        add(&member(&file.name), &mut Joined { left: &stretches, now: &[] }, part.path())?;
    }
    let size = writer.finish().map_err(at(&request.output))?;
    temporary.keep(&request.output).map_err(at(&request.output))?;
    let modules = index.modules.iter().filter(|module| !module.files.is_empty()).count();
    Ok(Summary { size, modules, missing })
}

/// What people see in a list of the members.
fn member(name: &Name) -> String {
    format!("{}.zst", name.0.display())
}

/// A file of the recording, and how much of it was used.
fn open(source: &Source) -> io::Result<(File, u64)> {
    let file = with_file(&source.path, |path| File::open(path))?;
    let len = file.metadata()?.len();
    // What is no recording is packed as it is.
    let used = Recording::open(&source.path)
        .map_or(len, |recording| recording.header.used_bytes().clamp(CHUNK as u64, len.max(CHUNK as u64)));
    Ok((file, used.min(len)))
}

/// Copies of the files of processes that run, and of what they share.
#[derive(Default)]
struct Copies {
    /// The places of these processes among the recordings of the run, and their ids here.
    running: Vec<(usize, u32)>,
    /// By the paths of the files.
    files: BTreeMap<PathBuf, PathBuf>,
    snapshots: HashMap<u64, Snapshot>,
    epoch: Option<u32>,
    _directory: Option<Temporary>,
}

impl Copies {
    /// Makes them, and has them packed.
    fn of(run: &Run, sources: &mut Sources, output: &Path) -> Result<Copies, WriteError> {
        let mut copies = Copies::default();
        if let Some(packed) = &run.packed {
            copies.epoch = packed.epoch();
            return Ok(copies);
        }
        copies.running = reader::running(&run.recordings);
        if copies.running.is_empty() {
            return Ok(copies);
        }
        let directory = Temporary::directory_beside(output)
            .map_err(|why| WriteError { path: output.to_path_buf(), why })?;
        let mut begun = Vec::new();
        for &(place, _) in &copies.running {
            let path = &run.recordings[place].path;
            if copies.files.contains_key(path) {
                continue;
            }
            let copy = directory.path().join(place.to_string());
            let together: Vec<_> = run.recordings.iter().filter(|other| other.path == *path).collect();
            let at = |why| WriteError { path: copy.clone(), why };
            begun.push((copy.clone(), snapshot::begin(path, &copy, &together).map_err(at)?));
            copies.files.insert(path.clone(), copy.clone());
        }
        copies.epoch = run.recordings.get(copies.running[0].0).and_then(begin_epoch);
        for (path, begun) in begun {
            copies.snapshots.extend(begun.finish().map_err(|why| WriteError { path, why })?);
        }
        for source in &mut sources.files {
            let copied = copies.files.iter().find(|(path, _)| {
                source.path == **path || reader::settled(path).is_some_and(|moved| moved == source.path)
            });
            if let Some((_, copy)) = copied {
                source.path = copy.clone();
            }
        }
        copies._directory = Some(directory);
        Ok(copies)
    }

    /// What the header does not tell.
    fn processes(&self, run: &Run) -> Vec<Process> {
        let process = |recording: &Recording| {
            let is_told = matches!(
                recording.state,
                ProcessState::Running | ProcessState::Copied | ProcessState::Exec | ProcessState::Killed
            );
            let copied = self.snapshots.get(&recording.header.file_id).or(recording.snapshot.as_deref());
            let noted = copied.map(|snapshot| Noted {
                began_ms: snapshot.began_ms,
                done_ns: snapshot.done_ns,
                positions: snapshot.positions.clone(),
            });
            let noted = noted.filter(|_| recording.is_running());
            let id = Hex(recording.header.file_id.to_be_bytes().to_vec());
            is_told.then(|| Process { id, state: recording.state.to_string(), noted })
        };
        run.recordings.iter().filter_map(process).collect()
    }
}

fn modules(run: &Run, copies: &Copies, options: &symbols::Options) -> Found {
    let mut modules = Modules::default();
    for (place, recording) in run.recordings.iter().enumerate() {
        let pid = copies.running.iter().find(|(running, _)| *running == place).map(|(_, pid)| *pid);
        // As many definitions as are packed.
        let copy = copies.files.get(&recording.path).and_then(|path| Recording::open_all(path).ok());
        let same = |copy: &Recording| copy.header.file_id == recording.header.file_id;
        let copy = copy.and_then(|processes| processes.into_iter().find(same));
        modules.add(&Definitions::read(copy.as_ref().unwrap_or(recording)), pid);
    }
    let bar = progress::items("modules", modules.len() as u64);
    modules.find(options, &|count| bar.inc(count as u64))
}

/// The bytes of stretches, one behind the other.
struct Joined<'a> {
    left: &'a [Stretch<'a>],
    now: &'a [u8],
}

impl Read for Joined<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            let Some(((_, bytes), left)) = self.left.split_first() else { return Ok(0) };
            (self.now, self.left) = (bytes, left);
        }
        self.now.read(buffer)
    }
}

/// Contents of a member, and how far they were read.
struct Counted<'a> {
    contents: &'a mut dyn Read,
    bar: &'a progress::Progress,
    failed: Option<()>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.contents.read(buffer);
        match &read {
            Ok(read) => self.bar.inc(*read as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.failed = Some(()),
        }
        read
    }
}
