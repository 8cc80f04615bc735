//! Text for people, 80 columns where names allow it. Sizes are KiB and MiB.
use std::io::{self, Write};

use super::frames;
use super::header::header;
use super::spark::spark;
use super::style::{COLUMNS, Style};
use super::suppressions;
use super::units::{Number, Size, counted, duration, signed_number, signed_size};
use crate::aggregate::By;
use crate::aggregate::{Counts, Phase, Report, Site};
use crate::diff::{Change, Diff};

/// Characters in which a site's course is drawn. What took less buckets was too short.
const COURSE: usize = 24;

/// Prints a report with its first `limit` sites that hold memory.
pub fn report(report: &Report, limit: usize, style: Style, out: &mut dyn Write) -> io::Result<()> {
    header(report, style, out)?;
    let counts = &report.totals.counts;
    let peak = match report.totals.peak_bytes {
        Some(bytes) if report.processes.len() == 1 => format!(", peak {}", Size(bytes)),
        Some(bytes) => format!(", sum of the processes' peaks {}", Size(bytes)),
        None => String::new(),
    };
    writeln!(
        out,
        "unfreed {} in {}{peak}",
        style.bold(&Size(counts.unfreed_bytes).to_string()),
        counted(counts.unfreed_blocks, "block"),
    )?;
    if report.is_counted() {
        writeln!(
            out,
            "allocated {} in {}, {} freed",
            Size(counts.allocated_bytes),
            counted(counts.allocations, "block"),
            Number(counts.frees),
        )?;
    }
    phases(&report.totals.phases, out)?;
    let holding: Vec<(usize, &Site)> =
        report.sites.iter().enumerate().filter(|(_, site)| site.counts.unfreed_blocks > 0).collect();
    if report.filtered {
        let mut shown = Counts::default();
        holding.iter().for_each(|(_, site)| shown.add(&site.counts));
        let share = (Size(shown.unfreed_bytes), counted(shown.unfreed_blocks, "block"));
        writeln!(out, "selected {} in {}", share.0, share.1)?;
    }
    if holding.is_empty() {
        let what = if report.filtered { "selected" } else { "unfreed" };
        writeln!(out, "\nnothing is {what}")?;
        return suppressions::text(report, style, out);
    }
    let mut folded = false;
    if report.by.is_class() {
        class_table(report, &holding[..limit.min(holding.len())], style, out)?;
    } else if report.by == By::Stack {
        for (index, site) in holding.iter().take(limit) {
            folded |= stack_site(report, *index, site, style, out)?;
        }
    } else {
        table(report, &holding[..limit.min(holding.len())], style, out)?;
    }
    let rest = holding.get(limit..).unwrap_or(&[]);
    let bytes = rest.iter().fold(0u64, |sum, (_, site)| sum.saturating_add(site.counts.unfreed_bytes));
    more(rest.len(), &format!(", {} unfreed", Size(bytes)), out)?;
    unfolded(folded, style, out)?;
    suppressions::text(report, style, out)
}

/// What of Python programs was allocated when.
fn phases(phases: &[Counts; 3], out: &mut dyn Write) -> io::Result<()> {
    if phases.iter().all(|counts| counts.allocations == 0) {
        return Ok(());
    }
    let part = |phase: Phase| {
        let counts = &phases[phase as usize];
        format!("{} {} in {}", phase.name(), Size(counts.unfreed_bytes), Number(counts.unfreed_blocks))
    };
    let [first, rest @ ..] = Phase::ALL.map(part);
    let mut line = format!("of which Python: {first}");
    for part in rest {
        if line.len() + ", ".len() + part.len() > COLUMNS {
            writeln!(out, "{line},")?;
            line = format!("  {part}");
        } else {
            line = format!("{line}, {part}");
        }
    }
    writeln!(out, "{line}")
}

/// How to see what was left out.
pub(super) fn unfolded(folded: bool, style: Style, out: &mut dyn Write) -> io::Result<()> {
    if !folded {
        return Ok(());
    }
    let note = "(some native frames are left out; --all-frames shows them)";
    writeln!(out, "\n{}", style.dim(note))
}

