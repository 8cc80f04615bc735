//! What can be typed of `unfreed pack`.
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::SymbolArgs;
use crate::pack::HIGHEST_LEVEL;

/// Arguments of `unfreed pack`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unfreed pack before                         before.unfreed-pack, to be copied elsewhere
  unfreed report before.unfreed-pack          the same as 'unfreed report before'
  unfreed pack --no-debug -o small before     functions have names, but no lines
  unfreed diff monday.unfreed-pack before     two recordings, packed or not")]
pub struct PackArgs {
    /// A recording's directory (of `unfreed run -o`, or UNFREED_DIR), one process's file in it, or the number of a process
    ///
    /// A process stands for the whole recording that it is of. A pack can be packed again, to leave something out.
    #[arg(value_name = "REC|PID")]
    pub recording: OsString,
    /// The file to make [default: REC.unfreed-pack here]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(short, long)]
    pub force: bool,
    /// Leave out the program and its libraries
    ///
    /// They are then looked for where the pack is read, as those of a recording are.
    #[arg(long)]
    pub no_modules: bool,
    /// Leave out debug information: functions have names, but no lines
    #[arg(long, conflicts_with = "no_modules")]
    pub no_debug: bool,
    /// How hard to compress, from 1 to 19
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=i64::from(HIGHEST_LEVEL)))]
    pub level: i32,
    /// Where symbols are looked for.
    #[command(flatten)]
    pub symbols: SymbolArgs,
}
