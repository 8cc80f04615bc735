//! Events in order -> what is unfreed, and what each stack allocated.
//!
//! The middle of the analyzer: values in, values out. Memory is in proportion to the live blocks and the stacks that
//! allocate, never to the length of the log.
mod arenas;
mod live;
mod merge;
mod process;

pub use arenas::ArenaCounts;
pub use live::Block;
pub use merge::{Gaps, Moment, Order, Sink, in_order};
pub use process::{Anomalies, Options, Replayed, Thread, Totals, replay};
