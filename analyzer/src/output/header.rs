//! What stands above a report: the recording and its processes, and what to know before trusting the numbers.
use std::collections::HashSet;
use std::io::{self, Write};

use super::style::{COLUMNS, Style};
use super::units::{Number, Size, counted, duration, utc};
use crate::aggregate::{ArenaCounts, Counts, Inherited, Known, Process, Report, cut, spoken, tree};
use crate::reader::ProcessState;
use crate::replay::Moment;

/// Processes that are listed one by one; the others, which hold less, are summed up in one line.
const PROCESSES: usize = 12;
/// Files without symbols that are listed.
const FILES: usize = 4;
/// Files that could not be read are named up to this many.
const UNREADABLE: usize = 8;

/// Generations of processes that are told by how far their lines are indented.
const DEEPEST: usize = 6;
/// Characters of a command line; where there are less, it has a line of its own.
const COMMAND: usize = 24;

/// Prints it.
pub(super) fn header(report: &Report, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let totals = &report.totals;
    let unread = report.processes.iter().map(|process| process.losses.len() as u64).sum();
    let mut lost = format!("lost {}", Number(totals.lost));
    if unread > 0 {
        lost = format!("{lost} and {}", counted(unread, "unreadable part"));
    }
    let lost = if totals.lost > 0 || unread > 0 { style.paint("31", &lost) } else { lost };
    let events = totals.events.map_or_else(String::new, |events| format!("{}, ", counted(events, "event")));
    writeln!(out, "{}", style.bold(&report.recording))?;
    writeln!(
        out,
        "  {}, {events}{lost}, window {}, log {}",
        counted(report.processes.len() as u64, "process"),
        duration(totals.window_ns),
        Size(totals.log_bytes),
    )?;
    let named = report.moment.as_ref().map(|moment| format!("as of {moment}"));
    let named = named.filter(|_| !processes_at_peak(report));
    let lines = [
        named,
        peaks(report),
        moment(report),
        ended(report),
        held(&report.processes),
        arenas(&totals.arenas),
    ];
    for line in lines.into_iter().flatten() {
        writeln!(out, "  {line}")?;
    }
    let mut remarks: Vec<String> = died_of_memory(&report.processes).into_iter().flatten().collect();
    let (listed, rest) = largest(&report.processes);
    for (process, depth) in listed {
        process_lines(process, depth, style, out)?;
    }
    if !rest.is_empty() {
        let bytes = rest.iter().fold(0u64, |sum, process| sum.saturating_add(process.counts.unfreed_bytes));
        writeln!(out, "  {}, {} unfreed", counted(rest.len() as u64, "more process"), Size(bytes))?;
    }
    remarks.extend(symbols(report));
    let more = report.unreadable.len().saturating_sub(UNREADABLE);
    let more = (more > 0).then(|| format!("{} that could not be read", counted(more as u64, "more file")));
    let unreadable = report.unreadable.iter().take(UNREADABLE).cloned().chain(more);
    for problem in rest.into_iter().flat_map(problems).chain(unreadable).chain(remarks) {
        writeln!(out, "  {}", style.paint("33", &problem))?;
    }
    Ok(())
}

fn processes_at_peak(report: &Report) -> bool {
    report.processes.iter().any(|process| process.at == Moment::Peak)
}

/// When the peak was, if that is what the numbers are of.
fn peaks(report: &Report) -> Option<String> {
    let of = match report.processes.len() {
        1 => "as of its peak, the moment when most was unfreed",
        _ => "as of the peak of each process, which are different moments",
    };
    processes_at_peak(report).then(|| of.to_string())
}

/// Files of which the functions are not known.
pub(super) fn symbols(report: &Report) -> Vec<String> {
    let mut files: Vec<String> = report.problems.iter().take(FILES).cloned().collect();
    if report.problems.len() > FILES {
        let more = (report.problems.len() - FILES) as u64;
        files.push(format!("{} without symbols", counted(more, "more file")));
    }
    files
}

/// Which moment the numbers are of, where it is not the end.
fn moment(report: &Report) -> Option<String> {
    let processes = &report.processes;
    let cut = processes.iter().filter(|process| process.at == Moment::BeforeExit).count();
    let which = match cut {
        0 => return None,
        cut if cut == processes.len() => String::new(),
        cut => format!(" ({} of {})", counted(cut as u64, "process"), Number(processes.len() as u64)),
    };
    let other = if report.moment.is_some() { "" } else { "; --at end: after it" };
    Some(format!("as of before Python's exit freed globals{which}{other}"))
}

/// What is unfreed in processes that have ended, where others run: nobody's memory any more.
fn ended(report: &Report) -> Option<String> {
    let (count, Counts { unfreed_bytes, unfreed_blocks, .. }) = report.ended()?;
    let blocks = counted(unfreed_blocks, "block");
    let which = if count == 1 {
        "a process that has".into()
    } else {
        format!("{} processes that have", Number(count as u64))
    };
    (unfreed_blocks > 0)
        .then(|| format!("of all unfreed {} in {blocks} in {which} ended", Size(unfreed_bytes)))
}

