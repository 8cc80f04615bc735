//! One step of the unwinder: from a frame to its caller.
//!
//! Deterministic: the result follows from pc, sp, rbp where it is live, the words read, and the rules. Every word
//! is read within the mapped stack.

use recording::EndReason;

use super::region::Region;
use super::rule::{self, Generation, Kind, Rule};
use super::{Frame, Sink, word};
use super::{frame_pointer, near, uncharted};
use crate::modules;

/// No code lies below this.
const FIRST_CODE: u64 = 4096;

/// State of the unwinder: the registers at a frame.
#[derive(Clone, Copy)]
pub struct Walk {
    pub pc: u64,
    pub sp: u64,
    bp: u64,
    /// Where the value of rbp is in memory, if it has not been read yet; else 0.
    bp_slot: u64,
    /// The frame was interrupted by a signal: `pc` is the next instruction, not a return address.
    pub interrupted: bool,
    /// The stack of `sp`.
    pub region: Region,
    /// Frame-pointer links below this address were checked.
    checked: u64,
    pub generation: Generation,
}

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The state is the caller's, on the same stack.
    Caller,
    /// The state is the caller's; its stack may be another one.
    OtherStack,
    /// There is no caller to be found.
    End(EndReason),
}

impl Walk {
    /// The state at a frame.
    #[inline(always)]
    pub fn new(pc: u64, sp: u64, bp: u64, region: Region, generation: Generation) -> Walk {
        Walk { pc, sp, bp, bp_slot: 0, interrupted: false, region, checked: 0, generation }
    }

    /// The value of rbp.
    #[inline(always)]
    pub fn bp(&mut self) -> u64 {
        if self.bp_slot != 0 {
            self.bp = word(self.bp_slot);
            self.bp_slot = 0;
        }
        self.bp
    }

    /// rbp is what the word at `slot`, in the stack's region, holds.
    #[inline(always)]
    pub fn set_bp_slot(&mut self, slot: u64) {
        self.bp_slot = slot;
    }

    /// Where the code of the frame is looked up: a return address may be the first of the next function.
    #[inline(always)]
    pub fn code(&self) -> u64 {
        self.pc.wrapping_sub(!self.interrupted as u64)
    }

    /// Steps as long as the rules are near and lead to a caller: not from a frame that was interrupted, nor where a frame of
    /// `kept` is met, which are outermost first, nor without room in `fresh`. Returns how many of `kept` are not inward of the
    /// frame that is reached, and how many are fresh.
    #[inline(always)]
    pub fn step_near(&mut self, kept: &[Frame], fresh: &mut [Frame]) -> (usize, usize) {
        let Region { low, high } = self.region;
        let (mut pc, mut sp, mut bp_slot) = (self.pc, self.sp, self.bp_slot);
        let tag = self.generation.tag;
        let kept = kept.as_ptr_range();
        let mut candidates = kept.end;
        let mut free = fresh.iter_mut();
        loop {
            // SAFETY: there is a frame before the end, if that is not the first one.
            unsafe {
                while candidates != kept.start && (*candidates.sub(1)).sp < sp {
                    candidates = candidates.sub(1);
                }
                if candidates != kept.start && (*candidates.sub(1)).is_at(pc, sp) {
                    break;
                }
            }
            if self.interrupted {
                break;
            }
            let Some(rule) = near::lookup(pc.wrapping_sub(1), tag) else { break };
            let (mut base, mut bp_need, mut flags) = (sp, 0, rule.saved_rbp_flags());
            if rule.is_from_rbp() {
                if bp_slot != 0 {
                    self.bp = word(bp_slot);
                    bp_slot = 0;
                }
                (base, bp_need) = (self.bp, self.bp);
                flags |= Frame::USES_RBP;
            }
            let cfa = base.wrapping_add(rule.cfa_offset());
            let slot = cfa.wrapping_sub(rule.rbp_distance());
            // The region's bounds are those of pages, so an aligned CFA above rsp has a word below it in the region. rbp was
            // saved there or lower; without one the slot is the CFA.
            if cfa <= sp || cfa > high || slot < low || cfa & 7 != 0 {
                break;
            }
            let caller = word(cfa - 8);
            if caller < FIRST_CODE {
                break;
            }
            let Some(frame) = free.next() else { break };
            *frame = Frame { pc, sp, bp_need, id: 0, flags };
            if slot != cfa {
                bp_slot = slot;
            }
            (pc, sp) = (caller, cfa);
        }
        (self.pc, self.sp, self.bp_slot) = (pc, sp, bp_slot);
        let left = free.len();
        // SAFETY: a place in the slice, or its end.
        (unsafe { candidates.offset_from_unsigned(kept.start) }, fresh.len() - left)
    }

