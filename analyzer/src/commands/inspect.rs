//! `unfreed inspect`: what is in a recording, for people who debug it. The output is no interface.
mod python;
mod table;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use recording::layout::FileHeader;
use recording::{Event, StackId};

use super::{opened, to_stdout};
use crate::cli::InspectArgs;
use crate::reader::{Definitions, Recording, Run};
use crate::replay::{self, Moment, Options, Place, Replayed, Sink, Source};

/// Does it.
pub fn inspect(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let (_, run) = opened::open(&args.recording)?;
    to_stdout(|out| {
        for recording in &run.recordings {
            process(&run, recording, args, out)?;
        }
        for error in &run.unreadable {
            writeln!(out, "{error}")?;
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn process(run: &Run, r: &Recording, args: &InspectArgs, out: &mut dyn Write) -> io::Result<()> {
    let replayed = replay::replay(
        r,
        Options { until: Moment::End, from: Source::Events, ..Options::default() },
        &|_| {},
    );
    let definitions = Definitions::read(r);
    header(&run.shown(&r.path), r, &r.header, out)?;
    counts(r, &replayed, &definitions, out)?;
    table::table(r, &replayed, out)?;
    python::python(&replayed, &definitions, args.python, out)?;
    if args.threads {
        for (number, thread) in &replayed.threads {
            let name = thread.name.as_deref().unwrap_or("?");
            writeln!(out, "  thread {number}: tid {}, name {name}", thread.tid)?;
        }
    }
    if args.modules {
        modules(&definitions, out)?;
    }
    if args.events {
        let mut printer = Printer { out, failed: None };
        let order = replay::in_order(r, &mut printer);
        if let Some(error) = printer.failed {
            return Err(error);
        }
        writeln!(out, "  stamps out of place: {:?}", order.gaps)?;
    }
    Ok(())
}

fn header(path: &Path, r: &Recording, header: &FileHeader, out: &mut dyn Write) -> io::Result<()> {
    match r.process {
        0 => writeln!(out, "{}", path.display())?,
        chunk => writeln!(out, "{}, from chunk {chunk} on", path.display())?,
    }
    writeln!(out, "  version {}, machine {}, id {:016x}", header.version, header.machine, header.file_id)?;
    writeln!(
        out,
        "  pid {}, parent {} (file {:016x}), namespace {}, started at tick {}, uid {}",
        header.pid,
        header.parent_pid,
        header.parent_file_id,
        header.pid_namespace,
        header.start_ticks,
        header.user
    )?;
    writeln!(out, "  state {} ({:?}, {:?})", r.state, header.state, header.stop_cause)?;
    writeln!(
        out,
        "  clock {} ns to {} ns, wall clock {} ns",
        header.monotonic_ns, header.end_monotonic_ns, header.realtime_ns
    )?;
    if let Some(cut) = &r.finalizing {
        writeln!(out, "  Python began to finalize at {} ns", cut.monotonic_ns)?;
    }
    writeln!(out, "  exe {:?}", r.exe)?;
    writeln!(out, "  command {:?}", r.command)?;
    let FileHeader { reused, held_monotonic_ns, unknown_frees, flags, .. } = header;
    writeln!(
        out,
        "  {reused} chunks used again, events from {held_monotonic_ns} ns on, {unknown_frees} unknown frees, flags {flags:#x}"
    )?;
    for note in &r.notes {
        writeln!(out, "  note: {note}")?;
    }
    Ok(())
}

fn counts(r: &Recording, replayed: &Replayed, defined: &Definitions, out: &mut dyn Write) -> io::Result<()> {
    let chunks: usize = r.writers.values().map(Vec::len).sum();
    let (writers, definitions) = (r.writers.len(), r.definitions.len());
    write!(out, "  {chunks} chunks of events by {writers} writers, {definitions} of definitions")?;
    if r.process == 0 {
        let FileHeader { next_chunk, processes, .. } = r.header;
        write!(
            out,
            "; of {next_chunk} in the file, {processes} further processes, {} bytes on disk",
            r.disk_bytes
        )?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "  {} events, {} threads, {} nodes, {} modules, {} allocating stacks",
        replayed.events,
        replayed.threads.len(),
        defined.node_count(),
        defined.modules.len(),
        replayed.sites.len()
    )?;
    writeln!(
        out,
        "  unfreed {} bytes in {} blocks, peak {:?} bytes",
        replayed.live_bytes,
        replayed.live.len(),
        replayed.peak_bytes
    )?;
    writeln!(out, "  {:?}", replayed.arenas)?;
    writeln!(out, "  lost {:?} in the header, {} in all", r.header.lost, replayed.lost)?;
    writeln!(out, "  {:?}", replayed.anomalies)?;
    for loss in replayed.losses.iter().chain(&defined.losses) {
        writeln!(out, "  cannot be read: {loss}")?;
    }
    Ok(())
}

fn modules(definitions: &Definitions, out: &mut dyn Write) -> io::Result<()> {
    for module in &definitions.modules {
        let mut line = format!("  module {}: {}", module.number, module.path.display());
        let _ = write!(line, " bias {:#x} epoch {}", module.bias, module.epoch);
        if let Some(gone) = module.gone {
            let _ = write!(line, " gone at {gone}");
        }
        line += " build-id ";
        module.build_id.iter().for_each(|byte| _ = write!(line, "{byte:02x}"));
        for (start, end) in &module.ranges {
            let _ = write!(line, " {start:#x}-{end:#x}");
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

struct Printer<'a> {
    out: &'a mut dyn Write,
    failed: Option<io::Error>,
}

impl Printer<'_> {
    fn line(&mut self, line: std::fmt::Arguments) {
        if self.failed.is_none() {
            self.failed = writeln!(self.out, "{line}").err();
        }
    }
}

impl Sink for Printer<'_> {
    fn event(&mut self, place: Place, event: &Event) {
        let Place { writer, thread, clock_ms, epoch, collecting: _ } = place;
        let stack = |stack: StackId| format!("stack {}", stack.0);
        let what = match *event {
            Event::Alloc { address, size, stack: id, stamp } => {
                format!("alloc {:#x} {size} {} stamp {stamp}", address.0, stack(id))
            }
            Event::Free { address, stamp } => format!("free {:#x} stamp {stamp}", address.0),
            Event::ReallocBegin { address, stamp } => format!("realloc-begin {:#x} stamp {stamp}", address.0),
            Event::ReallocEnd { address, size, stack: id, stamp } => {
                format!("realloc-end {:#x} {size} {} stamp {stamp}", address.0, stack(id))
            }
            Event::ReallocUndo { address, stamp } => format!("realloc-undo {:#x} stamp {stamp}", address.0),
            other => format!("{other:?}"),
        };
        self.line(format_args!("  {clock_ms} e{epoch} w{writer} t{thread} {what}"));
    }

    fn thread(&mut self, number: u32, tid: u32) {
        self.line(format_args!("  thread {number} (tid {tid})"));
    }
}
