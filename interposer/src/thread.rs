//! Whose call it is: the recorder's memory of each thread, and the guard that every hook enters.
//!
//! A thread's memory is found by one initial-exec thread-local word. It is mapped at the thread's first event and
//! never unmapped: a thread may free blocks in its very last destructors, and no destructor of ours runs. When
//! its thread is gone a new thread takes it over, with the chunk that it was writing.
//!
//! A signal handler may interrupt the recorder and allocate: such events go to a second [`Level`] with chunks of
//! its own; those of a handler that interrupts that one are counted as lost. A handler that leaves by `siglongjmp`
//! leaves its level entered for good; the second one is used from then on, and begun anew where it was left too.
//!
//! Of a level, `Wiped` is all zero in a forked child and `Kept` is as it was.

mod calls;
mod collector;
mod resources;
mod serving;

pub use self::calls::{allocated, freed, moving, pass, quietly, realloc_failed, reallocated};

use self::serving::Serving;
use crate::log::counts::{self, Counts};
use crate::log::definitions::{Definer, Definitions};
use crate::log::events::{Events, Writer};
use crate::log::file;
use crate::protocol::owner::Owner;
use crate::python::Chain;
use crate::stack::{Caller, Capture};
use crate::table::{Found, Moved, Place, Spacing};
#[cfg(unfreed_timed)]
use crate::timed;
use crate::{clock, modules, process, run, sandbox, switch, sys, table};
use core::arch::{asm, global_asm};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, compiler_fence};
use recording::layout::{StopCause, UNKNOWN_FREES};
use recording::{Address, LONGEST, LostKind, StackId, mark};

global_asm!(
    ".section .tbss,\"awT\",@nobits",
    ".p2align 3",
    ".hidden unfreed_thread",
    ".globl unfreed_thread",
    ".type unfreed_thread,@object",
    ".size unfreed_thread, 8",
    "unfreed_thread: .zero 8",
    ".text"
);

/// The thread's memory, null before its first event.
#[inline(always)]
fn current() -> *mut Level {
    let level: *mut Level;
    // SAFETY: reads the thread's own word; the loader has put its place below the thread pointer into our global
    // offset table.
    unsafe {
        asm!("mov {0}, qword ptr [rip + unfreed_thread@GOTTPOFF]", "mov {0}, qword ptr fs:[{0}]",
             out(reg) level, options(readonly, nostack, preserves_flags))
    };
    level
}

fn set_current(level: *mut Level) {
    // SAFETY: as in `current`; the word is ours.
    unsafe {
        asm!("mov {1}, qword ptr [rip + unfreed_thread@GOTTPOFF]", "mov qword ptr fs:[{1}], {0}",
             in(reg) level, out(reg) _, options(nostack, preserves_flags))
    };
}

/// What fork wipes.
#[repr(C, align(4096))]
struct Wiped {
    definitions: Definitions,
    /// The file that this level writes to; 0 before the first event in it.
    file: u64,
    writer: Writer,
    /// The thread that the events so far say to be the writer's.
    said_thread: u32,
    /// The run's control word as this level saw it last, 0 if it has not; its epoch is the one of the events.
    seen: u64,
    /// Here, where with a few stacks it needs no page of its own.
    counts: Counts,
    events: Events,
}

/// What fork keeps.
#[repr(C, align(4096))]
struct Kept {
    /// Stack pointer of the hook that is inside this level, 0 if none is.
    entered: usize,
    /// The function behind a hook that this thread is in, if that may call our hooks itself.
    serving: Serving,
    /// The level of handlers that interrupt this one.
    nested: *mut Level,
    /// Kernel id of the thread; a level whose thread is gone may be taken over.
    owner: Owner,
    /// The file in whose process the owner was last known to be right.
    owned_since: AtomicU64,
    /// Next in the list of all threads' memories.
    next: AtomicPtr<Level>,
    capture: Capture,
    python: Chain,
    scratch: [u8; LONGEST],
    counts: counts::Memory,
}

/// The recorder's memory of a thread at one level of signal handlers. Valid when all zero.
#[repr(C)]
pub struct Level {
    wiped: Wiped,
    kept: Kept,
}

