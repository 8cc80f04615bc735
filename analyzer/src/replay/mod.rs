//! Events in order, or the live table -> what is unfreed, and what each stack allocated.
//!
//! The middle of the analyzer: values in, values out. Memory is in proportion to the live blocks and the stacks that
//! allocate, never to the length of the log.
mod arenas;
mod live;
mod merge;
mod moment;
mod process;
mod replayed;
mod sites;
mod source;
mod table;
mod window;

pub use arenas::ArenaCounts;
pub use live::{Birth, Block};
pub use merge::{Gaps, Order, Place, Sink, in_order};
pub use moment::{Born, BornIn, Edge, Moment, cut, has_epochs};
pub use replayed::{Anomalies, Options, Replayed, Thread};
pub use sites::Totals;
pub use source::Source;

use crate::reader::Recording;

/// Reads what one process did; `progress` is told of bytes read.
pub fn replay(recording: &Recording, options: Options, progress: &dyn Fn(u64)) -> Replayed {
    if !Source::is_table(recording, &options) {
        return process::from_events(recording, &options, progress);
    }
    let reading = table::TableReading::begin(recording, options);
    progress(recording.log_bytes());
    reading.finish(None)
}
