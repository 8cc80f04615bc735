//! As text: a line for each limit, those that are exceeded first; what the recording is; the sites in a table, as benchstat
//! prints one; and the stacks of the sites that are over.
use std::io::{self, Write};

use super::{columns, of, rows, title, words};
use crate::aggregate::Counts;
use crate::check::{Check, Measure, Row, Verdict};
use crate::output::frames;
use crate::output::header::header;
use crate::output::style::{COLUMNS, Style};
use crate::output::suppressions;
use crate::output::units::{Number, Size, counted, signed_number};

/// Reasons that are named.
const REASONS: usize = 8;

/// Prints it with its first `limit` sites.
pub fn text(check: &Check, limit: usize, style: Style, out: &mut dyn Write) -> io::Result<()> {
    outcomes(check, style, out)?;
    header(&check.report, style, out)?;
    let Counts { unfreed_bytes, unfreed_blocks, .. } = check.selected();
    let what = if check.report.filtered { "selected" } else { "unfreed" };
    writeln!(out, "{what} {} in {}", Size(unfreed_bytes), counted(unfreed_blocks, "block"))?;
    for measure in [Measure::Growth, Measure::Unfreed] {
        table(check, measure, limit, style, out)?;
    }
    let mut folded = false;
    for row in check.rows.iter().filter(|row| row.is_over).take(limit) {
        folded |= stack(check, row, style, out)?;
    }
    if folded {
        writeln!(out, "\n{}", style.dim("(some native frames are left out; --all-frames shows them)"))?;
    }
    suppressions::text(&check.report, style, out)
}

fn outcomes(check: &Check, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let incomplete = check.is_incomplete();
    for outcome in &check.outcomes {
        let (limit, found) = words(outcome);
        let state = match outcome.is_exceeded {
            true => style.paint("1;31", "over"),
            false if incomplete => continue,
            false => style.paint("32", "within"),
        };
        writeln!(out, "{state} {limit}: {found}")?;
    }
    let said = if incomplete {
        style.paint("1;33", "incomplete")
    } else {
        "incomplete, which is allowed".to_string()
    };
    for reason in check.incomplete.iter().take(REASONS) {
        writeln!(out, "{said}: {reason}")?;
    }
    if check.incomplete.len() > REASONS {
        writeln!(out, "{said}: and {} more", counted((check.incomplete.len() - REASONS) as u64, "reason"))?;
    }
    if check.verdict() == Verdict::Incomplete {
        for outcome in check.outcomes.iter().filter(|outcome| !outcome.is_exceeded) {
            let (limit, found) = words(outcome);
            writeln!(out, "within {limit} as far as is known: {found}")?;
        }
        writeln!(out, "--allow-incomplete takes it as it is")?;
    }
    Ok(())
}

fn table(check: &Check, measure: Measure, limit: usize, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let (rows, same) = rows(check, measure);
    let is_told = check.is_compared || check.is_over();
    if !is_told || (rows.is_empty() && (same == 0 || measure == Measure::Growth)) {
        return Ok(());
    }
    let title = title(check, measure);
    if !check.is_compared {
        let heading = format!("{title:>20} {:>9}  site", "blocks");
        writeln!(out, "\n{}", style.bold(&heading))?;
    } else if !rows.is_empty() {
        let heading = format!("{:4} {:>10} {:>10}  {:>10} {:>6}  site", "", "old", "new", "change", "%");
        writeln!(out, "\n{title}\n{}", style.bold(&heading))?;
    }
    if let Some(of) = of(check, measure).filter(|_| !rows.is_empty()) {
        writeln!(out, "{}", style.dim(&of))?;
    }
    for row in rows.iter().take(limit) {
        line(check, row, style, out)?;
    }
    if rows.len() > limit {
        writeln!(out, "{}; -n 0 shows all", counted((rows.len() - limit) as u64, "more site"))?;
    }
    match same {
        0 => Ok(()),
        same if rows.is_empty() => writeln!(out, "\n{} as before", counted(same as u64, "site")),
        same => writeln!(out, "{} as before", counted(same as u64, "site")),
    }
}

fn line(check: &Check, row: &Row, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let [old, new, change, percent] = columns(row);
    let (width, numbers) = match check.is_compared {
        false => {
            let blocks = row.new.unwrap_or_default().blocks.round() as u64;
            (32, format!("{new:>20} {:>9}", Number(blocks)))
        }
        true => {
            let over = if row.is_over { style.paint("1;31", "over") } else { "    ".to_string() };
            (49, format!("{over} {old:>10} {new:>10}  {change:>10} {percent:>6}"))
        }
    };
    match width + row.name.chars().count() > COLUMNS {
        true => writeln!(out, "{numbers}\n      {}", row.name),
        false => writeln!(out, "{numbers}  {}", row.name),
    }
}

/// Returns whether frames were left out.
fn stack(check: &Check, row: &Row, style: Style, out: &mut dyn Write) -> io::Result<bool> {
    let Some(site) = row.site.map(|site| &check.report.sites[site]) else { return Ok(false) };
    writeln!(out, "\n{}  {}", style.bold(&row.name), style.dim(&site.id()))?;
    let Counts { unfreed_bytes, unfreed_blocks, .. } = site.counts;
    writeln!(out, "  {} unfreed in {}", Size(unfreed_bytes), counted(unfreed_blocks, "block"))?;
    if check.is_compared && row.measure == Measure::Unfreed {
        let [old, _, change, _] = columns(row);
        let blocks = signed_number(row.delta().blocks.round() as i128);
        let old_blocks = Number(row.old.unwrap_or_default().blocks.round() as u64);
        match row.is_new() {
            true => writeln!(out, "  new: the baseline has nothing of it")?,
            false => writeln!(out, "  {change} ({blocks} blocks): the baseline has {old} in {old_blocks}")?,
        }
    }
    frames::lines(&check.report, site.largest, style, out)
}
