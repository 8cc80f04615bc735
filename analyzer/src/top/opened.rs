//! The stacks of one site as lines: as a report prints them.
use super::scan::Held;
use super::snapshot::{Line, LineKind};
use crate::aggregate::{Frame, Kind, Own, PathId, Paths};
use crate::output::{Folded, Size, counted, short_place};

/// A stack, number `number` of `count` of its site.
pub fn stack(
    paths: &Paths,
    own: &Own,
    path: PathId,
    held: Held,
    (number, count): (usize, usize),
) -> Vec<Line> {
    let size = format!("{} in {}", Size(held.bytes), counted(held.blocks, "block"));
    let title = if count == 1 { size } else { format!("stack {number} of {count}: {size}") };
    let mut lines = vec![text(LineKind::Title, title)];
    let frames: Vec<&Frame> = paths.frames(path).collect();
    let folded = Folded::new(&frames, |frame| own.owns(frame));
    let mut module = None;
    for (at, &index) in folded.shown.iter().enumerate() {
        if at == folded.hidden.start && !folded.hidden.is_empty() {
            lines.push(text(LineKind::Note, format!("... {} more frames", folded.hidden.len())));
        }
        if folded.hidden.contains(&at) {
            continue;
        }
        lines.push(line(frames[index], module == Some(frames[index].module_name())));
        module = Some(frames[index].module_name());
    }
    if let Some(reason) = paths.incomplete(path) {
        lines.push(text(LineKind::Note, format!("(the stack ends here: {reason})")));
    }
    lines
}

fn text(kind: LineKind, text: String) -> Line {
    Line { kind, text, place: String::new() }
}

fn line(frame: &Frame, same_module: bool) -> Line {
    let kind = if frame.kind == Kind::Python { LineKind::Python } else { LineKind::Native };
    let mut facts: Vec<String> = frame.file.iter().map(|file| short_place(file, frame.line)).collect();
    let module = frame.module_name().filter(|_| !same_module && frame.function.is_some());
    facts.extend(module.map(|module| format!("[{module}]")));
    facts.extend(frame.inlined.then(|| "inlined".to_string()));
    Line { kind, text: frame.label(), place: facts.join("  ") }
}
