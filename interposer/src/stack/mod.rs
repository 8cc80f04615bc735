//! Native stacks: from the caller's registers to a stack id, without a lock, an allocation or a call of libc.
//!
//! The unwinder reads call frame information. On top of it is the verified suffix cache: the thread's previous
//! stack is kept; a new one is unwound only until it meets a frame of it with equal state, and the rest is taken
//! over with its ids once every word that its unwinding depends on was found unchanged. What must stay true:
//! - A spliced stack equals the one that a full unwind gives: words are compared in the order in which the
//!   unwinder would read them, so that no word is read before those that lead to it are proved.
//! - Nothing is written to the stack: longjmp, exceptions and coroutines need no care.
//! - The kept stack is valid at every instant: a signal may interrupt a capture, and its handler never return.
//! - All-zero memory is a valid [`Capture`].

pub(crate) mod bytes;
pub(crate) mod cfi;
mod code;
mod expression;
mod frame_pointer;
mod instruction;
mod keep;
pub(crate) mod near;
mod region;
mod rule;
mod step;
mod uncharted;

use recording::{Address, EndReason, FrameKind, Module, StackId};

use self::region::Region;
use self::rule::Generation;
use self::step::{Step, Walk};
use crate::modules;

/// What a capture and the module map need of the recorder. Implemented by the log; by a vector in tests.
pub trait Sink {
    /// The nodes and modules that follow belong to this epoch of the module map.
    fn epoch(&mut self, epoch: u32);
    /// The id of frame `pc`, called by `parent` (a frame or an end reason). The first of `paths` is a hash of it and its callers,
    /// the other one of the frame that is asked for next, if one is.
    fn node(&mut self, parent: StackId, pc: Address, kind: FrameKind, paths: [u64; 2]) -> StackId;
    /// A frame with this hash is asked for soon.
    #[inline(always)]
    fn expect(&mut self, _path: u64) {}
    /// The same as [`Sink::node`] of a return frame, if it is known and need not be looked for.
    #[inline(always)]
    fn known(&mut self, _parent: StackId, _pc: Address, _path: u64) -> Option<StackId> {
        None
    }
    /// A module was first seen; called before the first node within it.
    fn module(&mut self, module: &Module);
    /// A module is gone from this epoch on.
    fn module_gone(&mut self, number: u32, epoch: u32);
}

/// Deeper stacks are cut: the innermost frames are kept.
pub const MAX_FRAMES: usize = 1024;

/// Stacks of a thread that are remembered: its own, the signal stack and some coroutines.
const REGIONS: usize = 8;

/// The caller's registers at the instruction behind its call of the hook.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The return address.
    pub pc: u64,
    /// rsp after the return.
    pub sp: u64,
    /// rbp.
    pub bp: u64,
}

impl Caller {
    /// Its stack is asked for soon.
    #[inline(always)]
    pub fn expect(&self) {
        near::expect(self.pc.wrapping_sub(1));
    }

    /// Where the return address is: on the stack, of which rsp itself may be the end.
    #[inline(always)]
    fn return_slot(&self) -> u64 {
        self.sp.wrapping_sub(8)
    }
}

/// A frame of the kept stack.
#[derive(Clone, Copy)]
#[repr(C)]
struct Frame {
    pc: u64,
    sp: u64,
    /// The rbp on which this frame and those outward of it depend, or [`Frame::NONE`].
    bp_need: u64,
    id: u32,
    /// Flags; in the upper half the offset of the saved rbp from the CFA.
    flags: u32,
}

const _: () = assert!(size_of::<Frame>() == 32, "two frames in a cache line");

impl Frame {
    const NONE: u64 = u64::MAX;
    const EMPTY: Frame = Frame { pc: 0, sp: 0, bp_need: 0, id: 0, flags: 0 };

    /// Its step is repeated, not compared word by word.
    const SPECIAL: u32 = 1;
    /// Its own step needs rbp.
    const USES_RBP: u32 = 2;
    /// Its caller depends on the saved rbp.
    const CHECK_RBP: u32 = 4;
    /// It saves the rbp of its caller.
    const SAVES_RBP: u32 = 8;
    /// A signal interrupted it.
    const INTERRUPTED: u32 = 16;
    /// The outermost of [`MAX_FRAMES`], of which the caller is not known.
    const CUT: u32 = 32;

