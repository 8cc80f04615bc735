//! Only in a library that is built to be measured (`--cfg unfreed_timed`, see `scripts/bench.d/capture.py`): how long captures
//! take where they are taken, in the running program.
//!
//! At exit one line goes to standard error: how many captures there were, what one took on average in ns, and what one took with its
//! Python frames. What reading the counter takes is not part of it; those during which the thread had to wait for a processor
//! are left out and counted.

use crate::{clock, sys};
use core::arch::x86_64::{_mm_lfence, _rdtsc};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

static BEGIN: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static CAPTURES: AtomicU64 = AtomicU64::new(0);
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
/// Longer than any capture takes on a processor, in ticks: some 100 us.
const LONGEST: u64 = 1 << 18;
/// Up to the native stack's id, and up to that of the merged one.
static SUMS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// The counter, once all before it is done: else a part of that is counted to what comes after it, some 20 ns where that is nothing.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: waits, and reads the counter.
    unsafe {
        _mm_lfence();
        _rdtsc()
    }
}

/// The library is loaded.
pub fn begin() {
    BEGIN[0].store(now(), Relaxed);
    BEGIN[1].store(clock::monotonic_ns(), Relaxed);
}

/// A capture began, had the native id, and the merged one.
#[inline(always)]
pub fn captured(begin: u64, native: u64, merged: u64) {
    if merged.wrapping_sub(begin) > LONGEST {
        LEFT_OUT.fetch_add(1, Relaxed);
        return;
    }
    CAPTURES.fetch_add(1, Relaxed);
    SUMS[0].fetch_add(native.wrapping_sub(begin), Relaxed);
    SUMS[1].fetch_add(merged.wrapping_sub(native), Relaxed);
}

/// The process exits.
#[cold]
pub fn end() {
    const READINGS: u64 = 1000;
    const TIMES: u64 = 100;
    let captures = CAPTURES.load(Relaxed).max(1);
    let sums = [0, 1].map(|which: usize| SUMS[which].load(Relaxed));
    let ticks = now().wrapping_sub(BEGIN[0].load(Relaxed)).max(1);
    let ns = clock::monotonic_ns().wrapping_sub(BEGIN[1].load(Relaxed));
    // The least of several times: others may want the processor.
    let readings = || {
        let one = || {
            let before = now();
            now().wrapping_sub(before)
        };
        (0..READINGS).map(|_| one()).sum()
    };
    let reading: u64 = (0..TIMES).map(|_| readings()).min().unwrap_or(0);
    let average = |sum: u64| {
        let net = (sum as u128 * READINGS as u128).saturating_sub(captures as u128 * reading as u128);
        (net * ns as u128 * 10 / (captures as u128 * READINGS as u128 * ticks as u128)) as u64
    };
    let mut line = Line { text: [0; 128], len: 0 };
    line.text(b"unfreed: captures ").number(captures);
    line.text(b" native ")
        .tenths(average(sums[0]))
        .text(b" ns python ")
        .tenths(average(sums[1]))
        .text(b" ns");
    line.text(b" left out ").number(LEFT_OUT.load(Relaxed)).text(b"\n");
    sys::write_error(line.text.get(..line.len).unwrap_or(&[]));
}

struct Line {
    text: [u8; 128],
    len: usize,
}

impl Line {
    fn text(&mut self, text: &[u8]) -> &mut Line {
        for &byte in text {
            if let Some(place) = self.text.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
        }
        self
    }

    fn number(&mut self, number: u64) -> &mut Line {
        if number >= 10 {
            self.number(number / 10);
        }
        self.text(&[b'0' + (number % 10) as u8])
    }

    fn tenths(&mut self, number: u64) -> &mut Line {
        self.number(number / 10).text(b".").number(number % 10)
    }
}
