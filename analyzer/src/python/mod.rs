//! Python as a recording has it: what its line tables, file names and frames mean.
pub mod lines;
pub mod merge;
pub mod origin;
