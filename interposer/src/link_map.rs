//! The loader's public list of loaded objects (`link.h`), and symbols that need not exist.
//!
//! Reading the list takes no lock and calls nothing. An object is put in it when it is mapped and taken out before
//! it is unmapped; who reads it while other threads may load and unload must ask the kernel before each node.

/// The address that a symbol got, 0 if none: weak, so that the library loads where it is missing; through the
/// global offset table, which the compiler cannot assume to be filled.
macro_rules! weak_address {
    ($symbol:literal) => {{
        let address: usize;
        // SAFETY: reads our own global offset table, which the loader has filled.
        unsafe {
            core::arch::asm!(
                concat!(".weak ", $symbol),
                concat!("mov {}, qword ptr [rip + ", $symbol, "@GOTPCREL]"),
                out(reg) address,
                options(pure, readonly, nostack, preserves_flags)
            )
        };
        address
    }};
}
pub(crate) use weak_address;

/// `struct link_map`: the public part.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LinkMap {
    /// Load bias.
    pub bias: usize,
    /// Path, ending with NUL; empty for the main program.
    pub name: *const u8,
    /// The dynamic section.
    pub dynamic: *const Dynamic,
    /// The object loaded after this one.
    pub next: *const LinkMap,
}

/// An entry of a dynamic section, which ends with tag 0.
#[repr(C)]
pub struct Dynamic {
    /// What it is.
    pub tag: i64,
    /// A number or an address.
    pub value: usize,
}

/// `struct r_debug`, up to what is used.
#[repr(C)]
struct Debug {
    version: core::ffi::c_int,
    first: *const LinkMap,
}

/// The first object, the main program; null if there is no list. glibc's loader and musl's export it under
/// different names, and fill it before they relocate any object.
pub fn first() -> *const LinkMap {
    let glibc = weak_address!("_r_debug") as *const Debug;
    let musl = weak_address!("_dl_debug_addr") as *const *const Debug;
    // SAFETY: these are the loader's variables where they exist.
    unsafe {
        let debug = if !glibc.is_null() || musl.is_null() { glibc } else { musl.read() };
        debug.as_ref().map_or(core::ptr::null(), |debug| debug.first)
    }
}
