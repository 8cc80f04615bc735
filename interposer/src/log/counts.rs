//! What a writer has allocated from each stack, in chunks of its own, see [`recording::counts`].
//!
//! An entry is changed by one store of 16 bytes: a process that is killed leaves it whole. Which entry is a stack's is
//! looked up in memory that fork wipes, where a child finds none of its parent's. The chunks stay mapped.

use super::events::Writer;
use super::{chunks, file};
use crate::{sys, table};
use core::arch::asm;
use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch, _mm_set_epi64x};
use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::compiler_fence;
use recording::counts::{Count, ENTRY, LATE};
use recording::layout::{CHUNK, CHUNK_HEADER, ChunkHeader, ChunkKind};
use recording::{LostKind, StackId};

/// What is allocated of a chunk at once.
const PIECE: usize = 4 << 10;
/// Most chunks of a writer: two million stacks. Of the first ones the addresses lie where all else lies that is used.
const CHUNKS: usize = 512;
const NEAR: usize = 4;
/// An entry's number is that of the chunk, and where it begins there, in entries.
const PLACES: usize = CHUNK / ENTRY;

/// log2 of the places of an index: at first, and how many more each time.
const FIRST_BITS: u32 = 5;
const MORE_BITS: [u32; 2] = [4, 2];

/// An index of so many bytes or more may be in huge pages.
const LARGE: usize = 4 << 20;

/// log2 of the places in a cache line.
const LINE_BITS: u32 = 3;

/// Numbers by stack. All zero is empty.
#[repr(C)]
struct Index {
    /// Address of the places; 0: there are none yet. A place holds a stack plus 1, and above it the number.
    places: usize,
    /// 64 less log2 of them.
    shift: u32,
    /// How many are used.
    used: u32,
    first: [u64; 1 << FIRST_BITS],
}

/// What fork keeps. All zero is nothing.
#[repr(C)]
pub struct Memory {
    /// Memory of an index, which is wiped but not taken away.
    at: usize,
    bits: u32,
    /// Addresses of the chunks behind the first ones.
    chunks: [usize; CHUNKS],
}

/// What stands for the stack in its entry.
#[inline(always)]
fn entry_of(stack: StackId, late: bool) -> StackId {
    StackId(if late { stack.0 | LATE } else { stack.0 })
}

fn key(stack: StackId) -> u32 {
    stack.0.wrapping_add(1)
}

impl Index {
    /// The place where the search for a stack begins: stacks that are new at one time, whose ids follow each other, lie in one
    /// cache line.
    #[inline(always)]
    fn begin(&self, key: u32) -> usize {
        let line = u64::from(key >> LINE_BITS).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift;
        line as usize & !((1 << LINE_BITS) - 1) | key as usize & ((1 << LINE_BITS) - 1)
    }

    /// Where a stack is, or the empty place where it would be. There is an empty one.
    ///
    /// # Safety
    /// There are places.
    #[inline(always)]
    unsafe fn place(&self, key: u32) -> *mut u64 {
        let mut number = self.begin(key);
        loop {
            let place = (self.places as *mut u64).wrapping_add(number);
            // SAFETY: a place: its number is below their count.
            let word = unsafe { *place };
            if word as u32 == key || word == 0 {
                return place;
            }
            number = (number + 1) & (usize::MAX >> self.shift);
        }
    }

    /// The number of a stack.
    #[inline(always)]
    fn find(&self, stack: StackId) -> Option<u32> {
        if self.places == 0 {
            return None;
        }
        // SAFETY: there are places.
        match unsafe { *self.place(key(stack)) } {
            0 => None,
            word => Some((word >> 32) as u32),
        }
    }

    fn count(&self) -> usize {
        (usize::MAX >> self.shift) + 1
    }

    /// Makes a place for one more; false where there is no memory for it.
    fn make_room(&mut self, memory: &mut Memory) -> bool {
        if self.places == 0 {
            let own = (&raw mut self.first as usize, FIRST_BITS);
            let (at, bits) = if memory.at == 0 { own } else { (memory.at, memory.bits) };
            self.shift = 64 - bits;
            compiler_fence(SeqCst);
            self.places = at;
        }
        let used = self.used as usize + 1;
        2 * used <= self.count() || self.grow(memory).is_ok() || 8 * used <= 7 * self.count()
    }

    /// Enters or changes the number of a stack, for which room was made.
    fn insert(&mut self, stack: StackId, number: u32) {
        // SAFETY: there are places.
        let place = unsafe { &mut *self.place(key(stack)) };
        self.used += u32::from(*place == 0);
        *place = u64::from(key(stack)) | u64::from(number) << 32;
    }

