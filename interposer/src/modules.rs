//! Which file is mapped where: the modules whose code was seen on a stack, each written to the recording before
//! the first frame within it.
//!
//! The table is lock-free. A slot's `link_map` is [`FREE`], [`CLAIMED`] while one thread fills it, then the address of
//! the loader's entry, published by a Release store; readers load it Acquire. It becomes free again when the module
//! is unloaded. Two threads may enter one module twice, which readers of the recording accept. A thread that
//! is stopped while it fills a slot leaves it unused; the module is entered again by the next who sees it.
//!
//! Unloading is seen by the loader's `free` of the module's `struct link_map`, which the interposer hooks. The
//! loader does it after it has unmapped the module and before it gives its lock back, so before another
//! module can be there. From then on the map has another [`epoch`], which voids all rules and cached stacks.

mod image;
mod loader;

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};

use recording::{Module, Segment};

use self::image::Image;
use crate::link_map::Dynamic;
use crate::stack::cfi::{UnwindInfo, frames_address};
use crate::stack::{Sink, near};
use crate::symbols::{self, Definition};
use crate::{python, start, sys};

/// Modules that can be loaded at a time; of more, the frames are recorded without a module.
pub const MAX: usize = 4096;

const FREE: u64 = 0;
const CLAIMED: u64 = 1;

struct Slot {
    /// The loader's entry, see the header of this file.
    link_map: AtomicU64,
    /// The parts of its [`Image`].
    bias: AtomicU64,
    headers: AtomicU64,
    header_count: AtomicU64,
    /// Number in the recording.
    number: AtomicU32,
    /// Epoch in which it was first seen.
    since: AtomicU32,
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            link_map: AtomicU64::new(FREE),
            bias: AtomicU64::new(0),
            headers: AtomicU64::new(0),
            header_count: AtomicU64::new(0),
            number: AtomicU32::new(0),
            since: AtomicU32::new(0),
        }
    }
}

static SLOTS: [Slot; MAX] = [const { Slot::new() }; MAX];
/// Slots that were ever used are below this.
static USED: AtomicUsize = AtomicUsize::new(0);
/// The number that the next module gets.
static NEXT: AtomicU32 = AtomicU32::new(0);
static EPOCH: AtomicU32 = AtomicU32::new(0);
/// A module found no slot: what is freed may be its entry.
static OVERFLOWED: AtomicBool = AtomicBool::new(false);

/// For each hash of a `link_map` address: 0, or a tag of the one that is known, or [`SEVERAL`]. Entries stay when
/// the module goes: clearing one could lose the entry of a module that comes at the same moment.
static FILTER: [AtomicU8; 4096] = [const { AtomicU8::new(0) }; 4096];
const SEVERAL: u8 = u8::MAX;

/// The place in the filter, and the tag, which is odd or [`SEVERAL`].
#[inline(always)]
fn filter(link_map: u64) -> (&'static AtomicU8, u8) {
    let hash = (link_map >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
    (&FILTER[hash as usize & 4095], (hash >> 12) as u8 | 1)
}

/// How often a module has been unloaded.
#[inline(always)]
pub fn epoch() -> u32 {
    EPOCH.load(Relaxed)
}

/// Whether a free of `address` may be the loader's, of a module: then call [`unloaded`].
#[inline(always)]
pub fn freed(address: u64) -> bool {
    let (entry, tag) = filter(address);
    let known = entry.load(Relaxed);
    known != 0 && (known == tag || known == SEVERAL)
}

/// Has [`freed`] be true for this address.
pub fn watch(link_map: u64) {
    let (entry, tag) = filter(link_map);
    let merged = |known| if known == 0 || known == tag { Some(tag) } else { Some(SEVERAL) };
    let _ = entry.fetch_update(Relaxed, Relaxed, merged);
}

/// A block for which [`freed`] was true is about to be freed; `gone` is told of the module's number, and from which epoch on
/// it is not there.
#[cold]
pub fn unloaded(address: u64, mut gone: impl FnMut(u32, u32)) {
    python::module_gone(address);
    let mut is_module = false;
    for slot in slots() {
        let number = slot.number.load(Relaxed);
        if slot.link_map.compare_exchange(address, FREE, AcqRel, Relaxed).is_ok() {
            is_module = true;
            gone(number, epoch().wrapping_add(1));
        }
    }
    if is_module || OVERFLOWED.load(Relaxed) {
        near::begin(EPOCH.fetch_add(1, Release).wrapping_add(1));
    }
}

fn slots() -> impl Iterator<Item = &'static Slot> {
    SLOTS.iter().take(USED.load(Acquire))
}

impl Slot {
    /// The `link_map` of a module that is loaded.
    fn loaded(&self) -> Option<u64> {
        Some(self.link_map.load(Acquire)).filter(|link_map| *link_map > CLAIMED)
    }

