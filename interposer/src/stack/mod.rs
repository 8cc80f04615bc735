//! Native stacks (placeholder: the caller alone; the unwinder is on its way).

use recording::{Address, EndReason, FrameKind, Module, StackId};

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

/// State at the instruction after the call of a hook.
pub struct Caller {
    /// Return address.
    pub pc: u64,
    /// Stack pointer after the return.
    pub sp: u64,
    /// Frame pointer at the call.
    pub bp: u64,
}

/// A thread's capture state.
#[repr(C)]
pub struct Capture {}

impl Capture {
    /// The stack of `caller`.
    pub fn take(&mut self, caller: Caller, sink: &mut impl Sink) -> StackId {
        sink.epoch(1);
        sink.node(EndReason::Unsupported.id(), Address(caller.pc), FrameKind::Return)
    }
    /// Node ids are void.
    pub fn forget(&mut self) {}
}
