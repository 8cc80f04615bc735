//! What `unfreed` does with a recording.
pub mod symbols;
