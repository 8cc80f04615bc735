//! `unfreed report`.
use std::process::ExitCode;

use crate::cli::ReportArgs;

/// Does it.
pub fn report(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("report: not written yet: {args:?}")
}