static ALL: AtomicPtr<Level> = AtomicPtr::new(core::ptr::null_mut());
/// Where the search for a thread that is gone goes on.
static NEXT_LOOK: AtomicPtr<Level> = AtomicPtr::new(core::ptr::null_mut());
static NEXT_THREAD: AtomicU32 = AtomicU32::new(0);
static NEXT_WRITER: AtomicU32 = AtomicU32::new(0);
/// Memories looked at for each new thread: a system call each.
const LOOKS: usize = 8;

/// In a forked child, until its first thread has come by: that thread's memory is still its parent's by its owner,
/// and must not be taken for one of a thread that is gone.
static OWNERS_UNSURE: AtomicBool = AtomicBool::new(false);

/// Begins the numbers of a file.
pub fn begin_numbers(forked: bool) {
    OWNERS_UNSURE.store(forked, Relaxed);
    NEXT_THREAD.store(0, Relaxed);
    NEXT_WRITER.store(0, Relaxed);
}

/// Writers of the file so far: there are no more threads that record at once, nor handlers in them.
pub fn writers() -> u32 {
    NEXT_WRITER.load(Relaxed)
}

/// Proof that a hook is inside the recorder, and at which level. Left when it goes out of scope.
pub struct Entered(&'static mut Level);

impl Drop for Entered {
    #[inline(always)]
    fn drop(&mut self) {
        compiler_fence(SeqCst);
        self.0.kept.entered = 0;
    }
}

/// Enters the recorder for one event with room for it; `None` where it cannot be recorded (and is counted).
/// `sp` is the stack pointer at the hook's first instruction.
#[inline(always)]
fn enter(level: *mut Level, sp: usize) -> Option<Entered> {
    enter_for(level, sp, true)
}

/// The same; with `also_off` of an event that is recorded also while the process is off.
#[inline(always)]
fn enter_for(level: *mut Level, sp: usize, also_off: bool) -> Option<Entered> {
    // SAFETY: null, or the thread's own memory, which is never unmapped; the `entered` word keeps a second
    // reference from being made while this one is in use.
    let entered = unsafe {
        match level.as_mut() {
            Some(level) if level.kept.entered == 0 => {
                level.kept.entered = sp;
                compiler_fence(SeqCst);
                Entered(level)
            }
            Some(_) => enter_nested(level, sp)?,
            None => enter_first(sp)?,
        }
    };
    let level = &mut *entered.0;
    let has_room = level.wiped.events.has_room() || level.make_room();
    // What is freed is given back after this, what is allocated was handed out before.
    let control = run::control();
    if has_room && (control == level.wiped.seen || level.see(control, also_off)) {
        Some(entered)
    } else {
        None
    }
}

/// The thread is inside the recorder already.
#[cold]
#[inline(never)]
fn enter_nested(outer: *mut Level, sp: usize) -> Option<Entered> {
    // SAFETY: the interrupted hook holds a reference to `outer` but is not running; only words are read and
    // written here that it does not use. `sp` is a hook's.
    unsafe {
        if (*outer).kept.nested.is_null() {
            (*outer).kept.nested = map_level();
        }
        let Some(nested) = (*outer).kept.nested.as_mut() else {
            no_memory();
            return None;
        };
        if nested.kept.entered != 0 {
            if sp <= nested.kept.entered || sp <= (*outer).kept.entered {
                file::count_lost(LostKind::Nested);
                return None;
            }
            // Both hooks lay below us on the stack: they were left by siglongjmp.
            nested.abandoned();
        }
        nested.kept.entered = sp;
        compiler_fence(SeqCst);
        nested.kept.python.ask_not_within(&(*outer).kept.python);
        Some(Entered(nested))
    }
}

/// The thread's first event.
#[cold]
#[inline(never)]
fn enter_first(sp: usize) -> Option<Entered> {
    if !process::begin() {
        return None;
    }
    let tid = sys::tid();
    let level = take_over(tid).unwrap_or_else(|| new_level(tid));
    // SAFETY: null, or memory that this thread has just become the owner of.
    let Some(level) = (unsafe { level.as_mut() }) else {
        no_memory();
        return None;
    };
    if core::mem::replace(&mut level.kept.entered, sp) != 0 {
        // Its thread ended in the middle of a hook.
        level.abandoned();
    }
    set_current(level);
    level.begin_thread(tid);
    Some(Entered(level))
}

/// A thread cannot be recorded: without its events those of the others would mean nothing.
fn no_memory() {
    if sandbox::is_present() {
        process::stop(StopCause::Forbidden, 0);
    } else {
        process::stop(StopCause::NoMemory, libc::ENOMEM);
    }
    file::count_lost(LostKind::NoWriter);
}

/// There is no space for a block in the live table.
#[cold]
fn no_space() {
    file::count_lost(LostKind::AfterStop);
}

/// Memory of threads that is kept for when none can be mapped any more: enough for a small pool of threads, each at
/// two levels.
const SPARES: usize = 32;
/// Where it is, 0 if there is none.
static SPARE: AtomicUsize = AtomicUsize::new(0);
static SPARES_TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Prepares for when no memory can be mapped any more.
#[cold]
pub fn reserve() {
    if SPARE.load(Relaxed) != 0 {
        return;
    }
    let Ok(first) = sys::map_private(SPARES * size_of::<Level>()) else { return };
    let is_wiped = |at| sys::advise(at, size_of::<Wiped>(), libc::MADV_WIPEONFORK).is_ok();
    let all_are = (0..SPARES).all(|index| is_wiped(first + index * size_of::<Level>()));
    if !all_are || SPARE.compare_exchange(0, first, Release, Relaxed).is_err() {
        // SAFETY: nobody else has seen this mapping.
        unsafe { sys::unmap(first, SPARES * size_of::<Level>()) };
    }
}

fn take_spare() -> Option<*mut Level> {
    let first = Some(SPARE.load(Acquire)).filter(|first| *first != 0)?;
    let index = SPARES_TAKEN.fetch_add(1, Relaxed);
    (index < SPARES).then(|| (first + index * size_of::<Level>()) as *mut Level)
}

fn map_level() -> *mut Level {
    if let Some(spare) = take_spare() {
        return spare;
    }
    let Ok(at) = sys::map_private(size_of::<Level>()) else { return core::ptr::null_mut() };
    if sys::advise(at, size_of::<Wiped>(), libc::MADV_WIPEONFORK).is_err() {
        // SAFETY: nobody else has seen this mapping.
        unsafe { sys::unmap(at, size_of::<Level>()) };
        return core::ptr::null_mut();
    }
    at as *mut Level
}

fn new_level(tid: u32) -> *mut Level {
    let level = map_level();
    // SAFETY: null, or freshly mapped zeros, which are a valid level.
    if let Some(fresh) = unsafe { level.as_mut() } {
        fresh.kept.owner.set(tid);
        fresh.kept.owned_since.store(file::id(), Relaxed);
        let mut first = ALL.load(Acquire);
        loop {
            fresh.kept.next.store(first, Relaxed);
            match ALL.compare_exchange_weak(first, level, AcqRel, Acquire) {
                Ok(_) => break,
                Err(other) => first = other,
            }
        }
    }
    level
}

/// The memory of a thread that is gone, or of an earlier thread with our own id.
fn take_over(tid: u32) -> Option<*mut Level> {
    let mut level = NEXT_LOOK.load(Acquire);
    let mut taken = None;
    for _ in 0..LOOKS {
        if level.is_null() {
            level = ALL.load(Acquire);
        }
        // SAFETY: members of the list are never unmapped; only their atomic words are used here.
        let (owner, since, next) = unsafe {
            match level.as_ref() {
                None => break,
                Some(level) => (&level.kept.owner, &level.kept.owned_since, level.kept.next.load(Acquire)),
            }
        };
        let is_sure = || !OWNERS_UNSURE.load(Acquire) || since.load(Relaxed) == file::id();
        let is_ours = |old| old == tid && tid != 0 || sys::thread_is_gone(process::pid(), old);
        if owner.take(tid, |old| is_sure() && is_ours(old)) {
            since.store(file::id(), Relaxed);
            taken = Some(level);
        }
        level = next;
        if taken.is_some() {
            break;
        }
    }
    NEXT_LOOK.store(level, Release);
    taken
}

/// Whether this thread is inside the recorder at both levels.
pub fn is_nested() -> bool {
    let level = current();
    // SAFETY: null or the thread's own memory; only two words are read.
    unsafe {
        !level.is_null()
            && (*level).kept.entered != 0
            && !(*level).kept.nested.is_null()
            && (*(*level).kept.nested).kept.entered != 0
    }
}

impl Level {
    /// A thread that had no memory has got this.
    fn begin_thread(&mut self, tid: u32) {
        self.kept.serving.end();
        self.wiped.writer.tid = tid;
        self.wiped.writer.thread = NEXT_THREAD.fetch_add(1, Relaxed);
        self.kept.capture.change_thread();
        self.kept.python.forget();
        // SAFETY: a nested level belongs to its outer one.
        if let Some(nested) = unsafe { self.kept.nested.as_mut() } {
            nested.kept.entered = 0;
            nested.kept.capture.change_thread();
            nested.kept.python.forget();
            nested.wiped.writer = Writer { writer: nested.wiped.writer.writer, ..self.wiped.writer };
        }
    }

    /// There is no room: the chunk is full, or this is the level's first event in this file, or the recording
    /// has stopped.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self) -> bool {
        if self.wiped.file == 0 && !self.begin_file() {
            return false;
        }
        if process::is_recording() && self.make_room_for_events() {
            return true;
        }
        // Says which loss it is.
        process::begin();
        false
    }

    fn make_room_for_events(&mut self) -> bool {
        self.wiped.events.make_room(self.wiped.writer, run::epoch(self.wiped.seen))
    }

    /// The run's control word has changed: says which epoch it is, if that is another. There is room, and where this is true
    /// there is again.
    #[cold]
    #[inline(never)]
    fn see(&mut self, control: u64, also_off: bool) -> bool {
        let is_off = control >> 32 != self.wiped.seen >> 32 && switch::is_off_now();
        let epoch = run::epoch(control);
        if epoch != run::epoch(self.wiped.seen) {
            self.wiped.events.put(|model| model.mark(mark::EPOCH + u64::from(epoch)));
        }
        self.wiped.seen = control;
        self.make_room_for_events() && (also_off || !is_off)
    }

    fn begin_file(&mut self) -> bool {
        if !process::begin() {
            return false;
        }
        if self.wiped.writer.tid == 0 {
            self.identify();
        }
        self.wiped.writer.writer = NEXT_WRITER.fetch_add(1, Relaxed);
        self.wiped.said_thread = self.wiped.writer.thread;
        self.wiped.file = file::id();
        self.kept.capture.forget();
        self.kept.python.forget();
        if !self.make_room_for_events() {
            return false;
        }
        self.wiped.events.put(|model| model.thread_name(&sys::thread_name()));
        if self.wiped.writer.writer == 0 {
            modules::write_all(&mut self.definer());
        }
        true
    }

    /// A level without a thread number: of a forked child, or a nested one.
    fn identify(&mut self) {
        let outer = current();
        // SAFETY: the thread's own memory; the outer hook, if it is another level's, is not running.
        unsafe {
            if !core::ptr::eq(outer, self) && !outer.is_null() && (*outer).wiped.writer.tid != 0 {
                self.wiped.writer = (*outer).wiped.writer;
                return;
            }
        }
        let tid = sys::tid();
        // SAFETY: as above; the owner is said of the thread's outer level.
        let owned = unsafe { outer.as_ref().map_or(&self.kept, |outer| &outer.kept) };
        owned.owner.set(tid);
        owned.owned_since.store(file::id(), Relaxed);
        OWNERS_UNSURE.store(false, Release);
        self.wiped.writer = Writer { writer: 0, thread: NEXT_THREAD.fetch_add(1, Relaxed), tid };
    }

    /// A hook at this level was left in the middle of its work.
    fn abandoned(&mut self) {
        self.wiped.events.abandon();
        self.wiped.definitions.abandon();
        self.kept.capture.forget();
        self.kept.python.forget();
    }

    #[inline(always)]
    fn definer(&mut self) -> Definer<'_> {
        Definer::new(&mut self.wiped.definitions, self.wiped.writer, &mut self.kept.scratch)
    }

    /// The stack of a hook's caller.
    #[inline(always)]
    fn stack_of(&mut self, caller: Caller) -> StackId {
        let mut definer =
            Definer::new(&mut self.wiped.definitions, self.wiped.writer, &mut self.kept.scratch);
        #[cfg(unfreed_timed)]
        let begin = timed::now();
        let native = self.kept.capture.take(caller, &mut definer);
        #[cfg(unfreed_timed)]
        let between = timed::now();
        let merged = self.kept.python.take(native, self.kept.capture.is_interrupted(), &mut definer);
        #[cfg(unfreed_timed)]
        timed::captured(begin, between, timed::now());
        merged
    }

    /// Whether the file is still ours: not in a child that was forked by a signal handler which interrupted us.
    #[inline(always)]
    fn has_file(&self) -> bool {
        self.wiped.file != 0
    }

    /// Records a block that was handed out, at `clock_ms` if that is known; its place in the live table was prepared. There
    /// is room.
    #[inline(always)]
    fn record_allocated(
        &mut self,
        address: Address,
        size: u64,
        stack: StackId,
        place: Place,
        moved: Moved,
        clock_ms: Option<u64>,
    ) {
        self.wiped.counts.expect(stack);
        let realloc = moved.is_something();
        let is_recorded = self.wiped.events.allocated(address, size, stack, realloc, clock_ms);
        if is_recorded && self.has_file() {
            // SAFETY: it was prepared for this block in this hook, by this process.
            unsafe { place.put(address, size, stack, run::epoch(self.wiped.seen)) };
            if realloc {
                table::end_move(moved);
            }
            let epoch = self.wiped.definitions.epoch();
            self.wiped.counts.add(&mut self.kept.counts, stack, size, self.wiped.writer, epoch);
            self.wiped.events.applied();
        }
    }

    /// Says whose the events are from here on, if another thread's level was taken over. There is room.
    #[inline(always)]
    fn say_thread(&mut self) {
        if self.wiped.said_thread != self.wiped.writer.thread {
            self.thread_changed();
        }
    }

    #[cold]
    #[inline(never)]
    fn thread_changed(&mut self) {
        self.wiped.said_thread = self.wiped.writer.thread;
        let writer = self.wiped.writer;
        self.wiped.events.put(|model| model.thread(writer.thread, writer.tid));
        self.wiped.events.forget_collector();
        if self.make_room_for_events() {
            self.wiped.events.put(|model| model.thread_name(&sys::thread_name()));
        }
        // The event that is to follow needs its own room; where there is none it is counted by its stamp.
        self.make_room_for_events();
    }
}

