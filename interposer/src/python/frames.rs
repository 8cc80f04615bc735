//! Python stacks: from a thread's state to a stack id, without a lock, an allocation or a look at the bytecode.
//!
//! The last stack of the thread is kept. A new one is walked from its top only until it meets a kept frame; the rest
//! is taken over with its ids once every word that the walk would read there was found unchanged. What must stay true:
//! - A spliced stack equals the one that a full walk gives: words are compared from the frame that was met outward,
//!   so that no frame is read before one that is known to be alive led to it.
//! - The kept stack is valid at every instant: a signal may interrupt a walk, and its handler never return.
//! - All-zero memory is a valid [`Chain`].
//!
//! A thread's own frames are what it executes: no other thread changes them, with or without the GIL. Only a signal
//! handler sees them between two of the interpreter's stores; beneath one, the kernel is asked before a page is read.

mod view;

use core::sync::atomic::{Ordering::SeqCst, compiler_fence};

use recording::{EndReason, StackId};

use self::view::{Frame, View};
use super::code::{self, Kind, Scratch};
use super::memory::is_plausible;
use super::state;
use super::version::FrameForm;
use super::{Sink, found, runtimes};

/// Deeper stacks are cut to their innermost frames.
const MAX_FRAMES: usize = 1024;
/// Where a deeper stack is cut: at a multiple of this depth, so that stacks of nearly the same depth share nodes.
const CUT_STEP: usize = MAX_FRAMES / 2;
/// More frames than any stack has: a chain as long is a ring.
const MOST_FRAMES: usize = 1 << 24;
/// Log2 of the places that remember where a frame was kept.
const HINT_BITS: u32 = 11;

/// What a thread keeps for its Python stacks.
#[repr(C)]
pub struct Chain {
    /// The kept stack: so many of `frames`, outermost first.
    len: usize,
    /// Frames outward of the kept ones, and the address of the first; 0 if the stack is whole.
    cut: usize,
    beyond: u64,
    /// The epoch of code objects for which the ids hold.
    epoch: u32,
    /// The interpreter whose frames they are.
    interpreter: u32,
    /// The last merged stack and what it is made of.
    merged: [StackId; 3],
    /// Interpreters that this writer has seen to be described.
    described: usize,
    /// Inside a function of the interpreter that gives the thread's state, and may allocate what it keeps that in.
    asking: bool,
    /// For a hash of a frame's address, where in `frames` it may be.
    hints: [u16; 1 << HINT_BITS],
    frames: [Frame; MAX_FRAMES],
    /// The frames of the walk under way that are not taken over, innermost first.
    fresh: [Frame; MAX_FRAMES],
    scratch: Scratch,
}

/// How the stack of a walk is put together: `kept` frames of the last one, then the `fresh` ones.
struct Plan {
    kept: usize,
    fresh: usize,
    end: EndReason,
    /// If none are kept: frames outward of the fresh ones, and the address of the first.
    cut: usize,
    beyond: u64,
}

impl Plan {
    fn whole(fresh: usize, end: EndReason) -> Plan {
        Plan { kept: 0, fresh, end, cut: 0, beyond: 0 }
    }
}

/// Frames outward of those that are kept of a stack of this depth.
fn cut_of(depth: usize) -> usize {
    if depth <= MAX_FRAMES { 0 } else { (depth / CUT_STEP - 1) * CUT_STEP }
}

#[inline(always)]
fn hint_of(at: u64) -> usize {
    ((at >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HINT_BITS)) as usize
}

impl Chain {
    /// Ids are void: in a forked child, of another thread, or because a walk was left.
    pub fn forget(&mut self) {
        if self.described == 0 && !self.asking {
            // It was never used, and its page need not be there.
            return;
        }
        self.len = 0;
        self.merged = [StackId(0); 3];
        self.described = 0;
        self.asking = false;
    }

    /// Another level of this thread may be inside a function of the interpreter, which allocates: no further walk
    /// may go there.
    pub fn ask_not_within(&mut self, other: &Chain) {
        self.asking = other.asking;
    }

    /// Whether the thread runs Python code: with the GIL, or attached to the interpreter.
    #[cold]
    pub fn is_running(&mut self) -> bool {
        if self.asking {
            return false;
        }
        runtimes().any(|runtime| {
            runtime
                .walked()
                .is_some_and(|(layout, states)| state::is_current(states, layout, &mut self.asking))
        })
    }

    /// The id of the stack whose native frames are `native`, with the Python frames that they execute.
    /// `interrupted`: a signal interrupted one of the native frames.
    #[inline(always)]
    pub fn take(&mut self, native: StackId, interrupted: bool, sink: &mut impl Sink) -> StackId {
        if found() == 0 { native } else { self.take_python(native, interrupted, sink) }
    }

