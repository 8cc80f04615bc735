//! The life of the recording in this process.
//!
//! One word says how far it is. It lies in a page that the kernel wipes in a forked child, as do the places of
//! all writers in their chunks: a child, however it was forked, finds no room for its first event, comes here,
//! and begins a file of its own. A child that shares its parent's memory (vfork) goes on in the parent's.
//!
//! | word | means | who leaves it |
//! |---|---|---|
//! | `NONE` | nothing was begun, or this is a forked child | the first event (compare-and-swap to `BEGINNING`) |
//! | `BEGINNING` | the thread whose id is above it begins the file; others wait for it, for a moment | that thread |
//! | `RECORDING` | chunks are handed out | whoever cannot grow the file |
//! | `STOPPED`, `OFF` | nothing is written any more, or nothing was asked for | nobody |

use crate::log::events;
use crate::log::file::{self, header_bytes, word};
use crate::sys::{self, Errno, Fd};
use crate::{config, intern, python, real, thread};
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};
use recording::LostKind;
use recording::layout::{self, FileHeader, State, StopCause};

const NONE: u64 = 0;
const BEGINNING: u64 = 1;
const RECORDING: u64 = 2;
const STOPPED: u64 = 3;
const OFF: u64 = 4;

/// Where the id of the thread that begins stands in the word.
const THREAD_SHIFT: u32 = 8;
/// Events lost while the file was begun, which has no counters yet.
static LOST_MEANWHILE: AtomicU64 = AtomicU64::new(0);

/// Address of the word, 0 until it is mapped, [`UNAVAILABLE`] if it cannot be.
static WORD: AtomicUsize = AtomicUsize::new(0);
const UNAVAILABLE: usize = 1;
static PID: AtomicU32 = AtomicU32::new(0);
/// Whether [`config`] was read; survives fork.
static CONFIGURED: AtomicU32 = AtomicU32::new(0);

/// Memory for what is read from /proc, used by the one thread in `BEGINNING`.
struct Scratch(UnsafeCell<[u8; 4096]>);

// SAFETY: only the thread that moved the word to BEGINNING touches it, until it moves it on.
unsafe impl Sync for Scratch {}

static SCRATCH: Scratch = Scratch(UnsafeCell::new([0; 4096]));

fn life() -> Option<&'static AtomicU64> {
    let mut at = WORD.load(Acquire);
    if at == 0 {
        at = map_word();
        if let Err(other) = WORD.compare_exchange(0, at, AcqRel, Acquire) {
            if at != UNAVAILABLE {
                // SAFETY: nobody else has seen this page.
                unsafe { sys::unmap(at, 4096) };
            }
            at = other;
        }
    }
    if at == UNAVAILABLE {
        return None;
    }
    // SAFETY: a mapped page that is never unmapped.
    Some(unsafe { &*(at as *const AtomicU64) })
}

/// Without a page that fork wipes (Linux before 4.14) a forked child would write into its parent's file: rather
/// nothing is recorded.
fn map_word() -> usize {
    let Ok(at) = sys::map_private(4096) else { return UNAVAILABLE };
    if sys::advise(at, 4096, libc::MADV_WIPEONFORK).is_err() {
        // SAFETY: nobody else has seen this page.
        unsafe { sys::unmap(at, 4096) };
        return UNAVAILABLE;
    }
    at
}

/// Process id, as of the beginning of the recording.
pub fn pid() -> u32 {
    PID.load(Relaxed)
}

/// Begins the recording if it was not begun; whether it goes on.
pub fn begin() -> bool {
    let Some(life) = life() else { return false };
    match life.load(Acquire) {
        RECORDING => return true,
        OFF => return false,
        STOPPED => {
            file::count_lost(LostKind::AfterStop);
            return false;
        }
        _ => {}
    }
    let ours = BEGINNING | u64::from(sys::tid()) << THREAD_SHIFT;
    let mut state = life.compare_exchange(NONE, ours, AcqRel, Acquire);
    // Ourselves we would wait for in a signal handler that interrupted the beginning.
    if state.is_err_and(|other| is_beginning(other) && other != ours) {
        sys::wait_for(|| {
            state = life.compare_exchange(NONE, ours, AcqRel, Acquire);
            !state.is_err_and(is_beginning)
        });
    }
    match state {
        Ok(_) => {
            let next = begin_file();
            life.store(next, Release);
            let lost = LOST_MEANWHILE.swap(0, Relaxed);
            word(layout::LOST + 8 * LostKind::NoWriter as usize).map(|word| word.fetch_add(lost, Relaxed));
            next == RECORDING
        }
        Err(RECORDING) => true,
        Err(state) => {
            if is_beginning(state) {
                LOST_MEANWHILE.fetch_add(1, Relaxed);
            } else if state == STOPPED {
                file::count_lost(LostKind::AfterStop);
            }
            false
        }
    }
}

