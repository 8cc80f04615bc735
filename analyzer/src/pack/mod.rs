//! A recording in one file, which is read on any machine: the files of its processes, and of its modules what symbols are
//! made of.
//!
//! ```text
//! sources ──► snapshot (of what still runs) ──┐
//!    │                                        ├─► archive ──► a pack ──► read: recording ─► reader
//!    └──► modules ─► symbols: parts ──────────┘                              modules ───► symbols
//! ```
//!
//! Its format is in `analyzer/PACK.md`. What a reader needs of it is unpacked to a directory that is removed at the end.
//! Reading is total, as that of a recording: what is missing of a pack that was cut or damaged is said, and the rest is
//! used.
mod archive;
mod extents;
mod index;
mod modules;
mod read;
mod snapshot;
mod sources;
mod write;

pub use archive::HIGHEST_LEVEL;
pub use read::{PackError, Unpacked, is_pack, open};
pub use write::{Request, Summary, WriteError, write};

/// Where a pack has the files of the recording, below which their paths are the same.
const RECORDING: &str = "recording";
/// Where it has what symbols are made of.
const MODULES: &str = "modules";