    #[inline(never)]
    fn take_python(&mut self, native: StackId, interrupted: bool, sink: &mut impl Sink) -> StackId {
        if self.described != found() {
            self.described = found();
            super::describe(sink);
        }
        if self.asking || !native.is_frame() {
            return native;
        }
        for runtime in runtimes() {
            let Some((layout, states)) = runtime.walked() else { continue };
            let thread = state::of_this_thread(states, layout, &mut self.asking);
            if thread == 0 || runtime.is_finalized_by_other(thread) {
                continue;
            }
            let kind = Kind { interpreter: runtime.number, code_type: runtime.code_type, layout };
            let python = self.stack_of(kind, interrupted, thread, sink);
            return match python {
                None => native,
                Some(python) => self.merge(native, python, sink),
            };
        }
        native
    }

    #[inline(always)]
    fn merge(&mut self, native: StackId, python: StackId, sink: &mut impl Sink) -> StackId {
        let [last_native, last_python, last] = self.merged;
        if last_native == native && last_python == python {
            return last;
        }
        let merged = sink.merged(native, python);
        if !merged.is_frame() {
            return native;
        }
        // The pair must at no instant stand before an id that is not its own.
        self.merged[0] = StackId(0);
        compiler_fence(SeqCst);
        (self.merged[1], self.merged[2]) = (python, merged);
        compiler_fence(SeqCst);
        self.merged[0] = native;
        merged
    }

    /// The id of the Python frames of thread state `thread`; `None` if it has none. `careful`: a signal interrupted it.
    #[inline(always)]
    fn stack_of(&mut self, kind: Kind, careful: bool, thread: u64, sink: &mut impl Sink) -> Option<StackId> {
        let epoch = code::epoch();
        if self.epoch != epoch || self.interpreter != kind.interpreter {
            self.len = 0;
            compiler_fence(SeqCst);
            (self.epoch, self.interpreter) = (epoch, kind.interpreter);
        }
        let view = View { layout: kind.layout, careful };
        let top = match view.current_frame(thread) {
            Some(0) => return None,
            Some(top) => top,
            None => return Some(EndReason::BadFrame.id()),
        };
        let plan = self.walk(view, top);
        Some(self.keep(plan, view, kind, sink))
    }

    #[inline(always)]
    fn frame(&self, index: usize) -> &Frame {
        &self.frames[index & (MAX_FRAMES - 1)]
    }

    /// Which of the first `usable` kept frames is at this address, if one can be found.
    #[inline(always)]
    fn kept_at(&self, at: u64, usable: usize) -> Option<usize> {
        let index = usize::from(self.hints[hint_of(at)]);
        (index < usable && self.frame(index).at == at).then_some(index)
    }

    /// Compares what a walk would read from kept frame `index` outward with what it read then. `Err`: the first frame
    /// that is another. Not inlined: its loop needs all registers.
    #[inline(never)]
    fn verify(&self, view: View, index: usize) -> Result<(), usize> {
        // A loop for each form, without a question in it.
        match view.layout.form {
            FrameForm::Own => self.verify_as(FrameForm::Own, view, index),
            FrameForm::Flag => self.verify_as(FrameForm::Flag, view, index),
            FrameForm::Shim => self.verify_as(FrameForm::Shim, view, index),
        }
    }

    #[inline(always)]
    fn verify_as(&self, form: FrameForm, view: View, index: usize) -> Result<(), usize> {
        let is_other = view.comparison(form);
        let kept = self.frames.get(..=index).unwrap_or(&[]);
        for (inward, pair) in kept.windows(2).rev().enumerate() {
            let [caller, kept] = pair else { continue };
            if is_other(kept, caller.at) || view.careful && !view.may_be_frame(caller.at) {
                return Err(index - inward);
            }
        }
        if is_other(self.frame(0), self.beyond) { Err(0) } else { Ok(()) }
    }

    /// Walks from the frame at `top` until the kept stack can take over, or to the end.
    #[inline(always)]
    fn walk(&mut self, view: View, top: u64) -> Plan {
        let (mut at, mut fresh, mut usable) = (top, 0, self.len);
        loop {
            if at == 0 {
                return Plan::whole(fresh, EndReason::Complete);
            }
            if !view.may_be_frame(at) {
                return Plan::whole(fresh, EndReason::BadFrame);
            }
            if let Some(index) = self.kept_at(at, usable) {
                let last = match self.verify(view, index) {
                    Ok(()) => {
                        let depth = self.cut + index + 1 + fresh;
                        if cut_of(depth) == self.cut {
                            return Plan { kept: index + 1, ..Plan::whole(fresh, EndReason::Complete) };
                        }
                        return self.cut_again(view, index, fresh, depth);
                    }
                    Err(last) => last,
                };
                if last != index {
                    (at, fresh) = self.carry(index, last, fresh);
                }
                usable = last;
                if fresh != MAX_FRAMES {
                    at = self.read_again(view, last, fresh);
                    fresh += 1;
                    continue;
                }
            }
            if fresh == MAX_FRAMES {
                return self.count(view, at);
            }
            self.fresh[fresh & (MAX_FRAMES - 1)] = view.read(at);
            fresh += 1;
            at = view.previous(at);
        }
    }

    /// Reads kept frame `index`, which has changed, as a fresh one. Returns its caller's address.
    #[inline(always)]
    fn read_again(&mut self, view: View, index: usize, fresh: usize) -> u64 {
        let kept = self.frame(index);
        let now = view.read(kept.at);
        let number = if now.code == kept.code { kept.number } else { 0 };
        self.fresh[fresh & (MAX_FRAMES - 1)] = Frame { number, ..now };
        view.previous(now.at)
    }

