//! From a run to the verdicts of its sites: what each did within a window, judged by the rules of [`crate::growth`], and
//! how much it grows with each request, mark or minute.
mod at_exit;
mod buckets;
mod calls;
mod cells;
mod counting;
mod descriptors;
mod divided;
mod forecast;
mod handed_on;
mod judged;
mod judging;
mod last_frees;
mod led_to;
mod names;
mod requests;
mod run;
mod scale;
mod startup;
mod units;
mod watch;

pub use descriptors::Opened;
pub use forecast::{Forecast, Room, forecast};
pub use judged::{Asked, Counted, Judged, Verdicts};
pub use run::verdicts;
pub use units::{Rate, Unit};
