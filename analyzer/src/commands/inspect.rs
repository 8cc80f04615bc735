//! `unfreed inspect`.
use std::process::ExitCode;

use crate::cli::InspectArgs;

/// Does it.
pub fn inspect(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("inspect: not written yet: {args:?}")
}
