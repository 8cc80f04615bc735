//! What can be typed: the verbs of `unfreed`, their options, and every word of their help.
//!
//! Arguments are typed here, so that a value which does not parse is one line and status 2 before any work begins;
//! what they mean is in `commands/`. The help texts are golden files of `tests/help.rs`.
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use regex::Regex;

mod check;
mod growth;
mod moments;
mod pack;
mod record;
mod rss;
mod top;
mod values;
pub use check::{CheckArgs, CheckFormat};
pub use growth::{GrowthArgs, Per, WindowArgs};
pub use moments::{MarkArgs, MarksArgs, OffArgs, OnArgs};
pub use pack::PackArgs;
pub use record::{InstallArgs, RecordingArgs, RunArgs, Switch};
pub use rss::{RssArgs, RssFormat};
pub use top::TopArgs;
use values::ByParser;
pub use values::{BornRange, duration};
use values::{born, limit, moment, regular_expression};

use crate::aggregate::{By, Phase};
use crate::error::{self, reason};
use crate::replay::Source;

/// Find the code that allocated the memory which was never freed.
///
/// unfreed records every allocation and free of a program with its full stack, and reports what is still
/// allocated, by stack, function, line or module. A recording survives whatever ends the program, kill -9 and the
/// OOM killer included, and can be read while the program runs.
#[derive(Parser, Debug)]
#[command(name = "unfreed", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  unfreed run -o rec -- ./server --port 8000      record a program
  unfreed report rec                              what it has not freed, largest first
  unfreed top rec                                 what grows, as it runs
  unfreed mark rec warm                           name this moment; some work later:
  unfreed diff rec@warm rec                       what grew since
  unfreed growth rec                              is it a leak?
  unfreed pack rec                                one file, to be read on another machine
  unfreed install /opt/unfreed                    the library, for services and containers

'unfreed VERB --help' explains a verb.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Subcommand, Debug)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub enum Verb {
    /// Run a command and record what it allocates
    ///
    /// The command runs as it would without unfreed: same terminal, signals, environment and exit status. Its children
    /// are recorded too, each in a file of its own; a program that is executed as another user must be able to write to
    /// DIR. When the command ends, a summary and the next command go to standard error.
    ///
    /// The exit status is the command's; 128 + N if signal N ended it, 127 if it was not found, 126 if it cannot be
    /// executed, and 2 if it cannot be recorded.
    Run(RunArgs),
    /// Write libunfreed.so to a directory and print the environment that loads it
    ///
    /// For programs that `unfreed run` cannot start: services, containers, workers of a server. The lines on
    /// standard output are the environment to give to them; hints on where to put it go to standard error.
    Install(InstallArgs),
    /// Report what a recording says was not freed, largest first
    ///
    /// For each site: unfreed bytes and blocks, allocations, frees and total bytes, and its stack, innermost frame
    /// first. The recording may be of a program that still runs, ended, or was killed. Processes that run are reported as
    /// of one moment: what each thread is doing then is in the report or not.
    Report(ReportArgs),
    /// Compare two recordings, or two moments of one, largest change first
    ///
    /// Sites are matched by module and function (Python: file and line), never by address, so the two may come from
    /// different processes, load addresses and builds. New and vanished sites are marked.
    Diff(DiffArgs),
    /// Say whether it is a leak: which code's unfreed memory grows, how fast, and why
    ///
    /// For each line of your code a verdict. GROWING: what is unfreed grew steadily and was still growing at the end. GC-ONLY: freed by
    /// Python's cyclic collector alone. PLATEAU: bounded, or it stopped growing. RESIDENT: allocated at the start and kept.
    /// TEMPORARY: freed again. The youngest tenth of the window is left out, since blocks that young are mostly just in use.
    ///
    /// Each process is judged in the part of the window in which it lived. The rules are in docs/growth.md.
    Growth(GrowthArgs),
    /// Say why a process is larger than what it has not freed
    ///
    /// Every resident byte by what it is for: unfreed blocks, what the allocator keeps beside them, memory that was freed and
    /// is kept all the same, Python's arenas, stacks, code, files. Below it are the stacks whose blocks keep free memory from
    /// being given back. The process is not stopped, and its memory not read.
    Rss(RssArgs),
    /// Hold a recording against limits or a baseline, for CI
    ///
    /// The limits are on what is unfreed, in all processes together and after the options that select: in bytes
    /// (--max-unfreed), in blocks (--max-blocks), and site by site in comparison with what an earlier recording held
    /// (--baseline, a file that --write-baseline wrote); and on what `unfreed growth` says is GROWING (--max-growth). Any of
    /// them may be combined.
    ///
    /// The exit status is 0 within all limits, 1 over one of them, 2 if REC, a file or an option cannot be used, and 3 if the
    /// recording is incomplete, which may be why it is over or within: events or blocks lost, recording stopped early, files or
    /// parts of them that cannot be read, children that could not be recorded, events that cannot be; or within limits, and
    /// too short to tell what grows where that was asked.
    Check(CheckArgs),
    /// Watch what is unfreed while processes run
    ///
    /// On a terminal a screen: the sites that grow fastest, how fast, what they held before, and on Enter their stacks; Tab shows the
    /// processes and their resident memory, ? the keys. Elsewhere, or with COUNT, lines. Of a recording whose
    /// processes have ended it shows what they held then.
    ///
    /// It reads the tables of the processes and does not stop them: a block that moves meanwhile may be missing, or twice. Reading
    /// takes less than 2 % of a core; where a table is large, it is read less often than the screen is drawn.
    Top(TopArgs),
    /// Name this moment of a run, to report and compare
    ///
    /// The recorded processes are not stopped and no signal is sent: what they allocate from now on, in all processes of the
    /// run, came after the mark. REC@NAME stands for the moment in `report` and `diff`. A run that has ended is marked at its
    /// end.
    ///
    /// Programs may mark moments of their own by `unfreed_mark("NAME")` of unfreed.h, in Python
    /// ctypes.CDLL(None).unfreed_mark(b"NAME").
    Mark(MarkArgs),
    /// List the marks of a recording
    ///
    /// For each one when it was set, since the run began and by the clock, and its name.
    Marks(MarksArgs),
    /// Record from now on what was started with --off, or switched off
    ///
    /// What was allocated before is in no report, and when it is freed that is counted as unknown. With the number of a process
    /// it and its descendants are switched on, whatever holds for the others.
    On(OnArgs),
    /// Record nothing new for the time being
    ///
    /// Frees of what was recorded still are recorded, so that what is unfreed stays true. With the number of a process it and
    /// its descendants are switched off, whatever holds for the others.
    Off(OffArgs),
    /// Put a recording into one file that is read on any machine
    ///
    /// The file holds what was recorded, and of the program and its libraries what symbols are made of, found by
    /// build-id. `report`, `diff` and `inspect` read it as they read the recording, and say the same, also where the
    /// program is not. The recording may be of a program that still runs.
    ///
    /// Libraries that are not found are said, one in a line; the functions of those will have no names.
    Pack(PackArgs),
    /// Show what is inside a recording, to debug it
    ///
    /// Without an option: each process's header, its counts of chunks and records, and what was lost.
    Inspect(InspectArgs),
}

