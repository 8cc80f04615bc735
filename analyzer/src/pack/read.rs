//! Unpacks what is asked of a pack.
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use serde::Deserialize;

use super::archive::{self, INDEX, Member};
use super::index::{self, Index, Name};
use super::{MODULES, RECORDING};
use crate::error::reason;
use crate::reader::{self, ReadError, Recording, Run, Snapshot, Unreadable, packed_state};
use crate::symbols::{self, ModuleFile, Packed, Reason};
use crate::temporary::Temporary;

/// What an index may take: of some 300,000 files.
const LONGEST_INDEX: u64 = 64 << 20;

/// What is wrong with a pack.
#[derive(Debug)]
pub enum PackError {
    /// Nothing can be read without its index; why.
    Index(String),
    /// Written by a newer version of the format.
    NewerVersion(u32),
    /// This many of so many files are not there, or not whole.
    Damaged(usize, usize),
    /// It cannot be unpacked to this directory.
    Unpack(PathBuf, io::Error),
}

impl PackError {
    /// What one can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            PackError::Index(_) | PackError::Damaged(..) => "if it is a copy, copy it again",
            PackError::NewerVersion(_) => "use the unfreed that packed it, or a newer one",
            PackError::Unpack(..) => "TMPDIR names another directory",
        }
    }
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PackError::Index(why) => write!(f, "a damaged pack: {why}"),
            PackError::NewerVersion(version) => {
                write!(f, "pack of version {version}, this unfreed reads up to {}", index::VERSION)
            }
            PackError::Damaged(count, of) => {
                write!(f, "a damaged pack: of its {of} files {count} are not there or not whole")
            }
            PackError::Unpack(directory, why) => {
                write!(f, "cannot be unpacked to {}: {}", directory.display(), reason(why))
            }
        }
    }
}

/// A pack that is being read. What was unpacked of it is removed with this.
pub struct Unpacked {
    path: PathBuf,
    file: File,
    index: Index,
    /// In the order of `index.files`; as many as are there.
    members: Vec<Member>,
    directory: Temporary,
    modules: OnceLock<Arc<HashMap<ModuleFile, Packed>>>,
}

/// The file at `path`, if it is a pack.
fn file(path: &Path) -> Option<File> {
    // Asked before it is opened: the opening of a named pipe waits for a writer.
    fs::metadata(path).ok().filter(|metadata| metadata.is_file())?;
    let file = File::open(path).ok()?;
    let mut start = [0; INDEX.len()];
    file.read_exact_at(&mut start, 0).ok()?;
    archive::is_pack(&start).then_some(file)
}

/// Whether the file at `path` is a pack.
pub fn is_pack(path: &Path) -> bool {
    file(path).is_some()
}

/// Opens the recording in a pack; `None` if the file at `path` is no pack.
pub fn open(path: &Path) -> Result<Option<Run>, ReadError> {
    let Some(file) = file(path) else { return Ok(None) };
    let unpacked = Unpacked::new(path, file);
    let fail = |why| ReadError { path: path.to_path_buf(), why: Unreadable::Pack(why) };
    unpacked.map_err(fail)?.run().map(Some)
}

impl Unpacked {
    fn new(path: &Path, file: File) -> Result<Unpacked, PackError> {
        let damaged = |why: io::Error| PackError::Index(reason(&why));
        let members = archive::members(&file).map_err(damaged)?;
        let (first, members) = members.split_first().ok_or_else(|| PackError::Index("it is cut".into()))?;
        let mut json = Vec::new();
        let contents = first.contents(&file).map_err(damaged)?;
        contents.take(LONGEST_INDEX).read_to_end(&mut json).map_err(damaged)?;
        let index = parse(&json)?;
        let unpack = |why| PackError::Unpack(std::env::temp_dir(), why);
        let directory = Temporary::directory().map_err(unpack)?;
        let members = members.to_vec();
        let modules = OnceLock::new();
        Ok(Unpacked { path: path.to_path_buf(), file, index, members, directory, modules })
    }

    /// Unpacks and opens the recording.
    fn run(self) -> Result<Run, ReadError> {
        let fail = |why| ReadError { path: self.path.clone(), why: Unreadable::Pack(why) };
        let recording = Path::new(RECORDING);
        let files = self.files().filter(|(file, _)| file.name.0.starts_with(recording));
        let mut damaged = self.index.files.len().saturating_sub(self.members.len());
        let unwritten = |why| fail(PackError::Unpack(std::env::temp_dir(), why));
        fs::create_dir(self.directory.path().join(recording)).map_err(unwritten)?;
        for (file, member) in files {
            let whole = self.unpack(file, member).map_err(unwritten)?;
            damaged += usize::from(whole.is_none());
        }
        let count = self.index.files.len();
        let opened = reader::open_unpacked(&self.recording()).map_err(|error| match damaged {
            0 => self.shown_error(error),
            _ => fail(PackError::Damaged(damaged, count)),
        });
        let mut run = opened?;
        let known: HashMap<&[u8], &index::Process> =
            self.index.processes.iter().map(|process| (&*process.id.0, process)).collect();
        run.recordings.iter_mut().for_each(|recording| settle(recording, &known));
        run.unreadable = run.unreadable.into_iter().map(|error| self.shown_error(error)).collect();
        if damaged > 0 {
            run.unreadable.push(fail(PackError::Damaged(damaged, count)));
        }
        run.packed = Some(self);
        Ok(run)
    }

