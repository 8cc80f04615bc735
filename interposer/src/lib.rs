//! libunfreed.so: what is loaded into the recorded process.
#![cfg_attr(unfreed_preload, no_std)]

pub mod stack;
pub mod sys;

#[cfg(unfreed_preload)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
