//! Where each version of CPython keeps what a walk reads: offsets in bytes, on x86_64.
//!
//! Up to 3.12 they are constants, from `offsetof` in a program compiled with the version's own internal headers
//! (3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1); they do not change within a minor version. From 3.13 the interpreter
//! says them itself, in `_Py_DebugOffsets` at the beginning of `_PyRuntime`. What that does not say is, by the
//! headers of 3.13.0 and 3.14.10: `_co_firsttraceable` lies 16 bytes before the bytecode, and the characters of a
//! compact `str` that is not ASCII 16 bytes behind the header of an ASCII one.
//!
//! A version without a [`Layout`] is not walked: older and newer ones, and builds without a GIL.

/// How frames say which of them one native frame of the evaluation loop executes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameForm {
    /// Each is executed by a native frame of its own (up to 3.10).
    Own,
    /// A flag says that a native frame began with it (3.11).
    Flag,
    /// Outward of the frame that a native one began with lies a shim, with an owner of its own (from 3.12).
    Shim,
}

/// The fields that a walk reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// The form of its frames.
    pub form: FrameForm,
    /// Bytes for each unit that the last instruction is counted in; 0: it is a pointer.
    pub unit: u8,
    /// Of a thread state: `thread_id`, what `pthread_self` says.
    pub thread_id: u16,
    /// Of a thread state: the current frame, or, with `through`, the `_PyCFrame` on the native stack that has it.
    pub current: u16,
    /// Of a `_PyCFrame`: the current frame.
    pub through: Option<u16>,
    /// Of a frame: its caller.
    pub previous: u16,
    /// Of a frame: the code object, from 3.14 with a tag in its lowest bits.
    pub code: u16,
    /// Of a frame: the last instruction.
    pub instruction: u16,
    /// Of a frame: a byte `is_entry` and behind it a byte `owner` (3.11); a byte `owner` (from 3.12).
    pub state: u16,
    /// Of a code object: `co_filename`.
    pub file: u16,
    /// Of a code object: `co_qualname`, before 3.11 `co_name`.
    pub name: u16,
    /// Of a code object: `co_lnotab` or `co_linetable`.
    pub lines: u16,
    /// Of a code object: `co_firstlineno`.
    pub first_line: u16,
    /// Of a code object: the bytecode itself (from 3.11), `co_code` that refers to it (before).
    pub bytecode: u16,
    /// How a generator's frame says that it waits for another one, where a frame that does may be on the chain
    /// without being executed.
    pub wait: Option<Wait>,
    /// Of a code object: `_co_firsttraceable`, in units of two bytes (from 3.11).
    pub first_traceable: u16,
    /// Of an ASCII `str`: the characters.
    pub ascii: u16,
    /// Of another compact `str`: the characters. Of one that is not compact: the pointer to them.
    pub wide: u16,
    /// Of `_PyRuntime`: the thread state that finalizes, null if none does.
    pub finalizing: u32,
    /// Where it says that the cyclic collector runs.
    pub collecting: Collecting,
}

/// The place of `collecting`, an int.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Collecting {
    /// It is in `_PyRuntime`, not in an interpreter's state.
    pub in_runtime: bool,
    /// The interpreter itself says where it is.
    pub is_said: bool,
    /// Its offset there.
    pub at: u32,
}

const fn collecting(at: u32) -> Collecting {
    Collecting { in_runtime: false, is_said: false, at }
}

/// The instruction at which a generator's frame waits for what it delegates to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wait {
    /// Bytes from the last instruction to it.
    pub ahead: u8,
    /// Its opcode.
    pub opcode: u8,
    /// From the frame's address to a byte that says whether the generator is executed.
    pub state: i16,
    /// Of the frame: an int, its stack's depth, negative while a native frame executes it.
    pub depth: u16,
}

/// Of any object: its type.
pub const OBJECT_TYPE: u64 = 8;
/// Of a `str`: characters, and the bits of its form; of a `bytes`: its length and where its bytes begin.
pub const STR_LENGTH: u64 = 16;
/// See [`STR_LENGTH`].
pub const STR_STATE: u64 = 32;
/// See [`STR_LENGTH`].
pub const BYTES_LENGTH: u64 = 16;
/// See [`STR_LENGTH`].
pub const BYTES_DATA: u64 = 32;

