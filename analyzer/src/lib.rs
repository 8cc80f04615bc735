//! What `unfreed` does with a recording: reader -> replay -> aggregate (with symbols) -> diff -> output.
pub mod aggregate;
pub mod cli;
pub mod commands;
pub mod destination;
pub mod diff;
pub mod error;
mod fast_map;
pub mod launch;
pub mod oom;
pub mod output;
pub mod preload;
pub mod progress;
pub mod python;
pub mod reader;
pub mod replay;
pub mod symbols;
pub mod tails;
pub mod target;
