//! What the memory of processes is for, as text.
use std::io::{self, Write};

use super::frames;
use super::style::{COLUMNS, Style};
use super::units::{Number, Size, counted, signed_size};
use crate::aggregate::By;
use crate::aggregate::{Process, cut};
use crate::rss::{Entry, Holder, Kind, MappedRss, MappedSite, ProcessRss, Row, RunRss, advice};

/// Processes whose tables are printed; the others, which are smaller, are in the sum.
const PROCESSES: usize = 8;
/// Sites that hold less than this part of the resident memory are summed up.
const LITTLE: u64 = 500;

/// Prints it with the first `limit` sites that hold free memory.
pub fn text(found: &RunRss, limit: usize, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut running: Vec<&Entry> = found.running().collect();
    running.sort_by_key(|entry| (std::cmp::Reverse(entry.rss.rss()), entry.index));
    let rest = running.get(PROCESSES..).unwrap_or(&[]);
    writeln!(out, "{}", style.bold(&found.report.recording))?;
    if running.len() > 1 {
        sum(found, &running, style, out)?;
    }
    for entry in running.iter().take(PROCESSES) {
        writeln!(out)?;
        process(found, entry, style, out)?;
    }
    if !rest.is_empty() {
        let bytes = rest.iter().map(|entry| entry.rss.rss()).sum();
        writeln!(out, "\n{}, RSS {}", counted(rest.len() as u64, "more process"), Size(bytes))?;
    }
    ended(found, style, out)?;
    holders(found, limit, style, out)?;
    found.mapped.as_ref().map_or(Ok(()), |mapped| mapped_sites(mapped, limit, style, out))
}

fn named(found: &RunRss, entry: &Entry, style: Style) -> String {
    let Process { pid, exe, command, .. } = &found.report.processes[entry.index];
    let command = if command.is_empty() { exe.clone().unwrap_or("?".into()) } else { command.join(" ") };
    let pid = format!("pid {pid}  ");
    let command = cut(&command, COLUMNS - pid.len());
    format!("{pid}{}", style.dim(&command))
}

/// Of processes that share pages; these are counted once.
fn sum(found: &RunRss, running: &[&Entry], style: Style, out: &mut dyn Write) -> io::Result<()> {
    let rows = found.rows();
    let (rss, pss): (Vec<u64>, Vec<u64>) = rows.iter().map(|row| (row.rss, row.pss)).unzip();
    let (rss, pss): (u64, u64) = (rss.iter().sum(), pss.iter().sum());
    writeln!(
        out,
        "  {} run: PSS {} (shared pages once), sum of RSS {}",
        counted(running.len() as u64, "process"),
        style.bold(&Size(pss).to_string()),
        Size(rss),
    )?;
    heading("PSS", style, out)?;
    let in_all = Row { rss: pss, pss, mappings: 0 };
    for kind in Kind::ROWS {
        let row = Row { rss: rows[kind as usize].pss, ..rows[kind as usize] };
        line(row, &in_all, &describe(kind, None), style, out)?;
    }
    line(in_all, &in_all, "in all", style, out)
}

fn heading(what: &str, style: Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", style.bold(&format!("{what:>12} {:>5}  what it is for", "")))
}

fn line(row: Row, all: &Row, what: &str, style: Style, out: &mut dyn Write) -> io::Result<()> {
    if row.rss == 0 {
        return Ok(());
    }
    let percent = (u128::from(row.rss) * 100).checked_div(all.rss.into()).unwrap_or(0);
    let size = format!("{:>12}", Size(row.rss).to_string());
    writeln!(out, "{} {percent:>4}%  {what}", style.bold(&size))
}

