//! Reading the interpreter's memory: words, bytes and texts at addresses that it gave.

use super::version::{Layout, STR_LENGTH, STR_STATE};
use crate::sys;

/// The end of what a program can map, with four levels of page tables.
const USER_END: u64 = 1 << 47;
const PAGE: u64 = 4096;

/// Whether an object may lie at `address`.
#[inline(always)]
pub fn is_plausible(address: u64) -> bool {
    address & 7 == 0 && address.wrapping_sub(PAGE) < USER_END - 2 * PAGE
}

/// Whether the kernel says that these bytes can be read. A system call for each page.
#[cold]
pub fn is_readable(address: u64, len: u64) -> bool {
    let Some(end) = address.checked_add(len).filter(|end| *end < USER_END) else { return false };
    let first = address & !(PAGE - 1);
    address >= PAGE && (first..end).step_by(PAGE as usize).all(|page| sys::is_readable(page as usize))
}

/// The word at `address`.
#[inline(always)]
pub fn word(address: u64) -> u64 {
    // SAFETY: callers pass addresses of fields of objects that the interpreter uses on this thread's behalf, or
    // that they found to be readable.
    unsafe { (address as *const u64).read_unaligned() }
}

/// The byte at `address`.
#[inline(always)]
pub fn byte(address: u64) -> u8 {
    // SAFETY: as for `word`.
    unsafe { (address as *const u8).read() }
}

/// These bytes of an object that this thread's stack holds on to; none if they cannot be read.
pub fn bytes(address: u64, len: usize) -> &'static [u8] {
    if len == 0 || !is_readable(address, len as u64) {
        return &[];
    }
    // SAFETY: they are readable, and the interpreter neither changes nor frees the objects of code that this thread
    // is executing; callers use them no longer than that.
    unsafe { core::slice::from_raw_parts(address as *const u8, len) }
}

/// The `str` at `object` in UTF-8, its end if `out` is too short for all; `?` for what cannot be said in UTF-8, and
/// for an object that cannot be a `str`.
pub fn text_of<'b>(object: u64, layout: &Layout, out: &'b mut [u8]) -> &'b [u8] {
    let Some((characters, width)) = characters(object, layout, out.len()) else { return b"?" };
    let mut begin = out.len();
    for unit in characters.rchunks_exact(width) {
        let value = unit.iter().rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
        let mut buffer = [0; 4];
        let encoded = char::from_u32(value).unwrap_or('?').encode_utf8(&mut buffer).as_bytes();
        let Some(next) = begin.checked_sub(encoded.len()) else { break };
        if let Some(place) = out.get_mut(next..begin) {
            place.copy_from_slice(encoded);
        }
        begin = next;
    }
    out.get(begin..).unwrap_or(&[])
}

/// The last `most` characters of a `str`, at least, and the bytes that each has.
fn characters(object: u64, layout: &Layout, most: usize) -> Option<(&'static [u8], usize)> {
    const COMPACT: u64 = 1 << 5;
    const ASCII: u64 = 1 << 6;
    if !is_plausible(object) || !is_readable(object, u64::from(layout.wide) + 8) {
        return None;
    }
    let (len, state) = (word(object + STR_LENGTH) as usize, word(object + STR_STATE));
    let width = (state >> 2 & 7) as usize;
    let data = match state & (COMPACT | ASCII) {
        COMPACT => object + u64::from(layout.wide),
        0 | ASCII => word(object + u64::from(layout.wide)),
        _ => object + u64::from(layout.ascii),
    };
    if !matches!(width, 1 | 2 | 4) || len > u32::MAX as usize {
        return None;
    }
    let skipped = len.saturating_sub(most);
    let bytes = bytes(data.checked_add((skipped * width) as u64)?, (len - skipped) * width);
    (len == 0 || !bytes.is_empty()).then_some((bytes, width))
}
