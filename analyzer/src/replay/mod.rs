//! Events in order, or the live table -> what is unfreed, and what each stack allocated.
//!
//! The middle of the analyzer: values in, values out. Memory is in proportion to the live blocks and the stacks that
//! allocate, never to the length of the log.
mod ahead;
mod arenas;
mod inherited;
mod levels;
mod lifetimes;
mod live;
mod merge;
mod moment;
mod observer;
mod process;
mod replayed;
mod resources;
mod seen;
mod sites;
mod source;
mod table;
mod temporary;
mod threads;
mod timeline;
mod window;

pub use ahead::{in_one_thread, in_order_ahead};
pub use arenas::ArenaCounts;
pub use inherited::{Heir, Inherited, inherited};
pub use levels::{BUCKETS as LEVELS, Levels};
pub use lifetimes::LifetimesBySite;
pub use live::{Birth, Block};
pub use merge::{Gaps, Order, Place, Sink, in_order};
pub use moment::{Born, BornIn, Edge, Moment, cut, has_epochs};
pub use observer::Observer;
pub use process::observe;
pub use replayed::{Anomalies, Options, Replayed, Thread};
pub use resources::{Held, Resources, held};
pub use seen::{Seen, Wanted};
pub use sites::Totals;
pub use source::Source;
pub use temporary::{ShortLived, Temporary};
pub use threads::UNKNOWN_THREAD;
pub use timeline::{Axis, BUCKETS, FINE_BUCKETS, Point, Survivors, Timeline, align, survivors};

use crate::reader::Recording;
use table::TableReading;

/// A process that is being read, in two steps: of those that run, all tables are read before any of their logs, so that
/// one moment can be chosen in between.
pub enum Reading<'r> {
    /// All is read.
    Done(Box<Replayed>),
    /// The live table is read, and the log is not.
    Table(Box<TableReading<'r>>),
}

impl<'r> Reading<'r> {
    /// Begins to read; `progress` is told of bytes read.
    pub fn begin(recording: &'r Recording, options: Options, progress: &dyn Fn(u64)) -> Reading<'r> {
        if options.by_thread && recording.has_table() && !recording.has_all_events() {
            return Reading::Done(Box::new(threads::with_threads(recording, &options, progress)));
        }
        if !Source::is_table(recording, &options) {
            let replayed = match Seen::new(options.wanted, recording) {
                None => process::from_events(recording, &options, progress),
                Some(mut seen) => {
                    let replayed = process::observe(recording, &options, &mut seen, progress);
                    Replayed { seen, ..replayed }
                }
            };
            return Reading::Done(Box::new(replayed));
        }
        let reading = TableReading::begin(recording, options);
        progress(recording.log_bytes());
        Reading::Table(Box::new(reading))
    }

    /// Whether it can be looked at as it was when an epoch begins now.
    pub fn follows_epochs(&self) -> bool {
        matches!(self, Reading::Table(reading) if reading.follows_epochs())
    }

    /// Reads the rest. `until`: an epoch that was begun in between, of which to speak.
    pub fn finish(self, until: Option<u32>) -> Replayed {
        match self {
            Reading::Done(replayed) => *replayed,
            Reading::Table(reading) => reading.finish(until),
        }
    }
}

/// How far the events of each writer are in the live table, see [`crate::reader::Snapshot`].
pub fn positions(recording: &Recording) -> Vec<(u32, u32, usize)> {
    window::Positions::note(recording, &recording.chunks()).noted()
}

/// Reads what one process did; `progress` is told of bytes read.
pub fn replay(recording: &Recording, options: Options, progress: &dyn Fn(u64)) -> Replayed {
    Reading::begin(recording, options, progress).finish(None)
}
