//! `unfreed diff`.
use std::process::ExitCode;

use super::report::{load, load_counts};
use super::selected::style;
use super::to_stdout;
use crate::cli::{DiffArgs, Format};
use crate::diff::Diff;
use crate::output;

/// Does it.
pub fn diff(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let read = |recording| match args.view.format {
        Format::Json => load(recording, args.view.by, &args.view.select),
        Format::Text | Format::Csv => load_counts(recording, args.view.by, &args.view.select),
    };
    let old = read(&args.old)?;
    let diff = Diff::new(old, read(&args.new)?);
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