fn is_beginning(state: u64) -> bool {
    state & ((1 << THREAD_SHIFT) - 1) == BEGINNING
}

/// Whether chunks are handed out.
pub fn is_recording() -> bool {
    life().is_some_and(|life| life.load(Acquire) == RECORDING)
}

/// A chunk for a writer; `None` when the recording has stopped.
pub fn new_chunk() -> Option<usize> {
    if !is_recording() {
        return None;
    }
    match file::new_chunk() {
        Some(Ok(at)) => Some(at),
        Some(Err(errno)) => {
            stop(StopCause::CannotGrow, errno.0);
            None
        }
        None => {
            stop(StopCause::Full, 0);
            None
        }
    }
}

/// Ends the recording at one moment of the program, which goes on. Who sees `STOPPED` sees no stamp given out later.
pub fn stop(cause: StopCause, errno: i32) {
    let Some(life) = life() else { return };
    if life.load(Acquire) != RECORDING {
        return;
    }
    events::stop_counting();
    if life.compare_exchange(RECORDING, STOPPED, AcqRel, Relaxed).is_err() {
        return;
    }
    let set = |offset, value| word(offset).map(|word| word.store(value, Relaxed));
    set(layout::STOP_CAUSE, cause as u64);
    set(layout::STOP_ERRNO, errno as u64);
    set(layout::END_MONOTONIC, sys::clock_ns(libc::CLOCK_MONOTONIC));
    set(layout::STATE, State::Stopped as u64);
}

/// The process runs its exit handlers. What follows is still recorded.
pub fn ended() {
    // A vfork child that exits the wrong way is not us.
    if !is_recording() || sys::pid() != pid() {
        return;
    }
    thread::mark(recording::mark::EXIT);
    if let (Some(end), Some(state)) = (word(layout::END_MONOTONIC), word(layout::STATE)) {
        end.store(sys::clock_ns(libc::CLOCK_MONOTONIC), Relaxed);
        state.store(State::Ended as u64, Relaxed);
    }
    file::cut_to_size();
}

/// The file that says when an interpreter began to finalize.
static FINALIZING_IN: AtomicU64 = AtomicU64::new(0);

/// An interpreter was initialised: the program goes on, if one had finalized before.
#[cold]
pub fn initialized() {
    let file = file::id();
    if is_recording()
        && FINALIZING_IN.compare_exchange(file, 0, Relaxed, Relaxed).is_ok()
        && let Some(moment) = word(layout::FINALIZING_MONOTONIC)
    {
        moment.store(0, Release);
    }
}

/// An interpreter finalizes: when that was first seen is when the program itself was over. Other threads may still
/// run; each shard's stamp is read at some moment of this call.
#[cold]
pub fn finalizing() {
    let file = file::id();
    // A forked child is not recording before its own file is there.
    if FINALIZING_IN.load(Relaxed) == file || !is_recording() || FINALIZING_IN.swap(file, Relaxed) == file {
        return;
    }
    for shard in 0..layout::SHARDS {
        if let Some(place) = word(layout::FINALIZING_STAMPS + 8 * shard) {
            place.store(events::next_stamp(shard), Relaxed);
        }
    }
    if let Some(moment) = word(layout::FINALIZING_MONOTONIC) {
        moment.store(sys::clock_ns(libc::CLOCK_MONOTONIC), Release);
    }
}

/// In `BEGINNING`: the state that follows.
fn begin_file() -> u64 {
    // SAFETY: this thread alone is in BEGINNING.
    let scratch = unsafe { &mut *SCRATCH.0.get() };
    if CONFIGURED.swap(1, Relaxed) == 0 {
        // SAFETY: as above.
        unsafe { config::read_environment(scratch) };
    }
    if config::DIRECTORY.path().is_empty() {
        return OFF;
    }
    let parent = file::id();
    let parents_mapping = file::forget(thread::is_nested());
    if parent != 0 {
        intern::forked();
        python::code::forked();
    }
    PID.store(sys::pid(), Relaxed);
    thread::begin_numbers(parent != 0);
    let begun = file::begin();
    if parent != 0 {
        leave_parents_file(parents_mapping, begun.is_ok());
    }
    if begun.is_err() {
        return OFF;
    }
    // SAFETY: this thread alone begins the file.
    let header = unsafe { header_bytes() };
    write_header(header, parent, scratch);
    let stamps = header.get_mut(layout::INHERITED_STAMPS..layout::STRINGS).unwrap_or(&mut []);
    for (shard, place) in stamps.chunks_exact_mut(8).enumerate() {
        place.copy_from_slice(&events::go_on_counting(shard).to_le_bytes());
    }
    if let Some(state) = word(layout::STATE) {
        state.store(State::Recording as u64, Relaxed);
    }
    RECORDING
}

