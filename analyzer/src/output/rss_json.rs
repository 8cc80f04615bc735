//! What the memory of processes is for, as JSON: `schema/rss.schema.json` describes it.
use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;

use super::json::{Written, write};
use super::units::Size;
use crate::rss::{Entry, Kind, MappedSite, ProcessRss, Row, RunRss, advice};

#[derive(Serialize)]
struct RssJson<'a> {
    schema: &'static str,
    recording: &'a str,
    totals: TotalsJson,
    processes: Vec<ProcessJson<'a>>,
    held_by: Vec<HolderJson<'a>>,
    mapped_by: Option<Vec<MappedJson<'a>>>,
}

#[derive(Serialize)]
struct MappedJson<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    rss_bytes: u64,
    bytes: u64,
    mappings: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    headline: Option<&'a RawValue>,
    stack: Vec<&'a RawValue>,
    left_out: usize,
}

#[derive(Serialize)]
struct TotalsJson {
    processes: usize,
    rss_bytes: u64,
    pss_bytes: u64,
    rows: Vec<RowJson>,
}

#[derive(Serialize)]
struct RowJson {
    kind: &'static str,
    rss_bytes: u64,
    pss_bytes: u64,
    mappings: u64,
}

#[derive(Serialize)]
struct ProcessJson<'a> {
    pid: u32,
    cmdline: &'a [String],
    running: bool,
    problem: Option<&'a str>,
    exact: bool,
    vm_rss_bytes: Option<u64>,
    rss_bytes: u64,
    pss_bytes: u64,
    swap_bytes: u64,
    lazy_free_bytes: u64,
    hugetlb_bytes: u64,
    unfreed_bytes: u64,
    unfreed_blocks: u64,
    threads: u64,
    stacks: u64,
    allocator: &'static str,
    rows: Vec<RowJson>,
    heaps: Vec<HeapJson>,
    python: PythonJson,
    top: Option<TopJson>,
    advice: Vec<AdviceJson>,
}

#[derive(Serialize)]
struct HeapJson {
    main: bool,
    free_beneath_bytes: u64,
    free_above_bytes: u64,
    free_beside_bytes: u64,
}

#[derive(Serialize)]
struct PythonJson {
    arenas: u64,
    half_empty_arenas: u64,
    bytes: u64,
    resident_bytes: u64,
    filled_bytes: u64,
    empty_page_bytes: u64,
}

#[derive(Serialize)]
struct TopJson {
    bytes: u64,
    site: Option<String>,
}

#[derive(Serialize)]
struct AdviceJson {
    id: &'static str,
    text: String,
}

#[derive(Serialize)]
struct HolderJson<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    held_bytes: u64,
    beneath_bytes: u64,
    beside_bytes: u64,
    python_arena_bytes: u64,
    blocks: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    headline: Option<&'a RawValue>,
    stack: Vec<&'a RawValue>,
    left_out: usize,
}

/// Prints it with the first `limit` sites that hold free memory; of Python stacks the interpreter's frames too if `all_frames`.
pub fn json(found: &RunRss, limit: usize, all_frames: bool, out: &mut dyn Write) -> io::Result<()> {
    let written = Written::new(&found.report, all_frames)?;
    let mapped = match &found.mapped {
        Some(mapped) => Some((mapped, Written::new(&mapped.report, all_frames)?)),
        None => None,
    };
    let total = found.rows();
    let json = RssJson {
        schema: "unfreed.rss/1",
        recording: &found.report.recording,
        totals: TotalsJson {
            processes: found.running().count(),
            rss_bytes: total.iter().map(|row| row.rss).sum(),
            pss_bytes: total.iter().map(|row| row.pss).sum(),
            rows: rows(&total),
        },
        processes: found.processes.iter().map(|entry| process(found, entry)).collect(),
        held_by: found
            .holders
            .iter()
            .take(limit)
            .map(|holder| {
                let site = &found.report.sites[holder.site];
                let (stack, left_out) = written.stack(&found.report, site.path);
                HolderJson {
                    id: site.id(),
                    name: site.name.as_deref(),
                    held_bytes: holder.holds.bytes(),
                    beneath_bytes: holder.holds.beneath,
                    beside_bytes: holder.holds.beside,
                    python_arena_bytes: holder.holds.arena,
                    blocks: holder.blocks,
                    bytes: holder.bytes,
                    headline: written.headline(&found.report, site.path),
                    stack,
                    left_out,
                }
            })
            .collect(),
        mapped_by: mapped.as_ref().map(|(mapped, written)| {
            let site = |found: &MappedSite| {
                let site = &mapped.report.sites[found.site];
                let (stack, left_out) = written.stack(&mapped.report, site.path);
                MappedJson {
                    id: site.id(),
                    name: site.name.as_deref(),
                    rss_bytes: found.rss,
                    bytes: found.size,
                    mappings: found.mappings,
                    headline: written.headline(&mapped.report, site.path),
                    stack,
                    left_out,
                }
            };
            mapped.sites.iter().take(limit).map(site).collect()
        }),
    };
    write(&json, out)
}

fn rows(rows: &[Row; Kind::COUNT]) -> Vec<RowJson> {
    let row = |kind: Kind| {
        let Row { rss, pss, mappings } = rows[kind as usize];
        RowJson { kind: kind.name(), rss_bytes: rss, pss_bytes: pss, mappings }
    };
    Kind::ROWS.into_iter().map(row).collect()
}

fn process<'a>(found: &'a RunRss, entry: &'a Entry) -> ProcessJson<'a> {
    let ProcessRss { python, heaps, .. } = &entry.rss;
    let (rss, process) = (&entry.rss, &found.report.processes[entry.index]);
    let advice = if rss.is_running { advice(rss, &|bytes| Size(bytes).to_string()) } else { Vec::new() };
    ProcessJson {
        pid: process.pid,
        cmdline: &process.command,
        running: rss.is_running,
        problem: entry.problem.as_deref(),
        exact: rss.is_exact && rss.is_running,
        vm_rss_bytes: rss.is_running.then_some(rss.vm_rss),
        rss_bytes: rss.rss(),
        pss_bytes: rss.pss(),
        swap_bytes: rss.swap,
        lazy_free_bytes: rss.lazy_free,
        hugetlb_bytes: rss.hugetlb,
        unfreed_bytes: rss.unfreed_bytes,
        unfreed_blocks: rss.unfreed_blocks,
        threads: rss.threads,
        stacks: rss.stacks,
        allocator: rss.allocator.name(),
        rows: rows(&rss.rows),
        heaps: heaps
            .iter()
            .map(|heap| HeapJson {
                main: heap.main,
                free_beneath_bytes: heap.beneath,
                free_above_bytes: heap.above,
                free_beside_bytes: heap.beside,
            })
            .collect(),
        python: PythonJson {
            arenas: python.arenas,
            half_empty_arenas: python.half_empty,
            bytes: python.bytes,
            resident_bytes: python.resident,
            filled_bytes: python.filled,
            empty_page_bytes: python.empty_pages,
        },
        top: entry
            .top
            .map(|(bytes, site)| TopJson { bytes, site: site.map(|site| found.report.sites[site].id()) }),
        advice: advice.into_iter().map(|advice| AdviceJson { id: advice.id, text: advice.text }).collect(),
    }
}
