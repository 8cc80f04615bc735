//! libunfreed.so (skeleton).
#![cfg_attr(unfreed_preload, no_std)]

#[cfg(unfreed_preload)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
