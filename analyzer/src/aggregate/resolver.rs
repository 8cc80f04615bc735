//! From the stack ids of one process to paths, native and Python frames in one.
use recording::StackId;

use super::frame::{Frame, Kind};
use super::paths::{PathId, Paths};
use super::stacks::NodePlaces;
use crate::fast_map::FastMap;
use crate::python::merge::{Fit, Merge, Pair, Rest};
use crate::reader::Definitions;

/// Stack ids of one process -> paths.
pub(super) struct Resolver<'a> {
    definitions: &'a Definitions,
    places: &'a NodePlaces,
    /// Frames of each place, outermost first.
    frames: &'a [Vec<u32>],
    /// The paths of native stacks, by the place of their innermost node.
    native: Vec<Option<PathId>>,
    /// The paths of stacks with Python frames, and of what is left of them behind an entry.
    merged: FastMap<Pair, (PathId, Fit)>,
    /// The frames of Python nodes, by code object and instruction.
    python: FastMap<(u32, i32), u32>,
    /// Nodes of the stack at hand, innermost first.
    fresh: Vec<StackId>,
}

impl<'a> Resolver<'a> {
    pub fn new(definitions: &'a Definitions, places: &'a NodePlaces, frames: &'a [Vec<u32>]) -> Resolver<'a> {
        Resolver {
            definitions,
            places,
            frames,
            native: vec![None; definitions.node_count()],
            merged: FastMap::default(),
            python: FastMap::default(),
            fresh: Vec::new(),
        }
    }

    /// The path of a stack, and of one with Python frames how these go together with the native ones.
    pub fn path(&mut self, stack: StackId, paths: &mut Paths) -> (PathId, Option<Fit>) {
        match self.definitions.pair(stack) {
            Some(pair) => {
                let (path, fit) = self.merged(pair, paths);
                (path, Some(fit))
            }
            None => (self.native(stack, paths), None),
        }
    }

    fn native(&mut self, stack: StackId, paths: &mut Paths) -> PathId {
        let mut met = None;
        let mut fresh = Vec::new();
        let end = self.definitions.stack(stack, |index, _| {
            met = self.native[index];
            if met.is_none() {
                fresh.push(index);
            }
            met.is_none()
        });
        let mut path = met.unwrap_or_else(|| paths.root(end));
        for &index in fresh.iter().rev() {
            path = self.extend_native(path, index, paths);
            self.native[index] = Some(path);
        }
        path
    }

    fn merged(&mut self, pair: Pair, paths: &mut Paths) -> (PathId, Fit) {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.clear();
        // Where in `fresh` the part of each pair begins.
        let mut parts = Vec::new();
        let mut merge = Merge::new(self.definitions);
        let mut rest = pair;
        let (mut path, fit) = loop {
            if let Some(&known) = self.merged.get(&rest) {
                break known;
            }
            parts.push((rest, fresh.len()));
            match merge.part(rest, |frame| fresh.push(frame)) {
                Rest::More(more) => rest = more,
                Rest::End(end, fit) => break (paths.root(end), fit),
            }
        };
        for (pair, begin) in parts.into_iter().rev() {
            for frame in fresh.drain(begin..).rev() {
                path = self.extend(path, frame, paths);
            }
            self.merged.insert(pair, (path, fit));
        }
        self.fresh = fresh;
        (path, fit)
    }

    fn extend(&mut self, path: PathId, id: StackId, paths: &mut Paths) -> PathId {
        match (self.definitions.python_node(id), self.definitions.index(id)) {
            (Some(node), _) => {
                let frame = self.python_frame(node.code, node.instruction, paths);
                paths.extend(path, frame)
            }
            (None, Some(index)) => self.extend_native(path, index, paths),
            (None, None) => path,
        }
    }

    fn extend_native(&self, path: PathId, index: usize, paths: &mut Paths) -> PathId {
        let frames = self.frames.get(self.places.of(index)).map_or(&[][..], Vec::as_slice);
        frames.iter().fold(path, |path, &frame| paths.extend(path, frame))
    }

    fn python_frame(&mut self, code: u32, instruction: i32, paths: &mut Paths) -> u32 {
        *self.python.entry((code, instruction)).or_insert_with(|| {
            let unknown = Frame { kind: Kind::Python, ..Frame::unknown() };
            paths.frame(match self.definitions.python.code(code) {
                Some(object) => {
                    let line = self.definitions.python.line(object, instruction);
                    Frame {
                        function: Some(object.name.clone()),
                        file: Some(object.file.clone()),
                        line: line.unwrap_or(None),
                        reason: line.err().map(str::to_string),
                        ..unknown
                    }
                }
                None => Frame { reason: Some("its code is not in the recording".to_string()), ..unknown },
            })
        })
    }
}
