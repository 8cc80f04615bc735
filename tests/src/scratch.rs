//! Directories of one test: unique, and removed when the test has passed. After a failure they stay for a look.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process, thread};

/// A directory that nothing else uses.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one; `purpose` is part of its name.
    pub fn new(purpose: &str) -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("unfreed-e2e-{}-{number}-{purpose}", process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Scratch(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("kept: {}", self.0.display());
        } else {
            // What a test leaves behind in a temporary directory is no reason to fail it.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