fn process(found: &RunRss, entry: &Entry, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let rss = &entry.rss;
    writeln!(out, "{}", named(found, entry, style))?;
    heading("RSS", style, out)?;
    let all = Row { rss: rss.rss(), ..Row::default() };
    for kind in Kind::ROWS {
        line(rss.row(kind), &all, &describe(kind, Some(rss)), style, out)?;
    }
    let mut kernel = "as the kernel says".to_string();
    let difference = i128::from(rss.vm_rss) - i128::from(all.rss);
    if difference.unsigned_abs() * 200 > all.rss.into() {
        // It runs, and its pages come and go while they are looked at; and the kernel's sum is not exact.
        kernel = format!("the kernel says {} ({})", Size(rss.vm_rss), signed_size(difference));
    }
    line(all, &all, &format!("in all, {kernel}"), style, out)?;
    for note in kept(rss).into_iter().chain(notes(found, entry)) {
        writeln!(out, "  {note}")?;
    }
    let advice = advice(rss, &|bytes| Size(bytes).to_string());
    for advice in &advice {
        wrapped("  advice: ", &advice.text, |line| style.paint("33", line), out)?;
    }
    if advice.is_empty() {
        writeln!(out, "  {}", style.dim("no setting is known that would make it much smaller"))?;
    }
    Ok(())
}

/// How much of it was freed, if that is what explains its size.
fn kept(rss: &ProcessRss) -> Option<String> {
    let free = [Kind::FreePages, Kind::FreeSpace, Kind::PythonFree].map(|kind| rss.row(kind).rss);
    let percent = |bytes: u64| (u128::from(bytes) * 100).checked_div(rss.rss().into()).unwrap_or(0);
    let (free, unfreed) = (percent(free.iter().sum()), percent(rss.row(Kind::Blocks).rss));
    (free >= 25).then(|| format!("{free}% of it was freed, and is kept all the same; {unfreed}% is unfreed"))
}

/// What a row is, in words.
fn describe(kind: Kind, of: Option<&ProcessRss>) -> String {
    let allocator = of.map_or("the allocator", |of| of.allocator.name());
    let maps = |one: &str| {
        let count = of.map(|of| of.row(kind).mappings);
        count.map_or_else(String::new, |count| format!(" ({})", counted(count, one)))
    };
    match (kind, of) {
        (Kind::Blocks, Some(of)) if of.unfreed_bytes > of.row(kind).rss => {
            format!("unfreed, of {} in {}", Size(of.unfreed_bytes), counted(of.unfreed_blocks, "block"))
        }
        (Kind::Blocks, Some(of)) => format!("unfreed, in {}", counted(of.unfreed_blocks, "block")),
        (Kind::Blocks, None) => "unfreed".to_string(),
        (Kind::Overhead, _) => "headers and rounding of the allocator".to_string(),
        (Kind::FreePages, _) => format!("freed, and kept by {allocator} as whole pages"),
        (Kind::FreeSpace, _) => "freed, on pages on which unfreed blocks lie".to_string(),
        (Kind::PythonFree, _) => "free in Python's arenas".to_string(),
        (Kind::Mapped, _) => format!("mapped by the program itself{}", maps("mapping")),
        (Kind::Anonymous, _) => format!("other anonymous memory{}", maps("mapping")),
        (Kind::Stacks, Some(of)) => format!("stacks of {}", counted(of.threads, "thread")),
        (Kind::Stacks, None) => "stacks of threads".to_string(),
        (Kind::Code, _) => "the program and its libraries, code and data".to_string(),
        (Kind::Files, _) => format!("other files, mapped to be read{}", maps("mapping")),
        (Kind::Written, _) => format!("files that are mapped to be written{}", maps("mapping")),
        (Kind::Shared, _) => format!("shared memory{}", maps("mapping")),
        (Kind::Recorder, _) => "unfreed itself: its log, table and library".to_string(),
        (Kind::Heap, _) => String::new(),
    }
}

