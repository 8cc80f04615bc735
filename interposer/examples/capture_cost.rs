//! What a capture costs: ns for a stack of some depth that is the same as before, with fresh frames on top, and
//! unwound whole; and bytes of the caller's stack. `cargo run --release -p interposer --example capture_cost`

#![allow(clippy::disallowed_macros, reason = "a program that prints")]

use std::arch::naked_asm;
use std::hint::black_box;
use std::time::Instant;

use interposer::stack::{Caller, Capture, Sink};
use recording::{Address, FrameKind, Module, StackId};

/// Interns nodes in a table that always hits, as a recorder's does in the long run.
struct Nodes {
    table: Vec<(u32, u64, u32)>,
    next: u32,
}

impl Sink for Nodes {
    fn epoch(&mut self, _: u32) {}

    #[inline(always)]
    fn node(&mut self, parent: StackId, pc: Address, _: FrameKind, _: [u64; 2]) -> StackId {
        let hash = (pc.0 ^ (parent.0 as u64).rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50;
        let slot = &mut self.table[hash as usize & 0x3fff];
        if (slot.0, slot.1) != (parent.0, pc.0) {
            self.next += 1;
            *slot = (parent.0, pc.0, self.next);
        }
        StackId(slot.2)
    }

    fn module(&mut self, _: &Module) {}

    fn module_gone(&mut self, _: u32, _: u32) {}
}

struct State {
    capture: Box<Capture>,
    nodes: Nodes,
}

static mut STATE: *mut State = std::ptr::null_mut();

/// Takes its caller's stack.
#[unsafe(naked)]
extern "C" fn here() -> u32 {
    naked_asm!("mov rdi, rsp", "mov rsi, rbp", "jmp {}", sym take)
}

extern "C" fn take(sp: *const u64, bp: u64) -> u32 {
    // SAFETY: one thread; `sp` is the stub's stack pointer.
    let (state, pc) = unsafe { (&mut *STATE, sp.read()) };
    state.capture.take(Caller { pc, sp: sp as u64 + 8, bp }, &mut state.nodes).0
}

#[inline(never)]
fn recurse(depth: usize, at_bottom: &mut dyn FnMut()) {
    if depth == 0 {
        at_bottom();
    } else {
        recurse(depth - 1, at_bottom);
    }
    black_box(depth);
}

fn time(name: &str, depth: usize, mut body: impl FnMut()) {
    const ROUNDS: u32 = 200_000;
    let mut best = f64::MAX;
    for _ in 0..7 {
        let begin = Instant::now();
        for _ in 0..ROUNDS {
            body();
        }
        best = best.min(begin.elapsed().as_nanos() as f64 / ROUNDS as f64);
    }
    println!("{name:<28} depth {depth:>4}  {best:8.1} ns");
}

#[inline(never)]
fn fresh(depth: usize) {
    if depth == 0 {
        black_box(here());
    } else {
        fresh(depth - 1);
    }
    black_box(depth);
}

fn forget() {
    // SAFETY: one thread, and no capture is running.
    unsafe { (*STATE).capture.forget() };
}

/// Bytes below the caller that a call of `here` writes.
#[inline(never)]
fn stack_used() -> usize {
    const SIZE: usize = 16 << 10;
    let here_ = 0u8;
    let top = (&raw const here_) as usize & !7;
    let bottom = top - SIZE;
    // Far enough below this frame for the calls that are not counted.
    let paint = |from: usize, to: usize| {
        for address in (from..to).step_by(8) {
            // SAFETY: unused stack of this thread, which is larger.
            unsafe { (address as *mut u64).write_volatile(0x5a5a_5a5a_5a5a_5a5a) };
        }
    };
    paint(bottom, top - 256);
    black_box(here());
    let mut address = bottom;
    // SAFETY: as above.
    while unsafe { (address as *const u64).read_volatile() } == 0x5a5a_5a5a_5a5a_5a5a {
        address += 8;
    }
    top - address
}

fn main() {
    // SAFETY: all-zero memory is a capture's initial state.
    let capture = unsafe { Box::new(std::mem::MaybeUninit::<Capture>::zeroed()).assume_init() };
    let nodes = Nodes { table: vec![(0, 0, 0); 1 << 14], next: 1 << 20 };
    // SAFETY: one thread.
    unsafe { STATE = Box::leak(Box::new(State { capture, nodes })) };
    println!("stack used: first capture {} bytes, then {}", stack_used(), stack_used());
    for depth in [10, 30, 90] {
        recurse(depth, &mut || {
            time("same stack", depth, || {
                black_box(here());
            });
            time("1 and 4 fresh frames in turn", depth, || {
                fresh(1);
                fresh(4);
            });
            time("unwound whole, with ids", depth, || {
                forget();
                black_box(here());
            });
        });
    }
}
