//! Verdicts as text, CSV and JSON (`schema/growth.schema.json`).
mod csv;
mod descriptors;
mod json;
mod text;
mod words;

pub use csv::csv;
pub use json::json;
pub use text::text;

use crate::verdicts::{Forecast, Judged, Verdicts};

/// Verdicts and how they are shown.
pub struct GrowthView<'a> {
    /// Them.
    pub verdicts: &'a Verdicts,
    /// When a limit is reached.
    pub forecast: Option<&'a Forecast>,
    /// The moment with which the window begins, as it was typed.
    pub since: Option<&'a str>,
    /// Sites to print at most.
    pub limit: usize,
    /// With those that are mostly of no interest.
    pub all: bool,
    /// With every frame of a stack.
    pub all_frames: bool,
}

impl<'a> GrowthView<'a> {
    /// What is said of the descriptors that a site of the memory has opened.
    fn opened(&self, judged: &Judged) -> Option<&'a Judged> {
        let verdicts = self.verdicts;
        verdicts.descriptors.as_ref()?.at(verdicts.report.sites[judged.site].hash)
    }
}
