//! The models: a few threads that do with the words of `protocol/` what the recorder's threads do, under loom.
//!
//! Loom runs a model in every order of its steps in which no more than [`PREEMPTIONS`] times a thread is held up by
//! another, and with every value that the memory model lets a load see. Each model says what must hold. What the
//! kernel does (the length of a file, memory that is mapped) is done with relaxed words here, so that nothing is ordered by it.

mod chunks;
mod held;
mod life;
mod mapped;
mod nodes;
mod owner;
mod ring;
mod runs;
mod stamps;

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How often a thread is held up by another in one order of steps, at most. Most faults need one or two.
const PREEMPTIONS: usize = 3;

/// Runs `model` in every order, and says how many there were.
#[track_caller]
fn check(name: &str, model: impl Fn() + Send + Sync + 'static) {
    check_to(PREEMPTIONS, name, model);
}

/// As [`check`], to another bound than [`PREEMPTIONS`].
#[track_caller]
fn check_to(preemptions: usize, name: &str, model: impl Fn() + Send + Sync + 'static) {
    let orders = Arc::new(AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    let preemptions = *builder.preemption_bound.get_or_insert(preemptions);
    let count = orders.clone();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let file = Location::caller().file().rsplit('/').next().unwrap_or("");
    println!("{file}: {name}: {} orders, {preemptions} preemptions", orders.load(Ordering::Relaxed));
}
