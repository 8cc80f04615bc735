//! Atomic words, which are loom's where a model is checked, and waiting for another thread.
//!
//! Only [`protocol`](crate::protocol) is built with loom: its words cannot be made at compile time, as statics need.

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};

#[cfg(not(loom))]
pub use crate::sys::wait_for;

/// In a model a moment has come, or the time is over, after one turn of the others.
#[cfg(loom)]
pub fn wait_for(mut is_done: impl FnMut() -> bool) -> bool {
    is_done() || {
        loom::thread::yield_now();
        is_done()
    }
}

/// A constructor for statics, which under loom cannot be `const`.
macro_rules! const_unless_loom {
    ($(#[$attribute:meta])* pub(crate) fn $($rest:tt)*) => {
        $(#[$attribute])* #[cfg(not(loom))] pub(crate) const fn $($rest)*
        $(#[$attribute])* #[cfg(loom)] pub(crate) fn $($rest)*
    };
}
pub(crate) use const_unless_loom;
