//! An address of memory that is mapped by whoever needs it first.

use crate::sync::AtomicUsize;
use core::sync::atomic::Ordering::{AcqRel, Acquire};

/// The address in `place`; where that is 0, the one that `map` gives and `place` then holds. Who comes second gives
/// what it has mapped back by `unmap`.
pub fn mapped<E>(
    place: &AtomicUsize,
    map: impl FnOnce() -> Result<usize, E>,
    unmap: impl FnOnce(usize),
) -> Result<usize, E> {
    match place.load(Acquire) {
        0 => {}
        at => return Ok(at),
    }
    let at = map()?;
    match place.compare_exchange(0, at, AcqRel, Acquire) {
        Ok(_) => Ok(at),
        Err(first) => {
            unmap(at);
            Ok(first)
        }
    }
}
