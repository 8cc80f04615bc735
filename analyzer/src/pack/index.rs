//! The first member of a pack: what is in it, where it belongs, and what was known when it was made.
//!
//! JSON, so that people can look at it. Paths need not be text: see [`Name`].
use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::extents::Extents;
use crate::symbols::Reason;

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// What a pack holds.
#[derive(Serialize, Deserialize, Debug)]
pub struct Index {
    /// Of this format.
    pub version: u32,
    /// The `unfreed` that made it.
    pub unfreed: String,
    /// The process file that is the recording, if it was one file and not a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Name>,
    /// The epoch that began when the live tables were copied of the processes that ran, and before their events were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// What became of the processes that did not end in an orderly way.
    pub processes: Vec<Process>,
    /// The modules of all stacks; none if they were left out.
    pub modules: Vec<Module>,
    /// What the members are, in their order.
    pub files: Vec<File>,
}

/// A process whose file alone does not tell what became of it.
#[derive(Serialize, Deserialize, Debug)]
pub struct Process {
    /// Its id in the recording.
    pub id: Hex,
    /// In the words of a report.
    pub state: String,
    /// If it ran, what was noted when its file was copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noted: Option<Noted>,
}

/// See [`crate::reader::Snapshot`].
#[derive(Serialize, Deserialize, Clone, Default, Debug)]
pub struct Noted {
    /// Monotonic clock of its machine when the copying began, ms.
    pub began_ms: u64,
    /// And when it was done, ns.
    pub done_ns: u64,
    /// Writer, ordinal of a chunk, and offset in it, up to which the events were in the live table; noted twice.
    pub positions: [Vec<(u32, u32, usize)>; 2],
}

/// A file whose code was on a stack.
#[derive(Serialize, Deserialize, Debug)]
pub struct Module {
    /// As recorded.
    pub path: Name,
    /// As recorded, empty if it has none.
    pub build_id: Hex,
    /// The members with its symbols, the most important one first.
    pub files: Vec<Name>,
    /// Why there are none, or not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A member.
#[derive(Serialize, Deserialize, Debug)]
pub struct File {
    /// Its path in the pack.
    pub name: Name,
    /// Bytes of the file.
    pub size: u64,
    /// Which of them the member holds; the others are 0, or nobody needs them.
    pub extents: Extents,
}

/// Why a module's file was not used.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Problem {
    /// See [`Reason::FileMissing`].
    FileMissing,
    /// See [`Reason::BuildIdDiffers`].
    BuildIdDiffers {
        /// Of the file that was there.
        found: Hex,
    },
    /// See [`Reason::Unreadable`].
    Unreadable {
        /// In words.
        reason: String,
    },
}

impl Problem {
    /// Of a module's search.
    pub fn new(reason: &Reason) -> Problem {
        match reason {
            Reason::FileMissing => Problem::FileMissing,
            Reason::BuildIdDiffers { found, .. } => Problem::BuildIdDiffers { found: Hex(found.clone()) },
            Reason::Unreadable(reason) => Problem::Unreadable { reason: reason.clone() },
            other => Problem::Unreadable { reason: other.to_string() },
        }
    }

    /// The same for a module with this build-id.
    pub fn reason(&self, recorded: &[u8]) -> Reason {
        match self {
            Problem::FileMissing => Reason::FileMissing,
            Problem::BuildIdDiffers { found } => {
                Reason::BuildIdDiffers { recorded: recorded.to_vec(), found: found.0.clone() }
            }
            Problem::Unreadable { reason } => Reason::Unreadable(reason.clone()),
        }
    }
}

/// Bytes, written as hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Hex(pub Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = String::with_capacity(2 * self.0.len());
        self.0.iter().for_each(|byte| _ = write!(digits, "{byte:02x}"));
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hex, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
        bytes.map(Hex).ok_or_else(|| D::Error::custom("not hexadecimal"))
    }
}

/// A path, written as text: a backslash is doubled, and a byte that is not of UTF-8 becomes `\xHH`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Name(pub PathBuf);

impl Name {
    /// Of a path.
    pub fn new(path: impl Into<PathBuf>) -> Name {
        Name(path.into())
    }

    fn escaped(&self) -> String {
        let mut text = String::new();
        for chunk in self.0.as_os_str().as_bytes().utf8_chunks() {
            text += &chunk.valid().replace('\\', r"\\");
            chunk.invalid().iter().for_each(|byte| _ = write!(text, "\\x{byte:02x}"));
        }
        text
    }

    fn unescaped(text: &str) -> Option<Name> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((plain, escape)) = rest.split_once('\\') {
            bytes.extend(plain.as_bytes());
            rest = match escape.strip_prefix('x') {
                Some(digits) => {
                    bytes.push(u8::from_str_radix(digits.get(..2)?, 16).ok()?);
                    &digits[2..]
                }
                None => {
                    bytes.push(b'\\');
                    escape.strip_prefix('\\')?
                }
            };
        }
        bytes.extend(rest.as_bytes());
        Some(Name(OsString::from_vec(bytes).into()))
    }

    /// The path below `directory`, if it is one that cannot lead out of it.
    pub fn below(&self, directory: &Path) -> Option<PathBuf> {
        let plain = |part: std::path::Component| matches!(part, std::path::Component::Normal(_));
        let has_name = self.0.file_name().is_some() && !self.0.as_os_str().as_bytes().contains(&0);
        (has_name && self.0.components().all(plain)).then(|| directory.join(&self.0))
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.escaped())
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        let text = String::deserialize(deserializer)?;
        Name::unescaped(&text).ok_or_else(|| D::Error::custom("a path with a wrong escape"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_bytes_is_written_and_read() {
        for bytes in [&b"/usr/lib/x.so"[..], b"a\\b", b"\xff\xfe/\\x41", "\u{e4}\u{1f600}".as_bytes(), b""] {
            let name = Name(OsString::from_vec(bytes.to_vec()).into());
            let json = serde_json::to_string(&name).expect("it is text");
            assert_eq!(serde_json::from_str::<Name>(&json).expect("it was written"), name, "{json}");
        }
        for wrong in [r#""\\""#, r#""\\xg0""#, r#""\\x4""#, r#""\\y""#] {
            assert!(serde_json::from_str::<Name>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let directory = Path::new("/d");
        for name in ["/etc/passwd", "../x", "a/../../x", "", ".", "a/..", "a\0b"] {
            assert_eq!(Name::new(name).below(directory), None, "{name}");
        }
        assert_eq!(Name::new("a/b").below(directory), Some("/d/a/b".into()));
    }

    #[test]
    fn bytes_are_digits() {
        let hex = Hex(vec![0, 0xab, 0xff]);
        assert_eq!(serde_json::to_string(&hex).expect("text"), r#""00abff""#);
        assert_eq!(serde_json::from_str::<Hex>(r#""00abff""#).expect("digits"), hex);
        assert!(serde_json::from_str::<Hex>(r#""0g""#).is_err());
        assert!(serde_json::from_str::<Hex>("\"\u{e4}\"").is_err());
    }
}
