//! What REC names: a recording, a process that is being recorded, and a moment of either (`REC@MOMENT`).
//!
//! A path that is there is always that path. What is left of it behind an `@` is a moment, and a number that is no path
//! is a process.
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::Failure;
use crate::reader::with_file;
use crate::recorded::{self, Recorded};

/// A recording, or a process and its descendants of one, and the moment that was named.
#[derive(Clone, Debug)]
pub struct Subject {
    /// As it was typed.
    pub shown: String,
    /// The recording's directory, or a process's file.
    pub path: PathBuf,
    /// If a process was named.
    pub process: Option<Recorded>,
    /// What stands behind the `@`.
    pub moment: Option<String>,
}

impl Subject {
    /// Finds out what was meant. A path that is not there is no failure here.
    pub fn find(text: &OsStr) -> Result<Subject, Failure> {
        let whole = Path::new(text);
        if is_there(whole) {
            return Ok(Subject::recording(text, whole, None));
        }
        let bytes = text.as_bytes();
        let ats = bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'@').map(|(at, _)| at);
        for (path, moment) in ats.map(|at| (&bytes[..at], &bytes[at + 1..])) {
            let (path, moment) = (OsStr::from_bytes(path), String::from_utf8_lossy(moment).into_owned());
            if is_there(Path::new(path)) {
                return Ok(Subject::recording(text, Path::new(path), Some(moment)));
            }
            if let Some(pid) = number(path) {
                return Subject::process(text, pid, Some(moment));
            }
        }
        match number(text) {
            Some(pid) => Subject::process(text, pid, None),
            None => Ok(Subject::recording(text, whole, None)),
        }
    }

    fn recording(text: &OsStr, path: &Path, moment: Option<String>) -> Subject {
        Subject { shown: text.display().to_string(), path: path.to_path_buf(), process: None, moment }
    }

    fn process(text: &OsStr, pid: u32, moment: Option<String>) -> Result<Subject, Failure> {
        let (process, path) = recorded::find(pid)?;
        Ok(Subject { shown: text.display().to_string(), path, process: Some(process), moment })
    }
}

fn is_there(path: &Path) -> bool {
    !path.as_os_str().is_empty() && with_file(path, |path| path.symlink_metadata()).is_ok()
}

fn number(text: &OsStr) -> Option<u32> {
    let digits = text.as_bytes().iter().all(u8::is_ascii_digit);
    text.to_str().filter(|_| digits)?.parse().ok().filter(|&pid| pid != 0)
}
