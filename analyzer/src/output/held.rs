//! Open descriptors and mappings, as text, JSON (`schema/held.schema.json` describes it) and CSV.
use std::collections::BTreeMap;
use std::io::{self, Write};

use recording::resource::Descriptor;
use serde::Serialize;
use serde_json::value::RawValue;

use super::csv::quoted;
use super::header::{held as held_since, state};
use super::json::{Written, write};
use super::style::Style;
use super::text::{column, more, title, unfolded};
use super::units::{Number, Size, counted, duration};
use super::{frames, suppressions};
use crate::aggregate::By;
use crate::aggregate::{Counts, Process, Site, cut, spoken};
use crate::held::{HeldReport, name};
use crate::reader::ProcessState;
use crate::replay::Resources;

/// Processes that are listed one by one.
const PROCESSES: usize = 12;
/// Characters of a command.
const COMMAND: usize = 40;

/// Prints it with its first `limit` sites.
pub fn text(found: &HeldReport, limit: usize, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let report = &found.report;
    let (totals, processes) = (&report.totals, report.processes.len());
    writeln!(out, "{}", style.bold(&report.recording))?;
    let window = duration(totals.window_ns);
    let lost = Number(totals.lost);
    writeln!(out, "  {}, lost {lost}, window {window}", counted(processes as u64, "process"))?;
    if let Some(moment) = &report.moment {
        writeln!(out, "  as of {moment}")?;
    }
    if let Some(line) = held_since(&report.processes) {
        let (what, _) = words(found.of);
        writeln!(out, "  {line};\n    what was {what} before is not here")?;
    }
    let mut listed: Vec<usize> = (0..processes).filter(|&index| is_told(found, index)).collect();
    listed.sort_by_key(|&index| (std::cmp::Reverse(report.processes[index].counts.unfreed_blocks), index));
    for &index in listed.iter().take(PROCESSES) {
        process_line(found, index, style, out)?;
    }
    let rest = listed.len().saturating_sub(PROCESSES);
    if rest > 0 {
        writeln!(out, "  {}", counted(rest as u64, "more process"))?;
    }
    let (verb, done) = words(found.of);
    let counts = &totals.counts;
    let kinds = of_kinds(&found.all_kinds(), counts.unfreed_blocks);
    writeln!(out, "{}{kinds}", style.bold(&amount(found.of, counts)))?;
    writeln!(out, "{verb} {}, {} {done}", Number(counts.allocations), Number(counts.frees))?;
    let holding: Vec<(usize, &Site)> =
        report.sites.iter().enumerate().filter(|(_, site)| site.counts.unfreed_blocks > 0).collect();
    if report.filtered {
        let mut shown = Counts::default();
        holding.iter().for_each(|(_, site)| shown.add(&site.counts));
        writeln!(out, "selected {}", amount(found.of, &shown))?;
    }
    if holding.is_empty() {
        writeln!(out, "\nnothing is {}", if report.filtered { "selected" } else { still(found.of) })?;
        return suppressions::text(report, style, out);
    }
    let mut folded = false;
    if report.by != By::Stack {
        let heading = format!("{:>10} {:>9} {:>9}  {}", still(found.of), verb, done, column(report.by));
        writeln!(out, "\n{}", style.bold(&heading))?;
    }
    for &(index, site) in holding.iter().take(limit) {
        let counts = &site.counts;
        let kinds = of_kinds(&found.kinds[index], counts.unfreed_blocks);
        if report.by == By::Stack {
            title(report, site, "", style, out)?;
            let (all, gone) = (Number(counts.allocations), Number(counts.frees));
            let amount = style.bold(&amount(found.of, counts));
            writeln!(out, "  {amount}{kinds}, of {all} {verb}, {gone} {done}")?;
            folded |= frames::lines(report, site.path, style, out)?;
        } else {
            let held = match found.of {
                Resources::Descriptors => Number(counts.unfreed_blocks).to_string(),
                Resources::Mappings => Size(counts.unfreed_bytes).to_string(),
            };
            let (all, gone) = (Number(counts.allocations).to_string(), Number(counts.frees).to_string());
            let name = site.name.as_deref().unwrap_or("?");
            writeln!(out, "{held:>10} {all:>9} {gone:>9}  {name}{}", style.dim(&kinds))?;
        }
    }
    let rest = holding.get(limit..).unwrap_or(&[]);
    let mut left = Counts::default();
    rest.iter().for_each(|(_, site)| left.add(&site.counts));
    more(rest.len(), &format!(", {}", amount(found.of, &left)), out)?;
    unfolded(folded, style, out)?;
    suppressions::text(report, style, out)
}

/// Whether there is something to say of a process.
fn is_told(found: &HeldReport, index: usize) -> bool {
    found.report.processes.len() == 1
        || found.report.processes[index].counts.allocations > 0
        || found.now[index].is_some()
}

fn process_line(found: &HeldReport, index: usize, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let process: &Process = &found.report.processes[index];
    let counts = &process.counts;
    let (verb, _) = words(found.of);
    let amount = match found.now[index] {
        Some(now) => format!(
            "{} open now, {} of them {verb} since it is recorded",
            Number(now),
            Number(counts.unfreed_blocks)
        ),
        None => amount(found.of, counts),
    };
    let command = cut(&spoken(&process.command), COMMAND);
    writeln!(out, "  pid {} {}: {amount}  {}", process.pid, state(&process.state), style.dim(&command))
}

