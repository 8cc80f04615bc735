//! As LeakSanitizer prints it, line for line, for what looks for that in logs. Within limits nothing but the suppressions
//! used. A site that is over a limit has all that is unfreed of it, and the stack that holds most.
//!
//! Blocks are not searched for pointers: all are "direct". Several processes have a module at several addresses, so all
//! are those in the module's file, as addr2line takes them; Python code has none, and they are 0.
use std::io::{self, Write};

use crate::aggregate::Frame;
use crate::check::{Check, Row};
use crate::output::suppressions;

const RULE: &str = "=================================================================";
const LINE: &str = "-----------------------------------------------------";

/// Prints it with its first `limit` sites.
pub fn lsan(check: &Check, limit: usize, out: &mut dyn Write) -> io::Result<()> {
    let over: Vec<&Row> = check.rows.iter().filter(|row| row.is_over).collect();
    let mut seen = std::collections::HashSet::new();
    let sites: Vec<usize> =
        over.iter().filter_map(|row| row.site).filter(|site| seen.insert(*site)).collect();
    if check.is_over() {
        let pid = check.report.processes.first().map_or(0, |process| process.pid);
        writeln!(out, "\n{RULE}\n=={pid}==ERROR: LeakSanitizer: detected memory leaks")?;
        sites.iter().take(limit).try_for_each(|&site| stack(check, site, out))?;
        writeln!(out)?;
    }
    if check.report.suppressed.iter().any(|counts| counts.unfreed_blocks > 0) {
        writeln!(out, "{LINE}")?;
        suppressions::table(&check.report, out)?;
        writeln!(out, "{LINE}\n")?;
    }
    for reason in check.incomplete.iter().filter(|_| check.is_incomplete()) {
        writeln!(out, "LeakSanitizer: incomplete recording: {reason}")?;
    }
    if check.is_over() {
        let counts = |site: &usize| check.report.sites[*site].counts;
        let bytes = sites.iter().fold(0u64, |sum, site| sum.saturating_add(counts(site).unfreed_bytes));
        let blocks = sites.iter().fold(0u64, |sum, site| sum.saturating_add(counts(site).unfreed_blocks));
        writeln!(out, "SUMMARY: LeakSanitizer: {bytes} byte(s) leaked in {blocks} allocation(s).")?;
    }
    Ok(())
}

fn stack(check: &Check, site: usize, out: &mut dyn Write) -> io::Result<()> {
    let site = &check.report.sites[site];
    let (bytes, blocks) = (site.counts.unfreed_bytes, site.counts.unfreed_blocks);
    writeln!(out, "\nDirect leak of {bytes} byte(s) in {blocks} object(s) allocated from:")?;
    let paths = &check.report.paths;
    let frames = paths.frame_numbers(site.largest).enumerate();
    frames.into_iter().try_for_each(|(number, frame)| {
        line(number, paths.frame_at(frame), paths.address_of(frame).unwrap_or(0), out)
    })
}

fn line(number: usize, frame: &Frame, address: u64, out: &mut dyn Write) -> io::Result<()> {
    let module = frame.module.as_deref().unwrap_or("<unknown module>");
    write!(out, "    #{number} {address:#x}")?;
    match (&frame.function, frame.place()) {
        (Some(function), Some(place)) => writeln!(out, " in {function} {place}"),
        (Some(function), None) => writeln!(out, " in {function} ({module}+{address:#x})"),
        (None, Some(place)) => writeln!(out, " {place}"),
        (None, None) => writeln!(out, "  ({module}+{address:#x})"),
    }
}
