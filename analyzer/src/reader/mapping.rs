//! The one place that maps a file. The rest of the reader sees bytes.
//!
//! The file may still be written by the recorded process: bytes that were 0 may become records, each by one store of
//! its first word last, and nothing that was written changes. A record is therefore there or not, never half.
use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

/// The first bytes of a file, read-only.
pub struct Mapping(Option<Mmap>);

impl Mapping {
    /// Maps `len` bytes of `file`, which must not be longer than the file.
    pub fn new(file: &File, len: usize) -> io::Result<Mapping> {
        if len == 0 {
            return Ok(Mapping(None));
        }
        // SAFETY: the mapping is private to this value and read-only. What cannot be ruled out is that someone cuts
        // the file while it is mapped, which ends this process with SIGBUS as it would any reader of mapped files;
        // the recorder itself cuts only what lies beyond the chunks handed out, which is not mapped.
        let map = unsafe { MmapOptions::new().len(len).map(file)? };
        Ok(Mapping(Some(map)))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or(&[])
    }
}
