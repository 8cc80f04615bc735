//! The files that the symbols of a module come from, to be taken elsewhere.
use super::debug_file::{DebugFile, Storage};
use super::elf::{ElfFile, section};
use super::locator::Locator;
use super::needed::{Stretch, needed};
use super::{ModuleFile, Options, Reason, SectionData, stack};
use std::path::{Path, PathBuf};

/// Finds the files of modules.
pub struct Finder(Locator);

/// The files of one module.
#[derive(Default)]
pub struct Parts {
    /// In the order in which they count.
    pub files: Vec<Part>,
    /// Which of them has the debug information.
    pub debug: Option<usize>,
    /// Why there are none, or not all.
    pub problem: Option<Reason>,
}

/// One of a module's files.
pub struct Part {
    /// How it is found.
    pub role: Role,
    file: ElfFile,
}

/// How a file of a module is found, and told from another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The module itself, or its debug file: by build-id, or the module's path if it has none.
    Own,
    /// Its debug file, by name and checksum.
    Linked,
    /// What its debug file shares with others, by build-id.
    Alternate,
    /// The package of its split debug files, by the path of its debug file.
    Package,
    /// A split debug file, by name and its unit's id.
    Split,
}

impl Finder {
    /// Looks in these places.
    pub fn new(options: &Options) -> Finder {
        Finder(Locator::new(options))
    }

    /// The files of a module in which these addresses are to be looked up.
    pub fn find(&self, module: &ModuleFile, addresses: &[u64]) -> Parts {
        let mut located = self.0.locate(module);
        if located.problem == Some(Reason::NotAFile) {
            return Parts::default();
        }
        let split = located
            .debug_file()
            .map(|debug| split_files(debug, located.alternate.as_ref(), &module.path, &self.0, addresses));
        let debug = located.files.iter().position(ElfFile::has_debug_info);
        let by_checksum =
            |file: &ElfFile| file.build_id() != module.build_id || located.linked.contains(&file.path);
        let roles: Vec<Role> = located
            .files
            .iter()
            .map(|file| if by_checksum(file) { Role::Linked } else { Role::Own })
            .collect();
        let own = roles.into_iter().zip(located.files);
        let alternate = located.alternate.take().map(|file| (Role::Alternate, file));
        let split = split.unwrap_or_default().into_iter().filter_map(|(role, path)| {
            // Found a moment ago.
            Some((role, ElfFile::open(&path).ok()??))
        });
        let files = own.chain(alternate).chain(split).map(|(role, file)| Part { role, file });
        Parts { files: files.collect(), debug, problem: located.problem }
    }
}

/// What is needed of split debug files for these addresses.
fn split_files(
    debug: &ElfFile,
    alternate: Option<&ElfFile>,
    module: &Path,
    locator: &Locator,
    addresses: &[u64],
) -> Vec<(Role, PathBuf)> {
    // The addresses of split units are there; few others have it.
    let is_split = debug.parse().is_some_and(|file| {
        section(&file, ".debug_addr").is_ok_and(|data| match data {
            SectionData::Mapped(data) => !data.is_empty(),
            SectionData::Owned(data) => !data.is_empty(),
        })
    });
    if !is_split {
        return Vec::new();
    }
    let storage = Storage::default();
    let Ok(debug) = DebugFile::new(debug, alternate, module, locator, stack::LEAST, &storage) else {
        return Vec::new();
    };
    addresses.iter().for_each(|&address| _ = debug.find(address));
    let (package, units) = debug.split_files();
    let package = package.into_iter().map(|path| (Role::Package, path));
    package.chain(units.into_iter().map(|path| (Role::Split, path))).collect()
}

impl Part {
    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Device and inode.
    pub fn identity(&self) -> (u64, u64) {
        self.file.identity
    }

    /// Its build-id, empty if it has none.
    pub fn build_id(&self) -> Vec<u8> {
        self.file.build_id()
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.file.bytes().len() as u64
    }

    /// What is needed of it, with the debug information or without; nothing of a file that is nothing else.
    pub fn needed(&self, debug: bool) -> Vec<Stretch<'_>> {
        match self.role {
            Role::Own => needed(self.file.bytes(), debug),
            _ if !debug => Vec::new(),
            Role::Alternate => needed(self.file.bytes(), true),
            // Its checksum tells it from others.
            Role::Linked | Role::Package | Role::Split => vec![(0, self.file.bytes().into())],
        }
    }
}