    /// Forgets all.
    fn clear(&mut self) {
        let places = if self.places == 0 { 0 } else { self.count() };
        if places == self.first.len() {
            self.first.fill(0);
        } else if places != 0 {
            // Memory of its own becomes 0, and leaves the process.
            if sys::advise(self.places, 8 * places, libc::MADV_DONTNEED).is_err() {
                // SAFETY: the places are ours.
                unsafe { core::ptr::write_bytes(self.places as *mut u64, 0, places) };
            }
        }
        self.used = 0;
    }

    /// Gets more places.
    fn grow(&mut self, memory: &mut Memory) -> sys::Result<()> {
        let more = MORE_BITS[usize::from(memory.at != 0)];
        let bits = 64 - self.shift + more;
        let size = 8usize << bits;
        let at = sys::map_private(size)?;
        // Where it is large, finding its pages would cost more than finding the stack; and it is touched all over at once.
        if size >= LARGE {
            let _ = sys::advise(at, size, libc::MADV_HUGEPAGE);
        }
        if let Err(errno) = sys::advise(at, size, libc::MADV_WIPEONFORK) {
            // SAFETY: nobody else has seen this mapping.
            unsafe { sys::unmap(at, size) };
            return Err(errno);
        }
        let larger = Index { places: at, shift: 64 - bits, used: 0, first: [0; 1 << FIRST_BITS] };
        for number in 0..self.count() {
            // SAFETY: a place of ours; the new ones are twice as many or more.
            unsafe {
                let word = *(self.places as *const u64).wrapping_add(number);
                if word != 0 {
                    *larger.place(word as u32) = word;
                }
            }
        }
        let old = (core::mem::replace(&mut memory.at, at), core::mem::replace(&mut memory.bits, bits));
        // In this order: a hook that is left in between finds less, but nothing outside.
        self.places = at;
        compiler_fence(SeqCst);
        self.shift = 64 - bits;
        compiler_fence(SeqCst);
        if old.0 != 0 {
            // SAFETY: mapped in this size, and no longer used.
            unsafe { sys::unmap(old.0, 8 << old.1) };
        }
        Ok(())
    }
}

/// See the module's contract. All zero has counted nothing.
#[repr(C)]
pub struct Counts {
    index: Index,
    /// Address of the chunk, of its next entry, and of the end of what is allocated of it.
    chunk: usize,
    next: usize,
    end: usize,
    /// Chunks begun.
    begun: u32,
    /// The epoch of the module map that the stacks in the index are of: in another one the same stacks have other ids.
    epoch: u32,
    /// Addresses of the first chunks.
    near: [usize; NEAR],
}

/// Adds an allocation to the entry at `at`; false if it has the most that it can.
///
/// # Safety
/// `at` must be the address of an entry that is nobody else's.
#[inline(always)]
unsafe fn add_at(at: usize, size: u64) -> bool {
    // SAFETY: an entry is aligned to its size of 16 bytes; the rest is handed to the caller.
    unsafe {
        if *((at + 4) as *const u32) == u32::MAX {
            return false;
        }
        asm!(
            "paddq {sum}, xmmword ptr [{at}]",
            "movdqa xmmword ptr [{at}], {sum}",
            at = in(reg) at,
            sum = inout(xmm_reg) _mm_set_epi64x(size as i64, 1 << 32) => _,
            options(nostack, preserves_flags)
        );
    }
    true
}

impl Counts {
    /// An allocation from this stack is added soon.
    #[inline(always)]
    pub fn expect(&self, stack: StackId) {
        let place = self.index.begin(key(entry_of(stack, table::is_late())));
        // SAFETY: has no effect but on caches.
        unsafe { _mm_prefetch::<_MM_HINT_T0>((self.index.places + 8 * place) as *const i8) };
    }

    /// `writer` has allocated a block, in this epoch of the module map.
    #[inline(always)]
    pub fn add(&mut self, memory: &mut Memory, stack: StackId, size: u64, writer: Writer, epoch: u32) {
        let is_added = |number: u32| {
            let chunk = match self.near.get(number as usize / PLACES) {
                Some(chunk) => *chunk,
                None => memory.chunks[number as usize / PLACES % CHUNKS],
            };
            // SAFETY: the index has numbers of our own entries.
            unsafe { add_at(chunk + number as usize % PLACES * ENTRY, size) }
        };
        let late = table::is_late();
        if !self.index.find(entry_of(stack, late)).is_some_and(is_added) {
            self.add_entry(memory, Count { stack, late, allocations: 1, bytes: size }, writer, epoch);
        }
    }

