//! Python in recordings: line tables against the interpreters themselves, merging, and reports of synthetic recordings.
mod lines;
mod merge;
mod stacks;
#[path = "../synthetic/mod.rs"]
mod synthetic;
