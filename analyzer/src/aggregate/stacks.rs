//! The native frames of all processes: finds the module of each, and has all addresses symbolised at once.
use std::collections::HashMap;
use std::path::PathBuf;

use recording::StackId;

use super::family::one_line;
use super::frame::{Frame, Kind};
use super::paths::Paths;
use crate::fast_map::FastMap;
use crate::reader::{Definitions, lookup_address};
use crate::symbols::{self, ModuleFile, Query, Reason, Symbolized};

/// A place in the code of some file, the same for all processes: an index.
type Place = u32;

/// Places that are in no module.
const NO_MODULE: u32 = u32::MAX;

/// Collects the places of all stacks.
#[derive(Default)]
pub(super) struct Places {
    modules: Vec<ModuleFile>,
    /// Of each module whether it is a Python interpreter.
    interpreters: Vec<bool>,
    module_index: HashMap<(PathBuf, Vec<u8>), u32>,
    places: Vec<(u32, u64)>,
    place_index: FastMap<(u32, u64), Place>,
}

/// What was not looked at.
const NONE: u32 = u32::MAX;

/// The place of each of one process's nodes.
pub(super) struct NodePlaces(Vec<Place>);

impl NodePlaces {
    /// Of a node, by its place among all.
    pub fn of(&self, index: usize) -> usize {
        self.0[index] as usize
    }
}

impl Places {
    /// Notes the places of the frames of these stacks.
    pub fn add(&mut self, definitions: &Definitions, stacks: impl Iterator<Item = StackId>) -> NodePlaces {
        let mut known: Vec<Place> = vec![NONE; definitions.node_count()];
        let mut modules: Vec<Option<u32>> = vec![None; definitions.modules.len()];
        for stack in stacks {
            definitions.stack(stack, |index, node| {
                if known[index] != NONE {
                    return false;
                }
                let address = lookup_address(node);
                let place = match definitions.module_of(node) {
                    Some(module) => {
                        let index =
                            *modules[module].get_or_insert_with(|| self.module(&definitions.modules[module]));
                        (index, address.wrapping_sub(definitions.modules[module].bias))
                    }
                    None => (NO_MODULE, address),
                };
                known[index] = self.place(place);
                true
            });
        }
        for (module, index) in definitions.modules.iter().zip(modules) {
            let evaluates = definitions.python.loops().iter().any(|&(begin, _)| module.contains(begin));
            if let (true, Some(index)) = (evaluates, index) {
                self.interpreters[index as usize] = true;
            }
        }
        NodePlaces(known)
    }

    fn module(&mut self, module: &crate::reader::Module) -> u32 {
        let key = (module.path.clone(), module.build_id.clone());
        let file = ModuleFile { path: module.path.clone(), build_id: module.build_id.clone() };
        *self.module_index.entry(key).or_insert_with(|| {
            self.modules.push(file);
            self.interpreters.push(false);
            self.modules.len() as u32 - 1
        })
    }

    fn place(&mut self, place: (u32, u64)) -> Place {
        *self.place_index.entry(place).or_insert_with(|| {
            self.places.push(place);
            self.places.len() as u32 - 1
        })
    }

    /// How many addresses there are to look up.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The frames of each place from the one with number `first` on, outermost first, and the files that could not be used for them.
    pub fn symbolize(
        &self,
        first: usize,
        options: &symbols::Options,
        paths: &mut Paths,
        done: &(dyn Fn(usize) + Sync),
    ) -> (Vec<Vec<u32>>, Vec<String>) {
        let mut queries: Vec<Query> = self
            .modules
            .iter()
            .map(|module| Query { module: module.clone(), addresses: Vec::new() })
            .collect();
        let places = self.places.get(first..).unwrap_or_default();
        let mut asked = Vec::with_capacity(places.len());
        for &(module, address) in places {
            asked.push(match queries.get_mut(module as usize) {
                Some(query) => {
                    query.addresses.push(address);
                    query.addresses.len() - 1
                }
                None => 0,
            });
        }
        let answers = symbols::symbolize(&queries, options, done);
        let problems =
            self.modules.iter().zip(&answers).filter_map(|(module, answers)| problem(module, answers));
        let problems = problems.map(|problem| one_line(&problem)).collect();
        let places = places.iter().zip(asked);
        let frames = places
            .map(|(&(module, address), asked)| {
                let answer = answers.get(module as usize).and_then(|answers| answers.get(asked));
                let interpreter = self.interpreters.get(module as usize).copied().unwrap_or(false);
                let module = self.modules.get(module as usize);
                let mut frames = frames_of(module, address, answer);
                frames.iter_mut().for_each(|frame| frame.interpreter = interpreter);
                frames.into_iter().rev().map(|frame| paths.frame_of_code(frame, address)).collect()
            })
            .collect();
        (frames, problems)
    }
}

/// A file whose functions are unknown because it is not there, or not what was recorded.
fn problem(module: &ModuleFile, answers: &[Symbolized]) -> Option<String> {
    let unusable = |reason: &&Reason| {
        matches!(reason, Reason::FileMissing | Reason::BuildIdDiffers { .. } | Reason::Unreadable(_))
    };
    let nameless = answers.iter().filter(|answer| answer.frames.iter().all(|frame| frame.function.is_none()));
    let reason = nameless.filter_map(|answer| answer.reason.as_ref()).find(unusable)?;
    Some(format!("{}: {reason}; --debug-dir names a directory that has it", module.path.display()))
}

/// What is known of an address, innermost first; at least one frame.
fn frames_of(module: Option<&ModuleFile>, address: u64, answer: Option<&Symbolized>) -> Vec<Frame> {
    let Some(module) = module else {
        let reason = Some("in no module: generated code, or a file that was not recorded".into());
        return vec![Frame { reason, ..Frame::unknown() }];
    };
    let path = Some(module.path.to_string_lossy().into_owned());
    let reason = answer.and_then(|answer| answer.reason.as_ref()).map(ToString::to_string);
    let unknown = Frame { module: path, offset: Some(address), ..Frame::unknown() };
    let Some(answer) = answer.filter(|answer| !answer.frames.is_empty()) else {
        return vec![Frame { reason, ..unknown }];
    };
    let frame = |symbol: &symbols::Frame| Frame {
        kind: Kind::Native,
        function: symbol.function.clone(),
        file: symbol.file.clone(),
        line: symbol.line,
        offset: if symbol.function.is_none() { Some(address) } else { None },
        inlined: symbol.inlined,
        reason: if symbol.function.is_none() || symbol.line.is_none() { reason.clone() } else { None },
        ..unknown.clone()
    };
    answer.frames.iter().map(frame).collect()
}
