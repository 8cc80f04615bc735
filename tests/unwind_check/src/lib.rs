//! Preloaded into a program, takes a stack at every allocation and compares three unwinders frame by frame:
//! the capture with its suffix cache, a capture that keeps nothing, and libgcc's (through the `backtrace` crate).
//!
//! At exit it appends one line of JSON to the file that `UNWIND_CHECK_OUT` names. With `UNWIND_CHECK_VERBOSE` the
//! first differences are described on stderr.

mod compare;
mod hooks;
mod nodes;
mod report;
mod state;