/// `FRAME_OWNED_BY_GENERATOR`: such frames are always complete.
pub const OWNER_GENERATOR: u8 = 1;
/// Owners from here on are shims: `FRAME_OWNED_BY_CSTACK`, from 3.14 `FRAME_OWNED_BY_INTERPRETER`.
pub const OWNER_SHIM: u8 = 3;

const V3_8: Layout = Layout {
    form: FrameForm::Own,
    unit: 1,
    thread_id: 176,
    current: 24,
    through: None,
    previous: 24,
    code: 32,
    instruction: 104,
    state: 0,
    file: 104,
    name: 112,
    lines: 120,
    first_line: 40,
    bytecode: 48,
    wait: None,
    first_traceable: 0,
    ascii: 48,
    wide: 72,
    finalizing: 16,
    collecting: Collecting { in_runtime: true, ..collecting(544) },
};

const V3_9: Layout = Layout { collecting: collecting(816), ..V3_8 };

const V3_10: Layout = Layout {
    collecting: collecting(816),
    unit: 2,
    instruction: 96,
    // YIELD_FROM, which is repeated; f_state.
    wait: Some(Wait { ahead: 2, opcode: 72, state: 108, depth: 80 }),
    ..V3_8
};

const V3_11: Layout = Layout {
    form: FrameForm::Flag,
    unit: 0,
    thread_id: 152,
    current: 56,
    through: Some(8),
    previous: 48,
    code: 32,
    instruction: 56,
    state: 68,
    file: 112,
    name: 128,
    lines: 136,
    first_line: 72,
    bytecode: 184,
    // YIELD_VALUE; gi_frame_state.
    wait: Some(Wait { ahead: 0, opcode: 86, state: -5, depth: 64 }),
    first_traceable: 168,
    ascii: 48,
    wide: 72,
    finalizing: 24,
    collecting: collecting(848),
};

const V3_12: Layout = Layout {
    form: FrameForm::Shim,
    thread_id: 136,
    through: Some(0),
    previous: 8,
    code: 0,
    state: 70,
    first_line: 68,
    bytecode: 192,
    wait: None,
    first_traceable: 176,
    ascii: 40,
    wide: 56,
    collecting: collecting(312),
    ..V3_11
};

/// The words of `_Py_DebugOffsets`, of the longest that is known.
pub const DEBUG_OFFSETS: usize = 95;

/// The layout of the version with this `PY_VERSION_HEX`; `debug` is the beginning of its `_PyRuntime`.
pub fn layout(version: u32, debug: impl FnOnce() -> Option<[u64; DEBUG_OFFSETS]>) -> Option<Layout> {
    match version >> 16 {
        0x0308 => Some(V3_8),
        0x0309 => Some(V3_9),
        0x030a => Some(V3_10),
        0x030b => Some(V3_11),
        0x030c => Some(V3_12),
        0x030d => said(version, &debug()?, &DEBUG_3_13),
        0x030e => said(version, &debug()?, &DEBUG_3_14),
        _ => None,
    }
}

/// Which words of `_Py_DebugOffsets` say what: `gc` of `interpreter_state`, and the first of `thread_state`,
/// `interpreter_frame`, `code_object` and `unicode_object`, behind which comes `gc`.
struct DebugOffsets {
    gc: usize,
    thread: usize,
    frame: usize,
    code: usize,
    unicode: usize,
}

const DEBUG_3_13: DebugOffsets = DebugOffsets { gc: 10, thread: 19, frame: 28, code: 34, unicode: 67 };
const DEBUG_3_14: DebugOffsets = DebugOffsets { gc: 11, thread: 22, frame: 31, code: 39, unicode: 77 };