/// The first line of a site whose sites are stacks.
pub(super) fn title(
    report: &Report,
    site: &Site,
    mark: &str,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let headline = style.bold(&frames::headline(report, site));
    writeln!(out, "\n{headline}{}{}  {}", tag(site), style.bold(mark), style.dim(&site.id()))
}

/// The phase of what is not allocated while the program runs.
fn tag(site: &Site) -> String {
    match site.phase {
        None | Some(Phase::Run) => String::new(),
        Some(phase) => format!(" ({})", phase.name()),
    }
}

/// Prints a diff with its first `limit` sites that changed.
pub fn diff(diff: &Diff, limit: usize, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let changed: Vec<&Change> =
        diff.changes.iter().filter(|change| change.bytes() != 0 || change.blocks() != 0).collect();
    if diff.new.by == By::Line {
        // The lines alone, as tracemalloc prints them, so that what reads those reads these; but not without a warning.
        for (name, report) in [("old", &diff.old), ("new", &diff.new)] {
            let is_damaged = report.processes.iter().any(|process| !process.losses.is_empty());
            if report.totals.lost != 0 || is_damaged || !report.unreadable.is_empty() {
                writeln!(out, "# {name}: lost {}: not all is counted", Number(report.totals.lost))?;
            }
        }
        if changed.is_empty() {
            return writeln!(out, "# no line changed");
        }
        return changed.iter().take(limit).try_for_each(|change| line_change(diff, change, out));
    }
    for (name, report) in [("old", &diff.old), ("new", &diff.new)] {
        write!(out, "{name} ")?;
        header(report, style, out)?;
    }
    let total = Change::between(diff.old.totals.counts, diff.new.totals.counts);
    writeln!(out, "unfreed {}", movement(&total, style))?;
    if diff.new.filtered {
        let mut selected = Change::between(Counts::default(), Counts::default());
        for change in &diff.changes {
            selected.old_counts.add(&change.old_counts);
            selected.new_counts.add(&change.new_counts);
        }
        writeln!(out, "selected {}", movement(&selected, style))?;
    }
    if changed.is_empty() {
        return writeln!(out, "\nno site changed");
    }
    let shown = &changed[..limit.min(changed.len())];
    let mut folded = false;
    if diff.new.by == By::Stack {
        for change in shown {
            let (site, report) = diff.site(change);
            title(report, site, mark(change), style, out)?;
            writeln!(out, "  {}", movement(change, style))?;
            folded |= frames::lines(report, site.path, style, out)?;
        }
    } else {
        change_table(diff, shown, style, out)?;
    }
    more(changed.len() - shown.len(), " changed", out)?;
    unfolded(folded, style, out)?;
    suppressions::text(&diff.new, style, out)
}

fn mark(change: &Change) -> &'static str {
    match change {
        change if change.is_new() => " new",
        change if change.is_vanished() => " vanished",
        _ => "",
    }
}

fn change_table(diff: &Diff, changes: &[&Change], style: Style, out: &mut dyn Write) -> io::Result<()> {
    let what = column(diff.new.by);
    let heading =
        format!("{:>11} {:>10}  {:>10} {:>10}  {:>9}  {what}", "change", "blocks", "old", "new", "blocks");
    writeln!(out, "\n{}", style.bold(&heading))?;
    for change in changes {
        let (site, _) = diff.site(change);
        let (name, command) = row_name(diff.new.by, site, CHANGE_ROW);
        writeln!(
            out,
            "{:>11} {:>10}  {:>10} {:>10}  {:>9}  {}{}{}",
            signed_size(change.bytes()),
            signed_number(change.blocks()),
            Size(change.old_counts.unfreed_bytes),
            Size(change.new_counts.unfreed_bytes),
            Number(change.new_counts.unfreed_blocks),
            name,
            tag(site),
            style.bold(mark(change)),
        )?;
        if let Some(command) = command {
            writeln!(out, "{:ROW_INDENT$}{}", "", style.dim(command))?;
        }
    }
    Ok(())
}

