//! Seccomp: system calls of ours that the program has forbidden are not made.
//!
//! Under a filter that kills, a system call of the recorder's would be the program's end, and what a filter does cannot
//! be asked for once it is there. So the hooks of `prctl` and `syscall` tell of each filter before it is installed:
//! - Its program is copied, and from then on every call of ours is tried on the copies first ([`allows`]): one that would
//!   not simply be made is refused with EPERM, and the kernel does not see it.
//! - If recording could not go on, what it needs is prepared ahead: a reserve of the file, memory for threads and
//!   tables. When that is used up the oldest events make room for new ones.
//!
//! Filters count for the whole process, though one may be installed in a single thread: which threads descend from it
//! cannot be seen. A forked child inherits them as it does the kernel's. Those of a child that shares our memory (vfork) are
//! noted for the program that it executes, and go with it. Not seen are filters that are installed without these functions.

pub mod bpf;
pub mod inherited;

use crate::log::{chunks, file, segments};
use crate::{config, intern, modules, process, python, sys, table, thread};
use bpf::{Data, Instruction};
use core::slice;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr};

/// A filter, in a list that only grows.
pub struct Filter {
    next: AtomicPtr<Filter>,
    program: &'static [Instruction],
    /// Not if the kernel did not want it.
    installed: AtomicBool,
}

impl Filter {
    const fn new(program: &'static [Instruction]) -> Filter {
        Filter { next: AtomicPtr::new(core::ptr::null_mut()), program, installed: AtomicBool::new(false) }
    }
}

/// The newest filter.
static FILTERS: AtomicPtr<Filter> = AtomicPtr::new(core::ptr::null_mut());

/// Stands for filters that could not be copied: a program that allows nothing.
static UNKNOWN: Filter = Filter::new(&[]);

/// Whether the program has installed a filter.
#[inline(always)]
pub fn is_present() -> bool {
    !FILTERS.load(Acquire).is_null()
}

/// Whether a system call of ours would simply be made.
#[inline(always)]
pub fn allows(number: libc::c_long, args: &[usize; 6]) -> bool {
    !is_present() || all_allow(number, args)
}

#[cold]
#[inline(never)]
fn all_allow(number: libc::c_long, args: &[usize; 6]) -> bool {
    let data = data_of(number, args);
    filters().all(|filter| bpf::run(filter.program, &data).is_allowed())
}

/// A filter that looks at the place of a call tells regions from each other; all our calls come from one.
fn data_of(number: libc::c_long, args: &[usize; 6]) -> Data {
    Data::new(number as u32, all_allow as *const () as u64, args)
}

/// The filters that are installed or about to be.
fn filters() -> impl Iterator<Item = &'static Filter> {
    let mut next = FILTERS.load(Acquire);
    let all = core::iter::from_fn(move || {
        // SAFETY: null or a filter that was complete when it was put in the list, and is never unmapped.
        let filter = unsafe { next.as_ref() }?;
        next = filter.next.load(Relaxed);
        Some(filter)
    });
    all.filter(|filter| filter.installed.load(Acquire))
}

/// Instructions of the longest program that the kernel takes.
const MOST: usize = 4096;

/// What the program asks for.
#[derive(Clone, Copy)]
pub enum Request {
    /// Strict mode.
    Strict,
    /// A filter: the address of its `struct sock_fprog`, as the program gives it.
    Filter(usize),
}

/// The program is about to install a filter. [`refused`] must be told if that fails.
#[cold]
pub fn announced(request: Request) -> Option<&'static Filter> {
    let program = match request {
        Request::Strict => &bpf::STRICT,
        Request::Filter(address) => program_at(address)?,
    };
    // A forked child begins its file now or never.
    let is_recording = process::begin();
    if !process::is_asked_for() {
        return None;
    }
    inherited::write(program);
    if process::is_other_process() {
        return None;
    }
    // One that is switched off may be switched on later, and then does what it still may.
    if is_recording {
        thread::look_around();
    }
    if is_recording && !can_go_on(program) {
        file::reserve(config::sandbox_reserve());
        chunks::reserve();
        thread::reserve();
        intern::reserve();
        python::code::reserve();
        modules::reserve();
        table::reserve();
    }
    let copy = copy(program);
    let filter = copy.unwrap_or(&UNKNOWN);
    if !filter.installed.swap(true, AcqRel) {
        enter(filter);
    }
    copy
}

