//! The files below the directories that the user named, by file name.
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Entries looked at, so that `--debug-dir /` ends: a root file system of a desktop has about half a million.
const MAX_ENTRIES: usize = 1_000_000;

/// All regular files, in the order of their directories and then of their paths.
#[derive(Default)]
pub struct Index {
    files: BTreeMap<OsString, Vec<PathBuf>>,
}

impl Index {
    /// Walks the directories; a plain file among them is taken as it is. Links to directories are not followed.
    pub fn new(roots: &[PathBuf]) -> Self {
        let mut index = Self::default();
        let mut left = MAX_ENTRIES;
        for root in roots {
            if root.is_file() {
                index.add(root);
            }
            let mut directories = vec![root.clone()];
            while let Some(directory) = directories.pop() {
                index.walk(&directory, &mut directories, &mut left);
            }
        }
        index
    }

    /// Files of exactly this name.
    pub fn named(&self, name: &OsStr) -> impl Iterator<Item = &PathBuf> {
        self.files.get(name).into_iter().flatten()
    }

    /// Files of this name; if `longer`, also those whose name goes on, as `NAME.debug` or `NAME.1.2` do.
    pub fn starting_with(&self, name: &OsStr, longer: bool) -> impl Iterator<Item = &PathBuf> {
        let last = if longer { Bound::Unbounded } else { Bound::Included(name) };
        let prefix = name.as_bytes().to_vec();
        self.files
            .range::<OsStr, _>((Bound::Included(name), last))
            .take_while(move |(found, _)| !prefix.is_empty() && found.as_bytes().starts_with(&prefix))
            .flat_map(|(_, paths)| paths)
    }

    fn walk(&mut self, directory: &Path, directories: &mut Vec<PathBuf>, left: &mut usize) {
        // A directory that cannot be read has nothing to offer.
        let Ok(entries) = fs::read_dir(directory) else { return };
        let mut paths = Vec::new();
        for entry in entries.flatten() {
            let Some(rest) = left.checked_sub(1) else { return };
            *left = rest;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                Ok(_) => paths.push(entry.path()),
                Err(_) => {}
            }
        }
        paths.sort_unstable();
        directories.sort_unstable_by(|a, b| b.cmp(a));
        paths.iter().for_each(|path| self.add(path));
    }

    fn add(&mut self, path: &Path) {
        if let Some(name) = path.file_name() {
            self.files.entry(name.to_owned()).or_default().push(path.to_owned());
        }
    }
}
