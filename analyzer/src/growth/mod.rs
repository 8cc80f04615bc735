//! Whether what a site has unfreed grows: numbers in, a verdict with its reasons out. The rules are in docs/growth.md.
//!
//! Pure: nothing here knows of recordings, stacks or output.
mod ages;
mod array;
mod classify;
mod estimate;
mod judge;
mod judgement;
mod profile;
mod rules;
mod series;
mod steady;

pub use judge::judge;
pub use judgement::{Confidence, Doubt, Estimate, Growth, Judgement, ProcessJudgement, Reason, Verdict};
pub use series::{Amount, Bucket, Lifetimes, ProcessSeries, Series, Window};
