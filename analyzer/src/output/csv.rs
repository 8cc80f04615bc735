//! CSV as in RFC 4180, with a header line. The stack is one field: `function (file:line) [module]`, innermost first,
//! joined by ` < `. A number that is not known is empty.
use std::io::{self, Write};

use super::folding::without_interpreter;
use crate::aggregate::{Frame, Report, Site};
use crate::diff::Diff;

/// Prints a report with its first `limit` sites; of Python stacks the interpreter's frames too if `all_frames`.
pub fn report(report: &Report, limit: usize, all_frames: bool, out: &mut dyn Write) -> io::Result<()> {
    let temporary = report.temporary.as_ref();
    write!(
        out,
        "id,name,unfreed_bytes,unfreed_blocks,allocated_bytes,allocations,frees,{}stack,headline,phase\r\n",
        if temporary.is_some() { "temporary_blocks,temporary_bytes," } else { "" },
    )?;
    let is_counted = report.has_counted_sites();
    for (index, site) in report.sites.iter().enumerate().take(limit) {
        let counts = &site.counts;
        let unfreed = [counts.unfreed_bytes, counts.unfreed_blocks].map(Some);
        let counted = [counts.allocated_bytes, counts.allocations, counts.frees];
        let numbers = unfreed.into_iter().chain(counted.map(|count| is_counted.then_some(count)));
        let soon = temporary.map(|all| [all.sites[index].blocks, all.sites[index].bytes].map(Some));
        let numbers = numbers.chain(soon.into_iter().flatten());
        let numbers: Vec<_> = numbers.map(|number| number.map(i128::from)).collect();
        row(report, site, &numbers, all_frames, out)?;
    }
    Ok(())
}

/// Prints a diff with its first `limit` sites; `all_frames` as for a report.
pub fn diff(diff: &Diff, limit: usize, all_frames: bool, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"id,name,old_bytes,new_bytes,delta_bytes,old_blocks,new_blocks,delta_blocks,stack,headline,phase\r\n")?;
    for change in diff.changes.iter().take(limit) {
        let (site, report) = diff.site(change);
        let (old, new) = (&change.old_counts, &change.new_counts);
        let numbers = [
            old.unfreed_bytes.into(),
            new.unfreed_bytes.into(),
            change.bytes(),
            old.unfreed_blocks.into(),
            new.unfreed_blocks.into(),
            change.blocks(),
        ];
        row(report, site, &numbers.map(Some), all_frames, out)?;
    }
    Ok(())
}

fn row(
    report: &Report,
    site: &Site,
    counts: &[Option<i128>],
    all_frames: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    write!(out, "{},{}", site.id(), quoted(site.name.as_deref().unwrap_or("")))?;
    for count in counts {
        write!(out, ",{}", count.map_or_else(String::new, |count| count.to_string()))?;
    }
    let mut numbers: Vec<u32> = report.paths.frame_numbers(site.path).collect();
    if !all_frames {
        without_interpreter(&mut numbers, |number| report.paths.frame_at(number));
    }
    let frames: Vec<String> = numbers.iter().map(|&number| frame(report.paths.frame_at(number))).collect();
    let headline = report.headline(site).map(|number| frame(report.paths.frame_at(number)));
    let phase = site.phase.map_or("", |phase| phase.name());
    write!(out, ",{},{},{phase}\r\n", quoted(&frames.join(" < ")), quoted(&headline.unwrap_or_default()))
}

fn frame(frame: &Frame) -> String {
    let place = frame.place().map_or_else(String::new, |place| format!(" ({place})"));
    let module = frame.module_name().map_or_else(String::new, |module| format!(" [{module}]"));
    format!("{}{place}{module}", frame.label())
}

pub(super) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}
