//! Moments of a run, and what is recorded when: `unfreed mark`, `marks`, `on` and `off`.
use std::ffi::OsString;

use clap::Args;

use super::values::mark_name;

/// Arguments of `unfreed mark`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unfreed mark rec warm                     when the service has warmed up
  unfreed mark rec end                      after some hundred requests
  unfreed diff rec@warm rec@end             what grew between the two
  unfreed mark 4711 deployed                of the run that process 4711 is of")]
pub struct MarkArgs {
    /// The directory of the recording, or the number of a process that is recorded
    #[arg(value_name = "REC|PID")]
    pub recording: OsString,
    /// What to call the moment: up to 80 bytes, without @ and /
    #[arg(value_name = "NAME", value_parser = mark_name)]
    pub name: String,
}

/// Arguments of `unfreed marks`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unfreed marks rec")]
pub struct MarksArgs {
    /// The directory of the recording, or the number of a process that is recorded
    #[arg(value_name = "REC|PID")]
    pub recording: OsString,
}

/// Arguments of `unfreed on`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unfreed run --off -o rec -- ./server &     loaded, and records nothing
  unfreed on rec                             from now on it does
  unfreed on 4711                            process 4711 and its children alone")]
pub struct OnArgs {
    /// The directory of the recording, or the number of a process that is recorded or could be
    #[arg(value_name = "REC|PID")]
    pub recording: OsString,
}

/// Arguments of `unfreed off`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unfreed off rec                            nothing new is recorded
  unfreed off 4711                           of process 4711 and its children alone")]
pub struct OffArgs {
    /// The directory of the recording, or the number of a process that is recorded
    #[arg(value_name = "REC|PID")]
    pub recording: OsString,
}
