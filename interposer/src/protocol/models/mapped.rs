//! All threads use the memory that one of them has mapped, and see what it has put there.

use super::check;
use crate::protocol::mapped::mapped;
use crate::sync::AtomicUsize;
use core::convert::Infallible;
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
