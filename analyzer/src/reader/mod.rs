//! From files to records: opens the process files of a run, finds their chunks, and decodes them.
//!
//! Reading is total. A file is used as far as it makes sense, and what does not is a [`Loss`] with its place. Only a
//! file that is no recording of this version and architecture, or a directory without one, is a [`ReadError`].
mod cgroup;
mod chunks;
mod cut;
mod definitions;
mod directory;
mod family;
mod follow;
mod liveness;
mod loss;
mod modules;
mod places;
mod processes;
mod python;
mod recording;
mod run;
mod writer;

pub use cgroup::{MemoryGroup, memory_groups, pids_here, resident};
pub use chunks::{ChunkPlace, ChunkReader};
pub use cut::Cut;
pub(crate) use definitions::DEEPEST;
pub use definitions::{Definitions, Node, lookup_address};
pub(crate) use directory::open_unpacked;
pub use directory::{Run, open};
pub use family::parents;
pub use follow::Follower;
pub use liveness::{ProcessState, monotonic_ns};
pub(crate) use liveness::{packed_state, running, state_of};
pub use loss::{Loss, ReadError, Unreadable};
pub use modules::Module;
pub use places::{live, process_files, settled, with_file};
pub(crate) use processes::data_after;
pub use python::{CodeObject, Interpreter, Python, PythonNode};
pub(crate) use recording::read_fully;
pub use recording::{Recording, Snapshot};
pub use run::{Mark, RunWords};
pub use writer::{Step, Writer};
