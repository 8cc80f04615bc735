//! Which files describe a module: the mapped file itself, its separate debug file, what they share with others.
//!
//! Places are tried in a fixed order: what came with the recording, the directories the user named, the sysroot, the
//! recorded path, then where distributions put debug files. A file is used only if its build-id is the recorded one; a separate debug file
//! without a build-id only if its checksum is the one in `.gnu_debuglink`. Nothing is downloaded.
use super::elf::ElfFile;
use super::index::Index;
use super::{ModuleFile, Options, Reason};
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where distributions install debug files.
const DEBUG_ROOT: &str = "/usr/lib/debug";

/// Finds files; shared by all threads.
pub struct Locator {
    options: Options,
    index: Index,
    downloads: Vec<PathBuf>,
}

/// The files of one module.
#[derive(Default)]
pub struct Located {
    /// Files with the right build-id: the first with debug information counts, symbols are taken from all.
    pub files: Vec<ElfFile>,
    /// The file that the one with debug information shares parts with.
    pub alternate: Option<ElfFile>,
    /// That such a file is missing: its name.
    pub alternate_missing: Option<String>,
    /// Those of the files that were found by the checksum of a link.
    pub linked: Vec<PathBuf>,
    /// What stopped the most likely of the files that were not used.
    pub problem: Option<Reason>,
}

impl Located {
    /// The file with debug information.
    pub fn debug_file(&self) -> Option<&ElfFile> {
        self.files.iter().find(|file| file.has_debug_info())
    }
}

impl Locator {
    /// A locator for one report.
    pub fn new(options: &Options) -> Self {
        let index = Index::new(&options.debug_dirs);
        Self { options: options.clone(), index, downloads: download_caches() }
    }

    /// All files for `module`.
    pub fn locate(&self, module: &ModuleFile) -> Located {
        let mut search = Search::new(module);
        if !names_a_file(&module.path) {
            return Located { problem: Some(Reason::NotAFile), ..Located::default() };
        }
        let packed = self.options.packed.get(module);
        search.try_all(packed.iter().flat_map(|packed| packed.files.iter().cloned()));
        // Nothing would tell a file of this machine from it.
        if packed.is_none() || !module.build_id.is_empty() {
            self.own_places(&mut search);
        }
        if !search.has_debug_info() {
            let roots = self.debug_roots();
            search.try_all(roots.iter().filter_map(|root| by_build_id(root, &module.build_id)));
        }
        if !search.has_debug_info() {
            self.follow_debug_links(&mut search);
        }
        if !search.has_debug_info() && !module.build_id.is_empty() {
            let id = hex(&module.build_id);
            let directories: Vec<PathBuf> = self.downloads.iter().map(|cache| cache.join(&id)).collect();
            search.try_all(directories.iter().flat_map(|d| [d.join("debuginfo"), d.join("executable")]));
        }
        let mut located = search.finish();
        if let Some(packed) = packed {
            // Files of this machine with another build-id are no problem.
            located.problem = packed.problem.clone();
        }
        self.follow_alternate_link(&mut located);
        located
    }

    /// The split debug file `name` of a unit compiled in `directory`: candidates, to be checked by their unit's id.
    pub fn split_files(&self, directory: &Path, name: &Path) -> Vec<PathBuf> {
        let path = directory.join(name);
        let mut places: Vec<PathBuf> =
            self.options.sysroot.iter().map(|sysroot| sysroot.join(relative(&path))).collect();
        places.push(path);
        places.extend(name.file_name().into_iter().flat_map(|name| self.index.named(name)).cloned());
        places
    }

    /// Candidates for the package of all split debug files of `module`, whose debug information is in `debug_file`.
    pub fn split_packages(&self, module: &Path, debug_file: &Path) -> Vec<PathBuf> {
        let mut places = Vec::new();
        for path in [debug_file, module] {
            places.push(with_suffix(path, ".dwp"));
            places.push(path.with_extension("dwp"));
        }
        if let Some(name) = module.file_name() {
            places.extend(self.index.named(&with_suffix(Path::new(name), ".dwp").into_os_string()).cloned());
        }
        places
    }

