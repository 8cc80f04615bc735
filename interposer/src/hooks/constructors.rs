//! What the loader calls when the library is loaded and when the process exits.

use crate::{process, python, switch, thread};

/// Begins the recording before `main`, while paths, /proc and descriptors are as the program was started with,
/// and looks up the real functions on a stack that has room for it. Allocations before this begin it themselves.
/// Interpreters are found now also where the recording is switched on later, since no other thread changes the list.
extern "C" fn at_load() {
    #[cfg(unfreed_timed)]
    crate::timed::begin();
    thread::begin();
    if !switch::is_never() {
        python::find_loaded();
    }
}

extern "C" fn at_exit() {
    #[cfg(unfreed_timed)]
    crate::timed::end();
    process::ended();
}

#[cfg_attr(unfreed_preload, unsafe(link_section = ".init_array"))]
#[used]
static AT_LOAD: extern "C" fn() = at_load;

#[cfg_attr(unfreed_preload, unsafe(link_section = ".fini_array"))]
#[used]
static AT_EXIT: extern "C" fn() = at_exit;
