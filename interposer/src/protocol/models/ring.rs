//! What was put in is taken out once, in its order, or is still there.

use super::check;
use crate::protocol::ring::Ring;
use crate::sync::AtomicU64;
use loom::thread;
use std::sync::Arc;

/// A ring of two words.
struct Words {
    begin: AtomicU64,
    end: AtomicU64,
    words: [AtomicU64; 2],
}

impl Words {
    fn new() -> Arc<Words> {
        Arc::new(Words {
            begin: AtomicU64::new(0),
            end: AtomicU64::new(0),
            words: [AtomicU64::new(0), AtomicU64::new(0)],
        })
    }

    fn ring(&self) -> Ring<'_> {
        Ring { begin: &self.begin, end: &self.end, words: &self.words }
    }

    /// What is taken out when nobody else does anything any more. What was passed over comes with a later turn.
    fn rest(&self) -> Vec<u64> {
        let mut rest = Vec::new();
        for filler in [101, 102] {
            rest.extend(core::iter::from_fn(|| self.ring().take()).map(|(_, value)| value));
            self.ring().put(filler);
        }
        rest.extend(core::iter::from_fn(|| self.ring().take()).map(|(_, value)| value));
        rest.retain(|&value| value < 100);
        rest
    }
}

fn assert_each_once(mut values: Vec<u64>, expected: &[u64]) {
    values.sort();
    assert_eq!(values, expected);
}

#[test]
fn each_value_is_taken_once() {
    check("two put in and take out", || {
        let words = Words::new();
        let user = |value: u64| {
            let words = words.clone();
            thread::spawn(move || {
                words.ring().put(value);
                words.ring().take().map(|(_, value)| value)
            })
        };
        let users = [user(1), user(2)];
        let taken = users.map(|user| user.join().expect("a user ends"));
        let all = taken.into_iter().flatten().chain(words.rest()).collect();
        assert_each_once(all, &[1, 2]);
    });
    check("the ring comes round", || {
        let words = Words::new();
        words.ring().put(1);
        let putter = {
            let words = words.clone();
            thread::spawn(move || {
                let taken = words.ring().take();
                words.ring().put(2);
                taken
            })
        };
        let ours = words.ring().take();
        words.ring().put(3);
        let theirs = putter.join().expect("a user ends");
        let all = [ours, theirs].into_iter().flatten().map(|(_, value)| value);
        assert_each_once(all.chain(words.rest()).collect(), &[1, 2, 3]);
    });
}

#[test]
fn values_come_in_the_order_of_their_places() {
    check("one takes out what another puts in", || {
        let words = Words::new();
        let putter = {
            let words = words.clone();
            thread::spawn(move || [words.ring().put(1), words.ring().put(2)])
        };
        let taken = [words.ring().take(), words.ring().take()];
        let ends = putter.join().expect("the putter ends");
        let taken: Vec<(u64, u64)> = taken.into_iter().flatten().collect();
        assert!(taken.windows(2).all(|two| two[0].0 < two[1].0));
        assert!(taken.iter().all(|&(place, value)| ends[value as usize - 1] == place + 1));
    });
}

#[test]
fn who_sleeps_takes_nothing_younger() {
    check("the ring comes round while one takes out", || {
        let words = Words::new();
        words.ring().put(1);
        let putter = {
            let words = words.clone();
            thread::spawn(move || (words.ring().put(2), words.ring().put(3)).1)
        };
        let taken = words.ring().take();
        let end = putter.join().expect("the putter ends");
        assert!(end >= 3);
        assert!(taken.is_none_or(|(place, value)| place + 1 >= value), "{taken:?}");
    });
}
