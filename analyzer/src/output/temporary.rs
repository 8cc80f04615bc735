//! `report --temporary`: what was freed soon after it had been allocated, by site.
use std::io::{self, Write};

use super::frames;
use super::header::header;
use super::style::Style;
use super::text::{column, title, unfolded};
use super::units::{Number, Size, counted};
use crate::aggregate::By;
use crate::aggregate::{Report, TemporarySites};
use crate::replay::ShortLived;

/// Prints the first `limit` sites that allocated something for a short time only.
pub fn temporary(
    report: &Report,
    temporary: &TemporarySites,
    limit: usize,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    header(report, style, out)?;
    let total = temporary.total();
    let allocations = report.sites.iter().fold(0u64, |sum, site| sum.saturating_add(site.counts.allocations));
    writeln!(
        out,
        "temporary {} of {}{}, {}",
        style.bold(&Number(total.blocks).to_string()),
        counted(allocations, "allocation"),
        share(total, allocations),
        Size(total.bytes),
    )?;
    let more = match temporary.within {
        1 => "anything more".to_string(),
        within => format!("{} blocks more", Number(within.into())),
    };
    writeln!(out, "  that is: freed before their thread had allocated {more}")?;
    if temporary.unknown > 0 {
        let processes = counted(temporary.unknown as u64, "process");
        writeln!(out, "  of {processes} that is not known: no events are held")?;
    }
    let sites = report.sites.iter().zip(&temporary.sites).filter(|(_, soon)| soon.blocks > 0);
    let sites: Vec<_> = sites.collect();
    if sites.is_empty() {
        return writeln!(out, "\nnothing is");
    }
    let mut folded = false;
    if report.by != By::Stack {
        let heading = format!(
            "{:>12} {:>6}  {:>12}  {:>10}  {}",
            "temporary",
            "share",
            "allocations",
            "bytes",
            column(report.by)
        );
        writeln!(out, "\n{}", style.bold(&heading))?;
    }
    for (site, soon) in sites.iter().take(limit) {
        let (blocks, allocations) = (Number(soon.blocks), site.counts.allocations);
        if report.by == By::Stack {
            title(report, site, "", style, out)?;
            writeln!(
                out,
                "  {} temporary of {}{}, {}",
                style.bold(&blocks.to_string()),
                counted(allocations, "allocation"),
                share(**soon, allocations),
                Size(soon.bytes),
            )?;
            folded |= frames::lines(report, site.largest, style, out)?;
        } else {
            writeln!(
                out,
                "{blocks:>12} {:>6}  {:>12}  {:>10}  {}",
                percent(soon.blocks, allocations),
                Number(allocations),
                Size(soon.bytes),
                site.name.as_deref().unwrap_or("?"),
            )?;
        }
    }
    let rest = sites.get(limit..).unwrap_or(&[]);
    if !rest.is_empty() {
        let blocks = rest.iter().fold(0, |sum, (_, soon)| sum + soon.blocks);
        let sites = counted(rest.len() as u64, "more site");
        writeln!(out, "\n{sites}, {} temporary; -n 0 shows all", Number(blocks))?;
    }
    unfolded(folded, style, out)
}

/// ` (32.2 %)`
fn share(soon: ShortLived, allocations: u64) -> String {
    format!(" ({})", percent(soon.blocks, allocations).replace('%', " %"))
}

fn percent(part: u64, of: u64) -> String {
    let tenths = (u128::from(part) * 1000).checked_div(of.into()).unwrap_or(0);
    format!("{}.{}%", tenths / 10, tenths % 10)
}