/// Arguments of `unfreed report`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unfreed report before                       by stack, the largest first
  unfreed report before --by line -n 10       the ten lines of code that hold most
  unfreed report before --focus '^shop::'     only stacks that pass through shop::
  unfreed report before --older 10m           only what is older than ten minutes
  unfreed report 4711                         process 4711 and its children, as they run
  unfreed report rec@warm                     as it was when that mark was set
  unfreed report rec --peak                   as it was when most was unfreed
  unfreed report rec --at 17:20               as it was at that time of day, UTC
  unfreed report rec --born warm..            what came after it and is still there
  unfreed report rec --by age                 how old it is, and --by size: how large the blocks are
  unfreed report rec --temporary              what was freed as soon as it was allocated
  unfreed report before --phase run           without Python's start and imports
  unfreed report before --own shoplib         stacks named after that package too
  unfreed report before --fds --by line       files and sockets that were not closed
  unfreed report before --format json >r.json all sites, for a program")]
pub struct ReportArgs {
    /// A recording's directory (of `unfreed run -o`, or UNFREED_DIR), one process's file in it, a pack, or the number of a process
    ///
    /// Of a process that runs also what it forked and executed is reported. @MOMENT behind it stands for the recording as it was
    /// then: the name of a mark, +10m since the run began, 17:20:31 by the clock (UTC), or peak.
    #[arg(value_name = "REC|PID")]
    pub recording: OsString,
    /// What was freed soon: before its thread had allocated N blocks more; without N, one
    ///
    /// With 1 nothing else was allocated in between: memory that was not worth an allocation. Sites are in the order of how often
    /// they did that.
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub temporary: Option<u32>,
    /// Print how long the blocks of each site lived that were freed
    ///
    /// In JSON that is always there. Like what was freed soon it is known of events alone.
    #[arg(long)]
    pub lifetimes: bool,
    /// Descriptors that were opened and not closed, in place of memory; recorded with `unfreed run --fds`
    #[arg(long, conflicts_with_all = ["temporary", "lifetimes"])]
    pub fds: bool,
    /// Anonymous memory that was mapped and not unmapped, in place of blocks; recorded with `unfreed run --mmap`
    #[arg(long, conflicts_with_all = ["fds", "temporary", "lifetimes"])]
    pub mmap: bool,
    /// What to group, filter and print.
    #[command(flatten)]
    pub view: ViewArgs,
}

