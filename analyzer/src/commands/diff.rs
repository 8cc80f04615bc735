//! `unfreed diff`.
use std::process::ExitCode;

use super::report::{load, style};
use super::to_stdout;
use crate::cli::{DiffArgs, Format};
use crate::diff::Diff;
use crate::output;

/// Does it.
pub fn diff(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let old = load(&args.old, args.view.by, &args.view.select)?;
    let diff = Diff::new(old, load(&args.new, args.view.by, &args.view.select)?);
    let limit = args.view.limit();
    to_stdout(|out| {
        match args.view.format {
            Format::Text => output::diff_text(&diff, limit, style(args.view.all_frames), out)?,
            Format::Json => output::diff_json(&diff, limit, args.view.all_frames, out)?,
            Format::Csv => output::diff_csv(&diff, limit, args.view.all_frames, out)?,
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}
