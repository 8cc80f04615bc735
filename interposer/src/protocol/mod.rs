//! What the threads of a process do to words that they share: algorithms over words that they are given.
//!
//! Statics, files and system calls stay with the callers, so that the models in `models/` run this very code under
//! loom (`scripts/loom`), in every order of its steps up to the bound that is said there. Under loom nothing but this
//! and [`sync`](crate::sync) is built.

pub mod chunks;
pub mod held;
pub mod life;
pub mod mapped;
pub mod nodes;
pub mod owner;
pub mod ring;
pub mod runs;
pub mod stamps;

#[cfg(all(test, loom))]
mod models;