    /// Whether it is the frame of this state, unless a signal interrupted it.
    #[inline(always)]
    fn is_at(&self, pc: u64, sp: u64) -> bool {
        self.sp == sp && self.pc == pc && !self.has(Frame::INTERRUPTED)
    }

    #[inline(always)]
    fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    /// Where it saved its caller's rbp. Not for special frames.
    #[inline(always)]
    fn saved_rbp(&self, cfa: u64) -> u64 {
        cfa.wrapping_add((self.flags as i32 >> 16) as u64)
    }

    /// What it depends on of rbp, and its flags, called by a frame with this need.
    #[inline(always)]
    fn within(&self, bp_need: u64) -> (u64, u32) {
        let (mut need, mut flags) = (bp_need, self.flags);
        if need != Frame::NONE && self.has(Frame::SAVES_RBP) {
            flags |= Frame::CHECK_RBP;
            need = Frame::NONE;
        }
        if self.has(Frame::USES_RBP) {
            need = self.bp_need;
        }
        (need, flags)
    }

    fn kind(&self) -> FrameKind {
        if self.has(Frame::INTERRUPTED) { FrameKind::Interrupted } else { FrameKind::Return }
    }
}

/// What a thread keeps for its captures.
#[repr(C)]
pub struct Capture {
    /// The kept stack: so many of `frames`, outermost first.
    len: usize,
    /// Epoch of the module map for which they hold.
    epoch: u32,
    /// Why the stack ends, as an id.
    end: u32,
    region: Region,
    regions: [Region; REGIONS],
    next_region: usize,
    /// Of `frames`, up to the outermost one that a signal interrupted; 0 if none was.
    interrupted: usize,
    frames: [Frame; MAX_FRAMES],
    /// A hash of each kept frame and its callers, from the end.
    paths: [u64; MAX_FRAMES],
    /// The frames of the capture under way that are not taken over, innermost first.
    fresh: [Frame; MAX_FRAMES],
}

/// How the stack of a capture is put together: `kept` frames of the last one, then the `fresh` ones.
struct Plan {
    kept: usize,
    fresh: usize,
    end: EndReason,
}

/// What the comparison with the kept stack found.
enum Verdict {
    /// The kept frames hold from this one outward.
    Holds,
    /// The step of this frame no longer leads to the next.
    DiffersAt(usize),
}

impl Capture {
    /// Ids of nodes are void; called in a forked child.
    pub fn forget(&mut self) {
        self.len = 0;
    }

    /// Looks for the bounds of the stack at `sp` now, if they are not known: later it may not be possible any more.
    pub fn look_up(&mut self, sp: u64) {
        if !self.region.contains(sp) {
            let region = self.region_of(sp);
            self.region.set(region);
        }
    }

    /// Another thread goes on with this memory: the stacks it knows may be unmapped.
    pub fn change_thread(&mut self) {
        self.len = 0;
        self.region.set(Region::default());
        for region in &mut self.regions {
            region.set(Region::default());
        }
    }

    /// Whether a signal interrupted one of the frames of the stack taken last.
    #[inline(always)]
    pub fn is_interrupted(&self) -> bool {
        self.interrupted != 0
    }

    /// The id of the caller's stack.
    #[inline(always)]
    pub fn take(&mut self, caller: Caller, sink: &mut impl Sink) -> StackId {
        // The commonest case: the same place with the same stack.
        if self.epoch == modules::epoch()
            && self.region.contains(caller.return_slot())
            && let Some(top) = self.len.checked_sub(1)
            && self.frame(top).is_at(caller.pc, caller.sp)
            && (self.frame(top).bp_need == Frame::NONE || self.frame(top).bp_need == caller.bp)
            && !self.frame(top).has(Frame::CUT)
            && let Verdict::Holds = self.verify(top, sink)
        {
            return StackId(self.frame(top).id);
        }
        self.take_new(caller, sink)
    }

    #[inline(never)]
    fn take_new(&mut self, caller: Caller, sink: &mut impl Sink) -> StackId {
        let epoch = modules::epoch();
        if self.epoch != epoch {
            self.len = 0;
            self.epoch = epoch;
        }
        sink.epoch(epoch);
        self.look_up(caller.return_slot());
        let walk = Walk::new(caller.pc, caller.sp, caller.bp, self.region, Generation::new(epoch));
        let plan = self.unwind(walk, sink);
        self.keep(plan, sink)
    }

