//! How far the recording of this process is: one word.
//!
//! | word | means | who leaves it |
//! |---|---|---|
//! | `NONE` | nothing was begun, or this is a forked child | the first event (compare-and-swap to `BEGINNING`) |
//! | `BEGINNING` | the thread whose id is above it begins the file; others wait for it, for a moment | that thread |
//! | `RECORDING` | chunks are handed out | whoever cannot grow the file |
//! | `STOPPED`, `OFF` | nothing is written any more, or nothing was asked for | nobody |
//!
//! Events that happen in `BEGINNING` and do not wait are counted aside, since the file has no counters yet. Who moves the
//! word on takes that count, and so does who has added to it and finds the word moved on: none is forgotten.

use crate::sync::{AtomicU64, wait_for};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

const NONE: u64 = 0;
const BEGINNING: u64 = 1;
const RECORDING: u64 = 2;
const STOPPED: u64 = 3;
const OFF: u64 = 4;

/// Where the id of the thread that begins stands in the word.
const THREAD_SHIFT: u32 = 8;

fn is_beginning(word: u64) -> bool {
    word & ((1 << THREAD_SHIFT) - 1) == BEGINNING
}

/// The word. All zero is one of which nothing was begun.
#[repr(transparent)]
pub struct Life(AtomicU64);

/// What an event finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: the caller must begin the file, and then call [`Life::begun`].
    Nothing,
    /// The file is still being begun: by another thread, or by a hook that the caller has interrupted.
    Beginning,
    /// A file that is written to.
    Recording,
    /// A file that is not written to any more.
    Stopped,
    /// Nothing was asked for.
    Off,
}

impl Life {
    /// The word of a process of which nothing was begun.
    #[cfg(loom)]
    pub fn new() -> Life {
        Life(AtomicU64::new(NONE))
    }

    /// How far the recording is, for an event that needs it; `thread` says which one asks.
    pub fn enter(&self, thread: impl FnOnce() -> u32) -> Found {
        let mut state = self.0.load(Acquire);
        if state == NONE || is_beginning(state) {
            let ours = BEGINNING | u64::from(thread()) << THREAD_SHIFT;
            let begin = || match self.0.compare_exchange(NONE, ours, AcqRel, Acquire) {
                Ok(_) => NONE,
                Err(other) => other,
            };
            state = begin();
            // Ourselves we would wait for in a signal handler that interrupted the beginning.
            if is_beginning(state) && state != ours {
                wait_for(|| {
                    state = begin();
                    !is_beginning(state)
                });
            }
        }
        match state {
            NONE => Found::Nothing,
            RECORDING => Found::Recording,
            STOPPED => Found::Stopped,
            OFF => Found::Off,
            _ => Found::Beginning,
        }
    }

    /// Whoever found nothing has begun the file, or has not. Returns how many events were `lost` meanwhile.
    pub fn begun(&self, is_begun: bool, lost: &AtomicU64) -> u64 {
        self.0.swap(if is_begun { RECORDING } else { OFF }, AcqRel);
        lost.swap(0, Relaxed)
    }

    /// An event of somebody who found a beginning is lost. Returns how many the caller must count in the file, which is begun
    /// by now unless there are none.
    pub fn lost_meanwhile(&self, lost: &AtomicU64) -> u64 {
        lost.fetch_add(1, Relaxed);
        // An addition, to have an order with the swap of `begun`: the second of the two sees what was before the first.
        if is_beginning(self.0.fetch_add(0, AcqRel)) { 0 } else { lost.swap(0, Relaxed) }
    }

    /// Whether chunks are handed out.
    #[inline(always)]
    pub fn is_recording(&self) -> bool {
        self.0.load(Acquire) == RECORDING
    }

    /// Whether there is a file, written to or not.
    pub fn has_file(&self) -> bool {
        matches!(self.0.load(Acquire), RECORDING | STOPPED)
    }

    /// Stops the recording, by `stop` first: who sees that it has stopped sees what that has done. Whether it was the
    /// caller who did.
    pub fn stop(&self, stop: impl FnOnce()) -> bool {
        if !self.is_recording() {
            return false;
        }
        stop();
        self.0.compare_exchange(RECORDING, STOPPED, AcqRel, Relaxed).is_ok()
    }
}
