//! The records: their tag bytes and what they mean. The only list of record kinds.

use crate::address::{Address, StackId};
use crate::long::{CodeLines, CodeObject, EvalLoop, Interpreter, Module};

/// Tag bits of an allocation: `1 r mm ss ii`.
pub(crate) const ALLOC: u8 = 0x80;
/// Allocation: it ends a realloc.
pub(crate) const ALLOC_REALLOC: u8 = 0x40;
/// Allocation: both stack and size are in the table of sites; the index follows.
pub(crate) const SITE_KNOWN: u8 = 0;
/// Allocation: the stack is in the table of stacks, whose index follows; the size is said.
pub(crate) const SITE_STACK: u8 = 1;
/// Allocation: stack and size are said.
pub(crate) const SITE_NEW: u8 = 2;
/// Allocation: as [`SITE_KNOWN`], and the stamp is one later than expected.
pub(crate) const SITE_KNOWN_GAP: u8 = 3;
/// Tag bits of a free: `01 r 1 iiii`, or `01 r 0 p kkk`.
pub(crate) const FREE: u8 = 0x40;
/// Free: it begins a realloc.
pub(crate) const FREE_REALLOC: u8 = 0x20;
/// Free: the address is in the table of recent allocations; the rest of its index follows.
pub(crate) const FREE_RECENT: u8 = 0x10;
/// Free: the region's place in the list is none: its distance from the latest region follows.
pub(crate) const REGION_NEW: u8 = 7;
/// Free by region: the class is the one that is expected. Of the first predictors it is [`FREE_GAP`].
pub(crate) const FREE_PREDICTED: u8 = 0x08;
/// Free by region, by the first predictors: the stamp is one later than expected.
pub(crate) const FREE_GAP: u8 = 0x08;
/// The next event's stamp is later than expected by 1 and the lower five bits.
pub(crate) const SHORT_GAP: u8 = 0x20;
/// The next event's stamp is not the expected one but this much later: varint.
pub(crate) const STAMP_GAP: u8 = 0x01;
/// The clock moved on by this many ms: varint.
pub(crate) const CLOCK: u8 = 0x02;
/// From here on the writer is this thread's: varint number, varint kernel thread id.
pub(crate) const THREAD: u8 = 0x03;
/// The thread's name: 15 bytes, filled up with 0.
pub(crate) const THREAD_NAME: u8 = 0x04;
/// A realloc of this block failed: it is as it was: u64 address.
pub(crate) const REALLOC_UNDO: u8 = 0x05;
/// A moment worth a name: varint, see [`mark`].
pub(crate) const MARK: u8 = 0x06;
/// This many events of this writer could not be recorded here: varint.
pub(crate) const LOST: u8 = 0x07;
/// What follows is said by the second predictors: the first record of a chunk from version 5 on.
pub(crate) const PREDICTORS: u8 = 0x08;
/// An allocation in full, when the short form would be too long: u32 stack, u64 address, u64 size.
pub(crate) const WIDE_ALLOC: u8 = 0x10;
/// The same for the end of a realloc.
pub(crate) const WIDE_REALLOC_END: u8 = 0x11;
/// A free in full: u64 address.
pub(crate) const WIDE_FREE: u8 = 0x12;
/// The same for the begin of a realloc.
pub(crate) const WIDE_REALLOC_BEGIN: u8 = 0x13;

