//! One interpreter: what of its library is called and read, found by the names of its symbols.
//!
//! Nothing of it is called but `Py_GetVersion`, once, and what gives a thread state: functions that take no lock,
//! allocate nothing and may be called before the interpreter is initialised and after it was finalized.

use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU64};

use recording::Interpreter;

use super::Sink;
use super::allocators::Allocators;
use super::eval_loop::EvalLoop;
use super::version::{self, DEBUG_OFFSETS, Layout};
use crate::symbols::{Definition, Object};

type GetState = unsafe extern "C" fn() -> u64;
type NextInterpreter = unsafe extern "C" fn(u64) -> u64;

/// An interpreter: what of its library is called and read.
pub struct Runtime {
    /// Number in the recording.
    pub number: u32,
    /// `PY_VERSION_HEX`; 0 if `Py_GetVersion` says something else.
    pub version: u32,
    /// Where it keeps things; `None`: its frames are not walked.
    pub layout: Option<Layout>,
    /// The functions that give a thread state; `None`: its frames are not walked.
    pub states: Option<States>,
    /// `_PyEval_EvalFrameDefault`.
    eval_loop: Option<EvalLoop>,
    /// `PyCode_Type`.
    pub code_type: u64,
    /// The word that is set when the interpreter begins to finalize: the thread state that does.
    pub finalizing: Option<&'static AtomicU64>,
    /// `_PyRuntime`.
    state: Option<Definition>,
    /// `PyInterpreterState_Main`.
    main_interpreter: Option<GetState>,
    /// What sets and tells its allocators; `None`: its objects are not recorded.
    pub allocators: Option<Allocators>,
    /// Whether the objects that it keeps in pools of its own are recorded.
    pub objects: AtomicBool,
    /// `Py_GetVersion()`, NUL-terminated.
    text: *const u8,
}

/// Functions of the interpreter that may be called at any time.
#[derive(Clone, Copy)]
pub struct States {
    /// `PyGILState_GetThisThreadState`.
    pub of_this_thread: GetState,
    /// `_PyThreadState_UncheckedGet`, from 3.13 `PyThreadState_GetUnchecked`.
    pub current: GetState,
    /// `PyInterpreterState_Head`.
    pub first_interpreter: GetState,
    /// `PyInterpreterState_Next`.
    pub next_interpreter: NextInterpreter,
}

impl Runtime {
    /// The interpreter that `object` defines, whose `Py_GetVersion` is at `get_version`.
    pub fn of(object: &Object, get_version: usize, number: u32) -> Runtime {
        // SAFETY: the interpreter's function of this name, which may be called at any time, and formats the text
        // into memory of its own.
        let text = unsafe { core::mem::transmute::<usize, extern "C" fn() -> *const u8>(get_version)() };
        let address = |name: &[u8]| object.symbol(name).unwrap_or(0);
        // SAFETY: the text ends with NUL.
        let version = unsafe { hexadecimal_version(text) };
        let state = object.definition(b"_PyRuntime");
        let layout = version::layout(version, || debug_offsets(state?));
        let finalizing = layout.zip(state).map(|(layout, state)| {
            // SAFETY: a word of the interpreter's static state, which it reads and writes atomically.
            unsafe { AtomicU64::from_ptr((state.address + layout.finalizing as usize) as *mut u64) }
        });
        Runtime {
            number,
            version,
            layout,
            states: States::of(object),
            eval_loop: object.definition(b"_PyEval_EvalFrameDefault").map(EvalLoop::of),
            code_type: address(b"PyCode_Type") as u64,
            finalizing,
            state,
            // SAFETY: the interpreter's function of this name, with the signature of its headers.
            main_interpreter: object
                .symbol(b"PyInterpreterState_Main")
                .map(|at| unsafe { core::mem::transmute::<usize, GetState>(at) }),
            allocators: Allocators::of(object),
            objects: AtomicBool::new(false),
            text,
        }
    }

    /// Whether the interpreter is being torn down.
    pub fn is_finalizing(&self) -> bool {
        self.finalizing.is_some_and(|state| state.load(Relaxed) != 0)
    }

    /// Where it says that its cyclic collector runs; `None` if it is not known, or the interpreter not initialised.
    pub fn collecting(&self) -> Option<u64> {
        let at = self.layout?.collecting;
        let base = if at.in_runtime {
            self.state?.address as u64
        } else {
            // SAFETY: reads a word of the interpreter's.
            Some(unsafe { (self.main_interpreter?)() }).filter(|interpreter| *interpreter != 0)?
        };
        Some(base + u64::from(at.at))
    }

    /// Whether another thread than that of state `thread` is tearing the interpreter down: it may free that state.
    #[inline(always)]
    pub fn is_finalized_by_other(&self, thread: u64) -> bool {
        let state = self.finalizing.map_or(0, |state| state.load(Relaxed));
        state != 0 && state != thread
    }

