//! Text for people, 80 columns where names allow it. Sizes are KiB and MiB.
use std::io::{self, Write};

use super::frames;
use super::units::{Number, Size, counted, duration, signed_number, signed_size};
use crate::aggregate::{ArenaCounts, Counts, Process, Report, Site};
use crate::cli::{At, By};
use crate::diff::{Change, Diff};
use crate::reader::ProcessState;

/// Processes that are listed one by one; the others, which hold less, are summed up in one line.
const PROCESSES: usize = 12;
/// Files without symbols that are listed.
const FILES: usize = 4;
/// What a line has where names allow it.
pub(super) const COLUMNS: usize = 80;

/// How to draw.
#[derive(Clone, Copy, Default, Debug)]
pub struct Style {
    /// With colours.
    pub colour: bool,
    /// With every frame of a deep stack.
    pub all_frames: bool,
}

impl Style {
    pub(super) fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// Prints a report with its first `limit` sites that hold memory.
pub fn report(report: &Report, limit: usize, style: Style, out: &mut dyn Write) -> io::Result<()> {
    header(report, style, out)?;
    let counts = &report.totals.counts;
    writeln!(
        out,
        "unfreed {} in {}, {} {}",
        style.bold(&Size(counts.unfreed_bytes).to_string()),
        counted(counts.unfreed_blocks, "block"),
        if report.processes.len() == 1 { "peak" } else { "sum of the processes' peaks" },
        Size(report.totals.peak_bytes),
    )?;
    writeln!(
        out,
        "allocated {} in {}, {} freed",
        Size(counts.allocated_bytes),
        counted(counts.allocations, "block"),
        Number(counts.frees),
    )?;
    let holding: Vec<&Site> = report.sites.iter().filter(|site| site.counts.unfreed_blocks > 0).collect();
    if report.filtered {
        let mut shown = Counts::default();
        holding.iter().for_each(|site| shown.add(&site.counts));
        let share = (Size(shown.unfreed_bytes), counted(shown.unfreed_blocks, "block"));
        writeln!(out, "selected {} in {}", share.0, share.1)?;
    }
    if holding.is_empty() {
        let what = if report.filtered { "selected" } else { "unfreed" };
        return writeln!(out, "\nnothing is {what}");
    }
    if report.by == By::Stack {
        for site in holding.iter().take(limit) {
            stack_site(report, site, style, out)?;
        }
    } else {
        table(report.by, &holding[..limit.min(holding.len())], style, out)?;
    }
    let rest = holding.get(limit..).unwrap_or(&[]);
    let bytes = rest.iter().fold(0u64, |sum, site| sum.saturating_add(site.counts.unfreed_bytes));
    more(rest.len(), &format!(", {} unfreed", Size(bytes)), out)
}

/// Prints a diff with its first `limit` sites that changed.
pub fn diff(diff: &Diff, limit: usize, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let changed: Vec<&Change> =
        diff.changes.iter().filter(|change| change.bytes() != 0 || change.blocks() != 0).collect();
    if diff.new.by == By::Line {
        // The lines alone, as tracemalloc prints them, so that what reads those reads these.
        return changed.iter().take(limit).try_for_each(|change| line_change(diff, change, out));
    }
    for (name, report) in [("old", &diff.old), ("new", &diff.new)] {
        write!(out, "{name} ")?;
        header(report, style, out)?;
    }
    let total = Change::between(diff.old.totals.counts, diff.new.totals.counts);
    writeln!(out, "unfreed {}", movement(&total, style))?;
    if changed.is_empty() {
        return writeln!(out, "\nno site changed");
    }
    let shown = &changed[..limit.min(changed.len())];
    if diff.new.by == By::Stack {
        for change in shown {
            let (site, report) = diff.site(change);
            let mark = style.bold(mark(change));
            writeln!(out, "\n{}{mark}  {}", movement(change, style), style.dim(&site.id()))?;
            frames::lines(report, site, style, out)?;
        }
    } else {
        change_table(diff, shown, style, out)?;
    }
    more(changed.len() - shown.len(), " changed", out)
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
        writeln!(
            out,
            "{:>11} {:>10}  {:>10} {:>10}  {:>9}  {}{}",
            signed_size(change.bytes()),
            signed_number(change.blocks()),
            Size(change.old_counts.unfreed_bytes),
            Size(change.new_counts.unfreed_bytes),
            Number(change.new_counts.unfreed_blocks),
            site.name.as_deref().unwrap_or("?"),
            style.bold(mark(change)),
        )?;
    }
    Ok(())
}

