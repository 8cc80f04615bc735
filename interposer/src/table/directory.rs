//! From a block's address to its page of the table: a part for each 2 GiB of addresses, mapped when it is first needed, which has an
//! address for each page. Fork empties the parts.

use super::Pages;
use crate::process;
use crate::protocol::mapped::mapped;
use crate::sandbox;
use crate::sys::{self, Errno};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use recording::Address;
use recording::layout::StopCause;
use recording::table::{Plane, Tag};

const PART_SHIFT: u32 = 31;
/// Addresses of programs have 47 bits.
const ADDRESS_BITS: u32 = 47;
const PARTS: usize = 1 << (ADDRESS_BITS - PART_SHIFT);

/// Whether a block at this address can be in the table.
#[inline(always)]
pub fn is_in_reach(address: Address) -> bool {
    address.0.rotate_right(3) < 1 << (ADDRESS_BITS - 3)
}

/// See the module's contract. All zero is an empty one.
pub struct Directory {
    /// Addresses of the parts, 0 until they are mapped.
    parts: [AtomicUsize; PARTS],
}

/// Pages that a part of this plane has places for.
const fn pages(plane: Plane) -> usize {
    1 << (PART_SHIFT - plane.page_shift())
}

fn entry(part: usize, plane: Plane, address: Address) -> &'static AtomicUsize {
    let index = (address.0 >> plane.page_shift()) as usize % pages(plane);
    // SAFETY: a part has so many words and is never unmapped.
    unsafe { &*(part as *const AtomicUsize).add(index) }
}

impl Directory {
    /// An empty one.
    pub const fn new() -> Directory {
        Directory { parts: [const { AtomicUsize::new(0) }; PARTS] }
    }

    #[inline(always)]
    fn part(&self, address: Address) -> &AtomicUsize {
        &self.parts[(address.0 >> PART_SHIFT) as usize % PARTS]
    }

    /// The page for `address`, which is in reach; 0 if there is none.
    #[inline(always)]
    pub fn page(&self, plane: Plane, address: Address) -> usize {
        match self.part(address).load(Acquire) {
            0 => 0,
            part => entry(part, plane, address).load(Acquire),
        }
    }

    /// The page for `address`, which is in reach; if there is none, one of `pages` with this tag. `None` if there is none to be
    /// had: the recording has stopped.
    pub fn page_or(&self, address: Address, tag: Tag, pages: &impl Pages) -> Option<usize> {
        let plane = tag.plane;
        let map = || map_part(plane).inspect_err(|errno| stop(*errno));
        // SAFETY: nobody else has seen this mapping.
        let part = mapped(self.part(address), map, |at| unsafe { sys::unmap(at, size(plane)) }).ok()?;
        let entry = entry(part, plane, address);
        match entry.load(Acquire) {
            0 => {}
            page => return Some(page),
        }
        let page = pages.take(tag)?;
        match entry.compare_exchange(0, page.at, AcqRel, Acquire) {
            Ok(_) => Some(page.at),
            Err(first) => {
                pages.give_back(page);
                Some(first)
            }
        }
    }
}

/// Parts of each plane that are kept for when none can be mapped any more.
const SPARES: usize = 4;

/// Where they are, 0 if there are none, and how many were taken.
static SPARE: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
static SPARES_TAKEN: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Bytes of a part.
const fn size(plane: Plane) -> usize {
    pages(plane) * size_of::<AtomicUsize>()
}

/// Memory of which little will be touched, and which fork empties.
fn map(size: usize) -> sys::Result<usize> {
    let at = sys::map_private(size)?;
    let _ = sys::advise(at, size, libc::MADV_NOHUGEPAGE);
    sys::unlock(at, size);
    // SAFETY: nobody else has seen this mapping.
    sys::advise(at, size, libc::MADV_WIPEONFORK).inspect_err(|_| unsafe { sys::unmap(at, size) })?;
    Ok(at)
}

fn map_part(plane: Plane) -> sys::Result<usize> {
    let spare = || {
        let first = Some(SPARE[plane as usize].load(Acquire)).filter(|first| *first != 0)?;
        let taken = SPARES_TAKEN[plane as usize].fetch_add(1, Relaxed);
        (taken < SPARES).then(|| first + taken * size(plane))
    };
    map(size(plane)).or_else(|errno| spare().ok_or(errno))
}

/// Keeps memory for when none can be mapped any more.
#[cold]
pub fn reserve() {
    for plane in [Plane::Wide, Plane::Narrow] {
        if SPARE[plane as usize].load(Relaxed) != 0 {
            continue;
        }
        let _ = mapped(
            &SPARE[plane as usize],
            || map(SPARES * size(plane)),
            |at| {
                // SAFETY: nobody else has seen this mapping.
                unsafe { sys::unmap(at, SPARES * size(plane)) };
            },
        );
    }
}

/// A part cannot be mapped.
#[cold]
fn stop(errno: Errno) {
    if sandbox::is_present() {
        process::stop(StopCause::Forbidden, 0);
    } else {
        process::stop(StopCause::NoMemory, errno.0);
    }
}
