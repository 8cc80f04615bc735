//! Code objects: a number for each, given and described in the recording when a frame of it is first seen.
//!
//! A code object is known by its address until it is freed: the hook of Python's object allocator tells
//! [`freed`], which looks at one byte for each block. The number is forgotten then, and the [`epoch`] changes, which
//! voids what threads keep of their stacks. A program may compile the same text again and again, as templates are: code
//! objects with the same description have one number, so that a recording does not grow with their count.
//!
//! The table is lock-free and open-addressed, in levels, each larger than the one before. A slot gets its address by
//! a compare-and-swap from 0 and keeps it for good; `number` is 0 while the code is not known. It is stored after
//! the description is in the recording. Two threads may describe one code object, which readers accept. In a forked
//! child the kernel has made all slots 0, and numbers begin anew with its file.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

use recording::{CodeLines, CodeObject, LONGEST, StackId};

use super::Sink;
use super::memory::{self, is_readable};
use super::version::{BYTES_DATA, BYTES_LENGTH, Layout, OBJECT_TYPE};
use crate::intern::{self, Key};
use crate::sys;

/// Slots of the levels, as powers of two: from 128 KiB, enough for the code that most programs run, to 64 MiB.
const BITS: [u32; 4] = [13, 16, 19, 22];
/// Slots that are looked at in a level, of which at most 60 % are in use.
const PROBES: usize = 32;
/// Longer line tables are cut: that of the largest generated module is a few MiB.
const MOST_LINES: usize = 16 << 20;

#[repr(C)]
struct Slot {
    code: AtomicU64,
    number: AtomicU32,
}

struct Level {
    /// Address of the slots, 0 until they are mapped.
    slots: AtomicUsize,
    /// Slots in use, roughly.
    used: AtomicU32,
}

static TABLE: [Level; BITS.len()] =
    [const { Level { slots: AtomicUsize::new(0), used: AtomicU32::new(0) } }; BITS.len()];
/// Levels in use are up to this one.
static NEWEST: AtomicUsize = AtomicUsize::new(0);
/// The number that the next code object gets, less one.
static GIVEN: AtomicU32 = AtomicU32::new(0);
static EPOCH: AtomicU32 = AtomicU32::new(0);

/// For each hash of an address: 0, or a tag of the code object that is known, or [`SEVERAL`].
static FILTER: [AtomicU8; 1 << 15] = [const { AtomicU8::new(0) }; 1 << 15];
const SEVERAL: u8 = u8::MAX;

/// Memory for the texts of a description.
#[repr(C)]
pub struct Scratch {
    file: [u8; 4096],
    name: [u8; 1024],
}

const _: () = assert!(CodeObject::FIXED + size_of::<Scratch>() + 1024 < LONGEST, "room for lines");

#[inline(always)]
fn hash(code: u64) -> u64 {
    (code >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The place in the filter, and the tag, which is odd or [`SEVERAL`].
#[inline(always)]
fn filter(code: u64) -> (&'static AtomicU8, u8) {
    let hash = hash(code);
    (&FILTER[(hash >> 49) as usize], (hash >> 41) as u8 | 1)
}

impl Level {
    /// The slots to look at for a code object.
    #[inline(always)]
    fn candidates(&self, bits: u32, code: u64) -> impl Iterator<Item = &'static Slot> + use<> {
        let slots = self.slots.load(Acquire);
        let first = (hash(code) >> (64 - bits)) as usize;
        let count = if slots == 0 { 0 } else { PROBES };
        (0..count).map(move |probe| {
            let index = (first + probe) & ((1 << bits) - 1);
            // SAFETY: the level's memory has 2^bits slots, is zeroed when mapped and never unmapped.
            unsafe { &*(slots as *const Slot).add(index) }
        })
    }

    fn map(&self, bits: u32) -> bool {
        if self.slots.load(Acquire) != 0 {
            return true;
        }
        let size = size_of::<Slot>() << bits;
        let Ok(at) = sys::map_private(size) else { return false };
        if sys::advise(at, size, libc::MADV_WIPEONFORK).is_err()
            || self.slots.compare_exchange(0, at, Release, Relaxed).is_err()
        {
            // SAFETY: nobody else has seen this mapping.
            unsafe { sys::unmap(at, size) };
        }
        self.slots.load(Acquire) != 0
    }
}

/// The levels in use, the newest first, and their sizes.
#[inline(always)]
fn levels() -> impl Iterator<Item = (&'static Level, u32)> {
    let newest = NEWEST.load(Acquire).min(BITS.len() - 1);
    (0..=newest).rev().map(|index| (&TABLE[index], BITS[index]))
}

/// The slot that has this address.
#[inline(always)]
fn slot_of(code: u64) -> Option<&'static Slot> {
    for (level, bits) in levels() {
        for slot in level.candidates(bits, code) {
            match slot.code.load(Relaxed) {
                found if found == code => return Some(slot),
                0 => break,
                _ => {}
            }
        }
    }
    None
}

/// How often a code object was freed.
#[inline(always)]
pub fn epoch() -> u32 {
    EPOCH.load(Relaxed)
}

/// The number of the code object at this address, if it is known.
#[inline(always)]
pub fn find(code: u64) -> Option<u32> {
    slot_of(code).map(|slot| slot.number.load(Acquire)).filter(|number| *number != 0)
}