pub(super) fn more(sites: usize, what: &str, out: &mut dyn Write) -> io::Result<()> {
    match sites {
        0 => Ok(()),
        _ => writeln!(out, "\n{}{what}; -n 0 shows all", counted(sites as u64, "more site")),
    }
}

/// Returns whether frames were left out.
fn stack_site(
    report: &Report,
    index: usize,
    site: &Site,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<bool> {
    title(report, site, "", style, out)?;
    let counts = &site.counts;
    let unfreed = style.bold(&Size(counts.unfreed_bytes).to_string());
    write!(out, "  {unfreed} unfreed in {}", counted(counts.unfreed_blocks, "block"))?;
    if report.is_counted() {
        write!(
            out,
            ", of {} in {}, {} freed",
            Size(counts.allocated_bytes),
            counted(counts.allocations, "allocation"),
            Number(counts.frees),
        )?;
    }
    writeln!(out)?;
    course(report, index, style, out)?;
    lifetimes(report, index, 2, style, out)?;
    if site.stacks > 1 {
        let note = format!("  {} that differ in lines only, the largest:", counted(site.stacks, "stack"));
        writeln!(out, "{}", style.dim(&note))?;
    }
    frames::lines(report, site.path, style, out)
}

/// What a site held over time.
fn course(report: &Report, site: usize, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let Some(courses) = report.courses.as_ref().filter(|courses| courses.buckets >= COURSE) else {
        return Ok(());
    };
    let Some(course) = courses.sites.get(site) else { return Ok(()) };
    let over = duration(courses.buckets as u64 * courses.bucket_ms * 1_000_000);
    let what = match course.is_of_unfreed {
        true => format!("  unfreed, by when it was allocated in {over}"),
        false => {
            let most = course.bytes.iter().copied().max().unwrap_or(0);
            format!("  live bytes over {over}, {} at most", Size(most))
        }
    };
    writeln!(out, "  {}{}", spark(&course.bytes, COURSE, style.charset), style.dim(&what))
}

/// How long the blocks of a site lived that were freed.
fn lifetimes(
    report: &Report,
    site: usize,
    indent: usize,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Some(lifetimes) = report.lifetimes.as_ref().and_then(|all| all.get(site)) else { return Ok(()) };
    let within = |tenths| lifetimes.within(tenths).map(|ms| duration(ms.saturating_mul(1_000_000)));
    let (Some(half), Some(most)) = (within(5), within(9)) else { return Ok(()) };
    let line = format!("of what was freed half lived less than {half}, nine tenths less than {most}");
    writeln!(out, "{:indent$}{}", "", style.dim(&line))
}

pub(super) fn column(by: By) -> &'static str {
    match by {
        By::Stack | By::Function => "function",
        By::Line => "line",
        By::Module => "module",
        By::Thread => "thread",
        By::Process => "process",
        By::Size => "size",
        By::Age => "age",
    }
}

fn table(report: &Report, sites: &[(usize, &Site)], style: Style, out: &mut dyn Write) -> io::Result<()> {
    let what = column(report.by);
    let is_counted = report.has_counted_sites();
    let heading = format!(
        "{:>10} {:>9}  {:>10} {:>11} {:>5}  {what}",
        "unfreed", "blocks", "allocated", "allocations", "freed"
    );
    writeln!(out, "\n{}", style.bold(&heading))?;
    for (index, site) in sites {
        let counts = &site.counts;
        let freed = (counts.frees as u128 * 100).checked_div(counts.allocations.into()).unwrap_or(0);
        let (name, command) = row_name(report.by, site, ROW);
        let [allocated, allocations, freed] = match is_counted {
            true => [
                Size(counts.allocated_bytes).to_string(),
                Number(counts.allocations).to_string(),
                format!("{freed}%"),
            ],
            false => ["?", "?", "?"].map(str::to_owned),
        };
        writeln!(
            out,
            "{:>10} {:>9}  {allocated:>10} {allocations:>11} {freed:>5}  {}{}",
            Size(counts.unfreed_bytes),
            Number(counts.unfreed_blocks),
            name,
            tag(site),
        )?;
        if let Some(command) = command {
            writeln!(out, "{:ROW_INDENT$}{}", "", style.dim(command))?;
        }
        lifetimes(report, *index, ROW_INDENT, style, out)?;
    }
    Ok(())
}

