//! The life of the recording in this process.
//!
//! One word says how far it is. It lies in a page that the kernel wipes in a forked child, as do the places of
//! all writers in their chunks: a child, however it was forked, finds no room for its first event, comes here,
//! and begins a file of its own, or where it cannot (no permission, no descriptor, another root) a part of its parent's.
//! A child that shares its parent's memory (vfork) goes on in the parent's.
//! See [`life`](crate::protocol::life).

use crate::log::file::{self, header_bytes, word};
use crate::log::place;
use crate::log::{chunks, events};
use crate::protocol::life::{Found, Life};
use crate::protocol::mapped::mapped;
use crate::sys::{self, Errno, Fd};
use crate::{clock, config, intern, python, real, run, sandbox, selection, start, switch, table, thread};
use core::cell::UnsafeCell;
use core::convert::Infallible;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};
use recording::LostKind;
use recording::layout::{self, FileHeader, State, StopCause, flag};

/// Events lost while the file was begun, which has no counters yet.
static LOST_MEANWHILE: AtomicU64 = AtomicU64::new(0);

/// Address of the word, 0 until it is mapped, [`UNAVAILABLE`] if it cannot be.
static WORD: AtomicUsize = AtomicUsize::new(0);
const UNAVAILABLE: usize = 1;
static PID: AtomicU32 = AtomicU32::new(0);
/// What is read of `/proc/self/stat` at most: its fields up to the start are shorter.
const STAT_MAX: usize = 512;
/// Whether [`config`] and the filters of an earlier image were read: 1 while that is done, 2 from then on, also in
/// forked children.
static CONFIGURED: AtomicU32 = AtomicU32::new(0);

/// Memory for what is read from /proc, used by the one thread that begins the file.
struct Scratch(UnsafeCell<[u8; 4096]>);

// SAFETY: only the thread that found nothing touches it, until it has begun the file.
unsafe impl Sync for Scratch {}

static SCRATCH: Scratch = Scratch(UnsafeCell::new([0; 4096]));

/// What a forked child finds as it is before anything happened: all 0.
#[repr(C)]
pub struct Own {
    life: Life,
    /// Process id; 0 before anybody asked for it.
    pid: AtomicU32,
    /// See [`switch`].
    pub state: AtomicU64,
}

fn own() -> Option<&'static Own> {
    let map = || Ok::<_, Infallible>(map_word());
    let unmap = |at| {
        if at != UNAVAILABLE {
            // SAFETY: nobody else has seen this page.
            unsafe { sys::unmap(at, 4096) };
        }
    };
    let Ok(at) = mapped(&WORD, map, unmap);
    if at == UNAVAILABLE {
        return None;
    }
    // SAFETY: a mapped page that is never unmapped; zeros are valid.
    Some(unsafe { &*(at as *const Own) })
}

fn life() -> Option<&'static Life> {
    own().map(|own| &own.life)
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

/// Process id of the one whose memory this is; 0 where the kernel cannot be asked.
pub fn own_pid() -> u32 {
    let Some(own) = own() else { return pid() };
    match own.pid.load(Relaxed) {
        // A child of vfork would be the first to ask only if a forked process did nothing before that.
        0 => match own.pid.compare_exchange(0, sys::pid(), Relaxed, Relaxed) {
            Ok(_) => own.pid.load(Relaxed),
            Err(pid) => pid,
        },
        pid => pid,
    }
}

/// Whether this is a child that shares our memory (vfork). Not where the kernel cannot be asked.
pub fn is_other_process() -> bool {
    let now = sys::pid();
    now != 0 && now != own_pid()
}

/// By what this process is known besides its id: inode of its pid namespace, and its start in clock ticks; 0 what is unknown.
#[cold]
pub fn identity() -> (u64, u64) {
    let mut scratch = [0; STAT_MAX];
    let start = if is_other_process() { None } else { start_ticks(&mut scratch) };
    (pid_namespace(&mut scratch), start.unwrap_or(0))
}

/// Begins the recording if it was not begun; whether it goes on.
pub fn begin() -> bool {
    if CONFIGURED.load(Acquire) != 2 && !configure() {
        return false;
    }
    let Some(life) = life().filter(|life| life.has_file() || switch::may_begin()) else { return false };
    match life.enter(sys::tid) {
        Found::Recording => return true,
        Found::Nothing => {
            let begun = begin_file();
            file::count_lost_many(LostKind::NoWriter, life.begun(begun, &LOST_MEANWHILE));
            if begun {
                switch::begun();
            }
            return begun;
        }
        Found::Beginning => {
            file::count_lost_many(LostKind::NoWriter, life.lost_meanwhile(&LOST_MEANWHILE));
        }
        Found::Stopped => file::count_lost(LostKind::AfterStop),
        Found::Off => {}
    }
    false
}