    /// Where the recording is.
    pub fn recording(&self) -> PathBuf {
        let directory = self.directory.path().join(RECORDING);
        self.index.only.as_ref().and_then(|only| only.below(&directory)).unwrap_or(directory)
    }

    /// The epoch of which to speak of the processes that ran.
    pub fn epoch(&self) -> Option<u32> {
        self.index.epoch
    }

    /// A path of what was unpacked as one in the pack.
    pub fn shown(&self, path: &Path) -> PathBuf {
        let inside = path.strip_prefix(self.directory.path().join(RECORDING));
        inside.map_or_else(|_| path.to_path_buf(), |inside| self.path.join(inside))
    }

    fn shown_error(&self, error: ReadError) -> ReadError {
        let why = match error.why {
            Unreadable::CopyOf(path) => Unreadable::CopyOf(self.shown(&path)),
            why => why,
        };
        ReadError { path: self.shown(&error.path), why }
    }

    /// `options`, and the symbols of the pack, which are unpacked now.
    pub fn symbols(&self, options: &symbols::Options) -> symbols::Options {
        let packed = Arc::clone(self.modules.get_or_init(|| Arc::new(self.unpack_modules())));
        let mut options = symbols::Options { packed, ..options.clone() };
        // For what debug files name.
        options.debug_dirs.push(self.directory.path().join(MODULES));
        // What was unpacked is elsewhere the next time.
        options.cache =
            options.cache.filter(|_| options.packed.values().all(|packed| packed.files.is_empty()));
        options
    }

    fn unpack_modules(&self) -> HashMap<ModuleFile, Packed> {
        let files: Vec<_> = self.files().filter(|(file, _)| file.name.0.starts_with(MODULES)).collect();
        let next = AtomicUsize::new(0);
        let unpacked: Mutex<HashMap<&Name, Result<PathBuf, String>>> = Mutex::default();
        let work = || {
            while let Some((file, member)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let path = match self.unpack(file, member) {
                    Ok(Some(path)) => Ok(path),
                    Ok(None) => Err("damaged in the pack".to_owned()),
                    Err(why) => Err(format!("cannot be unpacked: {}", reason(&why))),
                };
                unpacked.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(&file.name, path);
            }
        };
        std::thread::scope(|scope| {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            (1..threads.min(files.len())).for_each(|_| _ = scope.spawn(work));
            work();
        });
        let unpacked = unpacked.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let packed = |module: &index::Module| {
            let problem = module.problem.as_ref().map(|problem| problem.reason(&module.build_id.0));
            let mut packed = Packed { files: Vec::new(), problem };
            for name in &module.files {
                match unpacked.get(name) {
                    Some(Ok(path)) => packed.files.push(path.clone()),
                    Some(Err(why)) => packed.problem = Some(Reason::Unreadable(why.clone())),
                    None => packed.problem = Some(Reason::Unreadable("cut from the pack".to_owned())),
                }
            }
            let file = ModuleFile { path: module.path.0.clone(), build_id: module.build_id.0.clone() };
            (file, packed)
        };
        self.index.modules.iter().map(packed).collect()
    }

    fn files(&self) -> impl Iterator<Item = (&index::File, &Member)> {
        self.index.files.iter().zip(&self.members)
    }

    /// Unpacks a file; `None` if it is damaged. A file of the recording then is there as far as it goes, another one is
    /// not. An error if it cannot be written.
    fn unpack(&self, file: &index::File, member: &Member) -> io::Result<Option<PathBuf>> {
        let Some(path) = file.name.below(self.directory.path()) else { return Ok(None) };
        if !file.extents.fit(file.size) || i64::try_from(file.size).is_err() {
            return Ok(None);
        }
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let to = match File::create_new(&path) {
            // Two files of one name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            to => to?,
        };
        let problem = match member.contents(&self.file) {
            Ok(mut contents) => file.extents.restore(&mut contents, &to, file.size)?,
            Err(why) => Some(why),
        };
        if problem.is_some() && !file.name.0.starts_with(RECORDING) {
            fs::remove_file(&path)?;
        }
        Ok(problem.is_none().then_some(path))
    }
}

fn parse(json: &[u8]) -> Result<Index, PackError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let damaged = |why: serde_json::Error| PackError::Index(format!("its index: {why}"));
    match serde_json::from_slice::<Version>(json).map_err(damaged)?.version {
        newer if newer > index::VERSION => Err(PackError::NewerVersion(newer)),
        _ => serde_json::from_slice(json).map_err(damaged),
    }
}

/// Its state is that of the moment when it was packed.
fn settle(recording: &mut Recording, known: &HashMap<&[u8], &index::Process>) {
    let id = recording.header.file_id.to_be_bytes();
    let known = known.get(&id[..]);
    recording.state = packed_state(recording, known.map(|process| &*process.state));
    if recording.is_running() {
        let index::Noted { began_ms, done_ns, positions } =
            known.and_then(|process| process.noted.clone()).unwrap_or_default();
        recording.opened_ms = began_ms;
        recording.snapshot = Some(Arc::new(Snapshot { began_ms, done_ns, positions }));
    }
}