fn said(version: u32, words: &[u64; DEBUG_OFFSETS], at: &DebugOffsets) -> Option<Layout> {
    let [cookie, said, free_threaded, _, finalizing, ..] = *words;
    if cookie != u64::from_le_bytes(*b"xdebugpy") || said != version.into() || free_threaded != 0 {
        return None;
    }
    // No structure is larger; fields are read whole, so each is aligned.
    let offset = |word: usize, alignment: u64| {
        words
            .get(word)
            .copied()
            .filter(|offset| *offset < 4096 && offset % alignment == 0)
            .map(|at| at as u16)
    };
    let bytecode = offset(at.code + 9, 8)?;
    let ascii = offset(at.unicode + 3, 8)?;
    // An interpreter's state is larger.
    let collecting = offset(at.unicode + 5, 4)?;
    let gc =
        words.get(at.gc).and_then(|gc| u32::try_from(*gc).ok()).filter(|gc| gc % 8 == 0 && *gc < 1 << 20)?;
    Some(Layout {
        form: FrameForm::Shim,
        unit: 0,
        thread_id: offset(at.thread + 5, 8)?,
        current: offset(at.thread + 4, 8)?,
        through: None,
        previous: offset(at.frame + 1, 8)?,
        code: offset(at.frame + 2, 8)?,
        instruction: offset(at.frame + 3, 8)?,
        state: offset(at.frame + 5, 1)?,
        file: offset(at.code + 1, 8)?,
        name: offset(at.code + 3, 8)?,
        lines: offset(at.code + 4, 8)?,
        first_line: offset(at.code + 5, 4)?,
        bytecode,
        wait: None,
        first_traceable: bytecode.checked_sub(16)?,
        ascii,
        wide: ascii + 16,
        finalizing: u32::try_from(finalizing).ok().filter(|offset| offset % 8 == 0)?,
        collecting: Collecting { in_runtime: false, is_said: true, at: gc + u32::from(collecting) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `_Py_DebugOffsets` of 3.13.0: cookie, version, free_threaded, then runtime_state, and so on.
    fn of_3_13() -> [u64; DEBUG_OFFSETS] {
        let mut words = [0; DEBUG_OFFSETS];
        words[..6].copy_from_slice(&[u64::from_le_bytes(*b"xdebugpy"), 0x030d_00f0, 0, 283_320, 608, 632]);
        words[19..28].copy_from_slice(&[416, 0, 8, 16, 72, 152, 160, 288, 36]);
        words[28..34].copy_from_slice(&[80, 8, 0, 56, 72, 70]);
        words[34..44].copy_from_slice(&[216, 112, 120, 128, 136, 68, 52, 96, 104, 200]);
        words[10] = 7400;
        words[67..73].copy_from_slice(&[64, 32, 16, 40, 240, 200]);
        words
    }

    #[test]
    fn offsets_that_the_interpreter_says_are_used() {
        let layout = layout(0x030d_00f0, || Some(of_3_13())).expect("3.13 is known");
        let expected = Layout { thread_id: 152, current: 72, through: None, bytecode: 200, ..V3_12 };
        let collecting = Collecting { is_said: true, ..collecting(7600) };
        assert_eq!(layout, Layout { first_traceable: 184, finalizing: 608, collecting, ..expected });
    }

    #[test]
    fn what_contradicts_itself_or_has_no_gil_is_not_walked() {
        let with = |word: usize, value: u64| {
            let mut words = of_3_13();
            words[word] = value;
            layout(0x030d_00f0, || Some(words))
        };
        assert!(with(0, 0).is_none(), "no cookie");
        assert!(with(1, 0x030d_01f0).is_none(), "of another version");
        assert!(with(2, 1).is_none(), "free-threaded");
        assert!(with(31, 57).is_none(), "a pointer that is not aligned");
        assert!(with(38, 1 << 20).is_none(), "a code object of a megabyte");
        assert!(layout(0x030d_00f0, || None).is_none());
    }

    #[test]
    fn versions_that_are_not_known_are_not_walked() {
        for version in [0x0207_12f0, 0x0306_0ff0, 0x0307_10f0, 0x030f_00a1, 0x0400_00f0, 0] {
            assert!(layout(version, || Some(of_3_13())).is_none(), "{version:x}");
        }
    }
}
