//! The frames of a site: as text, one line each, and as the other formats list them.
use std::io::{self, Write};

use super::text::{COLUMNS, Style};
use crate::aggregate::{Frame, Kind, Report, Site};

/// Stacks of more frames are shown without their middle.
const DEEP: usize = 25;
/// Of those, the innermost: what allocated, and what called it.
const INNERMOST: usize = 20;
/// And the outermost: which thread, and which entry.
const OUTERMOST: usize = 3;
/// Directories of a source file that are shown.
const DIRECTORIES: usize = 2;
/// Column in which places begin, where functions allow it.
const PLACES: usize = 38;

/// Innermost first.
pub(super) fn stack<'a>(report: &'a Report, site: &Site) -> impl Iterator<Item = &'a Frame> {
    report.paths.frames(site.path)
}

/// Prints `function  file:line  [module]` for each frame, the module where it is another than the line before's.
pub(super) fn lines(report: &Report, site: &Site, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let frames: Vec<&Frame> = stack(report, site).collect();
    let hidden =
        if style.all_frames || frames.len() <= DEEP { 0..0 } else { INNERMOST..frames.len() - OUTERMOST };
    let mut module = None;
    for (index, frame) in frames.iter().enumerate() {
        if hidden.contains(&index) {
            if index == hidden.start {
                let note = format!("... {} more frames; --all-frames shows them", hidden.len());
                writeln!(out, "    {}", style.dim(&note))?;
            }
            continue;
        }
        line(frame, module == Some(frame.module_name()), style, out)?;
        module = Some(frame.module_name());
    }
    match report.paths.incomplete(site.path) {
        Some(reason) => writeln!(out, "    {}", style.dim(&format!("(the stack ends here: {reason})"))),
        None => Ok(()),
    }
}

fn line(frame: &Frame, same_module: bool, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let label = frame.label();
    let mut facts: Vec<String> =
        frame.file.as_deref().map(|file| place(file, frame.line)).into_iter().collect();
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
    let facts = facts.join("  ");
    let coloured = match frame.kind {
        Kind::Python => style.paint("32", &label),
        Kind::Native => label.clone(),
    };
    let width = label.chars().count();
    match facts.as_str() {
        "" => writeln!(out, "    {coloured}"),
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

/// `dir/dir/file:line`: the end of a path, which tells it apart from others.
fn place(file: &str, line: Option<u32>) -> String {
    let start = file.rmatch_indices('/').nth(DIRECTORIES).map_or(0, |(slash, _)| slash + 1);
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
        assert_eq!(place("/a/b/c/d.rs", Some(3)), "b/c/d.rs:3");
        assert_eq!(place("./csu/../csu/libc-start.c", Some(360)), "../csu/libc-start.c:360");
        assert_eq!(place("/d.c", None), "/d.c");
        assert_eq!(place("app.py", Some(1)), "app.py:1");
    }
}
