//! What a function behind a hook does with malloc while it serves the hook's caller.
//!
//! musl's calloc calls malloc: nothing of that is the program's. Python's allocators take from malloc the memory that
//! a block lies in, which is recorded as that block, and memory of their own, which is recorded as arenas are; what
//! they give back may be either.

use super::{Moved, Spacing, Thread, enter_allocation, no_space};
use crate::python::collector;
use crate::real::{self, Code};
use crate::stack::Caller;
use crate::table;
use core::ffi::c_void;
use core::sync::atomic::{Ordering::SeqCst, compiler_fence};
use recording::{Address, StackId};

/// Stack between a hook and the calls of our hooks by the function behind it: far more than any takes.
const DEPTH: usize = 64 << 10;
/// Blocks of malloc that are remembered until the one that holds the block is known. pymalloc takes at most three
/// others; of more the first are taken for others.
const TAKEN: usize = 4;
/// How large a block of malloc is taken to be where malloc does not say: a header for debugging is shorter.
const HEADER: usize = 64;

/// A call of a function behind a hook. All zero is none.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Serving {
    /// The function's code.
    code: Option<&'static Code>,
    /// Stack pointer of the hook.
    sp: usize,
    /// The block that the function is given back, 0 if none.
    given_back: usize,
    /// Whether blocks are made of what it takes; else nothing of it is recorded.
    makes_blocks: bool,
    /// Between the two halves of a realloc that is recorded: what is moved.
    moved: Moved,
    /// So many of `taken`.
    count: usize,
    /// What malloc has handed out: addresses and sizes.
    taken: [(usize, usize); TAKEN],
}

/// Whether memory of malloc holds a block, which may be of no size and lie at its end.
fn holds((address, size): (usize, usize), block: usize) -> bool {
    block.wrapping_sub(address) <= size
}

impl Serving {
    /// It is over, or was left.
    pub fn end(&mut self) {
        self.code = None;
    }

    /// Remembers a block; returns the first one where that is too many.
    fn take(&mut self, block: usize, size: usize) -> Option<(usize, usize)> {
        if let Some(place) = self.taken.get_mut(self.count) {
            *place = (block, size);
            self.count += 1;
            return None;
        }
        self.taken.rotate_left(1);
        Some(core::mem::replace(&mut self.taken[TAKEN - 1], (block, size)))
    }

    /// Forgets a block; whether it was remembered.
    fn give_back(&mut self, block: usize) -> bool {
        let taken = self.taken.get_mut(..self.count).unwrap_or(&mut []);
        let Some(place) = taken.iter().position(|&(address, _)| address == block) else { return false };
        taken.copy_within(place + 1.., place);
        self.count -= 1;
        true
    }

    /// Whether malloc's `block` holds the one that the function is given back.
    fn holds_given_back(&self, block: usize) -> bool {
        // SAFETY: a block that is about to be given to the real allocator.
        let size = || match unsafe { real::usable_size(block) } {
            0 => HEADER,
            size => size,
        };
        self.given_back != 0 && holds((block, size()), self.given_back)
    }
}

impl Thread {
    /// Whether a hook was called by the function that this thread is in behind another one. The return address says
    /// so: a signal handler's calls are the program's; and the depth: a handler may have left the function by
    /// siglongjmp.
    ///
    /// # Safety
    /// `sp` must be the stack pointer at the hook's first instruction, where the return address is.
    #[inline(always)]
    pub unsafe fn is_inner_call(self, sp: usize) -> bool {
        // SAFETY: null or the thread's own memory, of which a word is read; the rest is handed to the caller.
        unsafe { !self.0.is_null() && (*self.0).kept.serving.code.is_some() && self.is_called_in_serving(sp) }
    }

    /// # Safety
    /// As for [`Thread::is_inner_call`], for a thread that has memory.
    #[cold]
    #[inline(never)]
    unsafe fn is_called_in_serving(self, sp: usize) -> bool {
        // SAFETY: handed to the caller.
        let (serving, pc) = unsafe { (&(*self.0).kept.serving, *(sp as *const usize)) };
        let is_called_by = |code: &Code| code.contains(pc) || real::OURS.contains(pc);
        serving.code.is_some_and(|code| serving.sp.wrapping_sub(sp) < DEPTH && is_called_by(code))
    }