/// From when on events are held, where not all are. The unfreed blocks are, and the counts of stacks.
pub(super) fn held(processes: &[Process]) -> Option<String> {
    let none = processes.iter().filter(|process| process.known.no_events).count();
    let since = processes.iter().filter_map(|process| process.known.events_since_ns).max();
    let which = |count: usize| match count {
        count if count == processes.len() => String::new(),
        count => format!(" of {} of {}", Number(count as u64), counted(processes.len() as u64, "process")),
    };
    let some = processes.iter().filter(|process| process.known.events_since_ns.is_some()).count();
    Some(match since {
        _ if none > 0
            && processes.iter().any(|one| one.known.no_events && one.state == ProcessState::Running) =>
        {
            format!(
                "no events{} are held, by --max-log 0:\n    a block that moved just now may be missing, or twice",
                which(none)
            )
        }
        _ if none > 0 => format!("no events{} are held, by --max-log 0", which(none)),
        Some(since) => format!(
            "events{} are held since {}:\n    --max-log was reached, or the file could not grow",
            which(some),
            utc(since)
        ),
        None => return None,
    })
}

/// Memory that holds what is counted already.
fn arenas(counts: &ArenaCounts) -> Option<String> {
    let (bytes, filled) = (Size(counts.bytes), Size(counts.filled_bytes));
    let count = counted(counts.arenas, "block");
    (counts.arenas > 0)
        .then(|| format!("Python's arenas: {bytes} in {count}, of which unfreed objects fill {filled}"))
}

/// The processes to list, each behind its parent and with the number of its ancestors, and the others: those that
/// hold least.
fn largest(processes: &[Process]) -> (Vec<(&Process, usize)>, Vec<&Process>) {
    let mut order: Vec<usize> = (0..processes.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(processes[index].counts), index));
    // A shell's commands hold nothing, and there are hundreds of them.
    let many = processes.len() > PROCESSES;
    let is_listed = |index: &usize| !many || processes[*index].counts.unfreed_blocks > 0;
    let listed: HashSet<usize> = order.into_iter().filter(is_listed).take(PROCESSES).collect();
    let (listed, rest): (Vec<_>, Vec<_>) =
        tree(processes).into_iter().partition(|(index, _)| listed.contains(index));
    let rest = rest.into_iter().map(|(index, _)| &processes[index]).collect();
    (listed.into_iter().map(|(index, depth)| (&processes[index], depth)).collect(), rest)
}

fn process_lines(process: &Process, depth: usize, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let command = process.command.join(" ");
    let indent = 2 + 2 * depth.min(DEEPEST);
    let numbers = format!(
        "{:indent$}pid {} {}: {} in {}",
        "",
        process.pid,
        spoken_state(process),
        Size(process.counts.unfreed_bytes),
        counted(process.counts.unfreed_blocks, "block"),
    );
    let beside = COLUMNS.saturating_sub(numbers.chars().count() + 2);
    let (room, between) = match beside {
        ..COMMAND => (COLUMNS - indent - 2, format!("\n{:indent$}", "")),
        _ => (beside, String::new()),
    };
    let command = match (&process.exe, command.chars().count()) {
        (Some(exe), 0) => exe.clone(),
        (None, 0) => "?".to_string(),
        (_, width) if width > room => spoken(&process.command),
        _ => command,
    };
    writeln!(out, "{numbers}{between}  {}", style.dim(&cut(&command, room)))?;
    for line in end(process).into_iter().chain(inherited(process)) {
        writeln!(out, "{:indent$}  {}", "", style.dim(&line))?;
    }
    for problem in problems(process) {
        writeln!(out, "    {}", style.paint("33", &problem))?;
    }
    Ok(())
}

/// What a process has of its parent's blocks.
fn inherited(process: &Process) -> Option<String> {
    Some(match process.inherited {
        Inherited::Nothing | Inherited::Blocks { blocks: 0, .. } => return None,
        Inherited::Unknown => "and what it inherited, which is not known".to_string(),
        Inherited::Blocks { blocks, bytes, at_most } => {
            let at_most = if at_most { "at most " } else { "" };
            let blocks = counted(blocks, "block");
            format!("and inherited {at_most}{} in {blocks}, counted at its parent", Size(bytes))
        }
    })
}

/// Whether what became of the process came later than the moment of which all speaks.
fn ran_then(process: &Process) -> bool {
    matches!(process.at, Moment::Epoch(_) | Moment::Time(_) | Moment::Peak)
        && process.state != ProcessState::Running
}

fn spoken_state(process: &Process) -> String {
    if ran_then(process) { "running then".to_string() } else { state(&process.state) }
}