    /// What a walk of its frames needs; `None` if they are not walked.
    #[inline(always)]
    pub fn walked(&self) -> Option<(&Layout, &States)> {
        self.layout.as_ref().zip(self.states.as_ref())
    }

    /// Writes what it is.
    pub fn describe(&self, sink: &mut impl Sink) {
        let Runtime { number, version, .. } = *self;
        // SAFETY: the text ends with NUL and is the interpreter's own for good.
        let text = unsafe { core::ffi::CStr::from_ptr(self.text.cast()) }.to_bytes();
        sink.interpreter(&Interpreter {
            number,
            version,
            walked: self.walked().is_some(),
            objects: self.objects.load(Relaxed),
            text: text.get(..text.len().min(256)).unwrap_or(&[]),
        });
        for &Range { start: begin, end } in self.eval_loop.iter().flat_map(EvalLoop::parts) {
            sink.eval_loop(&recording::EvalLoop { interpreter: number, begin, end });
        }
    }
}

impl States {
    fn of(object: &Object) -> Option<States> {
        let current = [&b"_PyThreadState_UncheckedGet"[..], b"PyThreadState_GetUnchecked"];
        let of_this_thread = object.symbol(b"PyGILState_GetThisThreadState")?;
        let current = current.iter().find_map(|name| object.symbol(name))?;
        let first_interpreter = object.symbol(b"PyInterpreterState_Head")?;
        let next_interpreter = object.symbol(b"PyInterpreterState_Next")?;
        // SAFETY: the interpreter's functions of these names, with the signatures of its headers.
        unsafe {
            Some(States {
                of_this_thread: core::mem::transmute::<usize, GetState>(of_this_thread),
                current: core::mem::transmute::<usize, GetState>(current),
                first_interpreter: core::mem::transmute::<usize, GetState>(first_interpreter),
                next_interpreter: core::mem::transmute::<usize, NextInterpreter>(next_interpreter),
            })
        }
    }
}

/// The first words of the interpreter's static state.
fn debug_offsets(state: Definition) -> Option<[u64; DEBUG_OFFSETS]> {
    if state.size < 8 * DEBUG_OFFSETS {
        return None;
    }
    // SAFETY: the symbol has at least so many bytes, of which none is written after it was loaded.
    Some(unsafe { (state.address as *const [u64; DEBUG_OFFSETS]).read() })
}

/// `PY_VERSION_HEX` from a text like `3.13.0rc1 (main, ..)`; 0 if it is of another form.
///
/// # Safety
/// `text` must end with NUL.
unsafe fn hexadecimal_version(text: *const u8) -> u32 {
    // SAFETY: handed to the caller.
    let text = unsafe { core::ffi::CStr::from_ptr(text.cast()) }.to_bytes();
    let mut rest = text.split(|byte| *byte == b' ').next().unwrap_or(&[]);
    let mut number = |separator: u8| {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let value = rest
            .iter()
            .take(digits)
            .fold(0u32, |value, digit| value.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')));
        let next = rest.get(digits).copied().unwrap_or(0);
        rest = rest.get(digits + 1..).unwrap_or(&[]);
        (digits > 0 && value < 256 && (next == separator || separator == 0)).then_some((value, next))
    };
    let (Some((major, _)), Some((minor, _)), Some((micro, level))) = (number(b'.'), number(b'.'), number(0))
    else {
        return 0;
    };
    // The release level: alpha, beta, candidate, final; a build from a repository ends with `+`.
    let level = match level {
        b'a' => 0xa,
        b'b' => 0xb,
        b'r' | b'c' => {
            rest = rest.strip_prefix(b"c").unwrap_or(rest);
            0xc
        }
        _ => 0xf,
    };
    let serial = if level == 0xf {
        0
    } else {
        rest.first().map_or(0, |digit| u32::from(digit.wrapping_sub(b'0') & 15))
    };
    major << 24 | minor << 16 | micro << 8 | level << 4 | serial
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_their_text() {
        let version = |text: &std::ffi::CStr| {
            // SAFETY: ends with NUL.
            unsafe { hexadecimal_version(text.as_ptr().cast()) }
        };
        assert_eq!(version(c"3.11.7 (main, May  9 2026, 07:33:22) [GCC 12.2.0]"), 0x030b_07f0);
        assert_eq!(version(c"3.8.18 (default, ..)"), 0x0308_12f0);
        assert_eq!(version(c"3.13.0rc2 (main)"), 0x030d_00c2);
        assert_eq!(version(c"3.14.0a4+ (heads/main)"), 0x030e_00a4);
        assert_eq!(version(c"3.15.0b1"), 0x030f_00b1);
        assert_eq!(version(c"3.13.0+ (heads/3.13:1234)"), 0x030d_00f0);
        for other in [c"", c"three", c"3", c"3.", c"3..1", c"999.1.1"] {
            assert_eq!(version(other), 0, "{other:?}");
        }
    }
}
