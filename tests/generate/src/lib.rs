//! Recordings of any length without a program: written by the real encoder in the real layout, and what is true of them.
//!
//! A [`Plan`] says how many events, unfreed blocks, stacks and threads; the rest is decided by a generator of random numbers
//! that begins alike each time, so the same plan gives the same bytes.
//!
//! - [`program`]: what the threads do, as real programs do it.
//! - [`heap`]: the addresses that an allocator would hand out.
//! - [`writer`]: a thread's records in its chunks.
//! - [`mod@file`]: chunks and the header in a file.
//! - [`stacks`]: the stacks, defined before the first event.
//! - [`kept`]: the live table and the counts, as they are at the end.

pub mod file;
pub mod heap;
pub mod kept;
pub mod program;
pub mod stacks;
pub mod writer;

use std::io;
use std::path::Path;

use file::File;
use program::Program;
use stacks::Stacks;

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Allocations, frees and halves of reallocs; one less if that does not come out even.
    pub events: u64,
    /// Blocks that are unfreed at the end, and from the middle on.
    pub live: usize,
    /// Distinct stacks, each of which allocates.
    pub stacks: usize,
    /// Threads, which take turns of some events and now and then free one another's blocks.
    pub threads: usize,
}

/// What is unfreed of a stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Site {
    /// The offsets in the module of its frames' calls, innermost first.
    pub offsets: Vec<u64>,
    /// Unfreed blocks.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a report must say.
#[derive(Clone, Debug)]
pub struct Truth {
    /// As [`Plan::events`].
    pub events: u64,
    /// Allocations and ends of reallocs.
    pub allocations: u64,
    /// Unfreed blocks.
    pub unfreed_blocks: u64,
    /// Their bytes.
    pub unfreed_bytes: u64,
    /// Stacks that allocated.
    pub stacks: usize,
    /// Stacks with unfreed blocks, that with the most bytes first.
    pub sites: Vec<Site>,
    /// Size of the file.
    pub file_bytes: u64,
}

impl Plan {
    /// Why it cannot be carried out, if it cannot.
    pub fn objection(&self) -> Option<&'static str> {
        let begun = self.live.max(self.stacks) as u64;
        let fits = begun.saturating_mul(4) <= self.events;
        match *self {
            _ if !fits => Some("events must be at least four times the unfreed blocks and the stacks"),
            Plan { stacks: 1.., threads: 1..=1000, .. } => None,
            _ => Some("there must be a stack, and from 1 to 1000 threads"),
        }
    }
}

/// Writes the recording of a process into a directory.
pub fn generate(plan: &Plan, directory: &Path) -> io::Result<Truth> {
    let mut file = File::create(&directory.join("1.unfreed"))?;
    let stacks = Stacks::define(plan.stacks, &mut file)?;
    let mut program = Program::new(plan, stacks, file);
    program.run()?;
    program.end()
}
