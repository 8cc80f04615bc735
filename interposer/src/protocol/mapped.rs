//! An address of memory that is mapped by whoever needs it first, and that may be given up again while nobody uses it.
//!
//! Who uses it is counted beside it. Who comes counts itself and then looks for the address; who gives the memory up first
//! takes the address away and then looks at the count. The count is a word that both change, so one of them comes
//! second there: either the address is not found, or the memory is not given up.

use crate::sync::AtomicUsize;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Stands for the address of memory that was given up.
pub const GONE: usize = 1;
/// Bit of an address, which is even: the memory is about to be given up.
const LEAVING: usize = 1;

/// The address in `place`; where that is 0, the one that `map` gives and `place` then holds. Who comes second gives
/// what it has mapped back by `unmap`.
pub fn mapped<E>(
    place: &AtomicUsize,
    map: impl FnOnce() -> Result<usize, E>,
    unmap: impl FnOnce(usize),
) -> Result<usize, E> {
    match place.load(Acquire) {
        0 => map_at(place, 0, map, unmap),
        at => Ok(at),
    }
}

fn map_at<E>(
    place: &AtomicUsize,
    found: usize,
    map: impl FnOnce() -> Result<usize, E>,
    unmap: impl FnOnce(usize),
) -> Result<usize, E> {
    let at = map()?;
    match place.compare_exchange(found, at, AcqRel, Acquire) {
        Ok(_) => Ok(at),
        Err(first) => {
            unmap(at);
            Ok(first)
        }
    }
}

/// The address of memory that is there now.
pub fn present(place: &AtomicUsize) -> Option<usize> {
    Some(place.load(Acquire)).filter(|at| at & LEAVING == 0 && *at != 0)
}

/// The same for one who has counted itself, also of memory that was given up: it is mapped again. `None` while it is just being
/// given up.
pub fn mapped_again<E>(
    place: &AtomicUsize,
    map: impl FnOnce() -> Result<usize, E>,
    unmap: impl FnOnce(usize),
) -> Result<Option<usize>, E> {
    let at = match place.load(Acquire) {
        GONE => map_at(place, GONE, map, unmap)?,
        at => at,
    };
    Ok(Some(at).filter(|at| at & LEAVING == 0 && *at != 0))
}

/// Gives up the memory at `at`, which was found in `place`, unless `is_used` says so of the count, which it must change to ask.
/// Whether it was.
pub fn give_up(
    place: &AtomicUsize,
    at: usize,
    is_used: impl FnOnce() -> bool,
    unmap: impl FnOnce(usize),
) -> bool {
    if place.compare_exchange(at, at | LEAVING, AcqRel, Relaxed).is_err() {
        return false;
    }
    if is_used() {
        place.store(at, Release);
        return false;
    }
    place.store(GONE, Release);
    unmap(at);
    true
}
