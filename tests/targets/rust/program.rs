//! Leaks of a Rust program by Box, Vec, Rc cycle and forgotten threads' values; thread locals with destructors; a panic.
use std::cell::RefCell;
use std::rc::Rc;
use std::thread;

struct Grower(Vec<String>);

impl Drop for Grower {
    fn drop(&mut self) {
        self.0.push("x".repeat(100));
        drop(vec![0u8; 500]);
    }
}

thread_local! {
    static LOCAL: RefCell<Grower> = const { RefCell::new(Grower(Vec::new())) };
}

#[inline(never)]
fn leak_box() {
    std::hint::black_box(Box::leak(Box::new([7u8; 10_001])));
}

#[inline(never)]
fn leak_vec() {
    let mut bytes: Vec<u8> = Vec::with_capacity(100);
    bytes.resize(50, 1);
    bytes.reserve_exact(10_002 - 50);
    std::mem::forget(bytes);
}

struct Cycle {
    _bytes: [u8; 10_000],
    me: RefCell<Option<Rc<Cycle>>>,
}

#[inline(never)]
fn leak_cycle() {
    let cycle = Rc::new(Cycle { _bytes: [0; 10_000], me: RefCell::new(None) });
    *cycle.me.borrow_mut() = Some(cycle.clone());
}

#[inline(never)]
fn leak_in_thread(i: usize) {
    Box::leak(vec![1u8; 10_100 + i].into_boxed_slice());
}

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    leak_box();
    leak_vec();
    leak_cycle();
    let threads: Vec<_> = (0..8)
        .map(|i| {
            thread::spawn(move || {
                LOCAL.with(|local| local.borrow_mut().0.push("a".repeat(i)));
                leak_in_thread(i);
                assert!(i % 2 == 1, "half of the threads panic");
                i
            })
        })
        .collect();
    let sum: usize = threads.into_iter().filter_map(|thread| thread.join().ok()).sum();
    println!("{sum}");
}
