//! What the dynamic loader knows: which loaded object holds an address.
//!
//! `_dl_find_object` (glibc 2.35) takes no lock. Without it (older glibc, musl) the public list of `link.h` is
//! walked, without the loader's lock too: an object is put in the list when it is mapped and taken out before it
//! is unmapped, and every node is asked of the kernel before it is read. No other function of the loader is
//! called: they take its lock, which the program may hold.

use super::image::Image;
use crate::link_map::{self, LinkMap, weak_address};
use crate::sys;

/// A loaded object.
#[derive(Clone, Copy)]
pub struct Object {
    /// Address of the loader's `struct link_map`, which is freed when the object is unloaded.
    pub link_map: u64,
    /// An address at which its ELF header may lie.
    pub start: u64,
    /// Address of `.eh_frame_hdr`, if the loader says.
    pub unwind_header: Option<u64>,
}

/// The loader's entry at `link_map`.
pub fn entry(link_map: u64) -> LinkMap {
    // SAFETY: the loader gave this address, for an object that is loaded.
    unsafe { (link_map as *const LinkMap).read() }
}

impl Object {
    /// The object in memory.
    pub fn image(&self) -> Option<Image> {
        let LinkMap { bias, name, .. } = entry(self.link_map);
        let bias = bias as u64;
        // SAFETY: the loader's names end with NUL.
        let is_main = name.is_null() || unsafe { name.read() } == 0;
        let main = if is_main { Image::of_main_program(bias) } else { None };
        main.or_else(|| Image::at(bias, bias)).or_else(|| Image::at(self.start, bias))
    }
}

/// `struct dl_find_object` of `dlfcn.h`.
#[repr(C)]
struct Found {
    flags: u64,
    map_start: u64,
    map_end: u64,
    link_map: u64,
    eh_frame: u64,
    reserved: [u64; 7],
}

type FindObject = unsafe extern "C" fn(u64, *mut Found) -> i32;

/// Whether [`find`] can be used.
pub fn has_find_object() -> bool {
    weak_address!("_dl_find_object") != 0
}

/// The object that holds the code at `pc`, by the loader's own look-up.
pub fn find(pc: u64) -> Option<Object> {
    let address = weak_address!("_dl_find_object");
    // SAFETY: the symbol is this function where it exists, which callers checked.
    let find_object = unsafe { core::mem::transmute::<usize, FindObject>(address) };
    let mut found = Found { flags: 0, map_start: 0, map_end: 0, link_map: 0, eh_frame: 0, reserved: [0; 7] };
    // SAFETY: the function fills the structure that it is given; it takes no lock and any address.
    if unsafe { find_object(pc, &mut found) } != 0 {
        return None;
    }
    let Found { link_map, map_start, eh_frame, .. } = found;
    Some(Object { link_map, start: map_start, unwind_header: (eh_frame != 0).then_some(eh_frame) })
}

/// The same from the list, for loaders that have nothing better.
#[cold]
pub fn find_in_list(pc: u64) -> Option<Object> {
    objects().find_map(|object| {
        let image = object.image().filter(|image| image.contains(pc))?;
        Some(Object { unwind_header: image.unwind_header(), ..object })
    })
}

/// The objects in the list.
pub fn objects() -> impl Iterator<Item = Object> {
    let mut node = link_map::first();
    let all = core::iter::from_fn(move || {
        if node.is_null() || !sys::is_readable(node as usize) {
            return None;
        }
        // SAFETY: the page is readable; a node of another thread's dlclose gives an object that fails the checks.
        let entry = unsafe { node.read_unaligned() };
        let object = Object { link_map: node as u64, start: entry.bias as u64, unwind_header: None };
        node = entry.next;
        Some((object, entry.name))
    });
    let has_readable_name = |name: *const u8| name.is_null() || sys::is_readable(name as usize);
    all.take(super::MAX * 2).filter(move |(_, name)| has_readable_name(*name)).map(|(object, _)| object)
}

/// Whether the list ends with the entry at `link_map`: what is loaded is appended.
pub fn is_last(link_map: u64) -> bool {
    link_map != 0 && sys::is_readable(link_map as usize) && entry(link_map).next.is_null()
}
