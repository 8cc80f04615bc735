//! What `unfreed` does with a recording.
pub mod cli;
pub mod commands;
pub mod error;
pub mod progress;
pub mod symbols;
