//! `unfreed diff`.
use std::process::ExitCode;

use crate::cli::DiffArgs;

/// Does it.
pub fn diff(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("diff: not written yet: {args:?}")
}
