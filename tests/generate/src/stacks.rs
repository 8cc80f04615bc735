//! The stacks of a generated program: a tree of callers, three further frames for each stack, all in one module that
//! nobody has the file of.

use std::io;

use recording::layout::{self, CHUNK, CHUNK_HEADER, ChunkKind, ROOM};
use recording::{
    Address, DefinitionEncoder, DefinitionModel, FrameKind, LONGEST, Memory, Module, Packed, Segment, StackId,
};

use crate::file::{BEGUN_MS, File, Page};

/// The module's path.
pub const MODULE: &str = "/opt/generated";
const BIAS: u64 = 0x5555_5555_4000;
/// Places of code that call, of which programs have fewer than stacks, and bytes between them.
const PLACES: u64 = 1 << 14;
const APART: u64 = 64;
/// Callers that have as many callees each, and stacks that each of them has.
const FAN: usize = 4;
/// Frames that a stack does not share.
const OWN: usize = 3;

/// Their ids.
pub struct Stacks {
    ids: Vec<StackId>,
    /// Blocks of ids in use.
    pub id_blocks: u32,
}

/// Offset in the module of the call that frame number `of` is in. What it returns to is the byte behind.
fn offset(of: u64) -> u64 {
    (of.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) % PLACES * APART
}

struct Definitions<'f> {
    file: &'f mut File,
    page: Page,
    at: usize,
    blocks: u32,
    model: Box<DefinitionModel>,
}

impl<'f> Definitions<'f> {
    fn begin(file: &'f mut File) -> Definitions<'f> {
        let (page, model) = (file.page(), Box::new(DefinitionModel::new(0)));
        let mut definitions = Definitions { file, page, at: CHUNK_HEADER, blocks: 0, model };
        definitions.begin_chunk();
        definitions
    }

    fn begin_chunk(&mut self) {
        self.blocks += 1;
        let first = self.blocks * layout::IDS_PER_CHUNK;
        self.page.begin(ChunkKind::Definitions, 0, self.blocks - 1, first, BEGUN_MS);
        self.model.begin_chunk(first, Memory::Whole);
        self.at = CHUNK_HEADER;
    }

    fn put(&mut self, record: Packed) {
        self.page.bytes[self.at..self.at + record.len()].copy_from_slice(&record.bytes()[..record.len()]);
        self.at += record.len();
    }

    fn module(&mut self) {
        let segment = Segment { address: 0, size: PLACES * APART + APART, offset: 0, flags: 5 };
        let module = Module {
            number: 0,
            epoch: 0,
            bias: BIAS,
            device: 0,
            inode: 0,
            raw_segments: &segment.to_bytes(),
            build_id: &[1, 2, 3, 4],
            path: MODULE.as_bytes(),
        };
        self.at += module.write(&mut self.page.bytes[self.at..self.at + LONGEST]);
    }

    fn node(&mut self, parent: StackId, number: u64) -> io::Result<StackId> {
        if CHUNK - self.at < ROOM {
            self.file.turn(&mut self.page)?;
            self.begin_chunk();
        }
        let id = self.model.next_id();
        let record = self.model.node(parent, Address(BIAS + offset(number) + 1), FrameKind::Return);
        self.put(record);
        Ok(id)
    }
}

/// The number of the caller of caller `index`, `None` of the outermost.
fn caller(index: usize) -> Option<usize> {
    (index > 0).then(|| (index - 1) / FAN)
}

impl Stacks {
    /// Writes their definitions.
    pub fn define(count: usize, file: &mut File) -> io::Result<Stacks> {
        let mut definitions = Definitions::begin(file);
        definitions.module();
        let mut callers = Vec::new();
        for index in 0..count.div_ceil(FAN) {
            let parent = caller(index).map_or(StackId(0), |caller| callers[caller]);
            callers.push(definitions.node(parent, index as u64)?);
        }
        let mut ids = Vec::with_capacity(count);
        for stack in 0..count {
            let mut node = callers[stack / FAN];
            for number in Self::own(stack) {
                node = definitions.node(node, number)?;
            }
            ids.push(node);
        }
        definitions.file.write(&definitions.page)?;
        Ok(Stacks { ids, id_blocks: definitions.blocks + 1 })
    }

    /// Numbers of the frames that a stack does not share, the outermost first.
    fn own(stack: usize) -> impl DoubleEndedIterator<Item = u64> {
        (0..OWN).map(move |frame| 1 << 40 | (stack * OWN + frame) as u64)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// The id of stack number `stack`.
    pub fn id(&self, stack: usize) -> StackId {
        self.ids[stack]
    }

    /// The offsets in the module of its frames' calls, innermost first.
    pub fn offsets(&self, stack: usize) -> Vec<u64> {
        let callers = std::iter::successors(Some(stack / FAN), |&index| caller(index));
        Self::own(stack).rev().chain(callers.map(|index| index as u64)).map(offset).collect()
    }
}