    fn image(&self) -> Image {
        let (bias, headers) = (self.bias.load(Relaxed), self.headers.load(Relaxed));
        Image { bias, headers, count: self.header_count.load(Relaxed) }
    }

    /// A slot that is the caller's to fill.
    fn claim() -> Option<&'static Slot> {
        let is_free = |slot: &&Slot| slot.link_map.compare_exchange(FREE, CLAIMED, AcqRel, Relaxed).is_ok();
        let (index, slot) = SLOTS.iter().enumerate().find(|(_, slot)| is_free(slot))?;
        USED.fetch_max(index + 1, AcqRel);
        Some(slot)
    }
}

fn known(is_it: impl Fn(u64, &Slot) -> bool) -> Option<&'static Slot> {
    slots().find(|slot| slot.loaded().is_some_and(|link_map| is_it(link_map, slot)))
}

/// The module that holds the code at `pc`; it is written to `sink` if it was not known.
pub fn find(pc: u64, sink: &mut impl Sink) -> Option<Code> {
    let object = if loader::has_find_object() {
        loader::find(pc)?
    } else if OVERFLOWED.load(Relaxed) {
        loader::find_in_list(pc)?
    } else {
        return find_known(pc).or_else(|| enter_new(sink).then(|| find_known(pc))?);
    };
    let slot = known(|link_map, _| link_map == object.link_map);
    let image = match slot {
        Some(slot) => slot.image(),
        None => register(&object, sink)?,
    };
    Some(Code { image, unwind_header: object.unwind_header })
}

/// The same of the modules that were entered.
fn find_known(pc: u64) -> Option<Code> {
    let image = known(|_, slot| slot.image().contains(pc))?.image();
    Some(Code { image, unwind_header: image.unwind_header() })
}

/// The last of the loader's list when all in it had been entered, and the [`epoch`] of then.
static LISTED: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Enters all modules that are loaded; false if that was done and nothing has changed since. So code that is in none,
/// as a JIT compiler's, is not looked for in each of them again.
#[cold]
fn enter_new(sink: &mut impl Sink) -> bool {
    let [last, since] = &LISTED;
    let epoch = EPOCH.load(Acquire);
    if since.load(Relaxed) == epoch.into() && loader::is_last(last.load(Relaxed)) {
        return false;
    }
    // Of a torn pair, the first is not the last of the list or the second is not the epoch.
    last.store(enter_all(sink), Relaxed);
    since.store(epoch.into(), Relaxed);
    true
}

/// The module that holds the code at `pc`, which is not entered.
#[cold]
pub fn code_at(pc: u64) -> Option<Code> {
    let object = if loader::has_find_object() { loader::find(pc)? } else { loader::find_in_list(pc)? };
    Some(Code { image: object.image()?, unwind_header: object.unwind_header })
}

/// The segment of a module's code that holds `pc`.
#[cold]
pub fn code_around(pc: usize) -> Option<Range<usize>> {
    let segment = code_at(pc as u64)?.image.segment_around(pc as u64)?;
    Some(segment.start as usize..segment.end as usize)
}

/// A module that was found.
pub struct Code {
    /// What lies in memory.
    pub image: Image,
    unwind_header: Option<u64>,
}

impl Code {
    /// Its unwind information, if it has any.
    pub fn unwind_info(&self) -> Option<UnwindInfo<'static>> {
        let address = self.unwind_header?;
        let header = self.image.bytes_from(address)?;
        Some(UnwindInfo { header, frames: self.image.bytes_from(frames_address(address, header)?)? })
    }
}

impl Code {
    /// The last function that the module exports, or begins to run with, of those that begin at or before `pc`.
    #[cold]
    pub fn function_before(&self, pc: u64) -> Option<Range<u64>> {
        /// `_start` has no symbol, and calls a function as soon as it can.
        const START: u64 = 64;
        let dynamic = self.image.dynamic_section()? as *const Dynamic;
        let exported =
            symbols::Object { bias: self.image.bias as usize, dynamic }.function_before(pc as usize);
        let exported = exported.map(|Definition { address, size }| address as u64..(address + size) as u64);
        let entry = self.image.entry().filter(|entry| *entry <= pc).map(|entry| entry..entry + START);
        exported.into_iter().chain(entry).max_by_key(|function| function.start)
    }
}

/// Enters a module; returns it even if the table is full.
#[cold]
fn register(object: &loader::Object, sink: &mut impl Sink) -> Option<Image> {
    let epoch = EPOCH.load(Acquire);
    let image = object.image()?;
    watch(object.link_map);
    python::module_seen(object.link_map, &loader::entry(object.link_map));
    let Some(slot) = Slot::claim() else {
        OVERFLOWED.store(true, Relaxed);
        return Some(image);
    };
    let number = NEXT.fetch_add(1, Relaxed);
    slot.bias.store(image.bias, Relaxed);
    slot.headers.store(image.headers, Relaxed);
    slot.header_count.store(image.count, Relaxed);
    slot.number.store(number, Relaxed);
    slot.since.store(epoch, Relaxed);
    describe((number, epoch), object.link_map, &image, sink);
    slot.link_map.store(object.link_map, Release);
    Some(image)
}

