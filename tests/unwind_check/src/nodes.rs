//! Sinks for captures: one that interns nodes, as the recorder does, and one that lists the frames of one stack.

use interposer::stack::Sink;
use recording::{Address, FrameKind, Module, StackId};

#[derive(Clone, Copy)]
pub struct Node {
    pub parent: StackId,
    pub pc: u64,
    pub kind: FrameKind,
}

/// 2^20 nodes; when they are used up, the thread begins anew.
const BITS: u32 = 20;

/// Interned nodes of one thread. Valid when all zero.
pub struct Nodes {
    count: u32,
    pub modules: u32,
    pub unloads: u32,
    index: [u32; 2 << BITS],
    nodes: [Node; 1 << BITS],
}

impl Nodes {
    pub fn nearly_full(&self) -> bool {
        self.count as usize + 2048 > self.nodes.len()
    }

    pub fn clear(&mut self) {
        self.count = 0;
        self.index.fill(0);
    }

    pub fn get(&self, id: StackId) -> Option<Node> {
        let at = id.0.checked_sub(StackId::FIRST.0)?;
        self.nodes.get(at as usize).copied().filter(|_| at < self.count)
    }
}

impl Sink for Nodes {
    fn epoch(&mut self, _: u32) {}

    fn node(&mut self, parent: StackId, pc: Address, kind: FrameKind, _: [u64; 2]) -> StackId {
        let hash =
            (pc.0 ^ (parent.0 as u64).rotate_left(40) ^ kind as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut slot = (hash >> (63 - BITS)) as usize;
        while self.index[slot] != 0 {
            let at = self.index[slot] - 1;
            let node = self.nodes[at as usize];
            if node.parent == parent && node.pc == pc.0 && node.kind == kind {
                return StackId(at + StackId::FIRST.0);
            }
            slot = (slot + 1) % self.index.len();
        }
        self.nodes[self.count as usize] = Node { parent, pc: pc.0, kind };
        self.count += 1;
        self.index[slot] = self.count;
        StackId(self.count - 1 + StackId::FIRST.0)
    }

    fn module(&mut self, _: &Module) {
        self.modules += 1;
    }

    fn module_gone(&mut self, _: u32, _: u32) {
        self.unloads += 1;
    }
}

/// The frames of one stack, outermost first, as they are announced.
pub struct Frames<'a> {
    pub nodes: &'a mut [Node],
    pub len: usize,
}

impl Sink for Frames<'_> {
    fn epoch(&mut self, _: u32) {}

    fn node(&mut self, parent: StackId, pc: Address, kind: FrameKind, _: [u64; 2]) -> StackId {
        self.nodes[self.len] = Node { parent, pc: pc.0, kind };
        self.len += 1;
        StackId(StackId::FIRST.0 + self.len as u32)
    }

    fn module(&mut self, _: &Module) {}

    fn module_gone(&mut self, _: u32, _: u32) {}
}