fn more(sites: usize, what: &str, out: &mut dyn Write) -> io::Result<()> {
    match sites {
        0 => Ok(()),
        _ => writeln!(out, "\n{}{what}; -n 0 shows all", counted(sites as u64, "more site")),
    }
}

fn header(report: &Report, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let totals = &report.totals;
    let lost = format!("lost {}", Number(totals.lost));
    let lost = if totals.lost > 0 { style.paint("31", &lost) } else { lost };
    writeln!(out, "{}", style.bold(&report.recording))?;
    writeln!(
        out,
        "  {}, {}, {lost}, window {}, log {}",
        counted(report.processes.len() as u64, "process"),
        counted(totals.events, "event"),
        duration(totals.window_ns),
        Size(totals.log_bytes),
    )?;
    for line in [moment(&report.processes), arenas(&totals.arenas)].into_iter().flatten() {
        writeln!(out, "  {line}")?;
    }
    let (listed, rest) = largest(&report.processes);
    for process in listed {
        process_lines(process, style, out)?;
    }
    if !rest.is_empty() {
        let bytes = rest.iter().fold(0u64, |sum, process| sum.saturating_add(process.counts.unfreed_bytes));
        writeln!(out, "  {}, {} unfreed", counted(rest.len() as u64, "more process"), Size(bytes))?;
    }
    let mut symbols: Vec<String> = report.problems.iter().take(FILES).cloned().collect();
    if report.problems.len() > FILES {
        symbols.push(format!(
            "{} without symbols",
            counted((report.problems.len() - FILES) as u64, "more file")
        ));
    }
    let more = report.unreadable.len().saturating_sub(UNREADABLE);
    let more = (more > 0).then(|| format!("{} that could not be read", counted(more as u64, "more file")));
    let unreadable = report.unreadable.iter().take(UNREADABLE).cloned().chain(more);
    for problem in rest.into_iter().flat_map(problems).chain(unreadable).chain(symbols) {
        writeln!(out, "  {}", style.paint("33", &problem))?;
    }
    Ok(())
}

/// Which moment the numbers are of, where it is not the end.
fn moment(processes: &[Process]) -> Option<String> {
    let cut = processes.iter().filter(|process| process.at == At::BeforeExit).count();
    let which = match cut {
        0 => return None,
        cut if cut == processes.len() => String::new(),
        cut => format!(" ({} of {})", counted(cut as u64, "process"), Number(processes.len() as u64)),
    };
    Some(format!("as of before Python's exit freed globals{which}; --at end: after it"))
}

/// Memory that holds what is counted already.
fn arenas(counts: &ArenaCounts) -> Option<String> {
    let (bytes, filled) = (Size(counts.bytes), Size(counts.filled_bytes));
    let count = counted(counts.arenas, "arena");
    (counts.arenas > 0).then(|| format!("Python's {count}: {bytes}, of which unfreed objects fill {filled}"))
}

/// The processes to list, in the order in which they began, and the others: those that hold least.
fn largest(processes: &[Process]) -> (Vec<&Process>, Vec<&Process>) {
    let mut order: Vec<usize> = (0..processes.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(processes[index].counts), index));
    let mut listed = vec![false; processes.len()];
    order.iter().take(PROCESSES).for_each(|&index| listed[index] = true);
    let (listed, rest): (Vec<_>, Vec<_>) = processes.iter().zip(listed).partition(|(_, listed)| *listed);
    let processes = |pairs: Vec<(_, bool)>| pairs.into_iter().map(|(process, _)| process).collect();
    (processes(listed), processes(rest))
}