/// Enters all modules that are loaded: later their files may not be asked for any more. Returns the loader's entry of
/// the last, 0 if there is none.
#[cold]
pub fn enter_all(sink: &mut impl Sink) -> u64 {
    let mut last = 0;
    for object in loader::objects() {
        last = object.link_map;
        if known(|link_map, _| link_map == last).is_none() {
            register(&object, sink);
        }
    }
    last
}

/// Writes all modules that are known and loaded, for a file that begins: that of a forked child.
pub fn write_all(sink: &mut impl Sink) {
    for slot in slots() {
        if let Some(link_map) = slot.loaded() {
            let (number, since) = (slot.number.load(Relaxed), slot.since.load(Relaxed));
            describe((number, since), link_map, &slot.image(), sink);
        }
    }
}

/// Memory for a module's record: it would be too much for the caller's stack.
#[repr(C)]
struct Scratch {
    segments: [[u8; Segment::SIZE]; 64],
    path: [u8; 4096],
    directory: [u8; 4096],
}

/// A [`Scratch`] for when no memory can be mapped any more; 0 if there is none or it is in use.
static SPARE: AtomicUsize = AtomicUsize::new(0);

/// Prepares for when no memory can be mapped any more.
#[cold]
pub fn reserve() {
    if SPARE.load(Relaxed) == 0
        && let Ok(memory) = sys::map_private(size_of::<Scratch>())
        && SPARE.compare_exchange(0, memory, Release, Relaxed).is_err()
    {
        // SAFETY: nobody else has seen this mapping.
        unsafe { sys::unmap(memory, size_of::<Scratch>()) };
    }
}

fn describe((number, epoch): (u32, u32), link_map: u64, image: &Image, sink: &mut impl Sink) {
    let spare = SPARE.swap(0, Acquire);
    let mapped = if spare != 0 { Ok(spare) } else { sys::map_private(size_of::<Scratch>()) };
    let Ok(memory) = mapped else { return };
    // SAFETY: the mapping is ours alone, large enough, page-aligned, and bytes, of which any are a valid `Scratch`.
    let scratch = unsafe { &mut *(memory as *mut Scratch) };
    let mut count = 0;
    for (place, segment) in scratch.segments.iter_mut().zip(image.segments()) {
        let (address, size) = (segment.address, segment.size);
        let (offset, flags) = (segment.offset, segment.flags as u64);
        *place = Segment { address, size, offset, flags }.to_bytes();
        count += 1;
    }
    let path_len = path(loader::entry(link_map).name, &mut scratch.path, &mut scratch.directory);
    let with_nul = scratch.path.get(..=path_len).unwrap_or(b"\0");
    let (device, inode) = sys::status(with_nul).map_or((0, 0), |stat| (stat.st_dev, stat.st_ino));
    sink.module(&Module {
        number,
        epoch,
        bias: image.bias,
        device,
        inode,
        raw_segments: scratch.segments.as_flattened().get(..count * Segment::SIZE).unwrap_or(&[]),
        build_id: image.build_id(),
        path: with_nul.split_last().map_or(&[], |(_, path)| path),
    });
    if spare != 0 {
        SPARE.store(spare, Release);
    } else {
        // SAFETY: nothing refers to the memory any more.
        unsafe { sys::unmap(memory, size_of::<Scratch>()) };
    }
}

/// The path of the file with this name, NUL-terminated in `path`; returns its length without the NUL.
fn path(name: *const u8, path: &mut [u8; 4096], directory: &mut [u8; 4096]) -> usize {
    let name: &[u8] = if name.is_null() {
        &[]
    } else {
        // SAFETY: the loader's names end with NUL and are not changed while the object is loaded.
        unsafe { core::ffi::CStr::from_ptr(name.cast()) }.to_bytes()
    };
    let [path @ .., _nul] = path;
    if name.is_empty() {
        return start::executable(path).len();
    }
    // A path relative to the directory of that moment: made whole if it still leads to a file.
    let mut len = append(path, 0, name);
    if name.first() != Some(&b'/') && name.contains(&b'/') && path.get(..=len).is_some_and(is_file) {
        let Ok(prefix) = sys::current_directory(directory) else { return len };
        len = append(path, 0, prefix);
        len = append(path, len, b"/");
        len = append(path, len, name);
    }
    len
}

fn is_file(path: &[u8]) -> bool {
    sys::status(path).is_ok()
}

/// Copies what fits; returns the new length.
fn append(path: &mut [u8], at: usize, part: &[u8]) -> usize {
    let mut len = at;
    for (to, from) in path.iter_mut().skip(at).zip(part) {
        *to = *from;
        len += 1;
    }
    len
}

#[cfg(test)]
mod tests;
