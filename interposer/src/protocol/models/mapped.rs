//! All threads use the memory that one of them has mapped, and see what it has put there.

use super::check;
use crate::protocol::mapped::{give_up, mapped, mapped_again, present};
use crate::sync::AtomicUsize;
use core::convert::Infallible;
use core::sync::atomic::Ordering::AcqRel;
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;

const THREADS: usize = 3;

#[derive(Default)]
struct Memory {
    /// What each thread maps, at addresses from 1 on.
    pages: [UnsafeCell<usize>; THREADS],
    given_back: [UnsafeCell<bool>; THREADS],
}

// SAFETY: loom checks that no access meets a write.
unsafe impl Sync for Memory {}
// SAFETY: as above.
unsafe impl Send for Memory {}

#[test]
fn one_mapping_is_used() {
    check("three threads", || {
        let shared = Arc::new((AtomicUsize::new(0), Memory::default()));
        let user = |number: usize| {
            let shared = shared.clone();
            move || {
                let (place, memory) = &*shared;
                let map = || {
                    // SAFETY: loom checks it, here and below.
                    memory.pages[number].with_mut(|page| unsafe { *page = 7 });
                    Ok::<_, Infallible>(number + 1)
                };
                // SAFETY: see above.
                let unmap = |at: usize| memory.given_back[at - 1].with_mut(|given| unsafe { *given = true });
                let Ok(at) = mapped(place, map, unmap);
                // SAFETY: see above.
                assert_eq!(memory.pages[at - 1].with(|page| unsafe { *page }), 7);
                at
            }
        };
        let others = [thread::spawn(user(0)), thread::spawn(user(1))];
        let at = user(2)();
        assert_eq!(others.map(|other| other.join().expect("a user ends")), [at; 2]);
        // SAFETY: see above; all others have ended.
        assert!(!shared.1.given_back[at - 1].with(|given| unsafe { *given }), "it is in use");
    });
}

/// Memory that is mapped anew at another address each time.
#[derive(Default)]
struct Again {
    place: AtomicUsize,
    users: AtomicUsize,
    maps: AtomicUsize,
    /// By address, from 2 on in steps of 2: whether it was given back.
    gone: [UnsafeCell<bool>; 4],
}

// SAFETY: as above.
unsafe impl Sync for Again {}
// SAFETY: as above.
unsafe impl Send for Again {}

impl Again {
    fn map(&self) -> Result<usize, Infallible> {
        Ok(2 * (1 + self.maps.fetch_add(1, AcqRel)))
    }

    fn unmap(&self, at: usize) {
        // SAFETY: loom checks that nobody looks at it meanwhile.
        self.gone[at / 2 - 1].with_mut(|gone| unsafe { *gone = true });
    }

    fn use_it(&self) {
        self.users.fetch_add(1, AcqRel);
        let Ok(found) = mapped_again(&self.place, || self.map(), |at| self.unmap(at));
        if let Some(at) = found {
            // SAFETY: loom checks that nobody unmaps it meanwhile.
            assert!(!self.gone[at / 2 - 1].with(|gone| unsafe { *gone }), "it was given up");
        }
        self.users.fetch_sub(1, AcqRel);
    }

    fn give_up(&self) {
        if let Some(at) = present(&self.place) {
            give_up(&self.place, at, || self.users.fetch_add(0, AcqRel) != 0, |at| self.unmap(at));
        }
    }
}

#[test]
fn what_is_used_is_not_given_up() {
    check("two use it, one of them and another give it up", || {
        let memory = Arc::new(Again::default());
        let Ok(at) = mapped(&memory.place, || memory.map(), |_| ());
        assert_eq!(at, 2);
        let other = {
            let memory = memory.clone();
            thread::spawn(move || memory.use_it())
        };
        let giver = {
            let memory = memory.clone();
            thread::spawn(move || memory.give_up())
        };
        memory.use_it();
        memory.give_up();
        other.join().expect("a user ends");
        giver.join().expect("it ends");
    });
}