/// Enters the recorder for an allocation: not while the process is off, unless with `also_off`: it is the end of a realloc
/// that was recorded when it began. With the time.
#[inline(always)]
fn enter_allocation(level: *mut Level, sp: usize, also_off: bool) -> Option<(Entered, Option<u64>)> {
    if !also_off && switch::is_off() {
        return None;
    }
    let clock_ms = clock();
    Some((enter_for(level, sp, also_off)?, clock_ms))
}

/// Whether what is freed was allocated while the process was off, as far as can be told: nobody knows what a forked child
/// inherited. Such a free is counted.
#[cold]
#[inline(never)]
fn is_unknown(found: Found) -> bool {
    let is_unknown = (!found.is_something() || found.is_moving()) && !process::is_forked();
    if is_unknown && let Some(count) = file::word(UNKNOWN_FREES) {
        count.fetch_add(1, Relaxed);
    }
    is_unknown
}

/// The time, which may begin another epoch.
#[inline(always)]
fn clock() -> Option<u64> {
    let clock_ms = clock::coarse_ms()?;
    run::tick(clock_ms);
    Some(clock_ms)
}

/// The calling thread, whose memory a hook finds once.
#[derive(Clone, Copy)]
pub struct Thread(*mut Level);

impl Thread {
    /// The calling thread.
    #[inline(always)]
    pub fn current() -> Thread {
        Thread(current())
    }

