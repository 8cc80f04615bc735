//! Which frames of a stack are shown unless all are asked for.
//!
//! Of a stack with Python frames those, the native frames that they have called, and what other native code lies between
//! them: a callback of a C extension. Left out are the interpreter's own frames, those of its import system, what only hands memory on, and what
//! is outside of the outermost Python frame. Of the deep rest the middle is left out, as are most frames of the server or
//! framework that has called the user's code.
use crate::aggregate::{Frame, Kind};

/// Stacks of more frames are shown without their middle.
const DEEP: usize = 25;
/// Of those, the innermost: what allocated, and what called it.
const INNERMOST: usize = 20;
/// And the outermost: which thread, and which entry.
const OUTERMOST: usize = 3;
/// Native frames that are shown where the interpreter itself allocated, and ...
const INTERPRETER: usize = 2;
/// ... innermost and ...
const LIBRARY: usize = 8;
/// ... outermost where a library did, which Python code has called.
const ENTRY: usize = 2;
/// Frames that have called the user's code, of which the rest is left out but for ...
const CALLERS: usize = 3;
/// ... the outermost.
const ENTRIES: usize = 1;

/// A stack as it is shown.
pub(crate) struct Folded {
    /// The frames, innermost first, as places in the stack.
    pub shown: Vec<usize>,
    /// Whether native frames were left out.
    pub folded: bool,
    /// The frames of `shown` that are left out of its middle, as places in it.
    pub hidden: std::ops::Range<usize>,
}

impl Folded {
    /// Every frame.
    pub fn all(frames: &[&Frame]) -> Folded {
        Folded { shown: (0..frames.len()).collect(), folded: false, hidden: 0..0 }
    }

    /// Those that most readers want.
    pub fn new(frames: &[&Frame], own: impl Fn(&Frame) -> bool) -> Folded {
        let python = frames.iter().position(|frame| frame.kind == Kind::Python);
        let shown = match python {
            Some(python) => of_python(frames, python),
            None => (0..frames.len()).collect(),
        };
        let folded = shown.len() < frames.len();
        let outermost = shown.iter().rposition(|&index| python.is_some() && own(frames[index]));
        let called = outermost.map(|own| own + 1 + CALLERS..shown.len().saturating_sub(ENTRIES));
        let hidden = match called {
            // One frame takes no more room than the line that says it is left out.
            Some(called) if called.len() > 1 && called.start <= DEEP => called,
            _ if shown.len() > DEEP => INNERMOST..shown.len() - OUTERMOST,
            _ => 0..0,
        };
        Folded { shown, folded, hidden }
    }
}

/// Of a stack whose innermost Python frame is that at `python`.
fn of_python(frames: &[&Frame], python: usize) -> Vec<usize> {
    let foreign = |&index: &usize| !frames[index].interpreter && !frames[index].is_allocator();
    let mut shown: Vec<usize> = (0..python).filter(foreign).collect();
    if shown.len() > LIBRARY + ENTRY {
        shown.drain(LIBRARY..shown.len() - ENTRY);
    }
    if shown.is_empty() {
        let asks = |&index: &usize| !frames[index].is_allocator() && frames[index].function.is_some();
        shown = (0..python).filter(asks).take(INTERPRETER).collect();
    }
    let outermost = frames.iter().rposition(|frame| frame.kind == Kind::Python).unwrap_or(python);
    shown.extend((python..=outermost).filter(|&index| match frames[index].kind {
        Kind::Python => index == python || !imports(frames[index]),
        Kind::Native => foreign(&index),
    }));
    shown
}

/// Leaves out of a Python stack what takes most of its room and says least: outward of its innermost Python frame the
/// interpreter's own frames, and those of the import system. `frame` gives the frame of a number.
pub(super) fn without_interpreter<'a>(stack: &mut Vec<u32>, frame: impl Fn(u32) -> &'a Frame) {
    let mut inside = true;
    stack.retain(|&number| {
        let frame = frame(number);
        if frame.kind == Kind::Native {
            return inside || !frame.interpreter;
        }
        let first = std::mem::take(&mut inside);
        first || !imports(frame)
    });
}

/// A frame of the import system, as Python's own tracebacks leave them out.
fn imports(frame: &Frame) -> bool {
    frame.file.as_deref().is_some_and(|file| file.starts_with("<frozen importlib._bootstrap"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `P` is a Python frame, `O` one of the user's, `I` one of the import system, `i` one of the interpreter, `m` an allocator of it, `n` any other native frame.
    fn shown(stack: &str) -> String {
        let frame = |letter: char| Frame {
            kind: if letter.is_uppercase() { Kind::Python } else { Kind::Native },
            file: (letter == 'I').then(|| "<frozen importlib._bootstrap_external>".to_string()),
            line: (letter == 'O').then_some(1),
            interpreter: matches!(letter, 'i' | 'm'),
            function: Some(if letter == 'm' { "PyObject_Malloc" } else { "f" }.to_string()),
            ..Frame::unknown()
        };
        let frames: Vec<Frame> = stack.chars().map(frame).collect();
        let own = |frame: &Frame| frame.line == Some(1);
        let folded = Folded::new(&frames.iter().collect::<Vec<_>>(), own);
        assert_eq!(folded.folded, folded.shown.len() < stack.len());
        let shown = folded.shown.iter().enumerate().filter(|(at, _)| !folded.hidden.contains(at));
        shown.filter_map(|(_, &index)| stack.chars().nth(index)).collect()
    }

    #[test]
    fn python_frames_and_what_they_called() {
        assert_eq!(shown("miiiPPiPiin"), "iiPPP");
        assert_eq!(shown("PiP"), "PP");
        assert_eq!(shown("nniiP"), "nnP", "a C library");
        assert_eq!(shown("iPiinniiPi"), "iPnnP", "a callback");
        assert_eq!(shown("nnnnnnnnnnnnniPnn"), "nnnnnnnnnnP", "a library's entry");
        assert_eq!(shown("OPOPPPPP"), "OPOPPPPP");
        assert_eq!(shown("OPOPPPPPPPP"), "OPOPPPP", "a server");
        assert_eq!(shown("iIiPiIIP"), "iIPP", "an import");
        assert_eq!(shown("nii"), "nii", "no Python frame");
    }

    #[test]
    fn deep_stacks_are_shown_without_their_middle() {
        assert_eq!(shown(&"n".repeat(25)).len(), 25);
        assert_eq!(shown(&"n".repeat(26)).len(), 23);
        assert_eq!(shown(&"Pi".repeat(26)).len(), 23);
        assert_eq!(shown(&("O".repeat(30) + "PPPPPPP")).len(), 23, "recursion");
    }
}
