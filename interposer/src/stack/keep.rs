//! The stack that was unwound becomes the kept one, and its new frames get their ids, from the outermost inward.
//!
//! Frames whose ids are known to the sink are kept in one loop, since in deep recursion all of a stack's frames may be new.

use core::sync::atomic::{Ordering::SeqCst, compiler_fence};

use recording::{Address, EndReason, StackId};

use super::{Capture, Frame, MAX_FRAMES, Plan, Sink};

/// Frames of a capture that are fetched ahead: of more, the processor itself is ahead by a few.
const AHEAD: usize = 8;

/// A stack that is put together: of its outermost frame so far, what those inward of it depend on.
struct Chain {
    /// Its frames so far.
    kept: usize,
    /// Those to come: so many of the fresh ones, of which the last is next.
    fresh: usize,
    parent: StackId,
    bp_need: u64,
    path: u64,
}

impl Capture {
    /// Where the hash of kept frame `index` is.
    #[inline(always)]
    fn path_of(index: usize) -> usize {
        MAX_FRAMES - 1 - (index & (MAX_FRAMES - 1))
    }

    /// Makes the planned stack the kept one and gives its new frames their ids.
    pub(super) fn keep(&mut self, plan: Plan, sink: &mut impl Sink) -> StackId {
        // Frames above are overwritten: the kept stack must not include them at any instant.
        self.len = plan.kept;
        if self.interrupted > plan.kept {
            self.interrupted = 0;
        }
        compiler_fence(SeqCst);
        let (parent, bp_need, path) = match plan.kept.checked_sub(1) {
            Some(top) => {
                let frame = self.frame(top);
                (StackId(frame.id), frame.bp_need, self.paths[Capture::path_of(top)])
            }
            None => {
                self.end = plan.end.id().0;
                (plan.end.id(), Frame::NONE, self.end.into())
            }
        };
        if plan.kept == 0 && plan.end == EndReason::TooDeep {
            self.fresh[plan.fresh.wrapping_sub(1) & (MAX_FRAMES - 1)].flags |= Frame::CUT;
        }
        // An id is looked up with that of the caller, but what is to be looked at is known before.
        let mut soon = path;
        for frame in self.fresh.get(..plan.fresh).unwrap_or(&[]).iter().rev().take(AHEAD) {
            soon = path_to(frame.pc, soon);
            sink.expect(soon);
        }
        let mut chain = Chain { kept: plan.kept, fresh: plan.fresh, parent, bp_need, path };
        let mut recorded = true;
        while self.keep_known(&mut chain, sink) {
            recorded &= self.keep_next(&mut chain, sink);
        }
        let (len, parent) = (chain.kept, chain.parent);
        compiler_fence(SeqCst);
        // What could not be recorded is tried again next time.
        self.len = if recorded { len } else { plan.kept };
        parent
    }

    /// Makes fresh frames kept ones that have known ids; false if there are no more.
    #[inline(always)]
    fn keep_known(&mut self, chain: &mut Chain, sink: &mut impl Sink) -> bool {
        let Chain { kept, fresh, mut parent, mut bp_need, mut path } = *chain;
        let most = fresh.min(MAX_FRAMES.saturating_sub(kept));
        let mut left = most;
        // SAFETY: `most` fresh frames lie before the `fresh`th, and there is room for as many kept frames and hashes.
        unsafe {
            let mut from = self.fresh.as_ptr().add(fresh.min(MAX_FRAMES));
            let mut frame = self.frames.as_mut_ptr().add(kept.min(MAX_FRAMES));
            let mut place = self.paths.as_mut_ptr().add(MAX_FRAMES - kept.min(MAX_FRAMES));
            while left != 0 {
                from = from.sub(1);
                let (mut need, mut flags) = (bp_need, (*from).flags);
                // Nearly no frame has to do with rbp, or is more.
                if need != Frame::NONE || flags & (Frame::USES_RBP | Frame::SPECIAL) != 0 {
                    if flags & Frame::INTERRUPTED != 0 {
                        break;
                    }
                    (need, flags) = (*from).within(need);
                }
                let pc = (*from).pc;
                let hash = path_to(pc, path);
                let Some(id) = sink.known(parent, Address(pc), hash) else { break };
                place = place.sub(1);
                place.write(hash);
                frame.write(Frame { pc, sp: (*from).sp, bp_need: need, id: id.0, flags });
                frame = frame.add(1);
                (parent, bp_need, path) = (id, need, hash);
                left -= 1;
            }
        }
        let count = most - left;
        *chain = Chain { kept: kept + count, fresh: fresh - count, parent, bp_need, path };
        fresh != count
    }

    /// Makes the next fresh frame, which there is, a kept one. False if it could not be recorded.
    #[inline(never)]
    fn keep_next(&mut self, chain: &mut Chain, sink: &mut impl Sink) -> bool {
        chain.fresh -= 1;
        let from = self.fresh[chain.fresh & (MAX_FRAMES - 1)];
        let (bp_need, flags) = from.within(chain.bp_need);
        let path = path_to(from.pc, chain.path);
        // Its hash is asked for next.
        let callee = chain.fresh.checked_sub(1).and_then(|callee| self.fresh.get(callee));
        let next = callee.map_or(0, |callee| path_to(callee.pc, path));
        let id = sink.node(chain.parent, Address(from.pc), from.kind(), [path, next]);
        self.frames[chain.kept & (MAX_FRAMES - 1)] = Frame { bp_need, id: id.0, flags, ..from };
        self.paths[Capture::path_of(chain.kept)] = path;
        let kept = chain.kept + 1;
        if from.has(Frame::INTERRUPTED) && self.interrupted == 0 {
            self.interrupted = kept;
        }
        *chain = Chain { kept, fresh: chain.fresh, parent: id, bp_need, path };
        id.is_frame()
    }
}

/// A hash of frame `pc` and its callers, of whom `callers` is the hash; well mixed in its upper bits.
#[inline(always)]
fn path_to(pc: u64, callers: u64) -> u64 {
    (callers ^ pc).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