    /// Runs a real function that calls others of its own by their public names: such calls from its `code` are not
    /// recorded. `sp` is a stack pointer of the calling hook.
    #[inline(always)]
    pub fn quietly<R>(self, code: &'static Code, sp: usize, call: impl FnOnce() -> R) -> R {
        self.during(code, sp, None, call)
    }

    /// Runs a function that makes blocks of what it takes from malloc: such calls from its `code` are part of the block
    /// that it returns, or of the one that it is given back (0 if none), or else memory of its own. `sp` is the
    /// stack pointer at the hook's first instruction.
    #[inline(always)]
    pub fn serve(
        self,
        code: &'static Code,
        sp: usize,
        given_back: usize,
        call: impl FnOnce() -> *mut c_void,
    ) -> *mut c_void {
        self.during(code, sp, Some(given_back), || {
            let block = call();
            // SAFETY: null or the thread's own memory; `call` is over, and with it all hooks that used it.
            if let Some(level) = unsafe { self.0.as_mut() }
                && level.kept.serving.count != 0
            {
                let Serving { taken, count, .. } = level.kept.serving;
                self.record_others(taken.get(..count).unwrap_or(&[]), block as usize, sp);
            }
            block
        })
    }

    /// `given_back` is that of a function that makes blocks.
    #[inline(always)]
    fn during<R>(
        self,
        code: &'static Code,
        sp: usize,
        given_back: Option<usize>,
        call: impl FnOnce() -> R,
    ) -> R {
        // SAFETY: null or the thread's own memory; the reference is not used while `call` runs.
        let serving = || unsafe { self.0.as_mut() }.map(|level| &mut level.kept.serving);
        let mut outer = None;
        if let Some(serving) = serving() {
            // Above us on the stack is what a signal handler interrupted; below us what one has left.
            if serving.code.is_some() && serving.sp > sp {
                outer = Some(*serving);
            }
            serving.code = Some(code);
            serving.sp = sp;
            serving.given_back = given_back.unwrap_or(0);
            serving.makes_blocks = given_back.is_some();
            serving.moved = Moved::NOTHING;
            serving.count = 0;
        }
        compiler_fence(SeqCst);
        let result = call();
        compiler_fence(SeqCst);
        if let Some(serving) = serving() {
            match outer {
                None => serving.end(),
                Some(outer) => *serving = outer,
            }
        }
        result
    }

    /// Records those of malloc's blocks that `block` is not in.
    #[cold]
    #[inline(never)]
    fn record_others(self, taken: &[(usize, usize)], block: usize, sp: usize) {
        for &(address, size) in taken {
            if !holds((address, size), block) {
                self.arena(address, size, sp, Moved::NOTHING);
            }
        }
    }

    /// Memory was handed out that blocks are made of, or that the making of blocks needs.
    fn arena(self, at: usize, size: usize, sp: usize, moved: Moved) {
        let Some((entered, clock_ms)) = enter_allocation(self.0, sp, moved.is_something()) else { return };
        let level = &mut *entered.0;
        let (address, size) = (Address(at as u64), size as u64);
        let Some(place) = table::prepare(address, size, Spacing::of_malloc()) else { return no_space() };
        level.say_thread();
        level.record_allocated(address, size, StackId::ARENA, place, moved, clock_ms);
    }

    /// malloc has handed out a block in an inner call.
    #[cold]
    #[inline(never)]
    pub(super) fn inner_allocated(self, block: usize, size: usize, sp: usize) {
        // SAFETY: null or the thread's own memory, which no other hook uses now.
        let Some(serving) = (unsafe { self.0.as_mut() }).map(|level| &mut level.kept.serving) else { return };
        let moved = core::mem::replace(&mut serving.moved, Moved::NOTHING);
        if moved.is_something() {
            self.arena(block, size, sp, moved);
        } else if serving.makes_blocks
            && let Some((first, size)) = serving.take(block, size)
        {
            self.arena(first, size, sp, Moved::NOTHING);
        }
    }