/// What there is to say of its heaps, its arenas, and of what is not resident.
fn notes(found: &RunRss, entry: &Entry) -> Vec<String> {
    let rss = &entry.rss;
    let mut notes = Vec::new();
    if let Some(heap) = rss.heaps.iter().find(|heap| heap.main)
        && heap.beneath + heap.above > 0
    {
        let top = entry.top.map(|(size, site)| {
            let site = site.map(|site| frames::headline(&found.report, &found.report.sites[site]));
            format!(" {} of {}", Size(size), site.unwrap_or("?".into()))
        });
        notes.push(format!(
            "[heap]: free pages: {} beneath its topmost block, {} above it",
            Size(heap.beneath),
            Size(heap.above)
        ));
        notes.extend(top.map(|top| cut(&format!("  the topmost block:{top}"), COLUMNS - 2)));
    }
    let arenas = rss.heaps.iter().filter(|heap| !heap.main);
    let (count, free) = arenas
        .fold((0, 0), |(count, free), heap| (count + 1, free + heap.beneath + heap.above + heap.beside));
    if count > 0 {
        notes.push(format!("arenas of threads: {} free in {}", Size(free), counted(count, "heap")));
    }
    let python = &rss.python;
    if python.arenas > 0 {
        let percent = (u128::from(python.filled) * 100).checked_div(python.resident.into()).unwrap_or(0);
        let half = match python.half_empty {
            0 => String::new(),
            count => format!(", {} less than half", Number(count)),
        };
        notes.push(format!(
            "Python's arenas: {} resident in {}, {percent}% full{half};",
            Size(python.resident),
            counted(python.arenas, "arena"),
        ));
        notes.push(format!("  {} of it in pages without any object", Size(python.empty_pages)));
    }
    for (bytes, what) in [
        (rss.swap, "is swapped out, and in no row"),
        (rss.hugetlb, "in huge pages of hugetlbfs, which no RSS counts"),
    ] {
        if bytes > 0 {
            notes.push(format!("{} {what}", Size(bytes)));
        }
    }
    if !rss.is_exact {
        notes.push(
            "which pages are resident may not be known here: unfreed blocks are taken to be".to_string(),
        );
    }
    let recorded = &found.report.processes[entry.index];
    if recorded.known.was_off || recorded.lost > 0 {
        notes.push("what was allocated while it was off, or lost, counts as free or other".to_string());
    }
    notes
}

/// Processes of which the kernel tells nothing.
fn ended(found: &RunRss, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut gone: Vec<&Entry> = found.processes.iter().filter(|entry| !entry.rss.is_running).collect();
    if gone.is_empty() {
        return Ok(());
    }
    for entry in gone.extract_if(.., |entry| entry.problem.is_some()) {
        let why = entry.problem.as_deref().unwrap_or_default();
        writeln!(out, "\n{}\n  {}", named(found, entry, style), style.paint("33", why))?;
    }
    gone.retain(|entry| entry.rss.unfreed_blocks > 0);
    gone.sort_by_key(|entry| (std::cmp::Reverse(entry.rss.unfreed_bytes), entry.index));
    if found.running().next().is_some() {
        let bytes = gone.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.rss.unfreed_bytes));
        return match gone.len() {
            0 => Ok(()),
            count => writeln!(
                out,
                "\n{} with {} unfreed: what was resident is gone",
                counted(count as u64, "ended process"),
                Size(bytes)
            ),
        };
    }
    writeln!(out, "  no process of it runs here, so what was resident is not known; this is what the")?;
    writeln!(out, "  unfreed blocks tell")?;
    for entry in gone.iter().take(PROCESSES) {
        let rss = &entry.rss;
        writeln!(out, "\n{}", named(found, entry, style))?;
        heading("bytes", style, out)?;
        let all = Row { rss: rss.rss(), ..Row::default() };
        for kind in Kind::ROWS {
            line(rss.row(kind), &all, &describe(kind, Some(rss)), style, out)?;
        }
        line(all, &all, "the pages on which unfreed blocks lie", style, out)?;
        for note in notes(found, entry) {
            writeln!(out, "  {note}")?;
        }
    }
    match gone.len().saturating_sub(PROCESSES) {
        0 => Ok(()),
        more => writeln!(out, "\n{}", counted(more as u64, "more process")),
    }
}

