//! Reading one frame of an interpreter, of whichever form its version has.

use crate::python::memory::{self, is_plausible, is_readable, word};
use crate::python::version::{BYTES_DATA, BYTES_LENGTH, FrameForm, Layout, OWNER_GENERATOR, OWNER_SHIM};

/// A frame as it was read, and of a kept one its node.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Frame {
    /// Its address.
    pub at: u64,
    /// The address of its code object; of a shim it may be another object's.
    pub code: u64,
    /// The lower half of the last instruction's address, or `f_lasti`.
    pub instruction: u32,
    /// Of the code object.
    pub number: u32,
    /// The innermost node from here outward.
    pub id: u32,
    /// The bytes that [`Layout::state`] leads to.
    pub state: u16,
    /// Whether from here outward an evaluation loop begins that has no frame yet: the next one inward is its first.
    pub begins: bool,
}

const _: () = assert!(size_of::<Frame>() == 32, "two frames in a cache line");

/// Where a walk reads.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Where the interpreter keeps things.
    pub layout: &'a Layout,
    /// A signal interrupted the interpreter: what it was about to store may be anything.
    pub careful: bool,
}

impl View<'_> {
    /// Whether there may be a frame at `at`.
    #[inline(always)]
    pub fn may_be_frame(&self, at: u64) -> bool {
        // The longest frame's fields that are read lie within 112 bytes.
        is_plausible(at) && (!self.careful || is_readable(at, 112))
    }

    /// The word at `offset` of what lies at `at`.
    #[inline(always)]
    fn field(&self, at: u64, offset: u16) -> u64 {
        word(at + u64::from(offset))
    }

    /// The frame that thread state `thread` executes, 0 if none; `None` if that cannot be read.
    #[inline(always)]
    pub fn current_frame(&self, thread: u64) -> Option<u64> {
        let at = self.field(thread, self.layout.current);
        match self.layout.through {
            Some(offset) if at != 0 => self.may_be_frame(at).then(|| self.field(at, offset)),
            _ => Some(at),
        }
    }

    /// The frame that called the one at `at`, 0 if none.
    #[inline(always)]
    pub fn previous(&self, at: u64) -> u64 {
        self.field(at, self.layout.previous)
    }

    /// The frame at `at`, which [`View::may_be_frame`].
    #[inline(always)]
    pub fn read(&self, at: u64) -> Frame {
        self.read_as(self.layout.form, at)
    }

    /// The same where the compiler knows the form.
    #[inline(always)]
    pub fn read_as(&self, form: FrameForm, at: u64) -> Frame {
        /// From 3.14 the lowest bits say who owns the reference.
        const TAG: u64 = 7;
        let code = self.field(at, self.layout.code) & !TAG;
        let instruction = self.field(at, self.layout.instruction) as u32;
        let state = at + u64::from(self.layout.state);
        let state = match form {
            FrameForm::Own => 0,
            FrameForm::Flag => u16::from_le_bytes([memory::byte(state), memory::byte(state + 1)]),
            FrameForm::Shim => memory::byte(state).into(),
        };
        Frame { at, code, instruction, number: 0, id: 0, state, begins: false }
    }

    /// Tells of a kept frame, given its caller's address, whether a walk would read anything else of it now.
    #[inline(always)]
    pub fn comparison(self, form: FrameForm) -> impl Fn(&Frame, u64) -> bool {
        // A copy, so that the offsets stay in registers.
        let layout = *self.layout;
        move |kept, caller| {
            let view = View { layout: &layout, careful: false };
            let now = view.read_as(form, kept.at);
            (now.code ^ kept.code)
                | u64::from(now.instruction ^ kept.instruction)
                | u64::from(now.state ^ kept.state)
                | (view.previous(kept.at) ^ caller)
                != 0
        }
    }

    /// Whether a native frame of the evaluation loop begins with this frame.
    #[inline(always)]
    pub fn begins(&self, frame: &Frame) -> bool {
        match self.layout.form {
            FrameForm::Own => true,
            FrameForm::Flag => frame.state & 0xff != 0,
            FrameForm::Shim => self.is_shim(frame),
        }
    }

    /// Whether a native frame executes the frame, whose code object is known. CPython 3.10 and 3.11 put a generator's frame
    /// on the chain without that while something is thrown into the generator that it waits for (`_gen_throw`). Clears
    /// `keepable` where the words that are compared do not tell.
    #[inline(always)]
    pub fn is_executed(&self, frame: &Frame, keepable: &mut bool) -> bool {
        /// `FRAME_EXECUTING`; a generator that a tracing function sees yield is suspended already.
        const EXECUTING: u8 = 0;
        let Some(wait) = self.layout.wait else { return true };
        if self.layout.form == FrameForm::Flag && frame.state >> 8 != OWNER_GENERATOR.into() {
            return true;
        }
        let Ok(last) = u64::try_from(self.instruction(frame)) else { return true };
        let at = last + u64::from(wait.ahead);
        let instruction = match self.layout.form {
            FrameForm::Own => {
                let bytecode = self.field(frame.code, self.layout.bytecode);
                if !is_plausible(bytecode) || at >= word(bytecode + BYTES_LENGTH) {
                    return true;
                }
                bytecode + BYTES_DATA + at
            }
            _ => frame.code + u64::from(self.layout.bytecode) + at,
        };
        let state = memory::byte(frame.at.wrapping_add_signed(wait.state.into()));
        if memory::byte(instruction) != wait.opcode || state != EXECUTING {
            return true;
        }
        *keepable = false;
        let depth = self.field(frame.at, wait.depth) as i32;
        depth < 0
    }

    /// Whether it stands for a native frame and has no code of its own.
    #[inline(always)]
    pub fn is_shim(&self, frame: &Frame) -> bool {
        self.layout.form == FrameForm::Shim && frame.state >= OWNER_SHIM.into()
    }

    /// Bytes from the begin of the bytecode to the last instruction; -1 if there is none yet.
    #[inline(always)]
    pub fn instruction(&self, frame: &Frame) -> i32 {
        let offset = match self.layout.form {
            FrameForm::Own => (frame.instruction as i32).wrapping_mul(self.layout.unit.into()),
            _ => {
                let distance = frame.instruction.wrapping_sub(frame.code as u32);
                (distance as i32).wrapping_sub(self.layout.bytecode.into())
            }
        };
        // A record has 28 bits for it.
        if (0..(1 << 28) - 1).contains(&offset) { offset } else { -1 }
    }

    /// Whether the interpreter itself would show the frame, which has a code object: from 3.11 not before the
    /// arguments are in their cells.
    #[inline(always)]
    pub fn is_complete(&self, frame: &Frame) -> bool {
        let owner = match self.layout.form {
            FrameForm::Own => return true,
            FrameForm::Flag => frame.state >> 8,
            FrameForm::Shim => frame.state,
        };
        let first = self.field(frame.code, self.layout.first_traceable) as i32;
        owner == OWNER_GENERATOR.into() || self.instruction(frame) >= first.wrapping_mul(2)
    }
}