    /// malloc is about to be given back a block in an inner call.
    #[cold]
    #[inline(never)]
    pub(super) fn inner_freed(self, block: usize, sp: usize) {
        if self.is_other(block) {
            self.freed(block, sp, collector::state(), || 0);
        }
    }

    /// malloc is about to be given a block for realloc in an inner call.
    #[cold]
    #[inline(never)]
    pub(super) fn inner_moving(self, block: usize, sp: usize) -> Moved {
        if !self.is_other(block) {
            return Moved::NOTHING;
        }
        let moved = self.moving(block, sp, || 0);
        // SAFETY: as in `inner_allocated`.
        if let Some(serving) = (unsafe { self.0.as_mut() }).map(|level| &mut level.kept.serving) {
            serving.moved = moved;
        }
        moved
    }

    /// Whether a block that is given back in an inner call is recorded, and not part of one that blocks are made of.
    fn is_other(self, block: usize) -> bool {
        // SAFETY: as in `inner_allocated`.
        let Some(serving) = (unsafe { self.0.as_mut() }).map(|level| &mut level.kept.serving) else {
            return false;
        };
        serving.makes_blocks && !serving.give_back(block) && !serving.holds_given_back(block)
    }

    /// The realloc begun last in an inner call failed.
    #[cold]
    #[inline(never)]
    pub(super) fn inner_realloc_failed(self, sp: usize) {
        // SAFETY: as in `inner_allocated`.
        let Some(serving) = (unsafe { self.0.as_mut() }).map(|level| &mut level.kept.serving) else { return };
        let moved = core::mem::replace(&mut serving.moved, Moved::NOTHING);
        if moved.is_something() {
            self.realloc_failed(moved, sp);
        }
    }

    /// Memory was mapped for the caller of a hook: in an inner call to make blocks of, else as a block.
    ///
    /// # Safety
    /// `caller` must be that of a hook.
    #[cold]
    pub unsafe fn mapped(self, at: usize, size: usize, caller: Caller) {
        let sp = caller.sp as usize - 8;
        // SAFETY: handed to the caller.
        if unsafe { self.is_inner_call(sp) } {
            self.arena(at, size, sp, Moved::NOTHING);
        } else {
            self.allocated(at, size, caller, Spacing::Unknown, Moved::NOTHING, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving() -> Serving {
        Serving {
            code: None,
            sp: 0,
            given_back: 0,
            makes_blocks: true,
            moved: Moved::NOTHING,
            count: 0,
            taken: [(0, 0); TAKEN],
        }
    }

    #[test]
    fn what_was_taken_is_remembered_until_it_is_given_back() {
        let mut serving = serving();
        for block in 1..=TAKEN {
            assert_eq!(serving.take(block, 10 * block), None);
        }
        assert_eq!(serving.take(100, 1000), Some((1, 10)), "the first of too many");
        assert!(serving.give_back(3) && !serving.give_back(3) && !serving.give_back(1));
        assert_eq!(serving.taken[..serving.count], [(2, 20), (4, 40), (100, 1000)]);
        assert_eq!(serving.take(5, 50), None);
        assert_eq!(serving.taken[..serving.count], [(2, 20), (4, 40), (100, 1000), (5, 50)]);
    }

    #[test]
    fn memory_holds_the_blocks_within_it() {
        let memory = (1000, 64);
        for (block, is_held) in
            [(999, false), (1000, true), (1032, true), (1064, true), (1065, false), (0, false)]
        {
            assert_eq!(holds(memory, block), is_held, "{block}");
        }
    }

    #[test]
    fn what_is_given_back_is_told_from_other_memory() {
        let (block, other) = (vec![0u8; 100], vec![0u8; 100]);
        let mut serving = Serving { given_back: block.as_ptr() as usize + 16, ..serving() };
        assert!(serving.holds_given_back(block.as_ptr() as usize));
        assert!(!serving.holds_given_back(other.as_ptr() as usize));
        serving.given_back = 0;
        assert!(!serving.holds_given_back(block.as_ptr() as usize), "nothing is given back");
    }
}
