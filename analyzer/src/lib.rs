//! What `unfreed` does with a recording.
pub mod symbols;
pub mod cli;
pub mod commands;
pub mod error;
pub mod progress;
