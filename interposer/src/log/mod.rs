//! The recording's file and what is written into it.
//!
//! [`mod@file`] begins the file and makes it longer, [`place`] names it, [`segments`] maps it; [`chunks`] gives a writer its
//! next chunk; [`cursor`] is its place in it; [`events`] and [`definitions`] put records there, and [`mod@counts`] counts. A writer belongs to one thread at one level of signal
//! handlers, so that no two ever write to one chunk: the file header's words are all that is shared.

pub mod chunks;
pub mod counts;
pub mod cursor;
pub mod definitions;
pub mod events;
pub mod file;
pub mod place;
pub mod segments;
