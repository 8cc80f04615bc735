//! Captures in this process: against libgcc, deep, interrupted, abandoned, of another thread.

use std::arch::naked_asm;
use std::cell::RefCell;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// Keeps every node.
#[derive(Default)]
struct Nodes {
    nodes: Vec<(StackId, u64, FrameKind)>,
    modules: Vec<Vec<u8>>,
    /// Nodes until the next is not recorded, or the capture is left.
    until_loss: Option<usize>,
    until_panic: Option<usize>,
    asked: usize,
}

fn counts_down(counter: &mut Option<usize>) -> bool {
    match counter {
        Some(0) => true,
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}

impl Sink for Nodes {
    fn epoch(&mut self, _: u32) {}

    fn node(&mut self, parent: StackId, pc: Address, kind: FrameKind, _: [u64; 2]) -> StackId {
        self.asked += 1;
        assert!(!counts_down(&mut self.until_panic), "left in the middle");
        if counts_down(&mut self.until_loss) {
            return EndReason::NotCaptured.id();
        }
        let node = (parent, pc.0, kind);
        let at = self.nodes.iter().position(|known| *known == node).unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        });
        StackId(StackId::FIRST.0 + at as u32)
    }

    fn module(&mut self, module: &Module) {
        self.modules.push(module.path.to_vec());
    }

    fn module_gone(&mut self, _: u32, _: u32) {}
}

struct State {
    capture: Box<Capture>,
    nodes: Nodes,
}

impl State {
    /// Frames, innermost first, and the end.
    fn stack(&self, id: StackId) -> (Vec<(u64, FrameKind)>, EndReason) {
        let (mut id, mut frames) = (id, Vec::new());
        while id.is_frame() {
            let (parent, pc, kind) = self.nodes.nodes[(id.0 - StackId::FIRST.0) as usize];
            frames.push((pc, kind));
            id = parent;
        }
        (frames, EndReason::from_id(id).unwrap())
    }
}

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State {
        // SAFETY: all-zero memory is a capture's initial state.
        capture: unsafe { Box::new_zeroed().assume_init() },
        nodes: Nodes::default(),
    });
}

fn with_state<T>(action: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(action)
}

/// The stack of the caller.
#[unsafe(naked)]
extern "C-unwind" fn here() -> u32 {
    naked_asm!("mov rdi, rsp", "mov rsi, rbp", "jmp {}", sym take)
}

extern "C-unwind" fn take(sp: *const u64, bp: u64) -> u32 {
    // SAFETY: the stub's stack pointer points to its return address.
    let caller = Caller { pc: unsafe { sp.read() }, sp: sp as u64 + 8, bp };
    with_state(|state| state.capture.take(caller, &mut state.nodes).0)
}

/// libgcc's frames, of which the innermost are the calling function's and this one's.
fn oracle() -> Vec<u64> {
    let mut frames = Vec::new();
    backtrace::trace(|frame| {
        frames.push(frame.ip() as u64);
        true
    });
    frames
}

/// Takes the stack with both and compares: the frame of the caller differs by where in it the calls are.
#[inline(never)]
fn compare() -> usize {
    let id = StackId(here());
    let wanted = oracle();
    let (frames, end) = with_state(|state| state.stack(id));
    assert_eq!(end, EndReason::Complete);
    // Our innermost frame is this function; the same is somewhere in libgcc's, behind the crate's own.
    let pcs: Vec<u64> = frames[1..].iter().map(|frame| frame.0).collect();
    let begin = wanted.iter().position(|pc| *pc == pcs[0]).expect("our caller is in libgcc's stack");
    let wanted: Vec<u64> = wanted[begin..].iter().copied().filter(|pc| *pc != 0).collect();
    assert_eq!(pcs, wanted);
    frames.len()
}

#[inline(never)]
fn descend(depth: usize, at_bottom: &mut dyn FnMut()) {
    if depth == 0 {
        at_bottom();
    } else if depth.is_multiple_of(3) {
        // Through the C library and back.
        let mut numbers = [2u8, 1];
        let mut state = (depth - 1, at_bottom);
        descend_in_sort(&mut numbers, &mut state);
    } else {
        descend(depth - 1, at_bottom);
    }
    black_box(depth);
}

fn descend_in_sort(numbers: &mut [u8; 2], state: &mut (usize, &mut dyn FnMut())) {
    unsafe extern "C-unwind" fn order(_: *const u8, _: *const u8, state: *mut libc::c_void) -> i32 {
        // SAFETY: `qsort_r` passes on what it was given.
        let state = unsafe { &mut *(state as *mut (usize, &mut dyn FnMut())) };
        descend(state.0, state.1);
        0
    }
    type Order = unsafe extern "C-unwind" fn(*const u8, *const u8, *mut libc::c_void) -> i32;
    unsafe extern "C-unwind" {
        fn qsort_r(base: *mut u8, count: usize, size: usize, order: Order, state: *mut libc::c_void);
    }
    // SAFETY: two elements of one byte, and a function that takes the state that it is given.
    unsafe { qsort_r(numbers.as_mut_ptr(), 2, 1, order, (&raw mut *state).cast()) };
}

