//! What all processes of a run share: the file `live/run`, mapped by each of them.
//!
//! Its first word, [`CONTROL`], is read by every hook: the epoch, and whether anything is to be recorded. Epochs divide
//! the time of a run: one begins at each mark, and one every so often ([`tick_ms`]). A block's word in the live table has the
//! epoch in which it was allocated; so a mark is one moment of all processes, and what was born before it is known.
//!
//! Whoever cannot map the file has a page of its own in its place, and hears of no mark
//! ([`crate::layout::flag::ALONE`]).

use crate::layout::{u32_at, u64_at};
use crate::table::EPOCHS;

/// The file's name in the recording's `live/`.
pub const RUN: &str = "run";
/// Its first bytes.
pub const MAGIC: [u8; 8] = *b"\x89UNR\r\n\x1a\n";
/// `u32` version of this layout.
pub const AT_VERSION: usize = 8;
/// The version that this crate writes.
pub const VERSION: u32 = 1;
/// `u64` monotonic clock when it was made, ms. Stored with the version before the magic.
pub const AT_BEGUN: usize = 16;

/// `u64`: bits 0 to 31 the epoch, from 1; [`OFF`]; bits 32 to 62 count the changes of what is switched on or off.
pub const CONTROL: usize = 64;
/// Bit of [`CONTROL`]: processes that [`SWITCHES`] does not name record nothing new.
pub const OFF: u64 = 1 << 63;
/// What is added to [`CONTROL`] with every change of [`OFF`] or [`SWITCHES`].
pub const CHANGE: u64 = 1 << 32;
/// `u64` monotonic clock from which on a new epoch may begin without a mark, ms. Who moves it on begins that.
pub const NEXT_TICK: usize = 128;
/// `u64` bytes of events that all files of the run have.
pub const LOG_BYTES: usize = 192;
/// `u64` marks begun; those behind [`MARKS`] are not kept.
pub const NEXT_MARK: usize = 256;
/// 64 switches of single processes, see [`Switch`]; 24 bytes each.
pub const SWITCHES: usize = 1024;
/// Number of [`SWITCHES`].
pub const SWITCH_COUNT: usize = 64;
/// Bytes of a switch.
pub const SWITCH: usize = 24;
/// 256 marks, see [`Mark`].
pub const MARKS: usize = 4096;
/// Number of [`MARKS`].
pub const MARK_COUNT: usize = 256;
/// Bytes of a mark.
pub const MARK: usize = 128;
/// `u64` monotonic clock at which each epoch began, ms; 0 unknown.
pub const EPOCH_TIMES: usize = 64 << 10;
/// Bytes of the file. It is sparse.
pub const SIZE: usize = EPOCH_TIMES + 8 * EPOCHS as usize;
/// What there is of it at the beginning; a page of epoch times is allocated before it is written to.
pub const HEAD: usize = EPOCH_TIMES;

const _: () = assert!(SWITCHES + SWITCH * SWITCH_COUNT <= MARKS);
const _: () = assert!(MARKS + MARK * MARK_COUNT <= EPOCH_TIMES);

/// The epoch in a control word.
#[inline(always)]
pub const fn epoch(control: u64) -> u32 {
    control as u32
}

/// How long an epoch lasts that no mark ends, ms: the later the longer, so that epochs last for months.
pub const fn tick_ms(epoch: u32) -> u64 {
    match epoch / (EPOCHS / 4) {
        0 => 1_000,
        1 => 4_000,
        2 => 16_000,
        _ => 64_000,
    }
}

/// A process that is switched on or off by itself.
///
/// `u64` inode of its pid namespace, `u32` pid in it, `u32` 1 on or 2 off or 0 unused, `u64` its start in clock ticks since boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Switch {
    /// Inode of the pid namespace.
    pub namespace: u64,
    /// Process id in it.
    pub pid: u32,
    /// Whether it records.
    pub on: bool,
    /// Start of the process, clock ticks since boot.
    pub start_ticks: u64,
}

impl Switch {
    /// Reads the switch of this index from the file's head.
    pub fn read(head: &[u8], index: usize) -> Option<Switch> {
        let at = SWITCHES + SWITCH * index;
        let on = match u32_at(head, at + 12)? {
            1 => true,
            2 => false,
            _ => return None,
        };
        Some(Switch {
            namespace: u64_at(head, at)?,
            pid: u32_at(head, at + 8)?,
            on,
            start_ticks: u64_at(head, at + 16)?,
        })
    }

    /// As stored: the second word last.
    pub const fn to_words(self) -> [u64; 3] {
        [self.namespace, self.pid as u64 | if self.on { 1 } else { 2 } << 32, self.start_ticks]
    }
}

/// Longest name of a mark, bytes.
pub const MARK_NAME: usize = 80;

/// A named moment of the run.
///
/// `u64` the epoch that it began, stored last; `u64` wall clock, ns since 1970; `u64` monotonic clock, ns; `u64` how often the
/// name was said; `u64` length of the name; then the name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark<'a> {
    /// Everything born in this epoch and later came after it.
    pub epoch: u32,
    /// Wall clock, ns since 1970.
    pub realtime_ns: u64,
    /// Monotonic clock, ns.
    pub monotonic_ns: u64,
    /// How often a program said this name; the moment is the first.
    pub count: u64,
    /// Its name.
    pub name: &'a [u8],
}

/// Where in a mark its words are.
pub const MARK_EPOCH: usize = 0;
/// See [`Mark`].
pub const MARK_REALTIME: usize = 8;
/// See [`Mark`].
pub const MARK_MONOTONIC: usize = 16;
/// See [`Mark`].
pub const MARK_SAID: usize = 24;
/// See [`Mark`].
pub const MARK_LENGTH: usize = 32;
/// See [`Mark`].
pub const MARK_TEXT: usize = 40;

const _: () = assert!(MARK_TEXT + MARK_NAME <= MARK);

impl<'a> Mark<'a> {
    /// Reads the mark of this index from the file's head; `None` where none was set, or not wholly.
    pub fn read(head: &'a [u8], index: usize) -> Option<Mark<'a>> {
        let at = MARKS + MARK * index;
        let epoch = u64_at(head, at + MARK_EPOCH)? as u32;
        let len = u64_at(head, at + MARK_LENGTH)? as usize;
        if epoch == 0 || index >= MARK_COUNT || len > MARK_NAME {
            return None;
        }
        Some(Mark {
            epoch,
            realtime_ns: u64_at(head, at + MARK_REALTIME)?,
            monotonic_ns: u64_at(head, at + MARK_MONOTONIC)?,
            count: u64_at(head, at + MARK_SAID)?,
            name: head.get(at + MARK_TEXT..at + MARK_TEXT + len)?,
        })
    }
}
