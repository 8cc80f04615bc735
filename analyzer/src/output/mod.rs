//! Reports and diffs as text, JSON and CSV. Every function takes a value and a writer; the order of the output is
//! that of the value.
mod check;
mod csv;
mod folding;
mod frames;
mod growth;
mod header;
mod held;
mod json;
mod rss;
mod rss_json;
mod spark;
mod style;
mod suppressions;
mod temporary;
mod text;
mod units;

pub use check::{json as check_json, lsan as check_lsan, markdown as check_markdown, text as check_text};
pub use csv::{diff as diff_csv, report as report_csv};
pub(crate) use folding::Folded;
pub(crate) use frames::{named, short_place};
pub use growth::{GrowthView, csv as growth_csv, json as growth_json, text as growth_text};
pub(crate) use header::state;
pub use held::{csv as held_csv, json as held_json, text as held_text};
pub use json::{diff as diff_json, report as report_json};
pub use rss::text as rss_text;
pub use rss_json::json as rss_json;
pub use spark::{Charset, spark};
pub use style::Style;
pub use temporary::temporary as temporary_text;
pub use text::{diff as diff_text, report as report_text};
pub use units::{Number, Size, counted, duration, signed_size, utc};
