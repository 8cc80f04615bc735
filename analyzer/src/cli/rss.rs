//! Why a process is larger than what it has not freed: `unfreed rss`.
use std::ffi::OsString;

use clap::{Args, ValueEnum};

use super::WhichArgs;
use super::values::limit;
use crate::aggregate::By;

/// Arguments of `unfreed rss`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unfreed rss 4711                            process 4711 and its children
  unfreed rss rec                             all processes of a recording that run
  unfreed rss rec --process gunicorn -n 20    twenty stacks that hold free memory
  unfreed rss 4711 --by line                  these by line of code
  unfreed rss rec --format json >rss.json     for a program")]
pub struct RssArgs {
    /// A recording's directory, one process's file in it, a pack, or the number of a process
    ///
    /// Of processes that have ended, and of packs, the kernel's figures are gone: what unfreed blocks alone tell is printed.
    #[arg(value_name = "REC|PID")]
    pub recording: OsString,
    /// What makes one site of those that hold free memory
    #[arg(long, value_name = "KEY", value_enum, default_value_t = By::Stack)]
    pub by: By,
    /// Print the N first sites; 0 is all [default: 5 as text, else all]
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
    #[arg(long, value_enum, default_value_t = RssFormat::Text)]
    pub format: RssFormat,
    /// Of which processes and stacks.
    #[command(flatten)]
    pub which: WhichArgs,
}

/// How it is printed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum RssFormat {
    /// For people; sizes in KiB and MiB
    Text,
    /// One object, described by a JSON Schema; sizes in bytes
    Json,
}

impl RssArgs {
    /// How many sites to print at most.
    pub fn limit(&self) -> usize {
        match (self.limit, self.format) {
            (Some(0), _) | (None, RssFormat::Json) => usize::MAX,
            (Some(limit), _) => limit,
            (None, RssFormat::Text) => 5, // the table is above them
        }
    }
}
