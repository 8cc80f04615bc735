//! Chunks are handed out once, and none of them is cut off.

use super::check;
use crate::protocol::chunks::{NoChunk, Size};
use crate::sync::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use loom::thread;
use recording::layout::CHUNK;
use std::sync::Arc;

const CHUNKS: usize = 8;

/// The file: its words, and what the kernel knows of it.
struct File {
    size: AtomicU64,
    next: AtomicU64,
    length: AtomicU64,
    written: [AtomicU64; CHUNKS],
}

impl File {
    /// Of so many chunks, of which so many were handed out.
    fn new(chunks: usize, used: u64) -> Arc<File> {
        Arc::new(File {
            size: AtomicU64::new((chunks * CHUNK) as u64),
            next: AtomicU64::new(used),
            length: AtomicU64::new((chunks * CHUNK) as u64),
            written: core::array::from_fn(|_| AtomicU64::new(0)),
        })
    }

    /// Takes a chunk and writes into it.
    fn take(&self, extend: impl FnOnce(usize) -> Result<usize, ()>) -> Result<usize, NoChunk<()>> {
        let offset = Size(&self.size).hand_out(&self.next, 1, CHUNKS * CHUNK, |_, end| {
            let size = extend(end)?;
            self.length.fetch_max(size as u64, Relaxed);
            Ok(size)
        })?;
        let length = self.length.fetch_add(0, Relaxed);
        assert!((offset + CHUNK) as u64 <= length, "SIGBUS: chunk {} is behind the end", offset / CHUNK);
        let before = self.written[offset / CHUNK].fetch_add(1, Relaxed);
        assert_eq!(before, 0, "chunk {} was handed out twice", offset / CHUNK);
        Ok(offset)
    }

    fn cut(&self, spare: usize) {
        Size(&self.size).cut(&self.next, spare, |size| {
            self.length.swap(size as u64, Relaxed);
            for written in &self.written[size / CHUNK..] {
                written.swap(0, Relaxed);
            }
            true
        });
    }

    fn holds(&self, offset: usize) -> bool {
        (offset + CHUNK) as u64 <= self.length.fetch_add(0, Relaxed)
            && self.written[offset / CHUNK].fetch_add(0, Relaxed) == 1
    }
}

/// Two threads take `each` chunks while a third cuts the file; what they have written is there in the end.
fn taking_while_it_is_cut(chunks: usize, spare: usize, each: [usize; 2]) {
    let file = File::new(chunks, 1);
    let taker = |count: usize| {
        let file = file.clone();
        thread::spawn(move || (0..count).filter_map(|_| file.take(Ok).ok()).collect::<Vec<_>>())
    };
    let takers = each.map(taker);
    file.cut(spare);
    for taken in takers.map(|taker| taker.join().expect("a taker ends")) {
        assert!(taken.iter().all(|&offset| file.holds(offset)), "a chunk that was handed out was cut off");
    }
    assert!(file.next.load(Relaxed) as usize * CHUNK <= CHUNKS * CHUNK);
}

#[test]
fn what_is_handed_out_is_not_cut_off() {
    check("the cut leaves nothing", || taking_while_it_is_cut(4, 0, [2, 1]));
    check("the cut leaves a chunk", || taking_while_it_is_cut(4, 1, [2, 1]));
    check("the file is full", || taking_while_it_is_cut(2, 0, [1, 2]));
}

#[test]
fn no_chunk_is_handed_out_twice() {
    check("an extension fails", || {
        let file = File::new(1, 1);
        let taker = |works: bool| {
            let file = file.clone();
            thread::spawn(move || file.take(|end| if works { Ok(end) } else { Err(()) }).is_ok())
        };
        let takers = [false, true].map(taker);
        let ours = file.take(Ok).is_ok();
        let taken = takers.map(|taker| taker.join().expect("a taker ends"));
        // Who cannot extend the file finds room where others have extended it for themselves, and given it back.
        assert!(ours && taken[1]);
    });
    check("there is room for one", || {
        let file = File::new(CHUNKS, CHUNKS as u64 - 1);
        let taker = || {
            let file = file.clone();
            thread::spawn(move || file.take(Ok))
        };
        let takers = [taker(), taker()];
        let full = takers.map(|taker| taker.join().expect("a taker ends") == Err(NoChunk::Full));
        assert_ne!(full[0], full[1]);
        assert_eq!(file.next.load(Relaxed), CHUNKS as u64, "what was not had is given back");
    });
}