/// Definitions: tag bits of a node: `1 p h k 0 iii`.
pub(crate) const NODE: u8 = 0x80;
/// Node: its parent is the node before it in this chunk.
pub(crate) const NODE_CHAINED: u8 = 0x40;
/// Node: the pc is in the table of pcs.
pub(crate) const NODE_KNOWN_PC: u8 = 0x20;
/// Node: the pc is no return address, see [`FrameKind`].
pub(crate) const NODE_INTERRUPTED: u8 = 0x10;
/// Definitions: tag bits of a Python node: `01 p e 0000`.
pub(crate) const PYTHON_NODE: u8 = 0x40;
/// Python node: its parent is the node before it in this chunk.
pub(crate) const PYTHON_CHAINED: u8 = 0x20;
/// Python node: the outermost Python frame of an evaluation loop.
pub(crate) const PYTHON_ENTRY: u8 = 0x10;
/// Definitions: a module, see [`Module`].
pub(crate) const MODULE: u8 = 0x20;
/// Definitions: a module is gone: varint number, varint epoch from which on.
pub(crate) const MODULE_GONE: u8 = 0x21;
/// Definitions: nodes from here on belong to this epoch of the module map: varint.
pub(crate) const EPOCH: u8 = 0x22;
/// Definitions: a native stack and the Python stack of its evaluation loops: a parent varint each.
pub(crate) const MERGED: u8 = 0x23;
/// Definitions: a code object, see [`CodeObject`].
pub(crate) const CODE_OBJECT: u8 = 0x24;
/// Definitions: more of a code object's line table, see [`CodeLines`].
pub(crate) const CODE_LINES: u8 = 0x25;
/// Definitions: a Python interpreter, see [`Interpreter`].
pub(crate) const INTERPRETER: u8 = 0x26;
/// Definitions: code of an interpreter's evaluation loop, see [`EvalLoop`].
pub(crate) const EVAL_LOOP: u8 = 0x27;

/// Marks that the interposer sets itself.
pub mod mark {
    /// The exit handlers of the process have begun.
    pub const EXIT: u64 = 1;
    /// From here on: what this writer does is done by Python's cyclic collector, up to [`COLLECTED`] or the chunk's end.
    pub const COLLECTING: u64 = 2;
    /// From here on it is not any more.
    pub const COLLECTED: u64 = 3;
    /// From here on: what follows happened in the epoch that is the mark less this, see [`crate::run`].
    pub const EPOCH: u64 = 256;
}

/// One record of an events chunk. An event of a block carries its stamp: the value of the block's shard counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A block was handed out.
    Alloc {
        /// The block.
        address: Address,
        /// Bytes asked for.
        size: u64,
        /// Where.
        stack: StackId,
        /// Order within the shard.
        stamp: u64,
    },
    /// A block is about to be given back.
    Free {
        /// The block.
        address: Address,
        /// Order within the shard.
        stamp: u64,
    },
    /// A block is about to be given to `realloc`.
    ReallocBegin {
        /// The block.
        address: Address,
        /// Order within the shard.
        stamp: u64,
    },
    /// `realloc` handed out a block, perhaps the same.
    ReallocEnd {
        /// The block.
        address: Address,
        /// Bytes asked for.
        size: u64,
        /// Where.
        stack: StackId,
        /// Order within the shard.
        stamp: u64,
    },
    /// The realloc of this block that the writer began last is void: the block is as it was.
    ReallocUndo {
        /// The block.
        address: Address,
        /// Order within the shard.
        stamp: u64,
    },
    /// The clock: monotonic ms.
    Clock(u64),
    /// The writer goes on as another thread's.
    Thread {
        /// Number of the thread, from 0 in the order of first events.
        number: u32,
        /// Kernel thread id.
        tid: u32,
    },
    /// The thread's name, filled up with 0.
    ThreadName([u8; 15]),
    /// A moment, see [`mark`].
    Mark(u64),
    /// This many events are missing here.
    Lost(u64),
}

impl Event {
    /// The block of an event and its place in the block's order; `None` for an event of no block.
    #[inline(always)]
    pub const fn place(&self) -> Option<(Address, u64)> {
        match *self {
            Event::Alloc { address, stamp, .. }
            | Event::Free { address, stamp }
            | Event::ReallocBegin { address, stamp }
            | Event::ReallocEnd { address, stamp, .. }
            | Event::ReallocUndo { address, stamp } => Some((address, stamp)),
            Event::Clock(_)
            | Event::Thread { .. }
            | Event::ThreadName(_)
            | Event::Mark(_)
            | Event::Lost(_) => None,
        }
    }

    /// Whether it is of no block but of a [resource](crate::resource).
    #[inline(always)]
    pub const fn is_of_resource(&self) -> bool {
        matches!(self.place(), Some((address, _)) if crate::resource::is_resource(address))
    }
}