fn process_lines(process: &Process, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let command = process.command.join(" ");
    let name = match (&process.exe, command.is_empty()) {
        (_, false) => command,
        (Some(exe), true) => exe.clone(),
        (None, true) => "?".to_string(),
    };
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(COLUMNS).collect();
    writeln!(
        out,
        "  pid {} {}: {} in {}  {}",
        process.pid,
        state(&process.state),
        Size(process.counts.unfreed_bytes),
        counted(process.counts.unfreed_blocks, "block"),
        style.dim(&name),
    )?;
    for problem in problems(process) {
        writeln!(out, "    {}", style.paint("33", &problem))?;
    }
    Ok(())
}

/// In words. The recorder cannot tell a signal from `_exit`: neither runs exit handlers.
fn state(state: &ProcessState) -> String {
    match state {
        ProcessState::Killed => "ended abruptly".to_string(),
        ProcessState::Copied => "copied while it ran".to_string(),
        ProcessState::Exec => "became another program".to_string(),
        state => state.to_string(),
    }
}

/// Files that could not be read are named up to this many.
const UNREADABLE: usize = 8;

/// What a reader should know before trusting the numbers.
fn problems(process: &Process) -> Vec<String> {
    let pid = process.pid;
    let mut problems: Vec<String> = process.notes.iter().map(|note| format!("pid {pid}: {note}")).collect();
    if process.lost > 0 {
        problems.push(format!("pid {pid}: {} lost", counted(process.lost, "event")));
    }
    if process.without_stack > 0 {
        problems.push(format!("pid {pid}: {} without a stack", counted(process.without_stack, "event")));
    }
    if process.python.not_walked > 0 {
        let count = counted(process.python.not_walked, "allocation");
        problems.push(format!("pid {pid}: {count} without their Python frames, which could not be followed"));
    }
    if process.python.mismatched > 0 {
        let count = counted(process.python.mismatched, "allocation");
        problems.push(format!("pid {pid}: {count} with Python frames that do not fit the native ones"));
    }
    if process.anomalies.impossible() > 0 {
        let count = counted(process.anomalies.impossible(), "event");
        problems
            .push(format!("pid {pid}: {count} that cannot be: a free of no block, a block handed out twice"));
    }
    problems.extend(process.losses.iter().take(3).map(|loss| format!("pid {pid}: {loss}")));
    if process.losses.len() > 3 {
        problems.push(format!("pid {pid}: and {} more parts could not be read", process.losses.len() - 3));
    }
    problems
}

fn stack_site(report: &Report, site: &Site, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let counts = &site.counts;
    writeln!(
        out,
        "\n{} unfreed in {}, of {} in {}, {} freed  {}",
        style.bold(&Size(counts.unfreed_bytes).to_string()),
        counted(counts.unfreed_blocks, "block"),
        Size(counts.allocated_bytes),
        counted(counts.allocations, "allocation"),
        Number(counts.frees),
        style.dim(&site.id()),
    )?;
    if site.stacks > 1 {
        let note = format!("  {} that differ in lines only, the largest:", counted(site.stacks, "stack"));
        writeln!(out, "{}", style.dim(&note))?;
    }
    frames::lines(report, site, style, out)
}

fn column(by: By) -> &'static str {
    match by {
        By::Stack | By::Function => "function",
        By::Line => "line",
        By::Module => "module",
        By::Thread => "thread",
        By::Process => "process",
    }
}

fn table(by: By, sites: &[&Site], style: Style, out: &mut dyn Write) -> io::Result<()> {
    let what = column(by);
    let heading = format!(
        "{:>10} {:>9}  {:>10} {:>11} {:>5}  {what}",
        "unfreed", "blocks", "allocated", "allocations", "freed"
    );
    writeln!(out, "\n{}", style.bold(&heading))?;
    for site in sites {
        let counts = &site.counts;
        let freed = (counts.frees as u128 * 100).checked_div(counts.allocations.into()).unwrap_or(0);
        writeln!(
            out,
            "{:>10} {:>9}  {:>10} {:>11} {freed:>4}%  {}",
            Size(counts.unfreed_bytes),
            Number(counts.unfreed_blocks),
            Size(counts.allocated_bytes),
            Number(counts.allocations),
            site.name.as_deref().unwrap_or("?"),
        )?;
    }
    Ok(())
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
