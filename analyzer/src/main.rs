//! The command `unfreed`: arguments, dispatch, exit status.
//!
//! 0 is success, 2 anything wrong with usage or input, told in one line. `run` passes on its command's status.
//! A broken pipe on standard output is no error.
use std::process::ExitCode;

use analyzer::{cli, commands, error};

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(status) => return ExitCode::from(status),
    };
    match commands::dispatch(&cli) {
        Ok(code) => code,
        Err(failed) if error::is_broken_pipe(&failed) => ExitCode::SUCCESS,
        Err(failed) => {
            error::print(&format!("{failed:#}"));
            ExitCode::from(error::status(&failed))
        }
    }
}
