//! Open descriptors: which of them are recorded, and what is told to the recording.
//!
//! What is closed is recorded only if its opening was. A child that shares our memory (vfork) has descriptors of its own: of
//! what it does with them nothing is recorded.

use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use recording::resource::{Descriptor, Resource};

use crate::stack::Caller;
use crate::thread::Thread;
use crate::{process, switch};

/// Descriptors of which is known whether they were opened before our eyes; more than that few processes may have.
const KNOWN: usize = 1 << 16;

/// A bit each.
static OPEN: [AtomicU64; KNOWN / 64] = [const { AtomicU64::new(0) }; KNOWN / 64];

fn word(descriptor: u32) -> Option<(&'static AtomicU64, u64)> {
    Some((OPEN.get(descriptor as usize / 64)?, 1 << (descriptor % 64)))
}

/// Whether it may have been opened.
fn is_open(descriptor: u32) -> bool {
    word(descriptor).is_none_or(|(word, bit)| word.load(Relaxed) & bit != 0)
}

/// A descriptor was opened for `caller`, that of a hook. Negative: it was not.
pub fn opened(descriptor: c_int, kind: Descriptor, caller: Caller) {
    let Ok(descriptor) = u32::try_from(descriptor) else { return };
    if switch::is_dormant() || process::is_other_process() {
        return;
    }
    if let Some((word, bit)) = word(descriptor) {
        word.fetch_or(bit, Relaxed);
    }
    Thread::begun().opened(Resource::Descriptor(descriptor), kind as u64, caller);
}

/// A descriptor is about to be closed. `sp` is the stack pointer at the hook's first instruction.
pub fn closing(descriptor: c_int, sp: usize) {
    let Ok(descriptor) = u32::try_from(descriptor) else { return };
    if is_open(descriptor) && is_recorded() {
        close(descriptor, sp);
    }
}

/// Those of a range are about to be closed, both ends included.
pub fn closing_range(first: u32, last: u32, sp: usize) {
    if !is_recorded() {
        return;
    }
    for (index, word) in OPEN.iter().enumerate() {
        let mut bits = word.load(Relaxed);
        while bits != 0 {
            let descriptor = index as u32 * 64 + bits.trailing_zeros();
            bits &= bits - 1;
            if (first..=last).contains(&descriptor) {
                close(descriptor, sp);
            }
        }
    }
}

/// Whether what was opened may be in a recording of this process: not in a forked child without one.
fn is_recorded() -> bool {
    process::has_file() && !process::is_other_process()
}

fn close(descriptor: u32, sp: usize) {
    if let Some((word, bit)) = word(descriptor) {
        word.fetch_and(!bit, Relaxed);
    }
    Thread::begun().closing(Resource::Descriptor(descriptor), sp);
}