    #[inline(always)]
    fn frame(&self, index: usize) -> &Frame {
        &self.frames[index & (MAX_FRAMES - 1)]
    }

    /// Whether the unwinder is in the state of kept frame `index`.
    #[inline(always)]
    fn meets(&self, index: usize, walk: &mut Walk) -> bool {
        let frame = self.frame(index);
        frame.is_at(walk.pc, walk.sp)
            && !walk.interrupted
            && (frame.bp_need == Frame::NONE || frame.bp_need == walk.bp())
    }

    /// Compares what the unwinder would read from kept frame `index` outward with what it read then.
    #[inline(always)]
    fn verify(&mut self, mut index: usize, sink: &mut impl Sink) -> Verdict {
        loop {
            index = self.plain_frames_hold(index);
            if index == 0 {
                break;
            }
            if !self.holds(index, sink) {
                return Verdict::DiffersAt(index);
            }
            index -= 1;
        }
        let outermost = self.frame(0);
        if outermost.has(Frame::SPECIAL) && !outermost.has(Frame::CUT) && !self.steps_as_before(0, sink) {
            return Verdict::DiffersAt(0);
        }
        Verdict::Holds
    }

    /// The frame, outward from `index`, of which more than the return address counts or the return address differs; the first
    /// if there is none.
    #[inline(always)]
    fn plain_frames_hold(&self, index: usize) -> usize {
        /// Frames that are compared together.
        const AT_ONCE: usize = 4;
        let is_more = |flags: u32| flags & (Frame::SPECIAL | Frame::CHECK_RBP) != 0;
        let mut index = index & (MAX_FRAMES - 1);
        // SAFETY: the index is one of the array, as are those outward of it down to 0.
        unsafe {
            let frame = |index: usize| &*self.frames.as_ptr().add(index);
            let returns = |index: usize| word(frame(index).sp - 8) == frame(index).pc;
            while index >= AT_ONCE {
                let flags = (0..AT_ONCE).fold(0, |flags, outward| flags | frame(index - outward).flags);
                if is_more(flags) || !(1..=AT_ONCE).all(|outward| returns(index - outward)) {
                    break;
                }
                index -= AT_ONCE;
            }
            while index != 0 && !is_more(frame(index).flags) && returns(index - 1) {
                index -= 1;
            }
        }
        index
    }

    /// Whether the step from kept frame `index`, not the outermost, still leads to the next.
    #[inline(always)]
    fn holds(&mut self, index: usize, sink: &mut impl Sink) -> bool {
        let (frame, caller) = (self.frame(index), self.frame(index - 1));
        if frame.has(Frame::SPECIAL) {
            return self.steps_as_before(index, sink);
        }
        let keeps_rbp = !frame.has(Frame::CHECK_RBP) || word(frame.saved_rbp(caller.sp)) == caller.bp_need;
        keeps_rbp && word(caller.sp - 8) == caller.pc
    }

    /// Steps from kept frame `index` again and compares the result.
    #[cold]
    #[inline(never)]
    fn steps_as_before(&mut self, index: usize, sink: &mut impl Sink) -> bool {
        let frame = *self.frame(index);
        // What it called has its return address below rsp, which itself may be the end of the stack.
        let place = frame.sp.wrapping_sub(if frame.has(Frame::INTERRUPTED) { 0 } else { 8 });
        let region = if self.region.contains(place) { self.region } else { self.region_of(place) };
        let mut again = Walk::new(frame.pc, frame.sp, frame.bp_need, region, Generation::new(self.epoch));
        again.interrupted = frame.has(Frame::INTERRUPTED);
        let step = again.step(&mut Frame::EMPTY.clone(), sink);
        let Some(caller) = index.checked_sub(1).map(|caller| self.frame(caller)) else {
            return step == self.end_step();
        };
        matches!(step, Step::Caller | Step::OtherStack)
            && again.pc == caller.pc
            && again.sp == caller.sp
            && again.interrupted == caller.has(Frame::INTERRUPTED)
            && (caller.bp_need == Frame::NONE || again.bp() == caller.bp_need)
    }

    fn end_step(&self) -> Step {
        Step::End(EndReason::from_id(StackId(self.end)).unwrap_or(EndReason::Unsupported))
    }