/// Reads what the process was started with, before any system call that its loader has not made. False for who comes
/// meanwhile: a signal handler.
#[cold]
fn configure() -> bool {
    if CONFIGURED.compare_exchange(0, 1, AcqRel, Acquire).is_err() {
        LOST_MEANWHILE.fetch_add(1, Relaxed);
        return false;
    }
    // SAFETY: this thread alone configures, and nobody begins a file before that is done.
    let scratch = unsafe { &mut *SCRATCH.0.get() };
    // SAFETY: as above.
    unsafe { config::read_environment(scratch) };
    let is_recorded = if is_asked_for() {
        sandbox::inherited::read();
        start::find();
        selection::is_recorded(scratch)
    } else {
        // Nothing is asked of the kernel for what is not asked for.
        WORD.store(UNAVAILABLE, Release);
        false
    };
    match if is_recorded { own() } else { None } {
        Some(own) => {
            own_pid();
            remember_root();
            run::begin();
            switch::begin(own);
            switch::look();
        }
        None => {
            config::no_resources();
            switch::never();
        }
    }
    CONFIGURED.store(2, Release);
    true
}

/// Whether there is a recording, of this process or of others of its run.
pub fn is_asked_for() -> bool {
    !config::DIRECTORY.path().is_empty()
}

/// Whether this process has a file, written to or not.
pub fn has_file() -> bool {
    life().is_some_and(Life::has_file)
}

/// Whether the process comes from a recorded one by fork.
pub fn is_forked() -> bool {
    word(layout::AT_PARENT_FILE_ID).is_some_and(|parent| parent.load(Relaxed) != 0)
}

/// Whether chunks are handed out.
pub fn is_recording() -> bool {
    life().is_some_and(Life::is_recording)
}

/// Ends the recording for want of space, or because the program forbids to get it.
#[cold]
pub fn cannot_grow(errno: Errno) {
    if sandbox::is_present() && errno.0 == libc::EPERM {
        stop(StopCause::Forbidden, 0);
    } else {
        stop(StopCause::CannotGrow, errno.0);
    }
}

/// Ends the recording at one moment of the program, which goes on. Who sees `STOPPED` sees no stamp given out later.
pub fn stop(cause: StopCause, errno: i32) {
    if !life().is_some_and(|life| life.stop(events::stop_counting)) {
        return;
    }
    let set = |offset, value| word(offset).map(|word| word.store(value, Relaxed));
    set(layout::STOP_CAUSE, cause as u64);
    set(layout::STOP_ERRNO, errno as u64);
    set(layout::END_MONOTONIC, clock::monotonic_ns());
    set(layout::STATE, State::Stopped as u64);
}

/// The process, if it is root's, may be about to lose the right to open its file.
#[cold]
pub fn rights_are_given_up() {
    if is_recording() && !is_other_process() && sys::user() == 0 {
        file::extend_ahead();
    }
}

/// The process runs its exit handlers. What follows is still recorded.
pub fn ended() {
    // A vfork child that exits the wrong way is not us.
    if !has_file() || is_other_process() {
        return;
    }
    if is_recording() {
        thread::mark(recording::mark::EXIT);
        if let (Some(end), Some(state)) = (word(layout::END_MONOTONIC), word(layout::STATE)) {
            end.store(clock::monotonic_ns(), Relaxed);
            state.store(State::Ended as u64, Relaxed);
        }
    }
    if file::close() {
        file::cut_to_size();
        place::settle();
    }
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
        table::initialized();
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
    table::finalizing();
    for shard in 0..layout::SHARDS {
        if let Some(place) = word(layout::FINALIZING_STAMPS + 8 * shard) {
            place.store(events::next_stamp(shard), Relaxed);
        }
    }
    if let Some(moment) = word(layout::FINALIZING_MONOTONIC) {
        moment.store(clock::monotonic_ns(), Release);
    }
}

/// In the one thread that found nothing: begins the file, if one was asked for and can be had.
fn begin_file() -> bool {
    // SAFETY: this thread alone begins the file.
    let scratch = unsafe { &mut *SCRATCH.0.get() };
    let parent = file::id();
    if parent != 0 {
        intern::forked();
        python::code::forked();
    }
    // Where the kernel may not be asked for it, a process that begins with one thread has that one's number.
    let pid = match own_pid() {
        0 => sys::tid(),
        pid => pid,
    };
    PID.store(pid, Relaxed);
    thread::begin_numbers(parent != 0);
    // Where the fork came from a signal handler that interrupted the recorder, the interrupted event still has an
    // address in the parent's chunk in a register: it writes there what the parent writes there too.
    let in_use = thread::is_nested();
    // SAFETY: used only where the process goes on in the parent's file.
    let parents_strings = unsafe { file::header_strings() };
    let begun = if has_other_root() { Err(Errno(libc::EXDEV)) } else { file::begin(in_use) };
    let (left, parents_strings) = match begun {
        Ok(parents) => (parents, &[][..]),
        Err(_) if file::join().is_ok() => ((0, 0), parents_strings),
        Err(_) => {
            file::count_lost(LostKind::Children);
            give_back(file::leave(in_use), in_use);
            return false;
        }
    };
    chunks::begin();
    // SAFETY: this thread alone begins the file.
    let header = unsafe { header_bytes() };
    write_header(header, parent, scratch, parents_strings);
    table::begin();
    let stamps = header.get_mut(layout::INHERITED_STAMPS..layout::STRINGS).unwrap_or(&mut []);
    for (shard, place) in stamps.chunks_exact_mut(8).enumerate() {
        place.copy_from_slice(&events::go_on_counting(shard).to_le_bytes());
    }
    if !config::events() {
        set_flag(flag::NO_EVENTS);
    }
    if config::DESCRIPTORS.is() {
        set_flag(flag::DESCRIPTORS);
    }
    if config::MAPPINGS.is() {
        set_flag(flag::MAPPINGS);
    }
    if run::is_alone() {
        set_flag(flag::ALONE);
    }
    if let (Some(state), Some(magic)) = (word(layout::STATE), word(0)) {
        state.store(State::Recording as u64, Relaxed);
        magic.store(u64::from_le_bytes(layout::MAGIC), Release);
    }
    give_back(left, in_use);
    true
}