    /// The calling thread, whose part of the recording is begun: no hook called by what it calls next does that.
    #[inline(always)]
    pub fn begun() -> Thread {
        if current().is_null() {
            begin();
        }
        Thread::current()
    }

    /// A block was handed out to `caller`, for the one that was `moved` if there is one. `collector` is the state of
    /// Python's, if that is to be looked at.
    #[inline(always)]
    pub fn allocated(
        self,
        block: usize,
        size: usize,
        caller: Caller,
        spacing: Spacing,
        moved: Moved,
        collector: Option<u32>,
    ) {
        let sp = caller.sp as usize - 8;
        let Some((entered, clock_ms)) = enter_allocation(self.0, sp, moved.is_something()) else { return };
        let level = &mut *entered.0;
        let (address, size) = (Address(block as u64), size as u64);
        let Some(place) = table::prepare(address, size, spacing) else { return no_space() };
        level.say_thread();
        if let Some(now) = collector
            && now != level.wiped.events.collector()
        {
            level.see_collector(now);
        }
        let stack = level.stack_of(caller);
        level.record_allocated(address, size, stack, place, moved, clock_ms);
    }

    /// A block is about to be given back. `sp` is the stack pointer at the hook's first instruction; `usable` is asked for
    /// what the block holds, and may say 0. `collector` is the state of Python's.
    #[inline(always)]
    pub fn freed(
        self,
        block: usize,
        sp: usize,
        collector: u32,
        usable: impl FnOnce() -> usize,
    ) -> Option<Entered> {
        let entered = enter(self.0, sp)?;
        let level = &mut *entered.0;
        let address = Address(block as u64);
        let found = table::find(address);
        level.say_thread();
        if collector != level.wiped.events.collector() {
            level.see_collector(collector);
        }
        if switch::was_off() && is_unknown(found) {
            return Some(entered);
        }
        if level.wiped.events.freed(address, false, usable) && level.has_file() {
            // SAFETY: it was found in this hook, by this process.
            unsafe { found.remove() };
            level.wiped.events.applied();
        }
        Some(entered)
    }