/// Remembers the number of a code object. Returns the one to use: another thread may have been first.
fn insert(code: u64, number: u32) -> u32 {
    let (entry, tag) = filter(code);
    let merged = |known| if known == 0 || known == tag { Some(tag) } else { Some(SEVERAL) };
    let _ = entry.fetch_update(Relaxed, Relaxed, merged);
    let slot = slot_of(code).or_else(|| claim(code));
    let Some(slot) = slot else { return number };
    match slot.number.compare_exchange(0, number, AcqRel, Acquire) {
        Ok(_) => number,
        Err(other) => other,
    }
}

/// A slot for a code object that has none; `None` if the table is full.
fn claim(code: u64) -> Option<&'static Slot> {
    for (index, (level, bits)) in TABLE.iter().zip(BITS).enumerate().skip(NEWEST.load(Acquire)) {
        NEWEST.fetch_max(index, Release);
        if level.used.load(Relaxed) as usize > (1 << bits) * 6 / 10 || !level.map(bits) {
            continue;
        }
        for slot in level.candidates(bits, code) {
            match slot.code.compare_exchange(0, code, Relaxed, Relaxed) {
                Ok(_) => {
                    level.used.fetch_add(1, Relaxed);
                    return Some(slot);
                }
                Err(found) if found == code => return Some(slot),
                Err(_) => {}
            }
        }
    }
    None
}

/// Maps the next level, if any is in use, for when no memory can be mapped any more.
#[cold]
pub fn reserve() {
    let newest = NEWEST.load(Acquire);
    let in_use = TABLE[0].slots.load(Acquire) != 0;
    for (level, bits) in TABLE.iter().zip(BITS).skip(newest).take(if in_use { 2 } else { 0 }) {
        level.map(bits);
    }
}

/// Python's object allocator is about to free `block`.
#[inline(always)]
pub fn freed(block: u64) {
    let (entry, tag) = filter(block);
    let known = entry.load(Relaxed);
    if known != 0 && (known == tag || known == SEVERAL) {
        forget(block);
    }
}

#[cold]
#[inline(never)]
fn forget(block: u64) {
    let mut was_known = false;
    for (level, bits) in levels() {
        // Two threads may have entered it into two levels.
        let slot = level.candidates(bits, block).find(|slot| slot.code.load(Relaxed) == block);
        was_known |= slot.is_some_and(|slot| slot.number.swap(0, AcqRel) != 0);
    }
    if was_known {
        EPOCH.fetch_add(1, Release);
    }
}

/// In a forked child, where the kernel has made all slots 0.
pub fn forked() {
    NEWEST.store(0, Release);
    GIVEN.store(0, Relaxed);
    for level in &TABLE {
        level.used.store(0, Relaxed);
    }
}

/// Of what interpreter a code object is, and where that keeps things.
#[derive(Clone, Copy)]
pub struct Kind<'a> {
    /// The interpreter's number.
    pub interpreter: u32,
    /// `PyCode_Type`.
    pub code_type: u64,
    /// Its fields.
    pub layout: &'a Layout,
}

/// Describes a code object that is not known; its number, or `None` if there cannot be one at this address.
#[cold]
#[inline(never)]
pub fn define(code: u64, kind: Kind, scratch: &mut Scratch, sink: &mut impl Sink) -> Option<u32> {
    let layout = kind.layout;
    if !is_readable(code, OBJECT_TYPE + 8)
        || memory::word(code + OBJECT_TYPE) != kind.code_type
        || !is_readable(code, u64::from(layout.name.max(layout.bytecode)) + 8)
    {
        return None;
    }
    let text = |offset: u16, out| memory::text_of(memory::word(code + u64::from(offset)), layout, out);
    let (file, name) = (text(layout.file, &mut scratch.file), text(layout.name, &mut scratch.name));
    let table = line_table(memory::word(code + u64::from(layout.lines)));
    let first_line = memory::word(code + u64::from(layout.first_line)) as i32;
    let hash = [&first_line.to_le_bytes()[..], file, name, table].into_iter().fold(0, mix);
    let (key, interpreter) = (Key::of_code(hash), StackId(kind.interpreter));
    if let Some(StackId(known)) = intern::find(key, interpreter) {
        return Some(insert(code, known));
    }
    let room = LONGEST - CodeObject::FIXED - file.len() - name.len();
    let (first, rest) = table.split_at(table.len().min(room));
    let number = GIVEN.fetch_add(1, Relaxed) + 1;
    sink.code_object(&CodeObject {
        number,
        interpreter: kind.interpreter,
        first_line,
        lines_size: table.len() as u32,
        file,
        name,
        lines: first,
    });
    let mut offset = first.len() as u32;
    for lines in rest.chunks(LONGEST - CodeLines::FIXED) {
        sink.code_lines(&CodeLines { number, offset, lines });
        offset += lines.len() as u32;
    }
    Some(insert(code, intern::insert(key, interpreter, StackId(number)).0))
}

/// A hash of `bytes` and what was before, well mixed in all bits: what differs has another one, but in one of 10^18 cases.
fn mix(before: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        (product >> 64) as u64 ^ product as u64
    };
    bytes.chunks(8).fold(step(before, bytes.len() as u64 + 1), |hash, chunk| {
        step(hash, chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
    })
}

/// The bytes of the `bytes` object at `object`; none if there cannot be one.
fn line_table(object: u64) -> &'static [u8] {
    if object & 7 != 0 || !is_readable(object, BYTES_DATA) {
        return &[];
    }
    let len = (memory::word(object + BYTES_LENGTH) as usize).min(MOST_LINES);
    memory::bytes(object + BYTES_DATA, len)
}
