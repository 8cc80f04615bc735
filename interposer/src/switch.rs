//! Whether this process records: what the run's control word says of it, and the switch of this process if there is one.
//!
//! | state | when | what hooks do |
//! |---|---|---|
//! | on | | record |
//! | off | it was switched off | record frees, and reallocs of blocks that are recorded, so that what is known stays right |
//! | dormant | it is off and has recorded nothing | go on to the real function after a load or two |
//!
//! The state lies in the page that fork wipes: a forked child finds none, and asks for its own at its first event. It
//! is asked for again when the upper half of the control word has changed.

use crate::process::{self, Own};
use crate::run;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicPtr, AtomicU64, fence};
use recording::layout::flag;
use recording::run::{CHANGE, OFF as RUN_IS_OFF, SWITCH, SWITCH_COUNT, SWITCHES};

/// Bits of the state; its upper half is that of the control word of which it came.
const DORMANT: u64 = 1;
/// No allocation is recorded.
const OFF: u64 = 2;
/// It was off at some time: a block that is freed may have been allocated then.
const WAS_OFF: u64 = 4;
/// The state is known.
const KNOWN: u64 = 8;

/// Before there is a page that fork wipes: whoever comes asks for more.
static UNKNOWN: AtomicU64 = AtomicU64::new(0);
/// Of a process that never records. The control word that it sees never changes.
static NEVER: AtomicU64 = AtomicU64::new(KNOWN | OFF | DORMANT);
/// Where the state is.
static STATE: AtomicPtr<AtomicU64> = AtomicPtr::new((&raw const UNKNOWN).cast_mut());

#[inline(always)]
fn state() -> &'static AtomicU64 {
    // SAFETY: the address of a static word, or of one in a page that is never unmapped.
    unsafe { &*STATE.load(Relaxed) }
}

/// Whether the state, which has one of `bits`, still has it.
#[inline(always)]
fn is_still(state: u64, bits: u64) -> bool {
    (state ^ run::control()) >> 32 == 0 || look() & bits != 0
}

/// Whether hooks have nothing to do. Where this is not so anything may be.
#[inline(always)]
pub fn is_dormant() -> bool {
    let state = state().load(Relaxed);
    state & DORMANT != 0 && is_still(state, DORMANT)
}

/// Whether allocations are not recorded. Where this is not so the control word may have changed meanwhile.
#[inline(always)]
pub fn is_off() -> bool {
    let state = state().load(Relaxed);
    state & OFF != 0 && is_still(state, OFF)
}

/// Whether blocks may be freed that were allocated while the process was off.
#[inline(always)]
pub fn was_off() -> bool {
    state().load(Relaxed) & WAS_OFF != 0
}

/// Whether it is known that this process never records anything.
pub fn is_never() -> bool {
    core::ptr::eq(state(), &raw const NEVER)
}

/// Nothing is asked for: this process never records.
pub fn never() {
    STATE.store((&raw const NEVER).cast_mut(), Relaxed);
}

/// From here on the state is in this page.
pub fn begin(own: &'static Own) {
    STATE.store((&raw const own.state).cast_mut(), Relaxed);
}

/// Whether a process that has no file may begin one now.
#[cold]
pub fn may_begin() -> bool {
    let known = state().load(Relaxed);
    let is_current = known & KNOWN != 0 && (known ^ run::control()) >> 32 == 0;
    (if is_current { known } else { look() }) & OFF == 0
}

/// Whether allocations are not recorded, now that the control word is known to have changed.
#[cold]
pub fn is_off_now() -> bool {
    look() & OFF != 0
}

/// Asks what this process is to do; returns the state.
#[cold]
#[inline(never)]
pub fn look() -> u64 {
    let control = run::control();
    let is_on = named(control).unwrap_or(control & RUN_IS_OFF == 0);
    let of = |was: u64| {
        let off = if process::has_file() { OFF | WAS_OFF } else { OFF | WAS_OFF | DORMANT };
        control >> 32 << 32 | KNOWN | was & WAS_OFF | if is_on { 0 } else { off }
    };
    let was = state().fetch_update(SeqCst, Relaxed, |was| Some(of(was)));
    // Who begins the file meanwhile looks here when that is done, see `begun`.
    fence(SeqCst);
    let now = of(was.unwrap_or_else(|was| was));
    if now & WAS_OFF != 0 && process::has_file() {
        begun();
    }
    now
}

/// The process has a file.
#[cold]
pub fn begun() {
    fence(SeqCst);
    let now = state().fetch_and(!DORMANT, SeqCst);
    if now & WAS_OFF != 0 {
        process::set_flag(flag::WAS_OFF);
    }
}

/// What the switch of this process says, if it has one.
fn named(control: u64) -> Option<bool> {
    // None was ever set.
    if control & !RUN_IS_OFF < CHANGE {
        return None;
    }
    let mut identity = None;
    (0..SWITCH_COUNT).find_map(|index| {
        let word =
            |number: usize| run::word(SWITCHES + SWITCH * index + 8 * number).map(|word| word.load(SeqCst));
        let (namespace, switch, start) = (word(0)?, word(1)?, word(2)?);
        let is_on = match switch >> 32 {
            1 => true,
            2 => false,
            _ => return None,
        };
        if switch as u32 != process::own_pid() || word(1)? != switch {
            return None;
        }
        let (own_namespace, own_start) = *identity.get_or_insert_with(process::identity);
        // What the kernel does not say tells nobody apart.
        let is_same = |own: u64, said: u64| own == said || own == 0 || said == 0;
        (is_same(own_namespace, namespace) && is_same(own_start, start)).then_some(is_on)
    })
}