#[test]
fn stacks_of_all_depths() {
    for round in 0..3 {
        for depth in [1, 2, 30, 31, 4, 0, 29, 90] {
            let mut deepest = 0;
            descend(depth, &mut || deepest = compare());
            assert!(deepest > depth, "round {round}");
        }
    }
}

#[test]
fn the_same_stack_asks_for_no_node() {
    descend(20, &mut || {
        let mut ids = Vec::new();
        let mut asked = Vec::new();
        for _ in 0..3 {
            ids.push(here());
            asked.push(with_state(|state| state.nodes.asked));
        }
        assert_eq!((ids[0], ids[1]), (ids[1], ids[2]));
        assert_eq!((asked[0], asked[1]), (asked[1], asked[2]));
        with_state(|state| state.capture.forget());
        here();
        assert!(with_state(|state| state.nodes.asked) > asked[2] + 20);
    });
}

#[test]
fn a_deep_stack_keeps_its_innermost_frames() {
    fn recurse(depth: usize, at_bottom: &mut dyn FnMut()) {
        if depth == 0 {
            at_bottom()
        } else {
            recurse(depth - 1, at_bottom)
        }
        black_box(depth);
    }
    // Large frames in debug builds.
    let body = || {
        for depth in [1500, 1020, 1000, 3000, 990, 1030, 1025, 800, 1500] {
            recurse(depth, &mut || {
                let id = StackId(here());
                let wanted = oracle();
                let (frames, end) = with_state(|state| state.stack(id));
                let begin = wanted.iter().position(|pc| *pc == frames[1].0).unwrap();
                let wanted: Vec<u64> = wanted[begin..].iter().copied().filter(|pc| *pc != 0).collect();
                let pcs: Vec<u64> = frames[1..].iter().map(|frame| frame.0).collect();
                assert_eq!(pcs, wanted[..pcs.len()]);
                let is_cut = wanted.len() + 1 > MAX_FRAMES;
                assert_eq!(end, if is_cut { EndReason::TooDeep } else { EndReason::Complete });
                assert_eq!(pcs.len(), wanted.len().min(MAX_FRAMES - 1));
            });
        }
    };
    std::thread::Builder::new().stack_size(8 << 20).spawn(body).unwrap().join().unwrap();
}

#[test]
fn a_signal_frame_and_what_it_interrupted() {
    thread_local! {
        static TAKEN: RefCell<u32> = const { RefCell::new(0) };
    }
    extern "C" fn handler(_: i32) {
        TAKEN.set(here());
    }
    // SAFETY: the handler is this test's, for a signal that no other test raises; `raise` runs it on this thread.
    unsafe {
        libc::signal(libc::SIGURG, handler as extern "C" fn(i32) as usize);
        for _ in 0..2 {
            libc::raise(libc::SIGURG);
        }
    }
    let (frames, end) = with_state(|state| state.stack(StackId(TAKEN.take())));
    assert_eq!(end, EndReason::Complete);
    let interrupted: Vec<usize> =
        (0..frames.len()).filter(|i| frames[*i].1 == FrameKind::Interrupted).collect();
    // The handler, the code that the kernel returns to, then what was interrupted in the C library.
    assert_eq!(interrupted, [2]);
}

/// A signal handler may leave a capture for good at any instant: the kept stack must be valid all the same.
#[test]
fn an_abandoned_capture_leaves_a_valid_one() {
    descend(12, &mut || {
        compare();
        for left_after in 0..30 {
            with_state(|state| state.nodes.until_panic = Some(left_after));
            let abandoned = catch_unwind(AssertUnwindSafe(|| {
                let mut deeper = || {
                    black_box(here());
                };
                descend(left_after, &mut deeper);
            }));
            with_state(|state| state.nodes.until_panic = None);
            let _ = abandoned;
            compare();
        }
    });
}

#[test]
fn what_was_not_recorded_is_tried_again() {
    descend(5, &mut || {
        with_state(|state| state.nodes.until_loss = Some(3));
        let lost = StackId(here());
        assert_eq!(lost, EndReason::NotCaptured.id());
        with_state(|state| state.nodes.until_loss = None);
        compare();
    });
}

#[test]
fn modules_come_before_their_frames() {
    std::thread::spawn(|| {
        compare();
        let known = with_state(|state| state.nodes.modules.clone());
        // Another test may have made them known to the process before.
        for path in known {
            assert!(path.starts_with(b"/"), "{}", String::from_utf8_lossy(&path));
        }
    })
    .join()
    .unwrap();
}
