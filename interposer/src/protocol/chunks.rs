//! Hands out the chunks of a file that grows, and that is cut as the process exits.
//!
//! Two words: `next`, the number of chunks handed out, and the file's size in bytes ([`Size`]), whose top bit says that
//! the file is being cut. What must hold: no chunk is handed out twice, and none that is handed out is cut off.
//!
//! Who takes a chunk adds to `next` and then reads the size; who cuts writes the size and then adds 0 to `next`. The
//! two additions have an order: either the taker's is first, and the cut is not made, or the cutter's is, and then
//! the taker sees the new size (the addition that comes second acquires what was before the first), waits until the
//! cut is over, and makes the file longer again.

use crate::sync::{AtomicU64, wait_for};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use recording::layout::CHUNK;

/// The file is being cut: what is behind its new size must wait.
const CUTTING: u64 = 1 << 63;

/// Why there is no chunk.
#[derive(Debug, PartialEq, Eq)]
pub enum NoChunk<E> {
    /// The file has the most chunks that it may have.
    Full,
    /// The file is being cut, and that does not end.
    Busy,
    /// The file could not be made longer.
    Failed(E),
}

/// The word of the file's size. It may be shared by processes that write to one file, as `next` is.
pub struct Size<'a>(pub &'a AtomicU64);

impl Size<'_> {
    /// A file of `size` bytes is there, which nobody uses yet.
    pub fn set(&self, size: usize) {
        self.0.store(size as u64, Relaxed);
    }

    /// Hands out `count` chunks in a row: the first one's offset in the file. `limit` is the most bytes of the file; `extend` makes it so long
    /// that the offset it is given lies in it, never shorter, and returns its size.
    pub fn hand_out<E>(
        &self,
        next: &AtomicU64,
        count: usize,
        limit: usize,
        extend: impl FnOnce(u64, usize) -> Result<usize, E>,
    ) -> Result<usize, NoChunk<E>> {
        let index = next.fetch_add(count as u64, AcqRel);
        let end = (index as usize).checked_add(count).and_then(|next| next.checked_mul(CHUNK));
        let room = match end.filter(|&end| end <= limit) {
            None => Err(NoChunk::Full),
            Some(end) => self.make_room(end, extend).map(|()| end - count * CHUNK),
        };
        if room.is_err() {
            // Only if nobody has taken one behind them.
            let _ = next.compare_exchange(index + count as u64, index, Relaxed, Relaxed);
        }
        room
    }

    /// Has the file be so long that `end` lies in it.
    pub fn make_room<E>(
        &self,
        end: usize,
        extend: impl FnOnce(u64, usize) -> Result<usize, E>,
    ) -> Result<(), NoChunk<E>> {
        let mut size = self.0.load(Acquire);
        if end as u64 <= size & !CUTTING {
            return Ok(());
        }
        // The exiting thread may never come back to it.
        let is_whole = || {
            size = self.0.load(Acquire);
            size & CUTTING == 0
        };
        if !wait_for(is_whole) {
            return Err(NoChunk::Busy);
        }
        if end as u64 > size {
            // Where a cut has begun since, it sees our chunk and is not made.
            self.0.fetch_max(extend(size, end).map_err(NoChunk::Failed)? as u64, Release);
        }
        Ok(())
    }

    /// Cuts what is not used off the file's end, but for `spare` chunks: by `truncate`, which says whether it has.
    pub fn cut(&self, next: &AtomicU64, spare: usize, truncate: impl FnOnce(usize) -> bool) {
        let whole = self.0.load(Relaxed);
        let size = (next.load(Relaxed) + spare as u64) * CHUNK as u64;
        if size >= whole || self.0.compare_exchange(whole, size | CUTTING, AcqRel, Relaxed).is_err() {
            return;
        }
        let is_unused = next.fetch_add(0, AcqRel) * CHUNK as u64 <= size;
        let is_cut = is_unused && truncate(size as usize);
        self.0.store(if is_cut { size } else { whole }, Release);
    }
}
