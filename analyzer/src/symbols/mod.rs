//! Addresses within a module -> function, file and line.
//!
//! A module is named by the path and the build-id that the recording holds. A file with another build-id is never
//! used. What stays unknown is data with a [`Reason`], not an error; no input makes this fail or panic.
mod batch;
mod cache;
mod debug_file;
mod elf;
mod index;
mod kept;
mod locator;
mod module;
mod names;
mod needed;
mod nesting;
mod parts;
mod spelling;
mod stack;
mod table;

pub use cache::directory as cache_directory;
pub use needed::Stretch;
pub use parts::{Finder, Part, Parts, Role};

use cache::Cache;
use elf::SectionData;
use locator::Locator;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread;

/// A file that was mapped into the process, as the recording names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModuleFile {
    /// Path as recorded.
    pub path: PathBuf,
    /// Build-id as recorded; empty if the file had none.
    pub build_id: Vec<u8>,
}

/// The addresses to look up in one module.
#[derive(Debug, Clone)]
pub struct Query {
    /// Where they lie.
    pub module: ModuleFile,
    /// Addresses as in the file (runtime address - load bias); already the lookup address (return address - 1).
    pub addresses: Vec<u64>,
}

/// Where to look for files besides the recorded paths.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// Directories with modules or debug files, by build-id or by name.
    pub debug_dirs: Vec<PathBuf>,
    /// Root that recorded paths are also looked up in.
    pub sysroot: Option<PathBuf>,
    /// What came with the recording.
    pub packed: Arc<HashMap<ModuleFile, Packed>>,
    /// Where what is found is kept for the next time; nowhere if there is none.
    pub cache: Option<PathBuf>,
}

/// What came with a recording of one of its modules.
#[derive(Debug, Default, Clone)]
pub struct Packed {
    /// Its files.
    pub files: Vec<PathBuf>,
    /// Why there are none, or not all.
    pub problem: Option<Reason>,
}

/// Why a function or a line is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// No file at the recorded path nor in the other places.
    FileMissing,
    /// Only files with another build-id were found.
    BuildIdDiffers {
        /// Build-id in the recording.
        recorded: Vec<u8>,
        /// Build-id of the file that was not used; empty if it has none.
        found: Vec<u8>,
    },
    /// The file could not be read or is corrupt; why.
    Unreadable(String),
    /// The file names no function at this address.
    NoSymbol,
    /// A file that the debug information refers to is missing (split or shared debug information): its name.
    DebugFileMissing(String),
    /// The function is known, but no debug information gives its line.
    NoDebugInfo,
    /// Memory that no file backs, such as the vdso or generated code.
    NotAFile,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::FileMissing => f.write_str("file missing"),
            Reason::BuildIdDiffers { recorded, found } if found.is_empty() => {
                write!(f, "file found has no build-id, recorded {}", Hex(recorded))
            }
            Reason::BuildIdDiffers { recorded, found } if recorded.is_empty() => {
                write!(f, "file found has build-id {}, recorded none", Hex(found))
            }
            Reason::BuildIdDiffers { recorded, found } => {
                write!(f, "file found has build-id {}, recorded {}", Hex(found), Hex(recorded))
            }
            Reason::Unreadable(why) => write!(f, "unreadable: {why}"),
            Reason::NoSymbol => f.write_str("no symbol"),
            Reason::DebugFileMissing(name) => write!(f, "debug file {name} missing"),
            Reason::NoDebugInfo => f.write_str("no debug information"),
            Reason::NotAFile => f.write_str("not a file"),
        }
    }
}

/// The first bytes of a build-id, as people compare them.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One function at an address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// Its name, demangled.
    pub function: Option<String>,
    /// The source file.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// Inlined into the next frame.
    pub inlined: bool,
}

/// What is known of one address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Symbolized {
    /// Innermost first; possibly empty.
    pub frames: Vec<Frame>,
    /// Why the function or the line is unknown.
    pub reason: Option<Reason>,
}

/// Looks up all addresses; the result has the shape of `queries`. `done(n)` is called as n more are finished, from
/// several threads. Queries of one module are looked up together, so each file is read once.
pub fn symbolize(
    queries: &[Query],
    options: &Options,
    done: &(dyn Fn(usize) + Sync),
) -> Vec<Vec<Symbolized>> {
    let locator = Locator::new(options);
    let cache = options.cache.as_deref().and_then(Cache::open);
    let batches = batch::by_module(queries);
    let next = AtomicUsize::new(0);
    let found: Vec<OnceLock<Vec<Symbolized>>> = batches.iter().map(|_| OnceLock::new()).collect();
    let work = |stack: usize| {
        while let Some((batch, found)) =
            Some(next.fetch_add(1, Relaxed)).and_then(|i| batches.get(i).zip(found.get(i)))
        {
            let progress = batch::Progress::new(batch, done);
            let done = |index| progress.finished(index);
            let _ = found.set(module::symbolize(
                batch.module,
                &batch.addresses,
                &locator,
                cache.as_ref(),
                stack,
                &done,
            ));
        }
    };
    let threads = thread::available_parallelism().map_or(1, |n| n.get()).min(batches.len());
    let stack = stack::size(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            let _ = thread::Builder::new().stack_size(stack).spawn_scoped(scope, || work(stack));
        }
    });
    // Does nothing, unless no thread could be started.
    work(stack::LEAST);
    cache.inspect(Cache::trim);
    let found = found.into_iter().map(|found| found.into_inner().unwrap_or_default()).collect();
    batch::in_shape_of(queries, batches, found)
}
