//! What was typed, as the parts that work with it take it.
use std::io::IsTerminal;
use std::path::PathBuf;

use crate::aggregate::{By, Filter, Own, Selection};
use crate::cli::{SelectArgs, SymbolArgs};
use crate::error::{Failure, reason};
use crate::output::{Charset, Style};
use crate::reader::Run;
use crate::subject::Subject;
use crate::suppressions::Suppressions;
use crate::{moments, symbols};

/// What a report selects of a recording.
pub(super) fn selection(
    subject: &Subject,
    run: &Run,
    by: By,
    select: &SelectArgs,
) -> Result<Selection, Failure> {
    let SelectArgs { older, phases, from, which, .. } = select;
    let born = moments::born(select.born.as_ref(), subject, run)?;
    let (focus, ignore, phases) = (which.focus.clone(), which.ignore.clone(), phases.clone());
    let suppressions = suppressions(&which.suppressions)?;
    let filter = Filter { focus, ignore, older: *older, born, phases, suppressions };
    let at = moments::moment(subject, run, select)?;
    let symbols = symbols(&which.symbols);
    Ok(Selection { by, at, from: *from, own: Own::new(&which.own), filter, symbols, ..Selection::default() })
}

/// What these files say.
pub(super) fn suppressions(files: &[PathBuf]) -> Result<Suppressions, Failure> {
    let mut all = Suppressions::default();
    for file in files {
        let text = std::fs::read(file).map_err(|why| {
            Failure::new(file.display(), reason(&why), "--suppressions names a file of leak:PATTERN lines")
        })?;
        all.add(&file.display().to_string(), &String::from_utf8_lossy(&text)).map_err(|bad| {
            let why = format!("'{}' is no suppression", bad.text);
            Failure::new(bad.place, why, "a line is leak:PATTERN, or # and a comment")
        })?;
    }
    Ok(all)
}

/// Where symbols are, as it was typed.
pub(super) fn symbols(args: &SymbolArgs) -> symbols::Options {
    let SymbolArgs { debug_dirs, sysroot } = args.clone();
    symbols::Options { debug_dirs, sysroot, cache: symbols::cache_directory(), ..symbols::Options::default() }
}

/// Colours on a terminal that wants them, and what its locale can show.
pub(super) fn style(all_frames: bool) -> Style {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = std::io::stdout().is_terminal() && !refused && !dumb;
    Style { colour, all_frames, charset: Charset::of_locale() }
}
