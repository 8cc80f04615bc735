//! `unfreed run`: checks, starts the command under the interposer, waits for it, and sums up.
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::typed;
use recording::layout::STRINGS_END;

use crate::aggregate::in_parallel;
use crate::cli::{RecordingArgs, RunArgs};
use crate::destination::{Directory, can_be_recorded_into};
use crate::error::{Failure, print, reason};
use crate::launch::{self, Ended, Program};
use crate::oom::Kills;
use crate::output::{Number, Size, counted};
use crate::reader::{self, Definitions, ProcessState, Recording, Run};
use crate::replay::{self, Options, Replayed, Source};
use crate::{compress, preload, progress, tails, target};

/// Where the live tables do not tell all, the events of recordings up to this size are read for the summary, which takes a
/// fraction of a second.
const REPLAYED: u64 = 16 << 20;

/// Runs the command; the exit status is its own.
pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let command = args.command[0].as_os_str();
    let target = target::find(command)?;
    let library = args.lib.as_deref().map(preload::other).transpose()?;
    let directory = Directory::prepare(args, command)?;
    let kills = Kills::now();
    let ended =
        prepared(&directory, library).and_then(|library| start(args, &target, &directory.path, &library));
    match ended {
        Ok(ended) => {
            let killed = kills.map_or(0, |kills| kills.since());
            sum_up(args, &directory.path, ended, killed);
            Ok(ExitCode::from(ended.status()))
        }
        Err(failure) => {
            directory.discard();
            Err(failure.into())
        }
    }
}

fn prepared(directory: &Directory, library: Option<PathBuf>) -> Result<PathBuf, Failure> {
    can_be_recorded_into(&directory.path)?;
    library.map_or_else(|| preload::extract(&directory.path), Ok)
}

fn start(
    args: &RunArgs,
    target: &target::Target,
    directory: &Path,
    library: &Path,
) -> Result<Ended, Failure> {
    let command = args.command[0].as_os_str();
    let preload = preload::variable(library, std::env::var_os("LD_PRELOAD"));
    let rest = args.command[1..].iter().map(OsString::as_os_str);
    let (path, arguments): (_, Vec<&OsStr>) = if target.needs_shell {
        let shell = OsStr::new("/bin/sh");
        (shell, [shell, target.path.as_os_str()].into_iter().chain(rest).collect())
    } else {
        (target.path.as_os_str(), [command].into_iter().chain(rest).collect())
    };
    let mut variables = vec![("LD_PRELOAD", preload.as_os_str()), ("UNFREED_DIR", directory.as_os_str())];
    let options = args.recording.variables()?;
    variables.extend(options.iter().map(|(name, value)| (*name, OsStr::new(value))));
    launch::run(&Program { path, arguments, variables }).map_err(|why| {
        let status = if why.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
        Failure::new(target.path.display(), format!("cannot be executed: {}", reason(&why)), "")
            .with_status(status)
    })
}

/// What was recorded, and the next command. Failing here must not change the program's status.
fn sum_up(args: &RunArgs, directory: &Path, ended: Ended, killed: u64) {
    if let Ended::Killed(signal) = ended {
        print(&format!("the program was ended by signal {signal}"));
    }
    if killed > 0 {
        let count = counted(killed, "process");
        print(&format!("meanwhile the OOM killer ended {count} in this memory cgroup: it was at its limit"));
    }
    let shown = shown(directory);
    if reader::process_files(directory).is_ok_and(|files| files.is_empty()) {
        return print(&format!("{shown}: nothing was recorded; {}", why_nothing(args, &shown)));
    }
    if let Err(why) = tails::tidy(directory) {
        print(&format!("{shown}: its files could not be tidied: {}", reason(&why)));
    }
    match reader::open(directory) {
        Ok(run) => {
            print_first(run.unreadable.iter().map(ToString::to_string));
            let is_long = run.recordings.iter().map(|process| process.disk_bytes).sum::<u64>() > REPLAYED;
            let from = if is_long { Source::Table } else { Source::Best };
            let is_brief = is_long && !run.recordings.iter().all(Recording::has_table);
            print(&if is_brief { brief(&run) } else { totals(&run, &read(&run, from)) });
            print_first(run.recordings.iter().filter_map(|process| match &process.state {
                ProcessState::Stopped(why) => {
                    Some(format!("process {}: recording stopped before it ended: {why}", process.header.pid))
                }
                _ => None,
            }));
        }
        Err(why) => print(&why.to_string()),
    }
    if let Err(why) = compress::compress(directory) {
        print(&format!("{shown}: its files could not be compressed: {}", reason(&why)));
    }
    let _ = writeln!(io::stderr(), "unfreed report {shown}");
}