/// Arguments of `unfreed diff`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unfreed diff before after                    by stack, the largest change first
  unfreed diff before after --by line -n 10    the ten lines of code that changed most
  unfreed diff before after --ignore '^test_'  without stacks that pass through test_*
  unfreed diff before after --format csv       for a spreadsheet
  unfreed diff rec@warm rec@end                what changed between two marks of one
  unfreed diff rec@warm rec@peak               from a mark to the peak
  unfreed diff rec@warm rec@end --born warm..  of that, only what was allocated since")]
pub struct DiffArgs {
    /// The recording to compare with; OLD@MOMENT is what it was then
    ///
    /// A directory, a process's file in it, or the number of a process; the moment is the name of a mark, +10m since the run
    /// began, 17:20:31 by the clock (UTC), or peak, when most was unfreed.
    #[arg(value_name = "OLD")]
    pub old: OsString,
    /// The recording to look at: another one, or another moment of the same
    #[arg(value_name = "NEW")]
    pub new: OsString,
    /// What to group, filter and print.
    #[command(flatten)]
    pub view: ViewArgs,
}

/// What of a recording to show, and how.
#[derive(Args, Debug)]
pub struct ViewArgs {
    /// What makes one site
    #[arg(long, value_name = "KEY", value_parser = ByParser, default_value = "stack")]
    pub by: By,
    /// Print the N first sites; 0 is all [default: 20 as text, else all]
    #[arg(
        short = 'n',
        long = "limit",
        value_name = "N",
        value_parser = limit,
        allow_negative_numbers = true
    )]
    pub limit: Option<usize>,
    /// Print every frame of a stack
    ///
    /// Otherwise of a Python stack the interpreter's own frames are left out, and in text the middle of a deep one.
    #[arg(long)]
    pub all_frames: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// What of the recording.
    #[command(flatten)]
    pub select: SelectArgs,
}

impl ViewArgs {
    /// How many sites to print at most.
    pub fn limit(&self) -> usize {
        match (self.limit, self.format) {
            (Some(0), _) | (None, Format::Json | Format::Csv) => usize::MAX,
            (Some(limit), _) => limit,
            (None, Format::Text) if self.by.is_class() => usize::MAX,
            (None, Format::Text) => 20, // two or three screens; the rest is summed up
        }
    }
}

/// Which blocks to speak of.
#[derive(Args, Debug)]
pub struct SelectArgs {
    /// Only blocks allocated at least this long before the end, or the moment: 90s, 10m, 1h30m, 2d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub older: Option<Duration>,
    /// Only blocks allocated between two moments: warm..end, warm.., ..+10m
    ///
    /// Each is the name of a mark, or a time since the run began. What is shown was allocated then and is unfreed still.
    #[arg(long, value_name = "FROM..TO", value_parser = born, allow_hyphen_values = true)]
    pub born: Option<BornRange>,
    /// Only what Python allocated in these phases: start-up,import,run
    ///
    /// The frames tell: start-up is what the interpreter does before any program, import what a module's import calls, run
    /// the rest. Processes without Python have no phases.
    #[arg(
        long = "phase",
        value_name = "PHASE",
        value_enum,
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub phases: Vec<Phase>,
    /// The moment to report: before-exit, end, peak, a mark, +10m, or 17:20:31 [default: before-exit]
    ///
    /// A Python interpreter that ends in an orderly way frees what its globals hold, and most leaks with it. So a
    /// process in which that began is reported as of the moment before, any other one as of its end: that is
    /// before-exit. With end every process is reported as of its end. The others are as in REC@MOMENT: times are since the run
    /// began, or by the clock in UTC, as reports print them; with its date as 2026-11-21T17:20:31Z.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    pub at: Option<At>,
    /// What was unfreed when most was: the peak of each process, the same as --at peak
    #[arg(long, conflicts_with = "at")]
    pub peak: bool,
    /// Where the unfreed blocks are read from: best, table or events.
    #[arg(long, value_name = "SOURCE", value_enum, default_value_t = Source::Best, hide = true)]
    pub from: Source,
    /// Of which processes and stacks.
    #[command(flatten)]
    pub which: WhichArgs,
}

