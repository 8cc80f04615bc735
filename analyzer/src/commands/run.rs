//! `unfreed run`.
use std::process::ExitCode;

use crate::cli::RunArgs;

/// Does it.
pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("run: not written yet: {args:?}")
}