    /// Counts the kept frames from `index` to above `last` as fresh, since frames outward of them change. Returns
    /// where the walk goes on, and how many frames are fresh.
    #[cold]
    fn carry(&mut self, index: usize, last: usize, fresh: usize) -> (u64, usize) {
        let (mut index, mut fresh) = (index, fresh);
        while index > last && fresh < MAX_FRAMES {
            self.fresh[fresh & (MAX_FRAMES - 1)] = *self.frame(index);
            fresh += 1;
            index -= 1;
        }
        (self.frame(index).at, fresh)
    }

    /// The kept frames hold from `index` outward, but a stack of this depth is cut elsewhere.
    #[cold]
    #[inline(never)]
    fn cut_again(&mut self, view: View, index: usize, fresh: usize, depth: usize) -> Plan {
        let cut = cut_of(depth);
        let wanted = (depth - cut).min(MAX_FRAMES);
        let (mut at, mut fresh) = self.carry(index, 0, fresh);
        while fresh < wanted && at != 0 && view.may_be_frame(at) {
            self.fresh[fresh & (MAX_FRAMES - 1)] = view.read(at);
            fresh += 1;
            at = view.previous(at);
        }
        if at == 0 {
            return Plan::whole(fresh, EndReason::Complete);
        }
        if fresh < wanted {
            return Plan::whole(fresh, EndReason::BadFrame);
        }
        let beyond = self.fresh.get(wanted).filter(|_| wanted < fresh).map_or(at, |frame| frame.at);
        Plan { kept: 0, fresh: wanted, end: EndReason::TooDeep, cut: depth - wanted, beyond }
    }

    /// All fresh frames are used, and the walk has come to `at`: how deep the stack is says where it is cut.
    #[cold]
    #[inline(never)]
    fn count(&mut self, view: View, at: u64) -> Plan {
        let (mut at, mut depth) = (at, MAX_FRAMES);
        while at != 0 && depth < MOST_FRAMES && view.may_be_frame(at) {
            at = view.previous(at);
            depth += 1;
        }
        let cut = cut_of(depth);
        let wanted = (depth - cut).min(MAX_FRAMES - 1);
        let beyond = self.fresh.get(wanted).map_or(0, |frame| frame.at);
        Plan { kept: 0, fresh: wanted, end: EndReason::TooDeep, cut, beyond }
    }

    /// Makes the planned stack the kept one and gives its new frames their ids.
    #[inline(always)]
    fn keep(&mut self, plan: Plan, view: View, kind: Kind, sink: &mut impl Sink) -> StackId {
        self.len = plan.kept;
        compiler_fence(SeqCst);
        let (mut parent, mut begins) = match plan.kept.checked_sub(1) {
            Some(top) => (StackId(self.frame(top).id), self.frame(top).begins),
            None => {
                (self.cut, self.beyond) = (plan.cut, plan.beyond);
                (plan.end.id(), false)
            }
        };
        let mut len = plan.kept;
        // A stack that ends badly may be whole the next time.
        let mut keepable = plan.end != EndReason::BadFrame;
        for place in (0..plan.fresh).rev() {
            let mut frame = self.fresh[place & (MAX_FRAMES - 1)];
            let number = if view.is_shim(&frame) { Some(0) } else { self.number_of(&frame, kind, sink) };
            let is_executed = number.is_none() || view.is_executed(&frame, &mut keepable);
            if view.begins(&frame) && is_executed {
                if begins {
                    parent = sink.python_node(parent, 0, -1, true);
                }
                begins = true;
            }
            if !view.is_shim(&frame) {
                match number {
                    Some(number) => {
                        frame.number = number;
                        if view.is_complete(&frame) {
                            parent = sink.python_node(parent, number, view.instruction(&frame), begins);
                            begins = false;
                        }
                    }
                    None => {
                        (parent, begins, keepable) = (EndReason::BadFrame.id(), false, false);
                    }
                }
            }
            keepable &= parent != EndReason::NotCaptured.id();
            (frame.id, frame.begins) = (parent.0, begins);
            self.hints[hint_of(frame.at)] = len as u16;
            self.frames[len & (MAX_FRAMES - 1)] = frame;
            len += 1;
        }
        compiler_fence(SeqCst);
        // What could not be recorded is tried again next time.
        self.len = if keepable { len } else { plan.kept };
        if begins { sink.python_node(parent, 0, -1, true) } else { parent }
    }

    /// The number of a frame's code object; `None` if there cannot be one.
    #[inline(always)]
    fn number_of(&mut self, frame: &Frame, kind: Kind, sink: &mut impl Sink) -> Option<u32> {
        if frame.number != 0 {
            return Some(frame.number);
        }
        match code::find(frame.code) {
            None if is_plausible(frame.code) => code::define(frame.code, kind, &mut self.scratch, sink),
            known => known,
        }
    }
}

#[cfg(test)]
mod tests;