/// Why there is no file, as far as it can be told.
fn why_nothing(args: &RunArgs, shown: &str) -> String {
    let RecordingArgs { off, only, exclude, .. } = &args.recording;
    if *off {
        format!("it was off until the end: while the command runs, 'unfreed on {shown}' switches it on")
    } else if !only.is_empty() || !exclude.is_empty() {
        "--only and --exclude left no program of the command".to_string()
    } else {
        "the command did not load the library: it may have started with another environment (sudo, env -i), or see \
         the loader's message above"
            .to_string()
    }
}

/// What is unfreed in each process, without a look at its stacks.
fn read(run: &Run, from: Source) -> Vec<Replayed> {
    let bar = progress::bytes("summary", run.log_bytes());
    let options = Options { from, counts_only: true, ..Options::default() };
    in_parallel(&run.recordings, |recording| replay::replay(recording, options, &|bytes| bar.inc(bytes)))
}

/// What is known of a run without live tables, if its events are not read.
fn brief(run: &Run) -> String {
    let running = run.recordings.iter().filter(|process| process.state == ProcessState::Running).count();
    let lost = run.recordings.iter().map(Recording::lost);
    format!(
        "{}{}, lost {}; log {}",
        counted(run.recordings.len() as u64, "process"),
        still_running(running as u64),
        Number(lost.fold(0, u64::saturating_add)),
        Size(run.recordings.iter().map(|process| process.disk_bytes).sum())
    )
}

fn still_running(count: u64) -> String {
    if count == 0 { String::new() } else { format!(" ({} still running)", Number(count)) }
}

/// The first of many messages, and how many there are.
fn print_first(mut messages: impl Iterator<Item = String>) {
    if let Some(first) = messages.next() {
        match messages.count() {
            0 => print(&first),
            more => print(&format!("{first} (and {} more like it)", Number(more as u64))),
        }
    }
}

/// One line of numbers.
fn totals(run: &Run, processes: &[Replayed]) -> String {
    let (mut unfreed, mut blocks, mut events, mut lost, mut log, mut running) = (0u64, 0, 0u64, 0u64, 0, 0);
    for (recording, replayed) in run.recordings.iter().zip(processes) {
        blocks += replayed.live.len() as u64;
        unfreed = replayed.live.iter().fold(unfreed, |sum, (_, block)| sum.saturating_add(block.size));
        events = events.saturating_add(replayed.events);
        lost = lost.saturating_add(replayed.lost);
        log += STRINGS_END as u64 + replayed.bytes_used + Definitions::bytes(recording);
        running += u64::from(recording.is_running());
    }
    format!(
        "{}{}, {}, lost {}; unfreed {} in {}; log {}",
        counted(processes.len() as u64, "process"),
        still_running(running),
        counted(events, "event"),
        Number(lost),
        Size(unfreed),
        counted(blocks, "block"),
        Size(log)
    )
}

/// The directory as one would type it: relative if it lies below the current one.
fn shown(directory: &Path) -> String {
    let here = std::env::current_dir().ok();
    let path = here.and_then(|here| directory.strip_prefix(here).ok()).unwrap_or(directory);
    if path.as_os_str().is_empty() { ".".to_string() } else { typed(path.as_os_str()) }
}
