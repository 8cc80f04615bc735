//! `unfreed top`: what is unfreed in processes as they run.
//!
//! source (reads the recording) -> [`Snapshot`] -> [`Model`] (and what keys do to it) -> view, or plain lines. The source runs
//! on a thread of its own, so that keys are answered while it reads; model and view are functions of values.
//!
//! It must cost next to nothing for weeks: tables are summed up by stack and not replayed, all that is read again is read as far as
//! it is new, what takes long is done rarely ([`Budget`](budget::Budget)), and names are looked up once.
mod budget;
mod kernel;
mod ledger;
mod model;
mod opened;
mod order;
mod plain;
mod scan;
mod screen;
mod snapshot;
mod source;
mod view;
mod watched;
mod words;

pub use ledger::READINGS;
pub use model::{Effect, Key, Model, View};
pub use order::{TopBy, TopSort};
pub use plain::block;
pub use scan::Held;
pub use screen::run;
pub use snapshot::{Line, LineKind, Opened, Process, Site, Snapshot};
pub use source::{Reopen, Source};
pub use view::{Theme, draw};
pub use watched::Processes;
