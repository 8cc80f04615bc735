//! What `unfreed` does with a recording.
pub mod cli;
pub mod commands;
pub mod error;
pub mod launch;
pub mod preload;
pub mod progress;
pub mod symbols;
pub mod tails;
pub mod target;
