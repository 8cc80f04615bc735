//! What was found of modules before, on disk, so that the next report reads no debug information.
//!
//! A file holds what was found of one module with the very files that describe it now: their paths, sizes and times of
//! change are in its key, so that a debug package which comes, goes or is another one is seen; so is the `unfreed` that
//! looked. What is shown is the same with a cache and without. Files are written whole or not at all, and may vanish at any
//! time; no error is told of, it is looked up again.
use super::elf::ElfFile;
use super::kept::{self, Kept};
use super::locator::Located;
use super::{ModuleFile, Reason, Symbolized};
use crate::limit::limit;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

/// Of all files together. Beyond it, those that were not written for longest are removed.
const LARGEST: u64 = 256 << 20;
/// What the names of all its files end with.
const SUFFIX: &str = ".symbols";
/// Longer ones are not of any linker, and would be long names of files.
const LONGEST_BUILD_ID: usize = 64;

/// The user's directory for what was looked up: `UNFREED_CACHE`, none if that is empty; else one of ours in the directory for
/// caches.
pub fn directory() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    match env::var_os("UNFREED_CACHE") {
        // An empty path is an error.
        Some(directory) => std::path::absolute(directory).ok(),
        None => absolute("XDG_CACHE_HOME")
            // A home that is not there is not made.
            .or_else(|| absolute("HOME").filter(|home| home.is_dir()).map(|home| home.join(".cache")))
            .map(|caches| caches.join("unfreed/symbols")),
    }
}

/// A directory with such files.
pub struct Cache {
    directory: PathBuf,
    user: u32,
    /// Which `unfreed` this is.
    program: String,
    has_grown: AtomicBool,
}

/// The place of one module's file, and what is in it.
pub struct Place {
    path: PathBuf,
    key: String,
    kept: Option<Kept>,
}

impl Cache {
    /// The one in this directory, which is made; none where it is not this user's alone.
    pub fn open(directory: &Path) -> Option<Cache> {
        // SAFETY: takes no argument and cannot fail.
        let user = unsafe { libc::geteuid() };
        if !directory.exists() {
            // As root in another user's home, it would be in that user's way.
            let above = directory.ancestors().skip(1).find_map(|above| above.metadata().ok())?;
            if above.uid() != user && above.uid() != 0 {
                return None;
            }
            // Those above may be for others too.
            fs::create_dir_all(directory.parent()?).ok()?;
            // Another process may have made it meanwhile.
            let _ = DirBuilder::new().mode(0o700).create(directory);
        }
        let metadata = directory.metadata().ok()?;
        let is_ours = metadata.is_dir() && metadata.uid() == user && metadata.mode() & 0o022 == 0;
        let path = env::current_exe().ok()?;
        let program = format!("{:?}", (env!("CARGO_PKG_VERSION"), version(&path, &path.metadata().ok()?)));
        is_ours.then(|| Cache { directory: directory.to_owned(), user, program, has_grown: false.into() })
    }

    /// The place of what is found of a module in these files; none if nothing would tell it from another.
    pub fn place(&self, module: &ModuleFile, located: &Located) -> Option<Place> {
        let id = &module.build_id;
        if id.is_empty() || id.len() > LONGEST_BUILD_ID || located.files.is_empty() {
            return None;
        }
        let versions = |files: &[ElfFile]| -> Vec<String> {
            files.iter().map(|file| version(&file.path, &file.metadata)).collect()
        };
        let alternate = located.alternate.as_ref().map(|file| version(&file.path, &file.metadata));
        let missing = (&located.alternate_missing, &located.problem);
        let key = format!("{:?}", (&self.program, id, versions(&located.files), alternate, missing));
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let name: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.directory.join(format!("{name}-{:016x}{SUFFIX}", hasher.finish()));
        let kept = self.read(&path).and_then(|bytes| Kept::new(bytes, &key));
        Some(Place { path, key, kept })
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        // To open a FIFO without waiting for its other end.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || metadata.uid() != self.user || metadata.len() > LARGEST {
            return None;
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        file.take(LARGEST).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Keeps what was found at more addresses. What depends on more than the module's files is left out.
    pub fn keep(&self, place: &Place, found: &[(u64, &Symbolized)]) {
        let lasts = |symbolized: &Symbolized| !matches!(symbolized.reason, Some(Reason::Unreadable(_)));
        let found: Vec<_> = found.iter().copied().filter(|(_, symbolized)| lasts(symbolized)).collect();
        let bytes =
            (!found.is_empty()).then(|| kept::bytes(&place.key, place.kept.as_ref(), &found)).flatten();
        // A file beyond the limit would end us with SIGXFSZ.
        let largest = LARGEST.min(limit(libc::RLIMIT_FSIZE));
        if let Some(bytes) = bytes.filter(|bytes| bytes.len() as u64 <= largest)
            && write(&place.path, &bytes).is_some()
        {
            self.has_grown.store(true, Relaxed);
        }
    }

    /// Removes what is too much.
    pub fn trim(&self) {
        if !self.has_grown.load(Relaxed) {
            return;
        }
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let ours = |name: &OsStr| name.to_str().is_some_and(|name| name.contains(SUFFIX));
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter(|entry| ours(&entry.file_name()))
            .filter_map(|entry| {
                let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        files.sort_unstable();
        let mut size: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if size <= LARGEST {
                break;
            }
            size -= length;
            let _ = fs::remove_file(path);
        }
    }
}

impl Place {
    /// What was found at this address before.
    pub fn find(&self, address: u64) -> Option<Symbolized> {
        self.kept.as_ref()?.find(address)
    }
}

/// Tells a file from what else may be at its path.
fn version(path: &Path, metadata: &Metadata) -> String {
    format!("{:?}", (path, metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// A file with these bytes and no others. One that is left behind is written over by the next process of this number, or is
/// trimmed; where two of one number write (in two containers), the checksum tells.
fn write(path: &Path, bytes: &[u8]) -> Option<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let mut file = options.open(&beside).ok()?;
    let renamed = file.write_all(bytes).and_then(|()| fs::rename(&beside, path));
    renamed.inspect_err(|_| _ = fs::remove_file(&beside)).ok()
}
