//! `unfreed install`.
use std::process::ExitCode;

use crate::cli::InstallArgs;

/// Does it.
pub fn install(args: &InstallArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("install: not written yet: {args:?}")
}
