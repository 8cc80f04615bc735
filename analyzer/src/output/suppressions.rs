//! The suppressions of a report and what each left out: the table as LeakSanitizer prints it, and for JSON.
use std::io::{self, Write};

use serde::Serialize;

use super::style::Style;
use crate::aggregate::{Counts, Report};
use crate::suppressions::Suppression;

/// Unused suppressions that are named.
const UNUSED: usize = 4;

/// A suppression in JSON.
#[derive(Serialize)]
pub(super) struct SuppressionJson<'a> {
    pattern: &'a str,
    place: &'a str,
    suppressed_bytes: u64,
    suppressed_blocks: u64,
}

fn pairs(report: &Report) -> impl Iterator<Item = (&Suppression, &Counts)> {
    report.paths.suppressions().all().iter().zip(&report.suppressed)
}

/// All of a report.
pub(super) fn json<'a>(report: &'a Report) -> Vec<SuppressionJson<'a>> {
    let json = |(suppression, counts): (&'a Suppression, &Counts)| SuppressionJson {
        pattern: &suppression.pattern,
        place: &suppression.place,
        suppressed_bytes: counts.unfreed_bytes,
        suppressed_blocks: counts.unfreed_blocks,
    };
    pairs(report).map(json).collect()
}

/// The table of those that left something out.
pub(super) fn table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut used = pairs(report).filter(|(_, counts)| counts.unfreed_blocks > 0).peekable();
    if used.peek().is_some() {
        writeln!(out, "Suppressions used:\n  count      bytes template")?;
    }
    used.try_for_each(|(suppression, Counts { unfreed_bytes, unfreed_blocks, .. })| {
        writeln!(out, "{unfreed_blocks:>7} {unfreed_bytes:>10} {}", suppression.pattern)
    })
}

/// The same at the end of a text, with the names of those that left nothing out.
pub(super) fn text(report: &Report, style: Style, out: &mut dyn Write) -> io::Result<()> {
    if report.suppressed.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    table(report, out)?;
    let unused: Vec<&Suppression> =
        pairs(report).filter(|(_, counts)| counts.unfreed_blocks == 0).map(|(one, _)| one).collect();
    for suppression in unused.iter().take(UNUSED) {
        let note = format!("unused: leak:{}  ({})", suppression.pattern, suppression.place);
        writeln!(out, "{}", style.dim(&note))?;
    }
    match unused.len().saturating_sub(UNUSED) {
        0 => Ok(()),
        more => writeln!(out, "{}", style.dim(&format!("and {more} more unused"))),
    }
}
