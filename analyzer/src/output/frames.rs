//! The frames of a site: as text, one line each, and as the other formats list them.
use std::io::{self, Write};

use super::folding::Folded;
use super::style::{COLUMNS, Style};
use crate::aggregate::{Frame, Kind, PathId, Report, Site};

/// Directories of a source file that are shown.
const DIRECTORIES: usize = 2;
/// Column in which places begin, where functions allow it.
const PLACES: usize = 38;

/// What a site is named after: `dir/dir/file:line function`, as far as it is known.
pub(super) fn headline(report: &Report, site: &Site) -> String {
    report.headline(site).map_or_else(|| "?".to_string(), |frame| named(report.paths.frame_at(frame)))
}

/// The same of the frame itself.
pub(crate) fn named(frame: &Frame) -> String {
    match (&frame.file, &frame.function, frame.module_name()) {
        (Some(file), Some(function), _) => format!("{} {function}", place(file, frame.line, DIRECTORIES)),
        (None, Some(function), Some(module)) => format!("{function} [{module}]"),
        _ => frame.label(),
    }
}

/// Prints a stack, innermost frame first: `function  file:line  [module]` for each frame, the module where it is another than the line before's.
/// Returns whether native frames were left out.
pub(super) fn lines(report: &Report, path: PathId, style: Style, out: &mut dyn Write) -> io::Result<bool> {
    let frames: Vec<&Frame> = report.paths.frames(path).collect();
    let folded = if style.all_frames {
        Folded::all(&frames)
    } else {
        Folded::new(&frames, |frame| report.own.owns(frame))
    };
    let mut module = None;
    for (at, &index) in folded.shown.iter().enumerate() {
        if folded.hidden.contains(&at) {
            if at == folded.hidden.start {
                let note = format!("... {} more frames; --all-frames shows them", folded.hidden.len());
                writeln!(out, "    {}", style.dim(&note))?;
            }
            continue;
        }
        line(frames[index], module == Some(frames[index].module_name()), style, out)?;
        module = Some(frames[index].module_name());
    }
    if let Some(reason) = report.paths.incomplete(path) {
        writeln!(out, "    {}", style.dim(&format!("(the stack ends here: {reason})")))?;
    }
    Ok(folded.folded)
}

fn line(frame: &Frame, same_module: bool, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let label = frame.label();
    let mut facts: Vec<String> =
        frame.file.as_deref().map(|file| place(file, frame.line, DIRECTORIES)).into_iter().collect();
    // Without a function the label has the module.
    if let Some(module) = frame.module_name().filter(|_| !same_module && frame.function.is_some()) {
        facts.push(format!("[{module}]"));
    }
    if frame.inlined {
        facts.push("inlined".to_string());
    }
    if let (None, Some(reason)) = (&frame.module, &frame.reason) {
        facts.push(format!("({reason})"));
    }
    let each = facts;
    let facts = each.join("  ");
    let coloured = match frame.kind {
        Kind::Python => style.paint("32", &label),
        Kind::Native => label.clone(),
    };
    let width = label.chars().count();
    match facts.as_str() {
        "" => writeln!(out, "    {coloured}"),
        facts if 6 + facts.chars().count() > COLUMNS => {
            writeln!(out, "    {coloured}")?;
            each.iter().try_for_each(|fact| writeln!(out, "      {}", style.dim(fact)))
        }
        facts if 4 + width + 2 + facts.chars().count() > COLUMNS.max(PLACES) => {
            writeln!(out, "    {coloured}\n      {}", style.dim(facts))
        }
        facts => {
            let space = PLACES.saturating_sub(4 + width).max(2);
            let space = space.min(COLUMNS - 4 - width - facts.chars().count());
            writeln!(out, "    {coloured}{:space$}{}", "", style.dim(facts))
        }
    }
}

/// `dir/dir/file:line`.
pub(crate) fn short_place(file: &str, line: Option<u32>) -> String {
    place(file, line, DIRECTORIES)
}

/// `dir/dir/file:line`: the end of a path with so many directories, which tells it apart from others.
pub(super) fn place(file: &str, line: Option<u32>, directories: usize) -> String {
    let start = file.rmatch_indices('/').nth(directories).map_or(0, |(slash, _)| slash + 1);
    let file = &file[start..];
    match line {
        Some(line) => format!("{file}:{line}"),
        None => file.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_short() {
        assert_eq!(place("/a/b/c/d.rs", Some(3), DIRECTORIES), "b/c/d.rs:3");
        assert_eq!(place("./csu/../csu/libc-start.c", Some(360), DIRECTORIES), "../csu/libc-start.c:360");
        assert_eq!(place("/d.c", None, DIRECTORIES), "/d.c");
        assert_eq!(place("app.py", Some(1), DIRECTORIES), "app.py:1");
    }
}
