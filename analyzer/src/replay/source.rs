//! Where the unfreed blocks of a process are read from: its live table, or its events.
use clap::ValueEnum;
use recording::layout::flag;

use super::moment::Moment;
use super::replayed::Options;
use crate::reader::Recording;

/// What to read.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Source {
    /// The live table if it tells all that is asked for, if the process runs, if its events are not all there, or if there are
    /// very many; otherwise the events, which also tell the peak and the threads.
    #[default]
    Best,
    /// The live table, where there is one.
    Table,
    /// The events, where there are any.
    Events,
}

/// A larger log than this takes seconds to replay, the live table none.
const LARGE: u64 = 128 << 20;

impl Source {
    /// Whether the live table is what to read of this process.
    pub fn is_table(recording: &Recording, options: &Options) -> bool {
        let events = !recording.has(flag::NO_EVENTS);
        if !recording.has_table() || !events {
            return recording.has_table();
        }
        match options.from {
            Source::Table => true,
            Source::Events => false,
            // Only events have the thread.
            Source::Best if options.by_thread => false,
            Source::Best if !recording.has_all_events() => true,
            Source::Best => match options.until {
                Moment::Epoch(_) | Moment::Time(_) | Moment::Peak => false,
                // Without counts only events know what was freed.
                Moment::BeforeExit if !recording.has(flag::BEFORE_EXIT) && recording.finalizing.is_some() => {
                    false
                }
                Moment::End | Moment::BeforeExit => {
                    let large = recording.event_bytes() > LARGE;
                    let enough = options.counts_only || recording.is_running() || large;
                    enough && !recording.counts.is_empty()
                }
            },
        }
    }
}
