//! How large the stack of a looking-up thread is, which follows inlined functions by recursion.
//!
//! Only what is used of it is committed, but all of it counts in the limits of the address space and of data. The
//! larger it is, the fewer units have to be checked by [`super::nesting`].
use crate::limit::limit;

/// Without a limit.
const LARGEST: usize = 1 << 30;

/// The part of a limit that all such threads take together: what they find needs memory too.
const PART: u64 = 64;

/// What there is on a thread that was not started for it, and at least on one that was: a main thread has 8 MiB, one of
/// Rust's 2 MiB, and their callers need little.
pub const LEAST: usize = 1 << 20;

/// Bytes for each of so many threads.
pub fn size(threads: usize) -> usize {
    let least = limit(libc::RLIMIT_AS).min(limit(libc::RLIMIT_DATA));
    let each = if least == libc::RLIM_INFINITY { least } else { least / PART / threads.max(1) as u64 };
    usize::try_from(each).map_or(LARGEST, |bytes| bytes.clamp(LEAST, LARGEST))
}
