//! `unfreed top`.
use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::SymbolArgs;
use super::values::interval;
use crate::top::{TopBy, TopSort};

/// Arguments of `unfreed top`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unfreed top rec                            the processes of a recording, as they run
  unfreed top 4711                           process 4711 and those that it started
  unfreed top 4711 10                        looks every ten seconds
  unfreed top 4711 60 5 -n 3                 five times, as lines: the three that grow most
  unfreed top rec 60 >>memory.log            a block of lines each minute, while they run
  unfreed top rec --by function --sort unfreed")]
pub struct TopArgs {
    /// A recording's directory (of `unfreed run -o`, or UNFREED_DIR), one process's file in it, a pack, or the number of a process
    #[arg(value_name = "REC|PID")]
    pub recording: OsString,
    /// How often to look: seconds, or a duration such as 500ms or 2m
    #[arg(value_name = "INTERVAL", value_parser = interval, default_value = "1")]
    pub interval: Duration,
    /// Print lines so many times, and end
    #[arg(value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// What makes one site
    #[arg(long, value_name = "KEY", value_enum, default_value_t = TopBy::Line)]
    pub by: TopBy,
    /// What to show first [default: growth; of a run that has ended, unfreed]
    #[arg(long, value_name = "KEY", value_enum)]
    pub sort: Option<TopSort>,
    /// Print the N first sites, where lines are printed
    #[arg(short = 'n', long = "limit", value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Take code below PATH as yours too, to name stacks after; may be given again
    ///
    /// As of `unfreed report`.
    #[arg(long = "own", value_name = "PATH")]
    pub own: Vec<String>,
    /// Where symbols are looked for.
    #[command(flatten)]
    pub symbols: SymbolArgs,
}