/// What a node's pc is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FrameKind {
    /// A return address: the call is the instruction before it.
    Return,
    /// The instruction at which a signal interrupted the frame.
    Interrupted,
}

/// One record of a definitions chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Definition<'a> {
    /// A frame: `parent` called it.
    Node {
        /// Its id.
        id: StackId,
        /// The calling frame, or the end of the stack.
        parent: StackId,
        /// Where in the code.
        pc: Address,
        /// What `pc` is.
        kind: FrameKind,
    },
    /// A Python frame: `parent` called it, perhaps through native code.
    PythonNode {
        /// Its id.
        id: StackId,
        /// The calling Python frame, or the end of the stack.
        parent: StackId,
        /// Number of its [`CodeObject`]; 0: an evaluation loop that has no frame yet, or none any more.
        code: u32,
        /// Offset in the bytecode of the instruction that was executed last, bytes; -1 before the first one.
        instruction: i32,
        /// The outermost of the frames that one native frame of the evaluation loop executes.
        entry: bool,
    },
    /// One stack of native and Python frames.
    Merged {
        /// Its id.
        id: StackId,
        /// All native frames.
        native: StackId,
        /// The Python frames; an end reason alone says why there are none.
        python: StackId,
    },
    /// Code of a Python function, class or module.
    CodeObject(CodeObject<'a>),
    /// More of a code object's line table.
    CodeLines(CodeLines<'a>),
    /// A Python interpreter was found in the process.
    Interpreter(Interpreter<'a>),
    /// Where the code of an interpreter's evaluation loop is.
    EvalLoop(EvalLoop),
    /// A file was seen mapped.
    Module(Module<'a>),
    /// A module was unmapped.
    ModuleGone {
        /// Its number.
        number: u32,
        /// Nodes of this epoch and later are not in it.
        epoch: u32,
    },
    /// The epoch of the nodes that follow.
    Epoch(u32),
}

/// Why a stack has no further caller: the id of the outermost frame's parent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum EndReason {
    /// The unwind information says that there is none: the thread's first function.
    Complete = 0,
    /// Deeper than 1,024 frames.
    TooDeep = 1,
    /// Code without unwind information, and no frame pointer that checks out.
    NoUnwindInfo = 2,
    /// A frame that cannot be: it does not lie above the one it called, or has no return address.
    BadFrame = 3,
    /// Unwind information of a kind that is not evaluated.
    Unsupported = 4,
    /// The frame would lie outside the mapped stack.
    OutsideStack = 5,
    /// No stack was taken: the thread was already inside the recorder.
    NotCaptured = 6,
}

impl EndReason {
    /// The id that stands for it.
    pub const fn id(self) -> StackId {
        StackId(self as u32)
    }

    /// The reason with this id; `None` for a frame and for an id that this version does not know.
    pub const fn from_id(id: StackId) -> Option<EndReason> {
        Some(match id.0 {
            0 => EndReason::Complete,
            1 => EndReason::TooDeep,
            2 => EndReason::NoUnwindInfo,
            3 => EndReason::BadFrame,
            4 => EndReason::Unsupported,
            5 => EndReason::OutsideStack,
            6 => EndReason::NotCaptured,
            _ => return None,
        })
    }
}

/// What the counters in the file's header count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum LostKind {
    /// Events in a signal handler that interrupted the recorder of a thread already interrupted there.
    Nested = 0,
    /// Events before the recorder could begin, or of a thread for which it had no memory.
    NoWriter = 1,
    /// Events after the recording stopped.
    AfterStop = 2,
    /// Events that were recorded, but without their stack.
    Stack = 3,
    /// Forked children that could not begin a file of their own.
    Children = 4,
    /// Blocks at addresses that the live table has no place for: of more than 47 bits, or no multiples of 8.
    Table = 5,
    /// Allocations that were recorded, but not counted: see [`crate::counts`].
    Count = 6,
}

/// Why decoding ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Nothing more was written.
    End,
    /// The bytes end within a record that begins at this offset.
    Cut(usize),
    /// A tag that this version does not know, at this offset.
    UnknownTag(usize, u8),
    /// A record at this offset contradicts itself.
    Malformed(usize),
}
