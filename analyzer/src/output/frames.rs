//! The frames of a site, as every format lists them.
use crate::aggregate::{Frame, Report, Site};

/// Innermost first.
pub(super) fn stack<'a>(report: &'a Report, site: &Site) -> impl Iterator<Item = &'a Frame> {
    report.paths.frames(site.path)
}