/// The stacks whose blocks keep free memory resident.
fn holders(found: &RunRss, limit: usize, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let all: u64 = found.processes.iter().map(|entry| entry.rss.rss()).sum();
    let is_worth_it = |holder: &&Holder| limit == usize::MAX || holder.holds.bytes() >= all / LITTLE;
    let shown: Vec<&Holder> = found.holders.iter().take_while(is_worth_it).take(limit).collect();
    if shown.is_empty() {
        return writeln!(out, "\nno stack's blocks keep much free memory resident");
    }
    writeln!(out, "\n{}", style.bold("free memory that unfreed blocks keep resident, by their stacks"))?;
    for holder in &shown {
        let site = &found.report.sites[holder.site];
        let name = match (found.report.by, &site.name) {
            (By::Stack, _) | (_, None) => frames::headline(&found.report, site),
            (_, Some(name)) => name.clone(),
        };
        writeln!(out, "\n{}  {}", style.bold(&name), style.dim(&site.id()))?;
        held(holder, style, out)?;
        if found.report.by == By::Stack {
            frames::lines(&found.report, site.path, style, out)?;
        }
    }
    let rest = found.holders.get(shown.len()..).unwrap_or(&[]);
    let bytes = rest.iter().map(|holder| holder.holds.bytes()).sum();
    match rest.len() {
        0 => Ok(()),
        more => {
            writeln!(out, "\n{}, {} held; -n 0 shows all", counted(more as u64, "more site"), Size(bytes))
        }
    }
}

/// The stacks that have mapped memory which is resident.
fn mapped_sites(mapped: &MappedRss, limit: usize, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let report = &mapped.report;
    let sites: Vec<&MappedSite> = mapped.sites.iter().filter(|site| site.rss > 0).collect();
    if sites.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("memory that the program maps itself, by stack"))?;
    for found in sites.iter().take(limit) {
        let site = &report.sites[found.site];
        let name = match (report.by, &site.name) {
            (By::Stack, _) | (_, None) => frames::headline(report, site),
            (_, Some(name)) => name.clone(),
        };
        writeln!(out, "\n{}  {}", style.bold(&name), style.dim(&site.id()))?;
        let rss = style.bold(&Size(found.rss).to_string());
        let mappings = counted(found.mappings, "mapping");
        writeln!(out, "  {rss} resident, of {} in {mappings}", Size(found.size))?;
        if report.by == By::Stack {
            frames::lines(report, site.path, style, out)?;
        }
    }
    match sites.len().saturating_sub(limit) {
        0 => Ok(()),
        more => writeln!(out, "\n{}; -n 0 shows all", counted(more as u64, "more site")),
    }
}

/// `1,003 MiB of free memory held by 33,554 blocks of 2.0 MiB: 912 MiB of pages beneath them, ...`
fn held(holder: &Holder, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let holds = &holder.holds;
    let bytes = style.bold(&Size(holds.bytes()).to_string());
    let blocks = counted(holder.blocks, "block");
    writeln!(out, "  {bytes} free, held by {blocks} of together {}:", Size(holder.bytes))?;
    let parts: Vec<String> =
        [(holds.beneath, "beneath them"), (holds.beside, "beside them"), (holds.arena, "in Python's arenas")]
            .into_iter()
            .filter(|(bytes, _)| *bytes > 0)
            .map(|(bytes, what)| format!("{} {what}", Size(bytes)))
            .collect();
    writeln!(out, "  {}", parts.join(", "))
}

/// Prints words in lines that begin with `first`, and then with as many spaces.
fn wrapped(first: &str, text: &str, paint: impl Fn(&str) -> String, out: &mut dyn Write) -> io::Result<()> {
    let mut line = String::new();
    let mut begin = first.to_string();
    for word in text.split(' ') {
        if !line.is_empty() && begin.len() + line.chars().count() + 1 + word.chars().count() > COLUMNS {
            writeln!(out, "{begin}{}", paint(&line))?;
            begin = " ".repeat(first.len());
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    writeln!(out, "{begin}{}", paint(&line))
}