    /// Describes the frame in `frame` and moves to its caller.
    pub fn step(&mut self, frame: &mut Frame, sink: &mut impl Sink) -> Step {
        let rule = match rule::lookup(self.code(), self.generation) {
            Some(rule) => rule,
            None => find_rule(*self, sink),
        };
        *frame = Frame { pc: self.pc, sp: self.sp, ..Frame::EMPTY };
        if self.interrupted {
            frame.flags = Frame::SPECIAL | Frame::INTERRUPTED;
        }
        let base = if rule.is(Kind::Sp) {
            self.sp
        } else if rule.is(Kind::Bp) {
            frame.bp_need = self.bp();
            frame.flags |= Frame::USES_RBP;
            frame.bp_need
        } else {
            return self.step_special(rule, frame, sink);
        };
        let cfa = base.wrapping_add(rule.cfa_offset());
        let slot = cfa.wrapping_add(rule.rbp_offset() as u64);
        frame.flags |= rule.saved_rbp_flags();
        // As above; where rbp was saved see `Rule::register`.
        if cfa <= self.sp || cfa & 7 != 0 || cfa > self.region.high || slot < self.region.low {
            return Step::End(self.bad_end(cfa, frame));
        }
        let pc = word(cfa - 8);
        if pc < FIRST_CODE {
            return Step::End(self.bad_end(cfa, frame));
        }
        if rule.saves_rbp() {
            self.bp_slot = slot;
        }
        (self.pc, self.sp, self.interrupted) = (pc, cfa, false);
        Step::Caller
    }

    /// Why there is no caller's frame at `cfa`.
    #[cold]
    fn bad_end(self, cfa: u64, frame: &mut Frame) -> EndReason {
        frame.flags |= Frame::SPECIAL;
        let is_possible = cfa > self.sp && cfa & 7 == 0;
        let is_outside = is_possible && cfa > self.region.high;
        if is_outside { EndReason::OutsideStack } else { EndReason::BadFrame }
    }

    /// To the caller's frame at `cfa`, with its rbp at `saved_bp`, wherever that is.
    fn return_to(&mut self, cfa: u64, saved_bp: Option<u64>, frame: &mut Frame) -> Step {
        let pc = self.region.word(cfa.wrapping_sub(8)).unwrap_or(0);
        if cfa <= self.sp || cfa & 7 != 0 || cfa > self.region.high || pc < FIRST_CODE {
            return Step::End(self.bad_end(cfa, frame));
        }
        if let Some(slot) = saved_bp {
            if self.region.word(slot).is_none() {
                frame.flags |= Frame::SPECIAL;
                return Step::End(EndReason::OutsideStack);
            }
            self.bp_slot = slot;
        }
        (self.pc, self.sp, self.interrupted) = (pc, cfa, false);
        Step::Caller
    }

    fn step_special(&mut self, rule: Rule, frame: &mut Frame, sink: &mut impl Sink) -> Step {
        if rule.is(Kind::Outermost) {
            return Step::End(EndReason::Complete);
        }
        if rule.is(Kind::NoInfo) {
            return self.step_frame_pointer(frame, sink);
        }
        frame.flags |= Frame::SPECIAL;
        let stepped = if rule.is(Kind::Load) {
            self.step_load(rule, frame)
        } else if rule.is(Kind::Signal) {
            self.step_signal(frame)
        } else {
            Some(Step::End(EndReason::Unsupported))
        };
        stepped.unwrap_or(Step::End(EndReason::OutsideStack))
    }

