//! The numbers that name places: addresses, stacks, shards. A bare `u64` crosses no module boundary as one.

use crate::layout::SHARDS;

/// An address in the recorded process. Of a block, or of code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Address(pub u64);

/// A stack of one process: the innermost frame's node. Ids below [`StackId::FIRST`] are no frames but say why
/// a stack ends (see [`crate::EndReason`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct StackId(pub u32);

impl StackId {
    /// The first id that is a frame: the first of the second block, since blocks are claimed whole.
    pub const FIRST: StackId = StackId(crate::layout::IDS_PER_CHUNK);

    /// In place of an event's stack: the block is memory from which Python's allocator carves its objects (an arena),
    /// which are recorded themselves.
    pub const ARENA: StackId = StackId(64);

    /// In place of the stack of a [mapping's](crate::resource::Resource::Mapping) event: the range is not mapped any more.
    pub const UNMAPPED: StackId = StackId(65);

    /// Whether this is a frame and not the end of a stack.
    pub const fn is_frame(self) -> bool {
        self.0 >= Self::FIRST.0
    }
}

/// The sequence counter that orders events of this address: all events of one address share a counter, and
/// neighbouring blocks do too, so that a thread that works in its own arena seldom meets another thread's stamps.
#[inline(always)]
pub const fn shard_of(address: Address) -> usize {
    ((address.0 >> 16) ^ (address.0 >> 26)) as usize & (SHARDS - 1)
}
