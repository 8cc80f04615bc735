//! Stack nodes and modules of one process: what a stack id means.
//!
//! Nodes may be corrupt: a chain is followed for a bounded number of frames, and an unknown id ends it.
use std::collections::HashMap;
use std::path::PathBuf;

use recording::{
    Address, Definition, DefinitionDecoder, DefinitionModel, EndReason, FrameKind, StackId,
    layout::{CHUNK_HEADER, IDS_PER_CHUNK},
};

use super::loss::Loss;
use super::recording::Recording;

/// The recorder follows stacks of at most 1,024 frames; longer ones can only be cycles of a damaged file.
const DEEPEST: usize = 1100;

/// A frame of a stack.
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

/// A file that was mapped.
#[derive(Clone, Debug)]
pub struct Module {
    /// Number within the process.
    pub number: u32,
    /// The epoch in which it was first seen.
    pub epoch: u32,
    /// From this epoch on it was not mapped.
    pub gone: Option<u32>,
    /// Address in memory minus address in the file.
    pub bias: u64,
    /// Path as the loader had it.
    pub path: PathBuf,
    /// Build-id, empty if there was none.
    pub build_id: Vec<u8>,
    /// Its loaded segments in memory: first address and the one behind the last.
    pub ranges: Vec<(u64, u64)>,
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
    nodes: Vec<Node>,
    /// The modules, as recorded.
    pub modules: Vec<Module>,
    map: ModuleMap,
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
            losses: Vec::new(),
            bytes_used: 0,
        };
        let mut gone: HashMap<u32, u32> = HashMap::new();
        let mut model = Box::new(DefinitionModel::new(0));
        let chunks = recording.chunks();
        let mut records = Vec::new();
        // A process that still runs may have begun more chunks since its file was opened.
        let again = if recording.is_running() { Recording::open(&recording.path).ok() } else { None };
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
                        read.nodes.push(Node { parent, pc, kind, epoch })
                    }
                    // Only their native frames are shown as yet.
                    Ok(Definition::PythonNode { parent, .. }) => {
                        let (pc, kind) = (Address(0), FrameKind::Return);
                        read.nodes.push(Node { parent, pc, kind, epoch })
                    }
                    Ok(Definition::Merged { native, .. }) => {
                        let unknown = Node { parent: native, pc: Address(0), kind: FrameKind::Return, epoch };
                        let node = read.node(native).copied().unwrap_or(unknown);
                        read.nodes.push(node)
                    }
                    Ok(
                        Definition::CodeObject(_)
                        | Definition::CodeLines(_)
                        | Definition::Interpreter(_)
                        | Definition::EvalLoop(_),
                    ) => {}
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
        }
        read.map = ModuleMap::new(&read.modules);
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

    /// The frame with this id.
    pub fn node(&self, id: StackId) -> Option<&Node> {
        Some(&self.nodes[self.index(id)?])
    }

    /// The frames of a stack, innermost first, and why it ends; `None` if the recording does not say.
    /// `each` is given the frame's place, see [`Definitions::index`], and says whether to go on.
    pub fn stack(&self, id: StackId, mut each: impl FnMut(usize, &Node) -> bool) -> Option<EndReason> {
        let mut id = id;
        for _ in 0..DEEPEST {
            if !id.is_frame() {
                return EndReason::from_id(id);
            }
            let index = self.index(id)?;
            let node = &self.nodes[index];
            if !each(index, node) {
                return None;
            }
            id = node.parent;
        }
        None
    }

    /// The module that a frame's code belongs to.
    pub fn module_of(&self, node: &Node) -> Option<usize> {
        self.map.find(&self.modules, lookup_address(node), node.epoch)
    }
}

/// The address to look a frame up by: a return address may be the first byte behind the caller.
pub fn lookup_address(node: &Node) -> u64 {
    match node.kind {
        FrameKind::Return => node.pc.0.wrapping_sub(1),
        FrameKind::Interrupted => node.pc.0,
    }
}

impl Module {
    fn new(module: &recording::Module) -> Module {
        use std::os::unix::ffi::OsStrExt;
        let ranges = module.segments().filter_map(|segment| {
            let start = segment.address.wrapping_add(module.bias);
            let end = start.checked_add(segment.size)?;
            (start < end).then_some((start, end))
        });
        Module {
            number: module.number,
            epoch: module.epoch,
            gone: None,
            bias: module.bias,
            path: std::ffi::OsStr::from_bytes(module.path).into(),
            build_id: module.build_id.to_vec(),
            ranges: ranges.collect(),
        }
    }

    fn mapped_in(&self, epoch: u32) -> bool {
        self.epoch <= epoch && self.gone.is_none_or(|gone| epoch < gone)
    }
}

/// Which modules cover an address: for each stretch between two bounds, the modules there, latest epoch first.
#[derive(Default)]
struct ModuleMap {
    starts: Vec<u64>,
    covering: Vec<Vec<u32>>,
}

impl ModuleMap {
    fn new(modules: &[Module]) -> ModuleMap {
        let ranges = modules.iter().flat_map(|module| module.ranges.iter());
        let mut starts: Vec<u64> = ranges.flat_map(|&(start, end)| [start, end]).collect();
        starts.sort_unstable();
        starts.dedup();
        let mut covering = vec![Vec::new(); starts.len()];
        for (index, module) in modules.iter().enumerate() {
            for &(start, end) in &module.ranges {
                let (from, to) =
                    (starts.partition_point(|&s| s < start), starts.partition_point(|&s| s < end));
                covering[from..to].iter_mut().for_each(|stretch: &mut Vec<u32>| stretch.push(index as u32));
            }
        }
        for stretch in &mut covering {
            stretch.sort_by_key(|&index| std::cmp::Reverse(modules[index as usize].epoch));
        }
        ModuleMap { starts, covering }
    }

    fn find(&self, modules: &[Module], address: u64, epoch: u32) -> Option<usize> {
        let stretch = self.starts.partition_point(|&start| start <= address).checked_sub(1)?;
        let found = self.covering[stretch].iter().find(|&&index| modules[index as usize].mapped_in(epoch))?;
        Some(*found as usize)
    }
}