/// The kernel did not install it.
#[cold]
pub fn refused(filter: &'static Filter) {
    filter.installed.store(false, Release);
}

fn enter(filter: &'static Filter) {
    let place = core::ptr::from_ref(filter).cast_mut();
    let mut first = FILTERS.load(Acquire);
    loop {
        filter.next.store(first, Relaxed);
        match FILTERS.compare_exchange_weak(first, place, AcqRel, Acquire) {
            Ok(_) => return,
            Err(other) => first = other,
        }
    }
}

/// The program behind a `struct sock_fprog`; `None` where the kernel would not read one.
fn program_at(address: usize) -> Option<&'static [Instruction]> {
    let is_readable = |from: usize, len: usize| {
        let end = from.checked_add(len)?;
        (from & !4095..end).step_by(4096).all(sys::is_readable).then_some(())
    };
    is_readable(address, 16)?;
    // SAFETY: the structure is readable, and the program gives it to the kernel, so that nobody writes to it.
    let (len, first) = unsafe {
        ((address as *const u16).read_unaligned(), ((address + 8) as *const usize).read_unaligned())
    };
    let len = usize::from(len);
    is_readable(first, len * size_of::<Instruction>())?;
    // Instructions that are not aligned are left to the kernel alone.
    if !(1..=MOST).contains(&len) || first % align_of::<Instruction>() != 0 {
        return None;
    }
    // SAFETY: as above.
    Some(unsafe { slice::from_raw_parts(first as *const Instruction, len) })
}

/// A copy for the list.
fn copy(program: &[Instruction]) -> Option<&'static Filter> {
    new_filter(program.len(), |copy| {
        copy.copy_from_slice(program);
        true
    })
}

/// A filter of so many instructions that `fill` puts in; `None` if it cannot or there is no memory.
fn new_filter(len: usize, fill: impl FnOnce(&mut [Instruction]) -> bool) -> Option<&'static Filter> {
    let size = size_of::<Filter>() + len.min(MOST) * size_of::<Instruction>();
    let at = if len <= MOST { sys::map_memory(size).ok()? } else { return None };
    // SAFETY: fresh memory of that size, aligned to a page, for the filter and behind it its program.
    unsafe {
        let program = (at + size_of::<Filter>()) as *mut Instruction;
        if !fill(slice::from_raw_parts_mut(program, len)) {
            sys::unmap(at, size);
            return None;
        }
        let filter = at as *mut Filter;
        filter.write(Filter::new(slice::from_raw_parts(program, len)));
        Some(&*filter)
    }
}

/// Whether with this filter too the calls would be made with which recording grows. In their arguments only addresses
/// differ from those of the calls themselves.
fn can_go_on(program: &[Instruction]) -> bool {
    let (at, size) = (segments::first(), recording::layout::CHUNK);
    let writable = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let private = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE) as usize;
    let calls = [
        (libc::SYS_mprotect, [at, size, writable, 0, 0, 0]),
        (libc::SYS_madvise, [at, size, sys::MADV_POPULATE_WRITE as usize, 0, 0, 0]),
        (libc::SYS_mremap, [at, 0, size, libc::MREMAP_MAYMOVE as usize, 0, 0]),
        (libc::SYS_mmap, [0, size, writable, private, usize::MAX, 0]),
        (libc::SYS_madvise, [at, size, libc::MADV_WIPEONFORK as usize, 0, 0, 0]),
    ];
    let is_made = |(number, args): (libc::c_long, [usize; 6])| {
        bpf::run(program, &data_of(number, &args)).is_allowed() && allows(number, &args)
    };
    calls.into_iter().all(is_made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_only_where_it_can_be() {
        let program = bpf::STRICT;
        let fprog = libc::sock_fprog { len: 7, filter: program.as_ptr().cast_mut().cast() };
        assert_eq!(program_at((&raw const fprog) as usize), Some(&program[..]));
        let nowhere = libc::sock_fprog { len: 7, filter: core::ptr::null_mut() };
        assert_eq!(program_at((&raw const nowhere) as usize), None);
        assert_eq!(program_at(0), None);
        assert_eq!(program_at(usize::MAX - 8), None);
        let empty = libc::sock_fprog { len: 0, ..fprog };
        assert_eq!(program_at((&raw const empty) as usize), None);
    }
}
