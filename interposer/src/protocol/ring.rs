//! Values in the order in which they came, among threads that may stop at any of their instructions.
//!
//! A ring of words. Who puts a value in takes the next place and then fills it; who takes one out takes the oldest place and
//! then empties it. Nobody waits for anybody: a place that is not filled yet is passed over, and its value, once it is
//! there, is put in again by whoever comes to this word a turn of the ring later. A word tells with its value which turn
//! it is of, so that who has slept for a turn takes nothing younger than it thinks.

use crate::sync::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// Bits of a value.
pub const VALUE_BITS: u32 = 48;
const VALUE: u64 = (1 << VALUE_BITS) - 1;
/// How often values are put in again that were still where another one was put. A ring that is full loses one.
const TRIES: usize = 4;

/// See the module's contract. All zero is an empty one.
pub struct Ring<'a> {
    /// The oldest place that was not taken out.
    pub begin: &'a AtomicU64,
    /// The place after the newest.
    pub end: &'a AtomicU64,
    /// Not empty; where values are, 0 where none is.
    pub words: &'a [AtomicU64],
}

impl Ring<'_> {
    fn word(&self, place: u64) -> &AtomicU64 {
        &self.words[place as usize % self.words.len()]
    }

    /// The turn of the ring that a place belongs to, where a word has it.
    fn turn(&self, place: u64) -> u64 {
        (place / self.words.len() as u64) << VALUE_BITS
    }

    /// How many places there are between the oldest and the newest.
    pub fn length(&self) -> u64 {
        self.end.load(Relaxed).saturating_sub(self.begin.load(Relaxed))
    }

    /// Puts in a value, not 0, behind all that others have put in before. Returns the place behind its own. What the caller
    /// has done before is seen by who takes it out, and by who takes a later place.
    pub fn put(&self, value: u64) -> u64 {
        let mut value = value & VALUE;
        for _ in 1..TRIES {
            let end = self.put_once(&mut value);
            if value == 0 {
                return end;
            }
        }
        self.put_once(&mut value)
    }

    /// Leaves what was at the place in `value`.
    fn put_once(&self, value: &mut u64) -> u64 {
        let place = self.end.fetch_add(1, AcqRel);
        *value = self.word(place).swap(self.turn(place) | *value, AcqRel) & VALUE;
        place + 1
    }

    /// Takes out the oldest value, with its place; `None` if there is none.
    pub fn take(&self) -> Option<(u64, u64)> {
        let mut place = self.begin.load(Acquire);
        while place < self.end.load(Acquire) {
            if let Err(other) = self.begin.compare_exchange(place, place + 1, AcqRel, Acquire) {
                place = other;
                continue;
            }
            let word = self.word(place);
            let found = word.load(Acquire);
            let value = found & VALUE;
            if value != 0
                && found - value == self.turn(place)
                && word.compare_exchange(found, 0, AcqRel, Relaxed).is_ok()
            {
                return Some((place, value));
            }
            place += 1;
        }
        None
    }
}