/// Says something of this process's recording, see [`flag`].
pub fn set_flag(flag: u64) {
    if let Some(flags) = word(layout::FLAGS) {
        flags.fetch_or(flag, Relaxed);
    }
}

/// Unmaps the first segment of a file that a forked child has left.
fn give_back((at, size): (usize, usize), in_use: bool) {
    if at != 0 && !in_use {
        // SAFETY: no thread but this one came along, and it holds no place in the parent's file.
        unsafe { sys::unmap(at, size) };
    }
}

/// The root directory of the first process: device and inode, 0 if unknown.
static ROOT: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Remembers the root directory, with which the recording's path has a meaning.
fn remember_root() {
    if let Ok(root) = sys::status(b"/\0") {
        ROOT[0].store(root.st_dev, Relaxed);
        ROOT[1].store(root.st_ino, Relaxed);
    }
}

/// Whether the root directory is another than when the recording began: its path would lead elsewhere.
fn has_other_root() -> bool {
    let root = (ROOT[0].load(Relaxed), ROOT[1].load(Relaxed));
    root != (0, 0) && sys::status(b"/\0").is_ok_and(|now| (now.st_dev, now.st_ino) != root)
}

/// All but the magic. `parents_strings` stand for those that cannot be asked for.
fn write_header(header: &mut [u8], parent: u64, scratch: &mut [u8], parents_strings: &[u8]) {
    let fixed = FileHeader {
        version: layout::VERSION,
        machine: 62, // EM_X86_64
        file_id: file::id(),
        parent_file_id: parent,
        pid: pid(),
        parent_pid: sys::parent_pid(),
        pid_namespace: pid_namespace(scratch),
        start_ticks: start_ticks(scratch).unwrap_or(0),
        realtime_ns: sys::clock_ns(libc::CLOCK_REALTIME).unwrap_or(0),
        monotonic_ns: clock::monotonic_ns(),
        user: sys::user(),
        next_chunk: 0,
        state: None,
        stop_cause: None,
        stop_errno: 0,
        end_monotonic_ns: 0,
        lost: [0; layout::LOST_KINDS],
        finalizing_monotonic_ns: 0,
        processes: 0,
        reused: 0,
        held_monotonic_ns: 0,
        unknown_frees: 0,
        flags: 0,
        compressed: 0,
    };
    let mut at = layout::STRINGS;
    let mut put = |tag: u8, text: &[u8]| {
        let end = at + 4 + text.len();
        let Some(place) = header.get_mut(at..end).filter(|_| file::has_room_for_strings(end)) else { return };
        let [low, high] = (text.len() as u16).to_le_bytes();
        place[..4].copy_from_slice(&[tag, 0, low, high]);
        place[4..].copy_from_slice(text);
        at = end;
    };
    let parents = |wanted| {
        layout::strings(parents_strings).find(|&(tag, _)| tag == wanted).map_or(&[][..], |(_, text)| text)
    };
    let exe = match parents(layout::STRING_EXE) {
        b"" => start::executable(scratch),
        exe => exe,
    };
    put(layout::STRING_EXE, exe);
    let command = match read_file(b"/proc/self/cmdline\0", scratch) {
        Ok(command) => command,
        Err(_) => start::arguments(scratch),
    };
    put(layout::STRING_COMMAND, command);
    if !real::malloc_is_ours() {
        put(layout::STRING_NOTE, b"the program defines malloc itself: its own allocations are not recorded");
    }
    let bytes = fixed.to_bytes();
    let magic = layout::MAGIC.len();
    if let (Some(place), Some(bytes)) = (header.get_mut(magic..bytes.len()), bytes.get(magic..)) {
        place.copy_from_slice(bytes);
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

/// Clock ticks from the system's start to the process's: field 22 of its `stat`, whose second, in parentheses, may hold
/// anything.
fn start_ticks(scratch: &mut [u8]) -> Option<u64> {
    let stat = read_file(b"/proc/self/stat\0", scratch).ok()?;
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let field = stat.get(name_end + 2..)?.split(|&byte| byte == b' ').nth(19)?;
    field.iter().try_fold(0u64, |number, &digit| {
        digit.is_ascii_digit().then(|| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
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