/// Of which processes and stacks to speak, and what they are called.
#[derive(Args, Debug)]
pub struct WhichArgs {
    /// Only this process, by its number or its program's name; may be given again
    #[arg(long = "process", value_name = "PID|NAME")]
    pub processes: Vec<String>,
    /// Only stacks with a frame that matches RE
    ///
    /// RE is a regular expression (syntax of the Rust crate `regex`), looked for in the function, file and module of
    /// each frame.
    #[arg(long, value_name = "RE", value_parser = regular_expression)]
    pub focus: Option<Regex>,
    /// No stacks with a frame that matches RE
    #[arg(long, value_name = "RE", value_parser = regular_expression)]
    pub ignore: Option<Regex>,
    /// No stacks that FILE suppresses, in LeakSanitizer's syntax; may be given again
    ///
    /// Each line is leak:PATTERN, or # and a comment. A pattern is looked for in the function, source file (of Python code
    /// too) and module of each frame; * stands for anything, ^ and $ for the ends. What each one left out is in a table at the
    /// end.
    #[arg(long = "suppressions", value_name = "FILE")]
    pub suppressions: Vec<PathBuf>,
    /// Take code below PATH as yours too, to name stacks after; may be given again
    ///
    /// A stack is named after its innermost frame of your code. Python code is yours unless it is of the standard
    /// library or in site-packages, native code unless it is the interpreter or a library of the system. PATH is looked
    /// for among the components of the files and modules of frames: site-packages/mylib, mylib, libmine.so.
    #[arg(long = "own", value_name = "PATH")]
    pub own: Vec<String>,
    /// Where symbols are looked for.
    #[command(flatten)]
    pub symbols: SymbolArgs,
}

/// Where to look for symbols.
#[derive(Args, Clone, Debug)]
pub struct SymbolArgs {
    /// Look for separate debug files here too; may be given again
    ///
    /// Files are found by build-id (DIR/.build-id/ab/cdef.debug) and by debug link, before the system's own in
    /// /usr/lib/debug. What was looked up is kept for the next time in the directory UNFREED_CACHE (nowhere if that is
    /// empty), by default ~/.cache/unfreed/symbols; files that have changed are seen.
    #[arg(long = "debug-dir", value_name = "DIR")]
    pub debug_dirs: Vec<PathBuf>,
    /// Look for the program's files below DIR, as a copy of the machine that ran it
    #[arg(long, value_name = "DIR")]
    pub sysroot: Option<PathBuf>,
}

/// Arguments of `unfreed inspect`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unfreed inspect before                      headers and counts of every process
  unfreed inspect before --modules            what was mapped where, with build-ids
  unfreed inspect before/FILE.unfreed --events | less")]
pub struct InspectArgs {
    /// A recording's directory (of `unfreed run -o`, or UNFREED_DIR), one process's file in it, a pack, or the number of a process
    #[arg(value_name = "REC|PID")]
    pub recording: OsString,
    /// Print every event, in order
    #[arg(long)]
    pub events: bool,
    /// Print the modules of each process
    #[arg(long)]
    pub modules: bool,
    /// Print the threads of each process
    #[arg(long)]
    pub threads: bool,
    /// Print the stacks whose Python frames do not fit the native ones, frame by frame
    #[arg(long)]
    pub python: bool,
}

/// The moment of which a report speaks.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum At {
    /// Before Python began to free its globals; the end for a process in which it did not.
    #[default]
    BeforeExit,
    /// The end of what was recorded.
    End,
    /// When most was unfreed, in each process.
    Peak,
    /// What [`crate::moments`] reads: a mark or a time.
    Named(String),
}

/// How a report is printed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For people; sizes in KiB and MiB
    Text,
    /// One object, described by a JSON Schema; sizes in bytes
    Json,
    /// A line for each site; sizes in bytes
    Csv,
}

/// Reads the command line. Help, version and usage errors are printed here; `Err` is the exit status then.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, u8> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    Cli::try_parse_from(&arguments).map_err(|usage| {
        use clap::error::ErrorKind::*;
        match usage.kind() {
            DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand => match usage.print() {
                Err(failed) if failed.kind() != std::io::ErrorKind::BrokenPipe => {
                    error::print(&format!(
                        "standard output: {}; the output is not complete",
                        reason(&failed)
                    ));
                    2
                }
                _ => usage.exit_code() as u8,
            },
            _ => {
                error::print(&usage_error(&usage.render().to_string(), &arguments));
                2
            }
        }
    })
}

/// clap's message in one line: the error, its tips, and which help to read.
fn usage_error(rendered: &str, arguments: &[OsString]) -> String {
    let mut line = String::new();
    for paragraph in rendered.split("\n\n") {
        let words = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(error) = words.strip_prefix("error: ") {
            line += error;
        } else if let Some(tip) = words.strip_prefix("tip: ") {
            line += "; ";
            line += tip.split(" tip: ").next().unwrap_or(tip);
        }
    }
    let unknown =
        arguments.get(1).filter(|_| line.starts_with("unrecognized subcommand") && !line.contains("; "));
    if let Some(command) = unknown {
        return format!("{line}; to record a command: 'unfreed run {}'", command.display());
    }
    let known = Cli::command();
    let verb =
        arguments.get(1).and_then(|verb| verb.to_str()).filter(|verb| known.find_subcommand(verb).is_some());
    let verb = verb.map_or(String::new(), |verb| format!("{verb} "));
    format!("{line}; see 'unfreed {verb}--help'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }
}
