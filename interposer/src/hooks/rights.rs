//! What gives up rights: another user, another root. The process could not open its file any more to make it longer, so
//! that is done before.

use crate::{process, real};
use core::ffi::{c_char, c_int};

macro_rules! giving_up {
    ($($name:ident($($argument:ident: $type:ty),*))*) => {$(
        /// The hook of the C function of this name.
        ///
        /// # Safety
        /// As for the C function.
        #[cfg_attr(unfreed_preload, unsafe(no_mangle))]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
            process::rights_are_given_up();
            // SAFETY: the caller's call.
            real::$name().map_or(-1, |real| unsafe { real($($argument),*) })
        }
    )*};
}

giving_up! {
    setuid(user: u32)
    seteuid(user: u32)
    setreuid(user: u32, effective: u32)
    setresuid(user: u32, effective: u32, saved: u32)
    chroot(path: *const c_char)
}
