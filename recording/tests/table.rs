//! Words of the live table, counts and marks come back, and any bytes are read without panic.
use proptest::prelude::*;
use recording::counts::Count;
use recording::layout::{CHUNK, CHUNK_HEADER};
use recording::run::{self, Mark, Switch};
use recording::table::{EPOCHS, Kind, Plane, STACKS, Tag, WORDS, Word};
use recording::{Address, StackId};

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![0..2048u64, 0..1u64 << 47, (0..2048u64).prop_map(|pages| pages * 4096)]
}

fn stack() -> impl Strategy<Value = StackId> {
    prop_oneof![Just(StackId::ARENA), (0..STACKS).prop_map(StackId)]
}

proptest! {
    #[test]
    fn a_block_comes_back(
        place in 0..1u64 << 44, size in size(), stack in stack(), epoch in 0..EPOCHS, narrow: bool, late: bool,
    ) {
        let address = Address(place << 3);
        let plane = if narrow { Plane::Narrow } else { Plane::Wide };
        let base = address.0 >> plane.page_shift() << plane.page_shift();
        let tag = Tag { base, plane, late };
        prop_assert_eq!(Tag::from_word(tag.to_word()), Some(tag));
        let index = plane.index(address);
        prop_assert!(index < WORDS);
        let (word, next) = Word::block(address, size, stack, epoch);
        prop_assert_eq!(word.address(tag, index), address);
        prop_assert_eq!((word.stack(), word.epoch(), word.kind()), (stack, epoch, Some(Kind::Block)));
        prop_assert_eq!(word.size().or_else(|| next.and_then(Word::next_size)), Some(size));
        prop_assert!(word.size().is_none() == next.is_some());
        // Another block for which the same word stands is another one.
        prop_assert!(word.is_block_at(address) && !word.is_block_at(Address(address.0 ^ 8)));
        let long = word.moving(size);
        prop_assert!(long.is_block_at(address) && long.stack() == word.stack());
        prop_assert_eq!(long.kind(), Some(Kind::Moving));
        prop_assert!(size >> 29 != 0 && word.size().is_none() || long.size() == Some(size));
        prop_assert!(long.epoch() == word.epoch() || long.epoch() == 0 && word.size().is_none());
        let moving = word.with_kind(Kind::Moving);
        prop_assert!(moving.is_block_at(address) && moving.with_kind(Kind::Block) == word);
        let freed = word.with_kind(Kind::FreedLate);
        prop_assert!(!freed.is_block_at(address) && freed.stack() == stack);
        if let Some(next) = next {
            // The block reaches over the places of that word.
            prop_assert!(size > 64 && next.kind() == Some(Kind::Size));
        }
    }

    #[test]
    fn an_arena_leaves_the_next_word_to_its_first_object(pages in 1..512u64, place in 0..1u64 << 30) {
        let (word, next) = Word::block(Address(place << 12), pages << 12, StackId::ARENA, 1);
        prop_assert_eq!((word.size(), next), (Some(pages << 12), None));
    }

    #[test]
    fn any_word_is_read(word: u64, tag: u64) {
        let word = Word(word);
        let _ = (word.kind(), word.size(), word.next_size(), word.stack(), word.epoch());
        if let Some(tag) = Tag::from_word(tag) {
            let page = 1 << tag.plane.page_shift();
            prop_assert_eq!(tag.base % page, 0);
            prop_assert!(word.address(tag, WORDS - 1).0.wrapping_sub(tag.base) < page);
        }
    }

    #[test]
    fn counts_come_back(stack in 0..u32::MAX >> 1, late: bool, allocations: u32, bytes: u64, index in 0usize..4092) {
        let count = Count { stack: StackId(stack), late, allocations, bytes };
        let mut chunk = vec![0; CHUNK];
        let at = CHUNK_HEADER + 16 * index;
        for (place, word) in chunk[at..].chunks_exact_mut(8).zip(count.to_words()) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        prop_assert_eq!(Count::read(&chunk, index), Some(count));
        prop_assert_eq!(Count::read(&chunk, index + 1), None);
        prop_assert_eq!(Count::read(&chunk, CHUNK), None);
    }

    #[test]
    fn switches_come_back(namespace: u64, pid: u32, on: bool, start_ticks: u64, index in 0..run::SWITCH_COUNT) {
        let switch = Switch { namespace, pid, on, start_ticks };
        let mut head = vec![0; run::HEAD];
        prop_assert_eq!(Switch::read(&head, index), None);
        let at = run::SWITCHES + run::SWITCH * index;
        for (place, word) in head[at..].chunks_exact_mut(8).zip(switch.to_words()) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        prop_assert_eq!(Switch::read(&head, index), Some(switch));
    }

    #[test]
    fn a_mark_comes_back_or_is_none(
        epoch in 1..EPOCHS, times: [u64; 3], name in proptest::collection::vec(any::<u8>(), 0..run::MARK_NAME),
        len in 0u64..200, index in 0..run::MARK_COUNT,
    ) {
        let mut head = vec![0; run::HEAD];
        let at = run::MARKS + run::MARK * index;
        let mut put = |offset: usize, word: u64| head[at + offset..][..8].copy_from_slice(&word.to_le_bytes());
        put(run::MARK_EPOCH, epoch.into());
        put(run::MARK_REALTIME, times[0]);
        put(run::MARK_MONOTONIC, times[1]);
        put(run::MARK_SAID, times[2]);
        put(run::MARK_LENGTH, name.len() as u64);
        head[at + run::MARK_TEXT..][..name.len()].copy_from_slice(&name);
        let [realtime_ns, monotonic_ns, count] = times;
        let expected = Mark { epoch, realtime_ns, monotonic_ns, count, name: &name };
        prop_assert_eq!(Mark::read(&head, index), Some(expected));
        prop_assert_eq!(Mark::read(&head, run::MARK_COUNT), None);
        let mut damaged = head.clone();
        damaged[at + run::MARK_LENGTH..][..8].copy_from_slice(&len.to_le_bytes());
        let read = Mark::read(&damaged, index);
        prop_assert_eq!(read.is_some(), len as usize <= run::MARK_NAME);
    }
}

#[test]
fn epochs_last_longer_the_later_they_are_and_for_months() {
    let total: u64 = (0..EPOCHS).map(run::tick_ms).sum();
    assert!(total > 90 * 24 * 3_600_000, "{total} ms");
    assert_eq!(run::tick_ms(1), 1_000);
    assert!((1..EPOCHS).all(|epoch| run::tick_ms(epoch) >= run::tick_ms(epoch - 1)));
}