    #[cold]
    #[inline(never)]
    fn add_entry(&mut self, memory: &mut Memory, count: Count, writer: Writer, epoch: u32) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.index.clear();
        }
        let has_room = self.next < self.end || self.grow() || self.begin_chunk(memory, writer);
        if !has_room || !self.index.make_room(memory) {
            return file::count_lost(LostKind::Count);
        }
        let number = (self.begun as usize - 1) * PLACES + (self.next - self.chunk) / ENTRY;
        let [stack, bytes] = count.to_words();
        // SAFETY: the entry lies in the allocated part of our own chunk, and nobody has it.
        unsafe {
            asm!(
                "movdqa xmmword ptr [{at}], {words}",
                at = in(reg) self.next,
                words = in(xmm_reg) _mm_set_epi64x(bytes as i64, stack as i64),
                options(nostack, preserves_flags)
            );
        }
        self.next += ENTRY;
        compiler_fence(SeqCst);
        self.index.insert(entry_of(count.stack, count.late), number as u32);
    }

    /// Allocates more of the chunk.
    fn grow(&mut self) -> bool {
        if self.chunk == 0 || self.end == self.chunk + CHUNK {
            return false;
        }
        if file::allocate_at(self.end, PIECE).is_err() {
            chunks::has_not_grown();
            return false;
        }
        // What is not counted on any more need not be in the process's memory.
        file::let_go(self.chunk, self.end - self.chunk);
        self.end += PIECE;
        true
    }

    fn begin_chunk(&mut self, memory: &mut Memory, writer: Writer) -> bool {
        let begun = self.begun as usize;
        // No page is touched that is not needed.
        let place = if begun < NEAR { self.near.get_mut(begun) } else { memory.chunks.get_mut(begun) };
        let Some(place) = place else { return false };
        let Some(chunk) = chunks::take(false, PIECE) else { return false };
        let header = ChunkHeader {
            kind: ChunkKind::Counts,
            writer: writer.writer,
            ordinal: self.begun,
            thread: writer.thread,
            tid: writer.tid,
            clock_ms: 0,
            first_id: 0,
            epoch: 0,
            process: file::process(),
        };
        chunk.begin(header);
        *place = chunk.at;
        if self.chunk != 0 {
            file::let_go(self.chunk, CHUNK);
        }
        self.begun += 1;
        self.chunk = chunk.at;
        self.next = chunk.at + CHUNK_HEADER;
        self.end = chunk.at + chunk.size;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stack_is_found_again() {
        let (mut index, mut memory) = (
            Index { places: 0, shift: 0, used: 0, first: [0; 1 << FIRST_BITS] },
            Memory { at: 0, bits: 0, chunks: [0; CHUNKS] },
        );
        let stack = |number: u32| StackId(number.wrapping_mul(0x9e37_79b1) >> 8);
        for number in 0..50_000 {
            assert_eq!(index.find(stack(number)), None, "{number}");
            assert!(index.make_room(&mut memory));
            index.insert(stack(number), number);
            assert_eq!(index.find(stack(number / 2)), Some(number / 2));
        }
        assert!((0..50_000).all(|number| index.find(stack(number)) == Some(number)));
        index.clear();
        assert!((0..50_000).all(|number| index.find(stack(number)).is_none()));
        assert!((0..50_000).all(|number| {
            index.insert(stack(number), number);
            index.find(stack(number)) == Some(number)
        }));
        index.insert(stack(7), 8);
        assert_eq!((index.find(stack(7)), index.used), (Some(8), 50_000));
        // In a forked child: the memory is there, what was in it is not.
        let mut child = Index { places: 0, shift: 0, used: 0, first: [0; 1 << FIRST_BITS] };
        // SAFETY: the index's own memory, which is not used as such any more.
        unsafe { core::ptr::write_bytes(memory.at as *mut u64, 0, 1 << memory.bits) };
        assert!(child.make_room(&mut memory));
        child.insert(stack(1), 1);
        assert_eq!((child.find(stack(1)), child.find(stack(2)), child.places), (Some(1), None, memory.at));
    }

    #[test]
    fn an_entry_counts_up_to_its_most() {
        #[repr(align(16))]
        struct Entry([u64; 2]);
        let count =
            Count { stack: StackId(41), late: false, allocations: u32::MAX - 1, bytes: u64::MAX - 10 };
        let mut entry = Entry(count.to_words());
        let at = &raw mut entry as usize;
        // SAFETY: an entry of our own.
        assert!(unsafe { add_at(at, 7) });
        let expected = Count { allocations: u32::MAX, bytes: u64::MAX - 3, ..count };
        assert_eq!(entry.0, expected.to_words());
        // SAFETY: as above.
        assert!(!unsafe { add_at(at, 1) });
        assert_eq!(entry.0, expected.to_words());
    }
}