    /// A block is about to be given to `realloc`. As for [`Thread::freed`]. Nothing has moved if that is not to be recorded.
    #[inline(always)]
    pub fn moving(self, block: usize, sp: usize, usable: impl FnOnce() -> usize) -> Moved {
        let address = Address(block as u64);
        let mut moved = Moved::unknown(address);
        let Some(entered) = enter(self.0, sp) else { return moved };
        let level = &mut *entered.0;
        let found = table::find(address);
        level.say_thread();
        if switch::was_off() && is_unknown(found) {
            return Moved::NOTHING;
        }
        if level.wiped.events.freed(address, true, usable) && level.has_file() {
            // SAFETY: it was found in this hook, by this process.
            moved = unsafe { found.begin_move(address) };
            level.wiped.events.applied();
        }
        moved
    }

    /// The realloc of this block failed: it is as it was.
    #[cold]
    #[inline(never)]
    pub fn realloc_failed(self, moved: Moved, sp: usize) {
        if !moved.is_something() {
            return;
        }
        let Some(entered) = enter(self.0, sp) else { return };
        let level = &mut *entered.0;
        level.say_thread();
        if level.wiped.events.realloc_failed(moved.address()) && level.has_file() {
            table::undo_move(moved);
            level.wiped.events.applied();
        }
    }
}

/// A moment of the process, see [`recording::mark`].
pub fn mark(mark: u64) {
    let Some(entered) = enter(current(), stack_pointer()) else { return };
    entered.0.wiped.events.put(|model| model.mark(mark));
}

/// Begins the recording, and this thread's part of it, before the first event.
#[cold]
pub fn begin() {
    drop(enter(current(), stack_pointer()));
}

/// Enters what may not be asked for any more when a filter of system calls is installed: the loaded modules, and the
/// bounds of this thread's stack.
#[cold]
pub fn look_around() {
    let Some(entered) = enter(current(), stack_pointer()) else { return };
    entered.0.kept.capture.look_up(stack_pointer() as u64);
    modules::enter_all(&mut entered.0.definer());
}

#[inline(always)]
fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: only reads the register.
    unsafe { asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}
