//! What can be said of growth: `unfreed growth`.
use std::ffi::OsString;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::values::{limit, size};
use super::{Format, WhichArgs};
use crate::aggregate::By;

/// Arguments of `unfreed growth`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unfreed growth rec                           is it a leak? a verdict for each line of code
  unfreed growth 4711                          of process 4711 and its children, as they run
  unfreed growth rec --since warm              from that mark on, without the start
  unfreed growth rec --since +10m --per minute
  unfreed growth rec --per mark                between one mark and the next
  unfreed growth rec --request handle_order    a request is a call of that function
  unfreed growth rec --limit 512M              when that much memory is reached
  unfreed growth rec --by stack -n 3           the three worst, with their stacks
  unfreed growth rec --format json >g.json     all sites, for a program")]
pub struct GrowthArgs {
    /// A recording's directory (of `unfreed run -o`, or UNFREED_DIR), one process's file in it, a pack, or the number of a process
    ///
    /// Of a process that runs also what it forked and executed is judged. @MOMENT behind it ends the window: the name of a mark,
    /// or +10m since the run began.
    #[arg(value_name = "REC|PID")]
    pub recording: OsString,
    /// When, and by what.
    #[command(flatten)]
    pub window: WindowArgs,
    /// When this much memory is reached: 512M, 2G [default: the limit of the processes' cgroup]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub limit: Option<u64>,
    /// What makes one site: line, stack, function or module
    ///
    /// A line or function is the innermost of your own code: what it has called is behind it.
    #[arg(long, value_name = "KEY", value_parser = by(), default_value = "line", hide_possible_values = true)]
    pub by: By,
    /// Print the N first sites; 0 is all [default: 20 as text, else all]
    #[arg(short = 'n', value_name = "N", value_parser = limit, allow_negative_numbers = true)]
    pub count: Option<usize>,
    /// Print what does not grow, is freed or only small, too
    #[arg(long)]
    pub all: bool,
    /// Print every frame of a stack
    #[arg(long)]
    pub all_frames: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Of which processes and stacks.
    #[command(flatten)]
    pub which: WhichArgs,
}

impl GrowthArgs {
    /// How many sites to print at most.
    pub fn count(&self) -> usize {
        match (self.count, self.format) {
            (Some(0), _) | (None, Format::Json | Format::Csv) => usize::MAX,
            (Some(count), _) => count,
            (None, Format::Text) => 20,
        }
    }
}

/// When growth is looked at, and what it is divided by.
#[derive(Args, Clone, Default, Debug)]
pub struct WindowArgs {
    /// Begin at this moment: the name of a mark, or +10m since the run began [default: the beginning]
    ///
    /// What was allocated before is judged only by what became of it. Without it the start of the program is told apart by
    /// itself.
    #[arg(long, value_name = "MARK|+TIME")]
    pub since: Option<String>,
    /// What to divide growth by [default: request if a server is known, else minute]
    #[arg(long, value_enum)]
    pub per: Option<Per>,
    /// A request is a call of FUNCTION; may be given again
    ///
    /// The name of a function of Python or native code, with or without its class or namespace, that works on one request from
    /// beginning to end. Known without it are gunicorn, uvicorn, waitress, werkzeug, celery and others.
    #[arg(long = "request", value_name = "FUNCTION")]
    pub handlers: Vec<String>,
    /// Take N as the number of requests in the window
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "handlers")]
    pub requests: Option<u64>,
}

/// What growth is divided by.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Per {
    /// The time between a mark and the next
    Mark,
    /// A minute
    Minute,
    /// A request
    Request,
}

/// Threads and processes have no growth of their own: it is judged in each process anyway.
fn by() -> impl TypedValueParser<Value = By> {
    PossibleValuesParser::new(["line", "stack", "function", "module"]).try_map(|by| By::from_str(&by, false))
}
