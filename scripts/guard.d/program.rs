//! What scripts/guard runs under the library: `pairs`, a million calls of malloc and free from one place, or `stacks`, allocations
//! from stacks that change by some frames in between and that come again. Counted is what happens within `measured`.
use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;

const PAIRS: usize = 250_000;
const ROUNDS: usize = 20;
/// Steps of a round: deeper, back, or an allocation.
const STEPS: usize = 15_000;
const DEEPEST: usize = 40;
const KEPT: usize = 64;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

fn pairs(count: usize) {
    for index in 0..count {
        let layout = layout(16 + index % 8 * 16);
        // SAFETY: the block is freed once, with the layout it was allocated with.
        unsafe { dealloc(black_box(alloc(layout)), layout) };
    }
}

/// A walk up and down a tree of calls, the same for each beginning.
struct Walk {
    random: u64,
    steps: usize,
    kept: [(*mut u8, usize); KEPT],
}

impl Walk {
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % end
    }

    fn begin() -> Walk {
        Walk { random: 1, steps: 0, kept: [(std::ptr::null_mut(), 0); KEPT] }
    }

    fn round(&mut self, steps: usize) {
        self.random = 1;
        self.steps = steps;
        while self.steps > 0 {
            call::<0>(self, 1);
        }
    }

    /// Frees what was allocated a while ago, and allocates.
    fn replace(&mut self) {
        let (at, size) = (self.below(KEPT as u64) as usize, 16 + self.below(40) as usize * 8);
        let (old, old_size) = self.kept[at];
        // SAFETY: what is kept was allocated with this size and is freed once.
        unsafe {
            if !old.is_null() {
                dealloc(old, layout(old_size));
            }
            self.kept[at] = (black_box(alloc(layout(size))), size);
        }
    }
}

/// One of eight functions that call one another.
#[inline(never)]
fn call<const SELF: usize>(walk: &mut Walk, depth: usize) {
    // Else the eight would be one.
    black_box(SELF);
    while walk.steps > 0 {
        walk.steps -= 1;
        match walk.below(16) {
            0..3 => return,
            3..7 if depth < DEEPEST => match walk.below(8) {
                0 => call::<0>(walk, depth + 1),
                1 => call::<1>(walk, depth + 1),
                2 => call::<2>(walk, depth + 1),
                3 => call::<3>(walk, depth + 1),
                4 => call::<4>(walk, depth + 1),
                5 => call::<5>(walk, depth + 1),
                6 => call::<6>(walk, depth + 1),
                _ => call::<7>(walk, depth + 1),
            },
            _ => walk.replace(),
        }
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn measured(is_pairs: bool, walk: &mut Walk) {
    match is_pairs {
        true => pairs(PAIRS),
        false => (0..ROUNDS).for_each(|_| walk.round(STEPS)),
    }
}

fn main() {
    let is_pairs = match std::env::args().nth(1).as_deref() {
        Some("pairs") => true,
        Some("stacks") => false,
        _ => panic!("pairs or stacks"),
    };
    // The process's file and the thread's memory are there before it is counted.
    pairs(10);
    measured(is_pairs, &mut Walk::begin());
}