/// How resources are got, and given back.
fn words(of: Resources) -> (&'static str, &'static str) {
    match of {
        Resources::Descriptors => ("opened", "closed"),
        Resources::Mappings => ("mapped", "unmapped"),
    }
}

/// What they are that were not given back.
fn still(of: Resources) -> &'static str {
    match of {
        Resources::Descriptors => "open",
        Resources::Mappings => "mapped",
    }
}

fn amount(of: Resources, counts: &Counts) -> String {
    match of {
        Resources::Descriptors => format!("{} open", Number(counts.unfreed_blocks)),
        Resources::Mappings => {
            format!("{} mapped in {}", Size(counts.unfreed_bytes), counted(counts.unfreed_blocks, "mapping"))
        }
    }
}

/// `: 20 files, 10 sockets`; nothing where they do not sum up to all.
pub(super) fn of_kinds(kinds: &BTreeMap<Descriptor, u64>, all: u64) -> String {
    if kinds.is_empty() || kinds.values().sum::<u64>() != all {
        return String::new();
    }
    let mut sorted: Vec<_> = kinds.iter().collect();
    sorted.sort_by_key(|&(kind, count)| (std::cmp::Reverse(*count), *kind));
    let plural = |kind: Descriptor, count: u64| match kind {
        Descriptor::Directory if count != 1 => format!("{} directories", Number(count)),
        Descriptor::Inotify | Descriptor::Epoll => format!("{} {}", Number(count), name(kind)),
        _ => counted(count, name(kind)),
    };
    let parts: Vec<String> = sorted.into_iter().map(|(kind, count)| plural(*kind, *count)).collect();
    format!(": {}", parts.join(", "))
}

#[derive(Serialize)]
struct HeldJson<'a> {
    schema: &'static str,
    recording: &'a str,
    what: &'static str,
    by: &'static str,
    totals: AmountsJson,
    lost: u64,
    processes: Vec<ProcessJson<'a>>,
    sites: Vec<SiteJson<'a>>,
}

#[derive(Serialize)]
struct AmountsJson {
    held: u64,
    held_bytes: Option<u64>,
    acquired: u64,
    released: u64,
    kinds: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct ProcessJson<'a> {
    pid: u32,
    cmdline: &'a [String],
    running: bool,
    held: u64,
    open_now: Option<u64>,
    complete: bool,
}

#[derive(Serialize)]
struct SiteJson<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(flatten)]
    amounts: AmountsJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    headline: Option<&'a RawValue>,
    stack: Vec<&'a RawValue>,
    left_out: usize,
}

fn amounts(of: Resources, counts: &Counts, kinds: &BTreeMap<Descriptor, u64>) -> AmountsJson {
    AmountsJson {
        held: counts.unfreed_blocks,
        held_bytes: (of == Resources::Mappings).then_some(counts.unfreed_bytes),
        acquired: counts.allocations,
        released: counts.frees,
        kinds: kinds.iter().map(|(kind, count)| (name(*kind), *count)).collect(),
    }
}

/// Prints it with its first `limit` sites; of Python stacks the interpreter's frames too if `all_frames`.
pub fn json(found: &HeldReport, limit: usize, all_frames: bool, out: &mut dyn Write) -> io::Result<()> {
    let report = &found.report;
    let written = Written::new(report, all_frames)?;
    let sites = report.sites.iter().zip(&found.kinds).take(limit).map(|(site, kinds)| {
        let (stack, left_out) = written.stack(report, site.path);
        SiteJson {
            id: site.id(),
            name: site.name.as_deref(),
            amounts: amounts(found.of, &site.counts, kinds),
            headline: written.headline(report, site.path),
            stack,
            left_out,
        }
    });
    let processes = report.processes.iter().zip(&found.now).map(|(process, now)| ProcessJson {
        pid: process.pid,
        cmdline: &process.command,
        running: process.state == ProcessState::Running,
        held: process.counts.unfreed_blocks,
        open_now: *now,
        complete: process.known.events_since_ns.is_none() && !process.known.no_events,
    });
    let by = match report.by {
        By::Stack => "stack",
        By::Line => "line",
        By::Function => "function",
        By::Module => "module",
        By::Thread => "thread",
        By::Process => "process",
        By::Size => "size",
        By::Age => "age",
    };
    let json = HeldJson {
        schema: "unfreed.held/1",
        recording: &report.recording,
        what: if found.of == Resources::Descriptors { "descriptors" } else { "mappings" },
        by,
        totals: amounts(found.of, &report.totals.counts, &found.all_kinds()),
        lost: report.totals.lost,
        processes: processes.collect(),
        sites: sites.collect(),
    };
    write(&json, out)
}

/// Prints its first `limit` sites.
pub fn csv(found: &HeldReport, limit: usize, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"id,name,held,held_bytes,acquired,released,kinds\r\n")?;
    for (site, kinds) in found.report.sites.iter().zip(&found.kinds).take(limit) {
        let amounts = amounts(found.of, &site.counts, kinds);
        let name = match &site.name {
            Some(name) => name.clone(),
            None => frames::headline(&found.report, site),
        };
        let kinds: Vec<String> =
            amounts.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let bytes = amounts.held_bytes.map_or_else(String::new, |bytes| bytes.to_string());
        let AmountsJson { held, acquired, released, .. } = amounts;
        let (name, kinds) = (quoted(&name), quoted(&kinds.join(", ")));
        write!(out, "{},{name},{held},{bytes},{acquired},{released},{kinds}\r\n", site.id())?;
    }
    Ok(())
}
