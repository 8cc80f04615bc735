//! All definitions of one process: what a stack id means.
//!
//! Nodes may be corrupt: a chain is followed for a bounded number of frames, and an unknown id ends it.
use std::collections::HashMap;

use recording::{
    Address, Definition, DefinitionDecoder, DefinitionModel, EndReason, FrameKind, StackId,
    layout::{CHUNK, CHUNK_HEADER, IDS_PER_CHUNK},
};

use super::chunks::ChunkPlace;
use super::loss::Loss;
use super::modules::{Module, ModuleMap};
use super::python::{Python, PythonNode};
use super::recording::Recording;
use crate::python::merge::{Chains, NativeLink, Pair, PythonLink};

/// The recorder follows stacks of at most 1,024 frames; longer ones can only be cycles of a damaged file.
pub(crate) const DEEPEST: usize = 1100;

/// What an id stands for.
#[derive(Clone, Copy)]
enum Defined {
    Native(Node),
    Python(PythonNode),
    Merged(Pair),
}

/// A native frame of a stack.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// The calling frame, or why there is none.
    pub parent: StackId,
    /// Where in the code.
    pub pc: Address,
    /// What `pc` is.
    pub kind: FrameKind,
    /// The epoch of the module map in which it was taken.
    pub epoch: u32,
}

/// The nodes of one chunk: ids from `first` on. What was read of it at once lies together.
#[derive(Default)]
struct Block {
    first: u32,
    chunk: u64,
    parts: Vec<Part>,
}

/// The ids from `offset` on, counted from the block's first, are `nodes[base..base + len]`.
struct Part {
    offset: u32,
    len: u32,
    base: usize,
}

impl Block {
    fn len(&self) -> u32 {
        self.parts.last().map_or(0, |part| part.offset + part.len)
    }

    fn index(&self, id: StackId) -> Option<usize> {
        let offset = id.0.checked_sub(self.first)?;
        let part = self.parts.partition_point(|part| part.offset <= offset).checked_sub(1)?;
        let Part { offset: begin, len, base } = self.parts[part];
        (offset - begin < len).then_some(base + (offset - begin) as usize)
    }
}

/// What the stack ids of a process mean.
#[derive(Default)]
pub struct Definitions {
    /// By the number of the block of ids.
    blocks: Vec<Block>,
    nodes: Vec<Defined>,
    /// The modules, as recorded.
    pub modules: Vec<Module>,
    map: ModuleMap,
    /// From which epoch on a module was not mapped, by its number.
    gone: HashMap<u32, u32>,
    /// How far each chunk was read, by its number.
    done: HashMap<u64, usize>,
    /// Python's interpreters and code.
    pub python: Python,
    /// What could not be read.
    pub losses: Vec<Loss>,
    /// Bytes of records and chunk headers.
    pub bytes_used: u64,
}

impl Definitions {
    /// Reads all definitions. To be called after the events were read, since a process that still runs writes the
    /// definition of a stack before the first event with it.
    pub fn read(recording: &Recording) -> Definitions {
        let mut read = Definitions::default();
        // A process that still runs may have begun more chunks since its file was opened.
        let again = if recording.is_running() { recording.again() } else { None };
        read.read_on(recording, &again.as_ref().unwrap_or(recording).definitions);
        read
    }

    /// About as many bytes as [`Definitions::bytes_used`] says after a reading: but for the last one a writer's chunks are full.
    pub fn bytes(recording: &Recording) -> u64 {
        let (chunks, mut records) = (recording.chunks(), Vec::new());
        let mut bytes = 0;
        for places in recording.definitions.chunk_by(|a, b| a.header.writer == b.header.writer) {
            let used = places.last().map_or(0, |place| {
                let read = chunks.read(place, &mut records);
                let used = records.iter().rposition(|&byte| byte != 0).filter(|_| read.is_ok());
                CHUNK_HEADER + used.map_or(0, |last| last + 1)
            });
            bytes += ((places.len() - 1) * CHUNK + used) as u64;
        }
        bytes
    }

    /// Adds what was written since the last reading, `places` being the chunks that there are now.
    pub fn read_on(&mut self, recording: &Recording, places: &[ChunkPlace]) {
        let mut model = Box::new(DefinitionModel::new(0));
        let chunks = recording.chunks();
        let mut records = Vec::new();
        for place in places {
            let done = self.done.get(&place.number).copied();
            if done.is_some_and(|done| !chunks.has_more(place, done)) {
                continue;
            }
            let loaded = if recording.is_running() {
                chunks.read_settled(place, &mut records)
            } else {
                chunks.read(place, &mut records)
            };
            self.losses.extend(loaded.err());
            self.read_chunk(place, &records, &mut model, recording.is_running());
        }
        for module in &mut self.modules {
            module.gone = self.gone.get(&module.number).copied();
            // The loader has no name for the program itself, and the kernel tells none after chroot or without /proc.
            if module.path.as_os_str().is_empty() {
                module.path = recording.exe.clone().unwrap_or_default();
            }
        }
        self.map = ModuleMap::new(&self.modules);
        self.python.finish();
    }

