//! One allocation: three stacks and their comparison.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use interposer::stack::{Caller, MAX_FRAMES};
use recording::{EndReason, FrameKind, StackId};

use crate::nodes::{Frames, Node};
use crate::state::Thread;

pub fn check(thread: &mut Thread, caller: Caller) {
    if thread.nodes.nearly_full() {
        thread.nodes.clear();
        thread.cached.forget();
    }
    let id = thread.cached.take(caller, &mut thread.nodes);
    thread.full.forget();
    let mut frames = Frames { nodes: &mut thread.frames, len: 0 };
    thread.full.take(caller, &mut frames);
    let depth = frames.len;
    let counts = &mut thread.counts;
    counts.captures += 1;
    counts.frames += depth as u64;
    counts.max_depth = counts.max_depth.max(depth as u64);
    let end = thread.frames[0].parent;
    match EndReason::from_id(end) {
        Some(EndReason::Complete) => counts.end_complete += 1,
        Some(EndReason::TooDeep) => counts.cut += 1,
        Some(EndReason::NoUnwindInfo) => counts.end_no_info += 1,
        Some(EndReason::BadFrame) => counts.end_bad_frame += 1,
        Some(EndReason::Unsupported) => counts.end_unsupported += 1,
        _ => counts.end_outside += 1,
    }
    if !same_chain(thread, id, depth) {
        thread.counts.suffix_differs += 1;
        describe("the suffix cache gives another stack", thread, id, depth, 0);
    }
    compare_with_oracle(thread, caller, depth);
}

/// Whether the chain of `id` is the list of frames.
fn same_chain(thread: &Thread, id: StackId, depth: usize) -> bool {
    let mut id = id;
    for frame in thread.frames[..depth].iter().rev() {
        let Some(node) = thread.nodes.get(id) else { return false };
        if (node.pc, node.kind) != (frame.pc, frame.kind) {
            return false;
        }
        id = node.parent;
    }
    id == thread.frames[0].parent
}

fn compare_with_oracle(thread: &mut Thread, caller: Caller, depth: usize) {
    let len = oracle(&mut thread.oracle, caller.pc);
    let ours = |i: usize| thread.frames[depth - 1 - i];
    let common = depth.min(len);
    let counts = &mut thread.counts;
    let what = if (0..common).any(|i| ours(i).pc != thread.oracle[i]) {
        counts.oracle_differs += 1;
        "libgcc has another frame"
    } else if len > depth && depth < MAX_FRAMES {
        counts.oracle_longer += 1;
        "libgcc goes on"
    } else if len < depth && len > 0 && has_no_unwind_info(ours(len - 1)) {
        counts.frame_pointer += 1;
        return;
    } else if len < depth {
        counts.oracle_shorter += 1;
        "libgcc ends"
    } else {
        return;
    };
    describe(what, thread, StackId(0), depth, len);
}

/// libgcc's stack from the hook's caller outward.
fn oracle(frames: &mut [u64], innermost: u64) -> usize {
    let mut len = 0;
    let mut begun = false;
    let each = |frame: &backtrace::Frame| {
        let pc = frame.ip() as u64;
        begun |= pc == innermost;
        if begun && pc != 0 {
            frames[len] = pc;
            len += 1;
        }
        len < frames.len()
    };
    // SAFETY: libgcc's unwinder needs no lock of the crate: no symbols are asked for.
    unsafe { backtrace::trace_unsynchronized(each) };
    len
}

/// Whether libgcc knows no unwind information for the frame's code either.
fn has_no_unwind_info(frame: Node) -> bool {
    unsafe extern "C" {
        safe fn _Unwind_Find_FDE(pc: u64, bases: &mut [u64; 3]) -> *const u8;
    }
    let pc = frame.pc - (frame.kind == FrameKind::Return) as u64;
    _Unwind_Find_FDE(pc, &mut [0; 3]).is_null()
}

static DESCRIBED: AtomicU32 = AtomicU32::new(0);

/// Writes about the first differences to stderr.
fn describe(what: &str, thread: &Thread, id: StackId, depth: usize, oracle: usize) {
    if DESCRIBED.fetch_add(1, Relaxed) >= 5 || std::env::var_os("UNWIND_CHECK_VERBOSE").is_none() {
        return;
    }
    eprintln!(
        "{what}: {depth} frames, libgcc {oracle}, end {:?}",
        EndReason::from_id(thread.frames[0].parent)
    );
    let mut node = thread.nodes.get(id);
    for i in 0..depth.max(oracle).min(400) {
        let frame = depth.checked_sub(1 + i).map(|at| thread.frames[at]);
        let libgcc = if i < oracle { thread.oracle[i] } else { 0 };
        let ours = frame.map_or(0, |frame| frame.pc);
        let cached = node.map_or(0, |node| node.pc);
        if ours != libgcc && oracle > 0 || oracle == 0 && ours != cached || i + 3 > depth {
            eprintln!("  {i}: {} | cached {} | libgcc {}", symbol(ours), symbol(cached), symbol(libgcc));
        }
        node = node.and_then(|node| thread.nodes.get(node.parent));
    }
}

fn symbol(address: u64) -> String {
    // SAFETY: the structure is filled for an address in a known object; the strings are the loader's.
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        if address == 0 || libc::dladdr((address - 1) as _, &mut info) == 0 {
            return format!("{address:#x}");
        }
        let file = std::ffi::CStr::from_ptr(info.dli_fname).to_string_lossy();
        let name = if info.dli_sname.is_null() { c"" } else { std::ffi::CStr::from_ptr(info.dli_sname) };
        format!("{file}+{:#x} {}", address - info.dli_fbase as u64, name.to_string_lossy())
    }
}
