//! The sites of stacks, a few at a time, while their process runs.
//!
//! A site is that of the frame which names the stack: the innermost one of the user's code. Of a Python stack that is told
//! by its Python frames alone, without any symbol. For the others files must be opened, so they are asked for
//! together, and what was found is kept.
use std::sync::Arc;

use recording::StackId;

use super::by::By;
use super::filter::Filter;
use super::frame::{Frame, Kind};
use super::group;
use super::own::Own;
use super::paths::{PathId, Paths, hash};
use super::resolver::Resolver;
use super::stacks::Places;
use crate::fast_map::FastMap;
use crate::output::{named, short_place};
use crate::reader::Definitions;
use crate::symbols;

/// What a stack belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// The same in all processes.
    pub key: u64,
    /// What to call it.
    pub text: Arc<str>,
}

/// What was found of one process's Python code.
#[derive(Default)]
pub struct PythonNames {
    /// By the number of the code object.
    ranks: FastMap<u32, u8>,
    /// By code object and instruction.
    names: FastMap<(u32, i32), Name>,
}

/// All names.
pub struct Naming {
    by: By,
    own: Own,
    symbols: symbols::Options,
    places: Places,
    /// Frames of each place, outermost first.
    frames: Vec<Vec<u32>>,
    paths: Paths,
}

/// The recorder follows stacks of at most 1,024 frames.
const DEEPEST: usize = 1100;

impl Naming {
    /// Without any name.
    pub fn new(by: By, own: Own, symbols: symbols::Options) -> Naming {
        let paths = Paths::new(Filter::default());
        Naming { by, own, symbols, places: Places::default(), frames: Vec::new(), paths }
    }

    /// Names of something else; those that were given are not valid any more.
    pub fn set_by(&mut self, by: By) {
        self.by = by;
    }

    /// The stacks.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Which code is the user's.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// The site of a stack with Python frames, where no symbol is needed for it.
    pub fn of_python(
        &self,
        definitions: &Definitions,
        stack: StackId,
        known: &mut PythonNames,
    ) -> Option<Name> {
        if !matches!(self.by, By::Line | By::Function) || !self.own.is_plain() {
            return None;
        }
        let mut id = definitions.pair(stack)?.python;
        let mut best: Option<(u8, (u32, i32))> = None;
        for _ in 0..DEEPEST {
            let Some(node) = definitions.python_node(id) else { break };
            id = node.parent;
            if node.code == 0 {
                continue;
            }
            let rank = *known
                .ranks
                .entry(node.code)
                .or_insert_with(|| self.own.rank(&python_frame(definitions, node.code, None), true));
            if best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, (node.code, node.instruction)));
            }
            if rank == 0 {
                break;
            }
        }
        let (_, at) = best?;
        let name = || self.of_frame(&python_frame(definitions, at.0, Some(at.1)));
        Some(known.names.entry(at).or_insert_with(name).clone())
    }

    /// Stacks of processes with all that symbols tell of them, in the same shape. Files are opened once for all of them.
    pub fn look_up(&mut self, asked: &[(&Definitions, Vec<StackId>)]) -> Vec<Vec<PathId>> {
        let add = |(definitions, stacks): &(&Definitions, Vec<StackId>)| {
            self.places.add(definitions, stacks.iter().copied())
        };
        let nodes: Vec<_> = asked.iter().map(add).collect();
        let (fresh, _) = self.places.symbolize(self.frames.len(), &self.symbols, &mut self.paths, &|_| {});
        self.frames.extend(fresh);
        let of_process = |((definitions, stacks), nodes): (&(&Definitions, Vec<StackId>), _)| {
            let mut resolver = Resolver::new(definitions, nodes, &self.frames);
            stacks.iter().map(|&stack| resolver.path(stack, &mut self.paths).0).collect()
        };
        asked.iter().zip(&nodes).map(of_process).collect()
    }

    /// The site of such a stack.
    pub fn of_path(&self, path: PathId) -> Name {
        let headline = self.own.headline(&self.paths, path).map(|frame| self.paths.frame_at(frame));
        let text = || headline.map_or_else(|| "?".to_string(), named);
        match (self.by, headline) {
            (By::Line | By::Function, Some(frame)) => self.of_frame(frame),
            (By::Module, _) => {
                let frame = group::asking_frame(By::Module, &self.paths, path);
                let group = group::of_frame(By::Module, frame.map(|frame| self.paths.frame_at(frame)));
                Name { key: group.hash, text: group.name.into() }
            }
            _ => Name { key: self.paths.site_hash(self.paths.site(path)), text: text().into() },
        }
    }

    /// The site of this line or function.
    fn of_frame(&self, frame: &Frame) -> Name {
        let (identity, text) = match self.by {
            By::Function => {
                let whole = Frame { line: None, ..frame.clone() };
                let text = match (&frame.function, &frame.file) {
                    (Some(function), Some(file)) => format!("{function} {}", short_place(file, None)),
                    _ => named(&whole),
                };
                (whole.identity(), text)
            }
            _ => (frame.place().unwrap_or_else(|| frame.identity()), named(frame)),
        };
        Name { key: hash(self.by as u64, identity.as_bytes()), text: text.into() }
    }
}

/// A Python frame, its line if an instruction is named.
fn python_frame(definitions: &Definitions, code: u32, instruction: Option<i32>) -> Frame {
    let python = &definitions.python;
    let object = python.code(code);
    let line = object.zip(instruction).and_then(|(object, at)| python.line(object, at).ok().flatten());
    Frame {
        kind: Kind::Python,
        function: object.map(|object| object.name.clone()),
        file: object.map(|object| object.file.clone()),
        line,
        ..Frame::unknown()
    }
}
