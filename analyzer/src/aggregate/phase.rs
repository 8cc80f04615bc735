//! When in the life of a Python program a stack allocates: while the interpreter starts, while modules are imported, or
//! while the program runs.
//!
//! Told by frames: what is called from `Py_InitializeFromConfig` or is part of the module `site` is start-up, and what is called from the import
//! system is import. So a server that is started by code at the top of an imported module is all import. A stack
//! without Python frames is start-up if it allocated before any Python program ran, else run: it may be of a
//! library's thread.
use clap::ValueEnum;

use super::frame::{Frame, Kind};
use crate::python::origin::Origin;

/// When a Python program allocates.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// While the interpreter is initialized
    StartUp,
    /// While a module is imported
    Import,
    /// The rest
    Run,
}

impl Phase {
    /// All, in the order of a program's life.
    pub const ALL: [Phase; 3] = [Phase::StartUp, Phase::Import, Phase::Run];

    /// What people type and read.
    pub fn name(self) -> &'static str {
        match self {
            Phase::StartUp => "start-up",
            Phase::Import => "import",
            Phase::Run => "run",
        }
    }
}

/// What the frames of a stack say of its phase: bits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Marks(u8);

const INITIALIZES: u8 = 1;
const IMPORTS: u8 = 2;
const IN_A_PROGRAM: u8 = 4;

impl Marks {
    pub fn of(frame: &Frame) -> Marks {
        Marks(match frame.kind {
            Kind::Native if frame.function.as_deref().is_some_and(initializes) => INITIALIZES,
            Kind::Native => 0,
            Kind::Python => of_file(frame.file.as_deref().unwrap_or_default(), frame),
        })
    }

    pub fn and(self, other: Marks) -> Marks {
        Marks(self.0 | other.0)
    }

    /// Whether Python code that is not frozen into the interpreter runs after the interpreter's initialization.
    fn runs_a_program(self) -> bool {
        self.0 & (INITIALIZES | IN_A_PROGRAM) == IN_A_PROGRAM
    }

    /// `early`: it allocated before any stack that runs a program.
    fn phase(self, early: bool) -> Phase {
        match self.0 {
            marks if marks & INITIALIZES != 0 => Phase::StartUp,
            marks if marks & IN_A_PROGRAM == 0 && early => Phase::StartUp,
            marks if marks & IMPORTS != 0 => Phase::Import,
            _ => Phase::Run,
        }
    }
}

/// The phases of a process's stacks, which are in the order of their first allocations.
pub(super) fn phases(stacks: &[Marks]) -> Vec<Option<Phase>> {
    let first = stacks.iter().position(|marks| marks.runs_a_program()).unwrap_or(stacks.len());
    stacks.iter().enumerate().map(|(at, marks)| Some(marks.phase(at < first))).collect()
}

fn of_file(file: &str, frame: &Frame) -> u8 {
    match frame.origin() {
        // What initializes the interpreter is not seen in a build whose functions have no names.
        Some((Origin::Standard, "site")) => INITIALIZES,
        _ if file.starts_with("<frozen importlib._bootstrap") => IMPORTS,
        _ if file.ends_with("/importlib/_bootstrap.py") => IMPORTS,
        // Other names in brackets are programs too: <string> of -c, <stdin>.
        _ if file.is_empty() || file.starts_with("<frozen ") => 0,
        _ => IN_A_PROGRAM,
    }
}

/// Since Python 3.8 all ways to begin lead through the first of these; the second comes before it.
fn initializes(function: &str) -> bool {
    matches!(
        function,
        "Py_InitializeFromConfig" | "_PyRuntime_Initialize" | "Py_InitializeEx" | "pymain_init"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(stack: &[(Kind, &str)]) -> Marks {
        let frame = |&(kind, name): &(Kind, &str)| match kind {
            Kind::Native => Frame { function: Some(name.into()), ..Frame::unknown() },
            Kind::Python => Frame { kind, file: Some(name.into()), ..Frame::unknown() },
        };
        stack.iter().map(frame).fold(Marks::default(), |marks, frame| marks.and(Marks::of(&frame)))
    }

    #[test]
    fn frames_tell_the_phase() {
        use Kind::{Native, Python};
        use Phase::{Import, Run, StartUp};
        let main = (Python, "/srv/app.py");
        let stacks = [
            (vec![(Native, "main")], StartUp),
            (vec![(Python, "/usr/lib/python3.11/codecs.py"), (Native, "Py_InitializeFromConfig")], StartUp),
            (vec![(Python, "<frozen importlib._bootstrap>"), (Native, "Py_RunMain")], StartUp),
            (vec![(Python, "<frozen runpy>")], StartUp),
            (vec![main, (Native, "Py_RunMain")], Run),
            (vec![(Python, "/srv/m.py"), (Python, "<frozen importlib._bootstrap>"), main], Import),
            (vec![(Python, "/usr/lib/python3.11/importlib/_bootstrap.py")], Import),
            (vec![(Python, "/usr/lib/python3.11/site.py")], StartUp),
            (vec![(Python, "<string>")], Run),
            (vec![(Native, "start_thread")], Run),
        ];
        let marks: Vec<Marks> = stacks.iter().map(|(stack, _)| marks(stack)).collect();
        let expected: Vec<Option<Phase>> = stacks.iter().map(|(_, phase)| Some(*phase)).collect();
        assert_eq!(phases(&marks), expected);
    }

    #[test]
    fn a_program_without_a_file_runs() {
        for name in ["<string>", "<stdin>", "<ipython-input-1-0a1b>"] {
            let stacks = [
                marks(&[(Kind::Python, "<frozen getpath>")]),
                marks(&[(Kind::Python, name), (Kind::Native, "Py_RunMain")]),
            ];
            assert_eq!(phases(&stacks), [Some(Phase::StartUp), Some(Phase::Run)], "{name}");
        }
    }
}
