//! What programs may call: `include/unfreed.h`.

use crate::{marks, process};
use core::ffi::c_char;
use core::slice;
use recording::run::MARK_NAME;

/// Says that the run is at the moment `name`, a C string of which the first [`MARK_NAME`] bytes count. May be called at any
/// time, by signal handlers too. A name that was said before has its moment.
///
/// # Safety
/// `name` must be null or end with NUL.
#[cfg_attr(unfreed_preload, unsafe(no_mangle))]
pub unsafe extern "C" fn unfreed_mark(name: *const c_char) {
    if name.is_null() {
        return;
    }
    let name = name.cast::<u8>();
    // SAFETY: readable up to its NUL, behind which nothing is read.
    let len = (0..MARK_NAME).take_while(|&index| unsafe { *name.add(index) } != 0).count();
    // The words of the run are there when a process has begun.
    process::begin();
    // SAFETY: as above.
    marks::set(unsafe { slice::from_raw_parts(name, len) });
}
