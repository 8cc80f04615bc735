//! Blocks of lines, one for each look: for pipes, files and terminals that cannot move a cursor.
//!
//! The layout of each line is always the same, so that programs can follow it.
use std::io::{self, Write};

use super::model::Model;
use super::words;
use crate::output::{Number, Size, counted, utc};
use crate::top::order::TopBy;

/// Prints a block with the first `limit` sites.
pub fn block(model: &Model, limit: usize, out: &mut dyn Write) -> io::Result<()> {
    let snapshot = &model.snapshot;
    let total = &snapshot.total;
    let (bytes, blocks) = (Size(total.held.bytes), counted(total.held.blocks, "block"));
    let (growth, resident) = (words::growth(total.growth), words::resident(snapshot));
    writeln!(out, "{} {}, {}", utc(snapshot.at_ns), snapshot.recording, words::processes(snapshot))?;
    writeln!(out, "unfreed {bytes} in {blocks}, growth/min {growth}{resident}")?;
    let state = if snapshot.has_ended { words::ENDED.to_string() } else { words::reading(snapshot) };
    let (disk, lost) = (Size(snapshot.disk_bytes), Number(snapshot.lost));
    writeln!(out, "recording {disk}, lost {lost}, {state}")?;
    let by = match snapshot.by {
        TopBy::Line => "line",
        TopBy::Function => "function",
        TopBy::Stack => "stack",
        TopBy::Module => "module",
    };
    writeln!(out, "{:>10} {:>11} {:>11}  {by}", "unfreed", "blocks", "growth/min")?;
    let sites = model.sites();
    for site in sites.iter().take(limit) {
        let (bytes, blocks) = (Size(site.held.bytes), Number(site.held.blocks));
        writeln!(out, "{bytes:>10} {blocks:>11} {:>11}  {}", words::growth(site.growth), site.name)?;
    }
    let hidden = sites.iter().skip(limit);
    let bytes = hidden.clone().fold(0u64, |sum, site| sum.saturating_add(site.held.bytes));
    if let Some(rest) = words::rest(hidden.count(), bytes, snapshot) {
        writeln!(out, "{rest}")?;
    }
    writeln!(out)
}
