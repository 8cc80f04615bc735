//! `unfreed check`: limits, baselines, and how the outcome is printed.
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, ValueEnum};

use super::values::{bytes, growth, limit, noise};
use super::{At, Per, SelectArgs, WindowArgs};
use crate::aggregate::By;
use crate::check::Noise;

/// Arguments of `unfreed check`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("limits").required(true).multiple(true).args(["max_growth", "max_unfreed", "max_blocks", "baseline", "write_baseline"]))]
#[command(after_help = "\
Examples:
  unfreed run -o rec -- pytest -q                     in CI: record the tests
  unfreed check rec --write-baseline base.json        once, and after each change that is meant
  unfreed check rec --baseline base.json              over (1) if a site holds more than then
  unfreed check rec --max-growth 64KiB/request        of a server: over (1) if it leaks more
  unfreed check rec --max-unfreed 1MiB --phase run    what the program itself may leave
  unfreed check rec --max-unfreed 0 --at end --suppressions known.supp --format lsan
  unfreed check rec --baseline base.json --format markdown >>$GITHUB_STEP_SUMMARY")]
pub struct CheckArgs {
    /// A recording's directory (of `unfreed run -o`, or UNFREED_DIR), one process's file in it, a pack, or the number of a process
    ///
    /// @MOMENT behind it stands for the recording as it was then: the name of a mark, or +10m since the run began.
    #[arg(value_name = "REC|PID")]
    pub recording: OsString,
    /// How much what grows may grow by: 64KiB/request, 1MiB/minute, 0/mark
    ///
    /// The sum of the rates of all sites that `unfreed growth` says are GROWING. That of a site is divided by the requests in
    /// which it allocates.
    #[arg(long, value_name = "SIZE/UNIT", value_parser = growth)]
    pub max_growth: Option<(u64, Per)>,
    /// How much may be unfreed: 64KiB, 1.5MiB, 0
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub max_unfreed: Option<u64>,
    /// How many blocks may be unfreed
    #[arg(long, value_name = "N")]
    pub max_blocks: Option<u64>,
    /// No site may hold more than it does in FILE
    ///
    /// With --per, which FILE remembers, sites that grow are compared by their rates, and recordings need not be of one length.
    /// Sites are compared by the names of their functions, without lines, directories that differ from machine to machine and
    /// versions of libraries. A site that grew by less than --noise is as before. What is less, or gone, is shown and
    /// within.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write what each site holds to FILE, to be a baseline; after the check, if there is one
    ///
    /// Not of an incomplete recording, unless --allow-incomplete is given.
    #[arg(long, value_name = "FILE")]
    pub write_baseline: Option<PathBuf>,
    /// What is no difference to the baseline: below PERCENT% of it or below SIZE [default: 5%,4KiB]
    #[arg(long, value_name = "PERCENT%,SIZE", value_parser = noise)]
    pub noise: Option<Noise>,
    /// Within limits is 0 and over one 1 also if the recording is incomplete
    #[arg(long)]
    pub allow_incomplete: bool,
    /// What makes one site: function, line, stack or module [default: function; that of the baseline; stack with --format lsan]
    ///
    /// A line or function is the innermost of your own code: what it has called is behind it. A line that moves is another site by line, and none by function or stack.
    #[arg(long, value_name = "KEY", value_parser = by(), hide_possible_values = true)]
    pub by: Option<By>,
    /// Print the N first sites; 0 is all [default: 20 as text and markdown, else all]
    #[arg(
        short = 'n',
        long = "limit",
        value_name = "N",
        value_parser = limit,
        allow_negative_numbers = true
    )]
    pub limit: Option<usize>,
    /// Print every frame of a stack
    #[arg(long)]
    pub all_frames: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    pub format: CheckFormat,
    /// When growth is looked at, and what it is divided by.
    #[command(flatten)]
    pub window: WindowArgs,
    /// What of the recording.
    #[command(flatten)]
    pub select: SelectArgs,
}

impl CheckArgs {
    /// What may make a site. Threads and processes have no names that are the same in another run.
    pub const BY: [By; 4] = [By::Function, By::Line, By::Stack, By::Module];

    /// How many sites to print at most.
    pub fn limit(&self) -> usize {
        match (self.limit, self.format) {
            (Some(0), _) | (None, CheckFormat::Json | CheckFormat::Lsan) => usize::MAX,
            (Some(limit), _) => limit,
            (None, CheckFormat::Text | CheckFormat::Markdown) => 20,
        }
    }

    /// The options that select what is counted, as they may be typed: recordings that are compared must have the same.
    /// Suppressions are not among them, which are added when a site has become known.
    pub fn selection(&self) -> Vec<String> {
        let SelectArgs { older, born, phases, at, which, .. } = &self.select;
        let mut all = Vec::new();
        let mut say = |option: &str, value: String| all.push(format!("--{option} {value}"));
        older.iter().for_each(|older| say("older", format!("{}ms", older.as_millis())));
        born.iter().for_each(|born| {
            let end = |end: &Option<String>| end.clone().unwrap_or_default();
            say("born", format!("{}..{}", end(&born.from), end(&born.to)));
        });
        let mut phases: Vec<&str> = phases.iter().map(|phase| phase.name()).collect();
        phases.sort_unstable();
        phases.dedup();
        if !phases.is_empty() {
            say("phase", phases.join(","));
        }
        match at {
            None | Some(At::BeforeExit) => {}
            Some(At::End) => say("at", "end".to_string()),
            Some(At::Peak) => say("at", "peak".to_string()),
            Some(At::Named(moment)) => say("at", moment.clone()),
        }
        which
            .processes
            .iter()
            .filter(|name| name.parse::<u32>().is_err())
            .for_each(|name| say("process", name.clone()));
        which.focus.iter().for_each(|focus| say("focus", focus.to_string()));
        which.ignore.iter().for_each(|ignore| say("ignore", ignore.to_string()));
        all
    }
}

/// How a check is printed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckFormat {
    /// For people
    Text,
    /// One object, described by a JSON Schema; sizes in bytes
    Json,
    /// For a comment on a pull request
    Markdown,
    /// As LeakSanitizer prints, for what reads that in logs; nothing if it is within limits
    Lsan,
}

/// One of [`CheckArgs::BY`].
fn by() -> impl TypedValueParser<Value = By> {
    PossibleValuesParser::new(["function", "line", "stack", "module"]).try_map(|by| By::from_str(&by, false))
}
