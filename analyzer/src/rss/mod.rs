//! Why a process is larger than what it has not freed: every resident byte by what it is for, and which blocks keep free
//! memory from being given back.
//!
//! The kernel tells what is resident ([`kernel`]), the live table where unfreed blocks lie. The rows of a process are a partition
//! of its resident pages, so that they sum to the kernel's figure. What glibc keeps beside a block is known to the byte, of
//! other allocators it is estimated ([`partition`]).
mod advice;
mod kernel;
mod pages;
mod partition;
mod places;
mod process;
mod run;
mod smaps;

pub use advice::advice;
pub use kernel::Kernel;
pub use pages::{Run, of_words};
pub use partition::{Arena, Block, Heap, Holds};
pub use places::Allocator;
pub use process::{Mapped, Owner, ProcessRss, Python, Recorded, Row};
pub use run::{Entry, Holder, Looks, MappedRss, MappedSite, RunRss, look};
pub use smaps::{Mapping, parse};

/// What resident memory is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Unfreed blocks.
    Blocks,
    /// What the allocator keeps beside each: headers and rounding.
    Overhead,
    /// Freed and kept by the allocator: whole pages.
    FreePages,
    /// Freed and kept: on pages on which unfreed blocks lie too.
    FreeSpace,
    /// In arenas of Python's allocator, without an object.
    PythonFree,
    /// Anonymous memory that is of no allocator that is recorded.
    Anonymous,
    /// Anonymous memory that the program has mapped itself, where that was recorded.
    Mapped,
    /// Memory that an allocator manages; in no row, since it is divided into the ones above.
    Heap,
    /// Stacks of threads.
    Stacks,
    /// The program and its libraries: code and data.
    Code,
    /// Other files that are mapped to be read, or privately.
    Files,
    /// Files that are mapped to be written.
    Written,
    /// Memory that is shared with other processes.
    Shared,
    /// What unfreed itself has mapped in the process.
    Recorder,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = Kind::Recorder as usize + 1;

    /// Those that rows are of, in the order of the rows.
    pub const ROWS: [Kind; Kind::COUNT - 1] = [
        Kind::Blocks,
        Kind::Overhead,
        Kind::FreePages,
        Kind::FreeSpace,
        Kind::PythonFree,
        Kind::Mapped,
        Kind::Anonymous,
        Kind::Stacks,
        Kind::Code,
        Kind::Files,
        Kind::Written,
        Kind::Shared,
        Kind::Recorder,
    ];

    /// As JSON names it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Blocks => "unfreed",
            Kind::Overhead => "overhead",
            Kind::FreePages => "free-pages",
            Kind::FreeSpace => "free-space",
            Kind::PythonFree => "python-free",
            Kind::Anonymous => "anonymous",
            Kind::Mapped => "mapped",
            Kind::Heap => "heap",
            Kind::Stacks => "stacks",
            Kind::Code => "code",
            Kind::Files => "files",
            Kind::Written => "written-files",
            Kind::Shared => "shared",
            Kind::Recorder => "recorder",
        }
    }
}
