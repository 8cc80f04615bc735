//! All definitions of one process: what a stack id means.
//!
//! Nodes may be corrupt: a chain is followed for a bounded number of frames, and an unknown id ends it.
use std::collections::HashMap;

use recording::{
    Address, Definition, DefinitionDecoder, DefinitionModel, EndReason, FrameKind, StackId,
    layout::{CHUNK_HEADER, IDS_PER_CHUNK},
};

use super::loss::Loss;
use super::modules::{Module, ModuleMap};
use super::python::{Python, PythonNode};
use super::recording::Recording;
use crate::python::merge::{Chains, NativeLink, Pair, PythonLink};

/// The recorder follows stacks of at most 1,024 frames; longer ones can only be cycles of a damaged file.
const DEEPEST: usize = 1100;

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

/// The nodes of one chunk: ids from `first` on, which are `nodes[base..base + len]`.
#[derive(Clone, Copy, Default)]
struct Block {
    first: u32,
    len: u32,
    base: usize,
}

/// What the stack ids of a process mean.
pub struct Definitions {
    /// By the number of the block of ids.
    blocks: Vec<Block>,
    nodes: Vec<Defined>,
    /// The modules, as recorded.
    pub modules: Vec<Module>,
    map: ModuleMap,
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
        let mut read = Definitions {
            blocks: Vec::new(),
            nodes: Vec::new(),
            modules: Vec::new(),
            map: ModuleMap::default(),
            python: Python::default(),
            losses: Vec::new(),
            bytes_used: 0,
        };
        let mut gone: HashMap<u32, u32> = HashMap::new();
        let mut model = Box::new(DefinitionModel::new(0));
        let chunks = recording.chunks();
        let mut records = Vec::new();
        // A process that still runs may have begun more chunks since its file was opened.
        let again = if recording.is_running() { recording.again() } else { None };
        for place in &again.as_ref().unwrap_or(recording).definitions {
            let header = &place.header;
            let loaded = if recording.is_running() {
                chunks.read_settled(place, &mut records)
            } else {
                chunks.read(place, &mut records)
            };
            if let Err(loss) = loaded {
                read.losses.push(loss);
            }
            let mut decoder = DefinitionDecoder::new(&records, header.first_id, &mut model);
            let mut epoch = header.epoch;
            let base = read.nodes.len();
            let stop = loop {
                match decoder.next_definition() {
                    Ok(Definition::Node { parent, pc, kind, .. }) => {
                        read.nodes.push(Defined::Native(Node { parent, pc, kind, epoch }))
                    }
                    Ok(Definition::PythonNode { parent, code, instruction, entry, .. }) => {
                        read.nodes.push(Defined::Python(PythonNode { parent, code, instruction, entry }))
                    }
                    Ok(Definition::Merged { native, python, .. }) => {
                        read.nodes.push(Defined::Merged(Pair { native, python }))
                    }
                    Ok(Definition::CodeObject(code)) => read.python.add_code(&code),
                    Ok(Definition::CodeLines(lines)) => read.python.add_lines(&lines),
                    Ok(Definition::Interpreter(interpreter)) => read.python.add_interpreter(&interpreter),
                    Ok(Definition::EvalLoop(code)) => read.python.add_loop(&code),
                    Ok(Definition::Module(module)) => read.modules.push(Module::new(&module)),
                    Ok(Definition::ModuleGone { number, epoch }) => {
                        let first = gone.entry(number).or_insert(epoch);
                        *first = epoch.min(*first);
                    }
                    Ok(Definition::Epoch(now)) => epoch = now,
                    Err(stop) => break stop,
                }
            };
            if !recording.is_running() {
                read.losses.extend(Loss::of_stop(place.number, stop));
            }
            read.bytes_used += (CHUNK_HEADER + decoder.position()) as u64;
            read.add_block(header.first_id, base);
        }
        for module in &mut read.modules {
            module.gone = gone.get(&module.number).copied();
            // The loader has no name for the program itself, and the kernel tells none after chroot or without /proc.
            if module.path.as_os_str().is_empty() {
                module.path = recording.exe.clone().unwrap_or_default();
            }
        }
        read.map = ModuleMap::new(&read.modules);
        read.python.finish();
        read
    }

    /// The nodes from `base` on have the ids from `first` on. Of two chunks with the same ids the first one counts.
    fn add_block(&mut self, first: u32, base: usize) {
        let number = (first / IDS_PER_CHUNK) as usize;
        if self.blocks.len() <= number {
            self.blocks.resize(number + 1, Block::default());
        }
        if self.blocks[number].len == 0 {
            self.blocks[number] = Block { first, len: (self.nodes.len() - base) as u32, base };
        }
    }

    /// Nodes in all.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The place of a frame among all, below [`Definitions::node_count`].
    pub fn index(&self, id: StackId) -> Option<usize> {
        let block = self.blocks.get((id.0 / IDS_PER_CHUNK) as usize)?;
        let offset = id.0.checked_sub(block.first)?;
        (offset < block.len).then_some(block.base + offset as usize)
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