    /// Unwinds until the kept stack can take over, or to the end.
    fn unwind(&mut self, mut walk: Walk, sink: &mut impl Sink) -> Plan {
        let mut fresh = 0;
        let mut candidates = self.len;
        loop {
            let kept = self.frames.get(..candidates).unwrap_or(&[]);
            let stepped;
            (candidates, stepped) = walk.step_near(kept, self.fresh.get_mut(fresh..).unwrap_or(&mut []));
            fresh += stepped;
            if let Some(index) = candidates.checked_sub(1)
                && self.meets(index, &mut walk)
            {
                let last = match self.verify(index, sink) {
                    Verdict::Holds => match self.splice(index, fresh) {
                        Some(plan) => return plan,
                        None => 0,
                    },
                    Verdict::DiffersAt(other) => other,
                };
                (candidates, fresh) = self.carry(index, last, fresh, &mut walk);
                continue;
            }
            let Some(frame) = self.fresh.get_mut(fresh) else {
                return Plan { kept: 0, fresh, end: EndReason::TooDeep };
            };
            let step = walk.step(frame, sink);
            fresh += 1;
            match step {
                Step::Caller => {}
                Step::OtherStack => {
                    if !walk.region.contains(walk.sp) {
                        walk.region = self.region_of(walk.sp);
                        // That may have dropped the kept stack.
                        candidates = candidates.min(self.len);
                    }
                }
                Step::End(end) => return Plan { kept: 0, fresh, end },
            }
        }
    }

    /// Takes over the kept frames up to `index`, if the whole is not too deep and a cut stack is cut there again.
    fn splice(&mut self, index: usize, fresh: usize) -> Option<Plan> {
        let kept = index + 1;
        let is_cut = self.frame(0).has(Frame::CUT);
        let fits = if is_cut { kept + fresh == MAX_FRAMES } else { kept + fresh <= MAX_FRAMES };
        fits.then_some(Plan { kept, fresh, end: EndReason::Complete })
    }

    /// Counts the kept frames from `index` to above `last` as fresh, since the frames outward of them change, and
    /// moves the unwinder to `last`: their steps were verified. Stops early at a special frame, from where stepping
    /// goes on, and when the fresh frames are full. Returns how many kept frames may be met further out, and how
    /// many frames are fresh.
    #[inline(never)]
    fn carry(&mut self, index: usize, last: usize, fresh: usize, walk: &mut Walk) -> (usize, usize) {
        let Capture { frames, fresh: all_fresh, .. } = self;
        let places = all_fresh.get_mut(fresh..).unwrap_or(&mut []);
        let carried = frames.get(last..index + 1).unwrap_or(&[]);
        let (mut caller, mut count) = (None, 0);
        for (place, pair) in places.iter_mut().zip(carried.windows(2).rev()) {
            let [outward, frame] = pair else { break };
            if frame.has(Frame::SPECIAL) {
                break;
            }
            *place = Frame { flags: frame.flags & !(Frame::CHECK_RBP | Frame::CUT), ..*frame };
            if frame.has(Frame::SAVES_RBP) {
                walk.set_bp_slot(frame.saved_rbp(outward.sp));
            }
            caller = Some(outward);
            count += 1;
        }
        if let Some(caller) = caller {
            (walk.pc, walk.sp) = (caller.pc, caller.sp);
        }
        (index - count, fresh + count)
    }

    /// The region that holds `sp`. A new look-up drops the kept stack, which was read within the old bounds.
    #[cold]
    #[inline(never)]
    fn region_of(&mut self, sp: u64) -> Region {
        if let Some(region) = self.regions.iter().find(|region| region.contains(sp)) {
            return *region;
        }
        self.len = 0;
        let found = region::find(sp);
        self.regions[self.next_region % REGIONS].set(found);
        self.next_region = self.next_region.wrapping_add(1);
        found
    }
}

/// A word of a stack.
#[inline(always)]
fn word(address: u64) -> u64 {
    // SAFETY: the unwinder checked that the address is within the stack's region. For a kept stack it did so when
    // the stack was kept, the bounds are still those (a look-up drops the kept stack), and the words compared before
    // lead the unwinder here.
    unsafe { (address as *const u64).read_unaligned() }
}

#[cfg(test)]
mod tests;