    /// What the user named, then the recorded path: these hold the module itself or its debug file.
    fn own_places(&self, search: &mut Search) {
        let module = search.module.clone();
        for directory in &self.options.debug_dirs {
            let mut places: Vec<PathBuf> = by_build_id(directory, &module.build_id).into_iter().collect();
            if !module.build_id.is_empty() {
                let id = hex(&module.build_id);
                places.push(directory.join(format!("{id}.debug")));
                places.extend(["debuginfo", "executable"].map(|name| directory.join(&id).join(name)));
                places.push(directory.join(&id));
            }
            places.push(directory.join(relative(&module.path)));
            search.try_all(places);
        }
        let name = module.path.file_name().unwrap_or_default();
        search.try_all(self.index.starting_with(name, !module.build_id.is_empty()).cloned());
        search.at_module_path = true;
        search.try_all(self.options.sysroot.iter().map(|sysroot| sysroot.join(relative(&module.path))));
        search.try_all([module.path]);
        search.at_module_path = false;
    }

    fn debug_roots(&self) -> Vec<PathBuf> {
        let in_sysroot =
            self.options.sysroot.iter().map(|sysroot| sysroot.join(relative(Path::new(DEBUG_ROOT))));
        in_sysroot.chain([PathBuf::from(DEBUG_ROOT)]).collect()
    }

    fn follow_debug_links(&self, search: &mut Search) {
        let links: Vec<(PathBuf, PathBuf, u32)> = search
            .located
            .files
            .iter()
            .filter_map(|file| file.debug_link().map(|(name, checksum)| (file.path.clone(), name, checksum)))
            .collect();
        for (from, name, checksum) in links {
            // A link is a plain name; anything else would lead outside the places below.
            let Some(name) = name.file_name() else { continue };
            let directory = from.parent().unwrap_or(Path::new("/"));
            let mut places = vec![directory.join(name), directory.join(".debug").join(name)];
            for root in self.debug_roots() {
                let recorded = search.module.path.parent().unwrap_or(Path::new("/"));
                places.push(root.join(relative(directory)).join(name));
                places.push(root.join(relative(recorded)).join(name));
            }
            places.extend(self.index.named(name).cloned());
            for place in places {
                search.try_file(&place, Some(checksum));
            }
        }
    }

    fn follow_alternate_link(&self, located: &mut Located) {
        let Some((from, name, build_id)) = located
            .debug_file()
            .and_then(|file| file.alternate_link().map(|(name, id)| (file.path.clone(), name, id)))
        else {
            return;
        };
        let mut places: Vec<PathBuf> = Vec::new();
        places
            .extend(self.options.debug_dirs.iter().filter_map(|directory| by_build_id(directory, &build_id)));
        places.extend(self.options.sysroot.iter().map(|sysroot| sysroot.join(relative(&name))));
        // The name is relative to the directory of the debug file, which may be reached by a symbolic link.
        for path in [Some(from.clone()), from.canonicalize().ok()].into_iter().flatten() {
            places.extend(path.parent().map(|directory| directory.join(&name)));
        }
        for root in self.debug_roots() {
            places.extend(by_build_id(&root, &build_id));
            places.extend(name.file_name().map(|name| root.join(".dwz").join(name)));
        }
        places.extend(name.file_name().into_iter().flat_map(|name| self.index.named(name)).cloned());
        located.alternate = places
            .iter()
            .filter_map(|place| ElfFile::open(place).ok().flatten())
            .find(|file| file.build_id() == build_id);
        if located.alternate.is_none() {
            located.alternate_missing = Some(name.display().to_string());
        }
    }
}

