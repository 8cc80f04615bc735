//! The mapping that holds a stack: every read of a stack is checked against it.
//!
//! Found once for each stack of a thread, by raw system calls: the kernel's query (Linux 6.11), else the text of
//! `/proc/self/maps`, else (no `/proc`) by asking page by page what is readable.

use core::sync::atomic::{Ordering::SeqCst, compiler_fence};

use crate::sys;

/// Addresses from `low` up to `high`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Region {
    /// First address.
    pub low: u64,
    /// First address behind it.
    pub high: u64,
}

const PAGE: u64 = 4096;

impl Region {
    /// Becomes `other`, and is empty until then: a signal handler may come in between and never return.
    pub fn set(&mut self, other: Region) {
        self.low = u64::MAX;
        compiler_fence(SeqCst);
        self.high = other.high;
        compiler_fence(SeqCst);
        self.low = other.low;
    }

    /// Whether `address` lies in it.
    #[inline(always)]
    pub const fn contains(self, address: u64) -> bool {
        address >= self.low && address < self.high
    }

    /// The word at `address`, if it lies in the region whole.
    #[inline(always)]
    pub fn word(self, address: u64) -> Option<u64> {
        if address < self.low || self.high.saturating_sub(address) < 8 {
            return None;
        }
        // SAFETY: the region is mapped and readable: it holds the stack of the running thread, or one that it came
        // from. The address need not be aligned.
        Some(unsafe { (address as *const u64).read_unaligned() })
    }
}

/// The region that holds `address`, empty if nothing can be read there.
#[cold]
pub fn find(address: u64) -> Region {
    let maps = sys::Fd::open_read(b"/proc/self/maps\0");
    let found = maps.ok().and_then(|maps| query(&maps, address).or_else(|| parse(&maps, address)));
    match found {
        Some((region, true)) => grown(region),
        Some((region, false)) => region,
        None => probe(address),
    }
}

/// The main stack, which the kernel extends downward up to the limit. Without a limit: 64 MiB, far more than 1,024
/// frames take.
fn grown(stack: Region) -> Region {
    let limit = sys::limit(libc::RLIMIT_STACK).min(64 << 20);
    Region { low: stack.low.min(stack.high.saturating_sub(limit)), high: stack.high }
}

