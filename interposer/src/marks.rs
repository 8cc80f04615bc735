//! Named moments of the run that its programs set themselves, see [`recording::run::Mark`].
//!
//! A mark takes a place and fills it, begins an epoch, and says last which: who is killed meanwhile leaves a place that
//! says nothing. Two processes that say a new name at once may each take one; the first epoch counts.

use crate::{clock, run, sys};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use recording::run::{
    MARK, MARK_COUNT, MARK_EPOCH, MARK_LENGTH, MARK_MONOTONIC, MARK_NAME, MARK_REALTIME, MARK_SAID,
    MARK_TEXT, MARKS, NEXT_MARK,
};

/// A name as words, filled up with 0.
type Words = [u64; MARK_NAME / 8];

fn words(name: &[u8]) -> Words {
    let mut words = [0; MARK_NAME / 8];
    for (index, &byte) in name.iter().take(MARK_NAME).enumerate() {
        words[index / 8] |= u64::from(byte) << (8 * (index % 8));
    }
    words
}

/// A word of the mark with this index.
fn word(index: usize, offset: usize) -> Option<&'static AtomicU64> {
    run::word(MARKS + MARK * index + offset)
}

/// Whether this mark is whole and has that name.
fn is_named(index: usize, len: usize, words: &Words) -> bool {
    let is = |offset, value| word(index, offset).is_some_and(|word| word.load(Relaxed) == value);
    word(index, MARK_EPOCH).is_some_and(|epoch| epoch.load(Acquire) != 0)
        && is(MARK_LENGTH, len as u64)
        && words.iter().enumerate().all(|(number, &value)| is(MARK_TEXT + 8 * number, value))
}

/// Says that the run is at the moment `name`, of which the first [`MARK_NAME`] bytes count.
pub fn set(name: &[u8]) {
    let (len, words) = (name.len().min(MARK_NAME), words(name));
    let Some(next) = run::word(NEXT_MARK).filter(|_| len != 0) else { return };
    let count = next.load(Acquire).min(MARK_COUNT as u64) as usize;
    if let Some(known) = (0..count).find(|&index| is_named(index, len, &words)) {
        word(known, MARK_SAID).map(|said| said.fetch_add(1, Relaxed));
        return;
    }
    // What has no place begins no epoch.
    if count == MARK_COUNT {
        return;
    }
    let index = next.fetch_add(1, AcqRel) as usize;
    if index >= MARK_COUNT {
        return;
    }
    let put = |offset, value| {
        if let Some(word) = word(index, offset) {
            // The epoch is stored last, and says that the rest is there.
            word.store(value, Release);
        }
    };
    for (number, &value) in words.iter().enumerate() {
        put(MARK_TEXT + 8 * number, value);
    }
    put(MARK_LENGTH, len as u64);
    put(MARK_SAID, 1);
    let epoch = run::next_epoch(clock::precise_ms());
    // Not before the epoch: a process that begins later has nothing of an earlier one.
    put(MARK_MONOTONIC, clock::monotonic_ns());
    put(MARK_REALTIME, sys::clock_ns(libc::CLOCK_REALTIME).unwrap_or(0));
    put(MARK_EPOCH, epoch.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_filled_up_with_nothing() {
        assert_eq!(words(b"")[..], [0; 10]);
        assert_eq!(words(b"abcdefghi")[..3], [u64::from_le_bytes(*b"abcdefgh"), u64::from(b'i'), 0]);
        assert_eq!(words(&[0xff; 200]), [u64::MAX; 10]);
    }
}