/// The search for one module's files.
struct Search {
    module: ModuleFile,
    located: Located,
    at_module_path: bool,
    problem_is_of_module: bool,
}

impl Search {
    fn new(module: &ModuleFile) -> Self {
        let path = without_deleted(&module.path).to_owned();
        let module = ModuleFile { path, build_id: module.build_id.clone() };
        Self { module, located: Located::default(), at_module_path: false, problem_is_of_module: false }
    }

    fn has_debug_info(&self) -> bool {
        self.located.debug_file().is_some()
    }

    fn complete(&self) -> bool {
        self.has_debug_info() && self.located.files.iter().any(ElfFile::has_symbol_table)
    }

    fn try_all(&mut self, places: impl IntoIterator<Item = PathBuf>) {
        for place in places {
            if self.complete() {
                return;
            }
            self.try_file(&place, None);
        }
    }

    /// Keeps the file at `path` if it is one of this module. With a `checksum`, it may lack a build-id.
    fn try_file(&mut self, path: &Path, checksum: Option<u32>) {
        if self.complete() {
            return;
        }
        let file = match ElfFile::open(path) {
            Ok(Some(file)) => file,
            Ok(None) => return,
            Err(reason) => return self.note(reason),
        };
        if self.located.files.iter().any(|known| known.identity == file.identity) {
            return;
        }
        let found = file.build_id();
        let fits = match checksum {
            Some(checksum) if found.is_empty() || self.module.build_id.is_empty() => {
                file.checksum() == checksum
            }
            _ => found == self.module.build_id,
        };
        if fits {
            if checksum.is_some() && (found.is_empty() || self.module.build_id.is_empty()) {
                self.located.linked.push(file.path.clone());
            }
            self.located.files.push(file);
        } else if checksum.is_some() && found == self.module.build_id {
            self.note(Reason::Unreadable(format!("{}: its checksum differs", path.display())));
        } else {
            self.note(Reason::BuildIdDiffers { recorded: self.module.build_id.clone(), found });
        }
    }

    /// Keeps the first problem; one of the module's own path before those of likely names.
    fn note(&mut self, reason: Reason) {
        let better = self.at_module_path && !self.problem_is_of_module;
        if self.located.problem.is_none() || better {
            self.located.problem = Some(reason);
            self.problem_is_of_module = self.at_module_path;
        }
    }

    fn finish(mut self) -> Located {
        if self.located.files.is_empty() && self.located.problem.is_none() {
            self.located.problem = Some(Reason::FileMissing);
        }
        self.located
    }
}

/// Whether the path is one of a file, not a name that the kernel or the recorder gave to other memory.
fn names_a_file(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    let pseudo: [&[u8]; 7] =
        [b"[", b"//anon", b"/memfd:", b"/dev/", b"/SYSV", b"linux-vdso.so", b"linux-gate.so"];
    let shared = bytes.starts_with(b"/dev/shm/");
    !bytes.is_empty() && (shared || !pseudo.iter().any(|prefix| bytes.starts_with(prefix)))
}

/// The path without what the kernel appends once the file is gone; another may be there now, or the same again.
fn without_deleted(path: &Path) -> &Path {
    let bytes = path.as_os_str().as_bytes();
    bytes.strip_suffix(b" (deleted)").map_or(path, |bytes| Path::new(OsStr::from_bytes(bytes)))
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path: OsString = path.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

fn by_build_id(root: &Path, build_id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = build_id.split_first().filter(|(_, rest)| !rest.is_empty())?;
    Some(root.join(".build-id").join(hex(&[*first])).join(format!("{}.debug", hex(rest))))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where `debuginfod-find` keeps what it downloaded earlier.
fn download_caches() -> Vec<PathBuf> {
    let from = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
    let named = [from("DEBUGINFOD_CACHE_PATH"), from("DEBUGINFOD_CACHE")];
    named.into_iter().chain([cache.map(|cache| cache.join("debuginfod_client"))]).flatten().collect()
}