    /// Decodes a chunk from its beginning, which its later records need, and adds what was not there before.
    fn read_chunk(&mut self, place: &ChunkPlace, records: &[u8], model: &mut DefinitionModel, running: bool) {
        let header = &place.header;
        let done = self.done.get(&place.number).copied();
        let mut decoder = DefinitionDecoder::new(records, header.first_id, model);
        let mut epoch = header.epoch;
        let base = self.nodes.len();
        let stop = loop {
            let is_known = done.is_some_and(|done| decoder.position() < done);
            match decoder.next_definition() {
                Ok(Definition::Epoch(now)) => epoch = now,
                Ok(_) if is_known => {}
                Ok(definition) => self.define(&definition, epoch),
                Err(stop) => break stop,
            }
        };
        if !running {
            self.losses.extend(Loss::of_stop(place.number, stop));
        }
        let read = CHUNK_HEADER + decoder.position();
        self.bytes_used += read.saturating_sub(done.map_or(0, |done| CHUNK_HEADER + done)) as u64;
        self.done.insert(place.number, decoder.position());
        self.add_nodes(place, base);
    }

    fn define(&mut self, definition: &Definition, epoch: u32) {
        match *definition {
            Definition::Node { parent, pc, kind, .. } => {
                self.nodes.push(Defined::Native(Node { parent, pc, kind, epoch }))
            }
            Definition::PythonNode { parent, code, instruction, entry, .. } => {
                self.nodes.push(Defined::Python(PythonNode { parent, code, instruction, entry }))
            }
            Definition::Merged { native, python, .. } => {
                self.nodes.push(Defined::Merged(Pair { native, python }))
            }
            Definition::CodeObject(ref code) => self.python.add_code(code),
            Definition::CodeLines(ref lines) => self.python.add_lines(lines),
            Definition::Interpreter(ref interpreter) => self.python.add_interpreter(interpreter),
            Definition::EvalLoop(ref code) => self.python.add_loop(code),
            Definition::Module(ref module) => self.modules.push(Module::new(module)),
            Definition::ModuleGone { number, epoch } => {
                let first = self.gone.entry(number).or_insert(epoch);
                *first = epoch.min(*first);
            }
            Definition::Epoch(_) => {}
        }
    }

    /// The nodes from `base` on are the next ones of this chunk. Of two chunks with the same ids the first one counts.
    fn add_nodes(&mut self, place: &ChunkPlace, base: usize) {
        let first = place.header.first_id;
        let number = (first / IDS_PER_CHUNK) as usize;
        if self.blocks.len() <= number {
            self.blocks.resize_with(number + 1, Block::default);
        }
        let block = &mut self.blocks[number];
        if block.parts.is_empty() {
            *block = Block { first, chunk: place.number, parts: Vec::new() };
        }
        let len = (self.nodes.len() - base) as u32;
        if block.chunk == place.number && len > 0 {
            block.parts.push(Part { offset: block.len(), len, base });
        }
    }

    /// Nodes in all.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The place of a frame among all, below [`Definitions::node_count`].
    pub fn index(&self, id: StackId) -> Option<usize> {
        self.blocks.get((id.0 / IDS_PER_CHUNK) as usize)?.index(id)
    }

    fn defined(&self, id: StackId) -> Option<&Defined> {
        Some(&self.nodes[self.index(id)?])
    }

    /// All native frames.
    pub fn native_nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter_map(|defined| match defined {
            Defined::Native(node) => Some(node),
            _ => None,
        })
    }

    /// The native frame with this id.
    pub fn node(&self, id: StackId) -> Option<&Node> {
        match self.defined(id)? {
            Defined::Native(node) => Some(node),
            _ => None,
        }
    }

    /// The Python frame with this id.
    pub fn python_node(&self, id: StackId) -> Option<&PythonNode> {
        match self.defined(id)? {
            Defined::Python(node) => Some(node),
            _ => None,
        }
    }

    /// The two stacks of a stack with Python frames; `None` for one of native frames alone.
    pub fn pair(&self, id: StackId) -> Option<Pair> {
        match self.defined(id)? {
            Defined::Merged(pair) => Some(*pair),
            _ => None,
        }
    }

    /// The native frames of a stack, innermost first, and why it ends; `None` if the recording does not say.
    /// `each` is given the frame's place, see [`Definitions::index`], and says whether to go on.
    pub fn stack(&self, id: StackId, mut each: impl FnMut(usize, &Node) -> bool) -> Option<EndReason> {
        let mut id = self.pair(id).map_or(id, |pair| pair.native);
        for _ in 0..DEEPEST {
            if !id.is_frame() {
                return EndReason::from_id(id);
            }
            let index = self.index(id)?;
            let Defined::Native(node) = &self.nodes[index] else { return None };
            if !each(index, node) {
                return None;
            }
            id = node.parent;
        }
        None
    }

    /// The module that a frame's code belongs to.
    pub fn module_of(&self, node: &Node) -> Option<usize> {
        self.module_at(lookup_address(node), node.epoch)
    }

    /// The module that an address was in.
    pub fn module_at(&self, address: u64, epoch: u32) -> Option<usize> {
        self.map.find(&self.modules, address, epoch)
    }
}

impl Chains for Definitions {
    fn native(&self, id: StackId) -> Option<NativeLink> {
        let node = self.node(id)?;
        let evaluates = self.python.evaluates(lookup_address(node));
        Some(NativeLink { parent: node.parent, evaluates })
    }

    fn python(&self, id: StackId) -> Option<PythonLink> {
        let node = self.python_node(id)?;
        Some(PythonLink { parent: node.parent, entry: node.entry, code: node.code != 0 })
    }
}

/// The address to look a frame up by: a return address may be the first byte behind the caller.
pub fn lookup_address(node: &Node) -> u64 {
    match node.kind {
        FrameKind::Return => node.pc.0.wrapping_sub(1),
        FrameKind::Interrupted => node.pc.0,
    }
}