/// In words. The recorder cannot tell a signal from `_exit`: neither runs exit handlers.
pub(crate) fn state(state: &ProcessState) -> String {
    match state {
        ProcessState::Killed => "ended abruptly".to_string(),
        ProcessState::Stopped(_) => "stopped".to_string(),
        ProcessState::Copied => "copied while it ran".to_string(),
        ProcessState::Exec => "became another program".to_string(),
        state => state.to_string(),
    }
}

/// When it ended, and why, where that is to be told. Nobody notes when a process is killed: it may have been idle before.
fn end(process: &Process) -> Option<String> {
    if process.at == Moment::Peak {
        let after = duration(process.window_ns.1 - process.window_ns.0);
        return process.peak_ns.map(|ns| format!("its peak was at {}, {after} after it began", utc(ns)));
    }
    let when = process.ended_ns.filter(|_| !ran_then(process)).map(utc)?;
    match &process.state {
        ProcessState::Killed => Some(format!("it ended at {when} or later")),
        ProcessState::Stopped(why) => Some(format!("recording stopped {when}: {why}")),
        _ => None,
    }
}

/// The OOM killer does not end a process for less; most that end without exit handlers have called `_exit`.
const WORTH_KILLING: u64 = 16 << 20;

/// Of the killed process that held most: whether that was all that it ever held. Then memory may be what it died of.
fn died_of_memory(processes: &[Process]) -> Option<[String; 2]> {
    let is_killed = |process: &&Process| process.state == ProcessState::Killed && process.at == Moment::End;
    let killed = processes.iter().filter(is_killed);
    let largest = killed.max_by_key(|process| process.counts.unfreed_bytes)?;
    let (held, most) = (largest.counts.unfreed_bytes, largest.peak_bytes?);
    (held >= WORTH_KILLING && held >= most / 10 * 9).then(|| {
        let percent = u128::from(held) * 100 / u128::from(most.max(1));
        [
            format!("pid {} held {} as it ended, {percent} % of its peak:", largest.pid, Size(held)),
            "if the OOM killer ended it, dmesg and its cgroup's memory.events say so".to_string(),
        ]
    })
}

/// What a reader should know before trusting the numbers.
pub(super) fn problems(process: &Process) -> Vec<String> {
    let pid = process.pid;
    let mut problems: Vec<String> = process.notes.iter().map(|note| format!("pid {pid}: {note}")).collect();
    match (process.lost, &process.state) {
        (0, _) => {}
        (lost, ProcessState::Stopped(_)) => problems.push(format!(
            "pid {pid}: the numbers are of the moment in which recording stopped; {} lost since",
            counted(lost, "event")
        )),
        (lost, _) => problems.push(format!("pid {pid}: {} lost", counted(lost, "event"))),
    }
    if process.without_stack > 0 {
        problems.push(format!("pid {pid}: {} without a stack", counted(process.without_stack, "event")));
    }
    let python = &process.python;
    for (count, what) in [
        (python.not_walked, "without their Python frames, which could not be followed"),
        (python.mismatched, "with Python frames that do not fit the native ones"),
    ] {
        if count > 0 {
            problems.push(format!("pid {pid}: {} {what}", counted(count, "allocation")));
        }
    }
    problems.extend(unknown(&process.known).into_iter().map(|what| format!("pid {pid}: {what}")));
    if process.anomalies.impossible() > 0 {
        let count = counted(process.anomalies.impossible(), "event");
        problems.push(format!(
            "pid {pid}: {count} that cannot be (a free of no block, a block handed out twice): some code calls malloc or free \
             past unfreed, as libraries opened with RTLD_DEEPBIND do"
        ));
    }
    problems.extend(process.losses.iter().take(3).map(|loss| format!("pid {pid}: {loss}")));
    if process.losses.len() > 3 {
        problems.push(format!("pid {pid}: and {} more parts could not be read", process.losses.len() - 3));
    }
    problems
}

/// What of a process is not known, as it was not asked to record it or could not keep it.
fn unknown(known: &Known) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |is: bool, what: &str| lines.extend(is.then(|| what.to_string()));
    say(known.alone, "it does not see marks, on and off: it could not map live/run");
    say(known.was_off, "it was off for some time: what it allocated then is not known");
    say(known.without_freed, "what was freed since is not known any more, and left out");
    say(known.lacks_peak, "its peak is not known, as not all of its events are held: as of its end");
    say(known.is_partial, "what was allocated before events are held is left out");
    say(!known.is_counted && !known.without_freed, "how much was allocated and freed is not known");
    say(known.is_inexact, "its log was dropped while it was read: what changed meanwhile may be wrong");
    if known.unknown_frees > 0 {
        lines.push(format!("{} of blocks from while it was off", counted(known.unknown_frees, "free")));
    }
    lines
}
