//! libunfreed.so: records every allocation of the process it is loaded into.
//!
//! A call meets the modules in this order: [`hooks`] (the exported C functions), [`real`] (the allocator behind
//! us), [`thread`] (whose call it is, and whether it interrupted the recorder), [`stack`] and [`intern`] (where
//! it comes from), [`log`] (the event into the mapped file). Before the first event [`process`] begins the file.
//!
//! The rules of this path: no lock, no allocation, no libc function but the real allocator, no panic; system
//! calls only when a chunk is turned; every event is in the file before the hook returns; what cannot be
//! recorded is counted, and the program goes on. Statics are zero-initialised and work before any constructor.
//!
//! For tests and lints this is an ordinary library without exports; `analyzer/build.rs` builds the real one with
//! `--cfg unfreed_preload`.
#![cfg_attr(unfreed_preload, no_std)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests are no hooks")
)]

#[cfg(not(loom))]
pub mod clock;
#[cfg(not(loom))]
pub mod config;
#[cfg(not(loom))]
pub mod descriptors;
#[cfg(not(loom))]
pub mod hooks;
#[cfg(not(loom))]
pub mod intern;
#[cfg(not(loom))]
pub mod link_map;
#[cfg(not(loom))]
pub mod log;
#[cfg(not(loom))]
pub mod mappings;
#[cfg(not(loom))]
pub mod marks;
#[cfg(unfreed_preload)]
mod memory;
#[cfg(not(loom))]
pub mod modules;
#[cfg(not(loom))]
pub mod process;
pub mod protocol;
#[cfg(not(loom))]
pub mod python;
#[cfg(not(loom))]
pub mod real;
#[cfg(not(loom))]
pub mod run;
#[cfg(not(loom))]
pub mod sandbox;
#[cfg(not(loom))]
pub mod selection;
#[cfg(not(loom))]
pub mod stack;
#[cfg(not(loom))]
pub mod start;
#[cfg(not(loom))]
pub mod switch;
#[cfg(not(loom))]
pub mod symbols;
pub mod sync;
#[cfg(not(loom))]
pub mod sys;
#[cfg(not(loom))]
pub mod table;
#[cfg(not(loom))]
pub mod thread;
#[cfg(unfreed_timed)]
pub mod timed;

#[cfg(unfreed_preload)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // Unreachable by construction; an illegal instruction says where better than a silent hang.
    // SAFETY: ends the process.
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}
