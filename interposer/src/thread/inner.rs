//! What a function behind a hook does with malloc while it serves the hook's caller.
//!
//! musl's calloc calls malloc: nothing of that is the program's. Python's allocators take from malloc the memory in
//! which a block lies, which is recorded as the block, and further memory of their own, which is recorded as arenas
//! are; what they give back is the block, or something else.
//!
//! The [`Serving`] of a hook lies on its stack, and its address in the thread's memory says how deep that is.

use super::{Level, Thread, enter};
use crate::real::{self, Code};
use core::ptr::null_mut;
use core::sync::atomic::{Ordering::SeqCst, compiler_fence};
use recording::{Address, StackId};

/// Stack between a hook and the calls of our hooks by the function behind it: far more than any takes.
const DEPTH: usize = 64 << 10;
/// Blocks of malloc that are remembered until it is known whether the block is in one of them: pymalloc takes at
/// most three others.
const TAKEN: usize = 4;
/// A block begins at most so far within the block of malloc that it is in, where malloc does not say how large that is.
const HEADER: usize = 64;

/// A call of a function behind a hook.
pub(super) struct Serving {
    code: &'static Code,
    /// What is served when this is: a hook that a signal handler interrupted.
    outer: *mut Serving,
    /// Whether what it takes and gives back has to be told from the block.
    keeps: bool,
    /// Between the begin and the end of a realloc that is recorded.
    reallocating: bool,
    count: usize,
    /// The block that is given back, 0 if none is.
    given_back: usize,
    /// What malloc has handed out: addresses and sizes.
    taken: [(usize, usize); TAKEN],
}

impl Serving {
    #[inline(always)]
    fn new(code: &'static Code, given_back: usize, keeps: bool) -> Serving {
        Serving {
            code,
            outer: null_mut(),
            keeps,
            reallocating: false,
            count: 0,
            given_back,
            taken: [(0, 0); TAKEN],
        }
    }
}