/// `struct procmap_query` of `linux/fs.h`.
#[repr(C)]
#[derive(Default)]
struct ProcmapQuery {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev: [u32; 2],
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

const _: () = assert!(size_of::<ProcmapQuery>() == 104, "the kernel's structure");

/// `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: usize = 3 << 30 | 104 << 16 | (b'f' as usize) << 8 | 17;

/// Only mappings that can be read.
const READABLE: u64 = 1;

const STACK_NAME: &[u8] = b"[stack]";

fn query(maps: &sys::Fd, address: u64) -> Option<(Region, bool)> {
    let mut name = [0u8; 16];
    // A longer name than the buffer is an error; it is not the stack's, so the second try asks for none.
    for name_size in [name.len() as u32, 0] {
        let mut query =
            ProcmapQuery { size: 104, query_flags: READABLE, query_addr: address, ..Default::default() };
        if name_size > 0 {
            query.vma_name_size = name_size;
            query.vma_name_addr = name.as_mut_ptr() as u64;
        }
        // SAFETY: the structure is the kernel's, and the name buffer has the size that it says.
        if unsafe { maps.ioctl(PROCMAP_QUERY, (&raw mut query) as usize) }.is_ok() {
            let region = Region { low: query.vma_start, high: query.vma_end };
            let is_stack = name_size > 0 && name.starts_with(STACK_NAME);
            return region.contains(address).then_some((region, is_stack));
        }
    }
    None
}

/// A line of `/proc/self/maps`, byte by byte.
#[derive(Default)]
struct Line {
    low: u64,
    high: u64,
    spaces: u32,
    in_high: bool,
    readable: bool,
    /// Bytes of `[stack]` that the name begins with; more than 7 if it is another.
    matched: usize,
}

impl Line {
    fn push(&mut self, byte: u8) {
        match byte {
            b' ' => self.spaces += 1,
            b'-' if self.spaces == 0 => self.in_high = true,
            _ if self.spaces == 0 => {
                let digit = if byte <= b'9' { byte.wrapping_sub(b'0') } else { byte.wrapping_sub(b'a' - 10) };
                let value = if self.in_high { &mut self.high } else { &mut self.low };
                *value = *value << 4 | digit as u64 & 15;
            }
            b'r' if self.spaces == 1 => self.readable = true,
            _ if self.spaces > 4 => {
                let agrees = STACK_NAME.get(self.matched) == Some(&byte);
                self.matched = if agrees { self.matched + 1 } else { STACK_NAME.len() + 1 };
            }
            _ => {}
        }
    }
}

fn parse(maps: &sys::Fd, address: u64) -> Option<(Region, bool)> {
    let mut buffer = [0u8; 256];
    let mut line = Line::default();
    loop {
        let len = maps.read(&mut buffer).ok().filter(|len| *len > 0)?;
        for &byte in buffer.iter().take(len) {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            let region = Region { low: line.low, high: line.high };
            if line.readable && region.contains(address) {
                return Some((region, line.matched == STACK_NAME.len()));
            }
            line = Line::default();
        }
    }
}

/// What is readable around `address`: up to 1 MiB below, for the calls to come, and 64 MiB above.
fn probe(address: u64) -> Region {
    let page = address & !(PAGE - 1);
    if !sys::is_readable(page as usize) {
        return Region::default();
    }
    let mut region = Region { low: page, high: page + PAGE };
    while page - region.low < 1 << 20 && sys::is_readable((region.low - PAGE) as usize) {
        region.low -= PAGE;
    }
    while region.high - page < 64 << 20 && sys::is_readable(region.high as usize) {
        region.high += PAGE;
    }
    region
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps() -> sys::Fd {
        sys::Fd::open_read(b"/proc/self/maps\0").unwrap()
    }

    #[test]
    fn the_ways_agree() {
        let local = 0u64;
        let address = (&raw const local) as u64;
        let parsed = parse(&maps(), address).expect("the stack is mapped");
        if let Some(queried) = query(&maps(), address) {
            assert_eq!(queried, parsed);
        }
        assert!(parsed.0.contains(address));
        let probed = probe(address);
        assert!(probed.contains(address) && probed.high >= parsed.0.high);
    }

    #[test]
    fn the_main_stack_is_known_by_its_name() {
        let text = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = text.lines().find(|line| line.ends_with("[stack]")).unwrap();
        let (low, high) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (low, high) = (u64::from_str_radix(low, 16).unwrap(), u64::from_str_radix(high, 16).unwrap());
        let (region, is_stack) = parse(&maps(), high - 8).unwrap();
        assert!(is_stack && region.high == high);
        let found = find(high - 8);
        assert!(found.high == high && found.low <= low);
    }

    #[test]
    fn unmapped_memory_has_no_region() {
        assert_eq!(parse(&maps(), 0x1000), None);
        assert_eq!(query(&maps(), 0x1000), None);
    }

    #[test]
    fn memory_that_cannot_be_read_has_no_region() {
        let size = 2 * PAGE as usize;
        let at = sys::map_private(size).expect("there is memory") as u64;
        // SAFETY: the second page of a mapping of this test's own.
        let forbidden = unsafe { libc::mprotect((at + PAGE) as *mut _, PAGE as usize, libc::PROT_NONE) };
        assert_eq!(forbidden, 0);
        assert_eq!(parse(&maps(), at + PAGE), None);
        assert_eq!(query(&maps(), at + PAGE), None);
        assert_eq!(probe(at + PAGE), Region::default());
        assert_eq!(find(at + PAGE - 8).high, at + PAGE);
        // SAFETY: the mapping is this test's alone.
        unsafe { sys::unmap(at as usize, size) };
    }

    #[test]
    fn words_are_read_within_bounds_only() {
        let words = [1u64, 2, 3];
        let low = words.as_ptr() as u64;
        let region = Region { low, high: low + 24 };
        assert_eq!(region.word(low + 16), Some(3));
        assert_eq!(region.word(low + 17), None);
        assert_eq!(region.word(low - 1), None);
        assert_eq!(region.word(u64::MAX), None);
        assert_eq!(Region::default().word(0), None);
    }
}