    fn step_load(&mut self, rule: Rule, frame: &mut Frame) -> Option<Step> {
        let mut base = self.sp;
        if rule.loads_from_rbp() || rule.rbp_at_rbp() {
            frame.bp_need = self.bp();
            frame.flags |= Frame::USES_RBP;
        }
        if rule.loads_from_rbp() {
            base = frame.bp_need;
        }
        let cfa = self.region.word(base.wrapping_add(rule.cfa_offset()))?.wrapping_add(rule.added());
        let saved = rule.saves_rbp().then(|| {
            frame.flags |= Frame::SAVES_RBP;
            let from = if rule.rbp_at_rbp() { frame.bp_need } else { cfa };
            from.wrapping_add(rule.rbp_offset() as u64)
        });
        Some(self.return_to(cfa, saved, frame))
    }

    /// The kernel saved the interrupted registers in a `ucontext_t`, which begins at rsp.
    fn step_signal(&mut self, frame: &mut Frame) -> Option<Step> {
        const RBP: u64 = 120;
        const RSP: u64 = 160;
        const RIP: u64 = 168;
        frame.flags |= Frame::SAVES_RBP;
        let word = |offset| self.region.word(self.sp.wrapping_add(offset));
        let (bp, sp, pc) = (word(RBP)?, word(RSP)?, word(RIP)?);
        if pc < FIRST_CODE {
            // A call of a null pointer: the caller's return address lies on top of the stack.
            return Some(Step::End(EndReason::BadFrame));
        }
        (self.pc, self.sp, self.bp, self.bp_slot) = (pc, sp, bp, 0);
        (self.interrupted, self.checked) = (true, 0);
        Some(Step::OtherStack)
    }

    fn step_frame_pointer(&mut self, frame: &mut Frame, sink: &mut impl Sink) -> Step {
        let bp = self.bp();
        frame.bp_need = bp;
        frame.flags |= Frame::USES_RBP;
        if bp < self.sp || bp >= self.checked || bp & 7 != 0 {
            let Some(chain) = frame_pointer::check(self.sp, bp, self.region, sink) else {
                frame.flags |= Frame::SPECIAL;
                return Step::End(EndReason::NoUnwindInfo);
            };
            self.checked = chain.end;
        }
        // push rbp; mov rbp, rsp.
        frame.flags |= Frame::SAVES_RBP | (-16i16 as u16 as u32) << 16;
        self.return_to(bp + 16, Some(bp), frame)
    }
}

/// Computes the rule for the frame's code. Code outside of all modules gets none in the table: a module may
/// come there, and nothing says so.
#[cold]
#[inline(never)]
fn find_rule(walk: Walk, sink: &mut impl Sink) -> Rule {
    let Walk { pc, interrupted, generation, .. } = walk;
    let at = pc.wrapping_sub(!interrupted as u64);
    let Some(code) = modules::find(at, sink) else { return Rule::plain(Kind::NoInfo) };
    let rule = if code.image.bytes_from(pc).is_some_and(is_signal_return) {
        Rule::plain(Kind::Signal)
    } else if let Some(info) = code.unwind_info() {
        let rule = info.rule_at(at);
        // No call returns to where a function begins behind no other: `makecontext` put it below a coroutine.
        let is_first = rule.is(Kind::NoInfo) && !interrupted && info.begins_at(pc);
        if is_first { Rule::plain(Kind::Outermost) } else { rule }
    } else {
        Rule::plain(Kind::NoInfo)
    };
    let read = if rule.is(Kind::NoInfo) { uncharted::rule(walk, &code, sink) } else { None };
    let rule = read.unwrap_or(rule);
    rule::store(at, generation, rule);
    rule
}

/// `mov $15, %rax` or `%eax`; `syscall`: what the kernel returns to after a handler. C libraries describe it
/// differently or not at all, so it is known by its bytes, as in gdb and libgcc.
pub fn is_signal_return(code: &[u8]) -> bool {
    code.starts_with(b"\x48\xc7\xc0\x0f\0\0\0\x0f\x05") || code.starts_with(b"\xb8\x0f\0\0\0\x0f\x05")
}
