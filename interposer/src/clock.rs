//! The coarse monotonic clock, in ms: what the kernel's timer tick last wrote. Read through the kernel's own
//! object in user space, so without a system call; no order of events is ever taken from it.

use crate::{real, sys};

/// Monotonic ms; `None` where the kernel offers no clock without a system call.
#[inline(always)]
pub fn coarse_ms() -> Option<u64> {
    let read = real::vdso_clock_gettime()?;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the function fills the structure that it is given; for this clock it only reads memory.
    unsafe { read(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    Some(time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000)
}

/// Monotonic ns, by a system call where one can be made.
pub fn monotonic_ns() -> u64 {
    sys::clock_ns(libc::CLOCK_MONOTONIC).unwrap_or_else(|_| coarse_ms().unwrap_or(0) * 1_000_000)
}

/// Monotonic ms, the same way.
pub fn precise_ms() -> u64 {
    monotonic_ns() / 1_000_000
}