/// In a forked child, whose own file has begun or not.
fn leave_parents_file((base, size): (usize, usize), begun: bool) {
    if !begun {
        // SAFETY: the parent's header is still mapped, and its counters are only ever added to.
        let unrecorded =
            unsafe { &*((base + layout::LOST + 8 * LostKind::Children as usize) as *const AtomicU64) };
        unrecorded.fetch_add(1, Relaxed);
    }
    // Where the fork came from a signal handler that interrupted the recorder, the interrupted event still has an
    // address in the parent's chunk in a register: it writes there what the parent writes there too.
    if !thread::is_nested() {
        // SAFETY: no thread but this one came along, and it holds no place in the parent's file.
        unsafe { sys::unmap(base, size) };
    }
}

fn write_header(header: &mut [u8], parent: u64, scratch: &mut [u8]) {
    let fixed = FileHeader {
        version: layout::VERSION,
        machine: 62, // EM_X86_64
        file_id: file::id(),
        parent_file_id: parent,
        pid: pid(),
        parent_pid: sys::parent_pid(),
        pid_namespace: pid_namespace(scratch),
        start_ticks: start_ticks(scratch).unwrap_or(0),
        realtime_ns: sys::clock_ns(libc::CLOCK_REALTIME),
        monotonic_ns: sys::clock_ns(libc::CLOCK_MONOTONIC),
        user: sys::user(),
        next_chunk: 0,
        state: None,
        stop_cause: None,
        stop_errno: 0,
        end_monotonic_ns: 0,
        lost: [0; layout::LOST_KINDS],
        finalizing_monotonic_ns: 0,
        processes: 0,
    };
    let mut at = layout::STRINGS;
    let mut put = |tag: u8, text: &[u8]| {
        let Some(place) = header.get_mut(at..at + 4 + text.len()) else { return };
        let [low, high] = (text.len() as u16).to_le_bytes();
        place[..4].copy_from_slice(&[tag, 0, low, high]);
        place[4..].copy_from_slice(text);
        at += 4 + text.len();
    };
    put(layout::STRING_EXE, sys::read_link(b"/proc/self/exe\0", scratch).unwrap_or(&[]));
    put(layout::STRING_COMMAND, read_file(b"/proc/self/cmdline\0", scratch).unwrap_or(&[]));
    if !real::malloc_is_ours() {
        put(layout::STRING_NOTE, b"the program defines malloc itself: its own allocations are not recorded");
    }
    let bytes = fixed.to_bytes();
    if let Some(place) = header.get_mut(..bytes.len()) {
        place.copy_from_slice(&bytes);
    }
}

fn read_file<'b>(path: &[u8], scratch: &'b mut [u8]) -> sys::Result<&'b [u8]> {
    Fd::open_read(path)?.read_all(scratch)
}

/// From `pid:[4026531836]`.
fn pid_namespace(scratch: &mut [u8]) -> u64 {
    sys::read_link(b"/proc/self/ns/pid\0", scratch).map_or(0, |link| {
        link.iter()
            .filter(|byte| byte.is_ascii_digit())
            .fold(0, |number, &digit| number * 10 + u64::from(digit - b'0'))
    })
}

/// Field 22 of `/proc/self/stat`; the second, in parentheses, may hold anything.
fn start_ticks(scratch: &mut [u8]) -> Option<u64> {
    let stat = read_file(b"/proc/self/stat\0", scratch).map_err(|Errno(_)| ()).ok()?;
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let field = stat.get(name_end + 2..)?.split(|&byte| byte == b' ').nth(19)?;
    field.iter().try_fold(0u64, |number, &digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_known_by_its_start_and_namespace() {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc is mounted");
        let after_name = &stat[stat.rfind(')').expect("the name ends") + 2..];
        let expected = after_name.split(' ').nth(19).and_then(|field| field.parse().ok());
        let mut scratch = [0; 4096];
        assert_eq!(start_ticks(&mut scratch), expected);
        let link = std::fs::read_link("/proc/self/ns/pid").expect("/proc is mounted");
        assert_eq!(format!("pid:[{}]", pid_namespace(&mut scratch)), link.to_string_lossy());
    }
}
