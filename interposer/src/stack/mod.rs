//! Native stacks (skeleton; see the contract in the comments of `Sink`).

use recording::{Address, FrameKind, Module, StackId};

/// What a capture and the module map need of the recorder. Implemented by the log; by a vector in tests.
pub trait Sink {
    /// The nodes and modules that follow belong to this epoch of the module map.
    fn epoch(&mut self, epoch: u32);
    /// The id of frame `pc`, called by `parent` (a frame or an end reason).
    fn node(&mut self, parent: StackId, pc: Address, kind: FrameKind) -> StackId;
    /// A module was first seen; called before the first node within it.
    fn module(&mut self, module: &Module);
    /// A module is gone from this epoch on.
    fn module_gone(&mut self, number: u32, epoch: u32);
}