/// How wide the bar of a class is that is all.
const BAR: u128 = 32;

/// Of classes of blocks only what is unfreed is known.
fn class_table(
    report: &Report,
    classes: &[(usize, &Site)],
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let heading = format!("{:>10} {:>11} {:>6}  {}", "unfreed", "blocks", "share", column(report.by));
    writeln!(out, "\n{}", style.bold(&heading))?;
    let all: u128 = classes.iter().map(|(_, class)| u128::from(class.counts.unfreed_bytes)).sum();
    for (_, class) in classes {
        let counts = &class.counts;
        let of = |whole: u128| (u128::from(counts.unfreed_bytes) * whole).checked_div(all).unwrap_or(0);
        let bar = "#".repeat(of(BAR) as usize);
        let line = format!(
            "{:>10} {:>11} {:>5}%  {:<22} {bar}",
            Size(counts.unfreed_bytes),
            Number(counts.unfreed_blocks),
            of(100),
            class.name.as_deref().unwrap_or("?"),
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// What stands before the names of a table's rows.
const ROW: usize = 52;
/// The same of a table of changes.
const CHANGE_ROW: usize = 58;
/// How far the parent and the command of a process are indented that do not fit beside its numbers.
const ROW_INDENT: usize = 20;

/// The name of a table's row that stands behind so many characters, and of a process its parent and command if these have no place
/// there.
fn row_name(by: By, site: &Site, before: usize) -> (&str, Option<&str>) {
    let name = site.name.as_deref().unwrap_or("?");
    let is_long = by == By::Process && before + name.chars().count() + tag(site).len() > COLUMNS;
    match name.split_once([',', ':']).filter(|_| is_long) {
        Some((pid, rest)) => (pid, Some(rest.trim_start())),
        None => (name, None),
    }
}

/// `+15.3 MiB (+100 blocks): 3.0 MiB in 24 -> 18.3 MiB in 124`
fn movement(change: &Change, style: Style) -> String {
    let (old, new) = (&change.old_counts, &change.new_counts);
    let size = signed_size(change.bytes());
    let size = style.paint(if change.bytes() > 0 { "1;31" } else { "1;32" }, &size);
    format!(
        "{size} ({} blocks): {} in {} -> {} in {}",
        signed_number(change.blocks()),
        Size(old.unfreed_bytes),
        Number(old.unfreed_blocks),
        Size(new.unfreed_bytes),
        Number(new.unfreed_blocks),
    )
}

/// `file:line: size=18.3 MiB (+15.3 MiB), count=124 (+100), average=151 KiB`
fn line_change(diff: &Diff, change: &Change, out: &mut dyn Write) -> io::Result<()> {
    let (site, _) = diff.site(change);
    let (size, count) = (change.new_counts.unfreed_bytes, change.new_counts.unfreed_blocks);
    write!(
        out,
        "{}: size={} ({}), count={count} ({:+})",
        site.name.as_deref().unwrap_or("?"),
        Size(size),
        signed_size(change.bytes()),
        change.blocks(),
    )?;
    match size.checked_div(count) {
        Some(average) => writeln!(out, ", average={}", Size(average)),
        None => writeln!(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_of_large_programs_have_two_lines() {
        let of = |unfreed_bytes, unfreed_blocks| Counts {
            unfreed_bytes,
            unfreed_blocks,
            allocations: 1,
            ..Counts::default()
        };
        let mut out = Vec::new();
        phases(&[of(1 << 20, 9_922), of(25 << 20, 203_761), of(17 << 20, 54_868)], &mut out).expect("memory");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "of which Python: start-up 1024 KiB in 9,922, import 25.0 MiB in 203,761,\n  run 17.0 MiB in 54,868\n"
        );
    }
}
