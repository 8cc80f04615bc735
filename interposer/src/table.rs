//! The live table of the process: see [`recording::table`].
//!
//! A block's word is found by its address through a directory of two levels in private memory. What the program does
//! to a block makes one plain store, or a second one for a size that its word does not hold: no two threads have the same
//! block at once, and each block has a word of its own. A page of words is had before the event is written that needs it.
//! Fork leaves the child's directories empty, so that it finds no page of its parent's.
//!
//! From when Python finalizes on, new blocks lie in pages of their own, and earlier ones that are freed leave a word that
//! says so: the pages have the unfreed blocks of before and of now. It stays so if Python is initialised again.
//!
//! Frees are told of twice: [`find`] before the event is written, and what it has found after that. In between this process
//! may have become its own child, in a signal handler: the caller looks for that.

mod directory;
mod pages;
#[cfg(test)]
mod tests;

use crate::log::file;
use crate::{process, real};
use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use core::sync::atomic::{AtomicBool, AtomicU64};
use directory::{Directory, is_in_reach};
use pages::FilePages;
use recording::layout::{FLAGS, flag};
use recording::table::{EPOCHS, Kind, PAGE, Plane, STACKS, Tag, Word};
use recording::{Address, EndReason, LostKind, StackId};

/// What is known of how close to each other an allocator's blocks lie. Addresses are multiples of 8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spacing {
    /// It spends 32 bytes at least on each: glibc's malloc.
    Wide,
    /// Blocks of one size lie together (pymalloc's pools).
    Pools,
    /// Nothing.
    Unknown,
}

impl Spacing {
    /// That of the real allocator's blocks.
    #[inline(always)]
    pub fn of_malloc() -> Spacing {
        if real::is_glibc() { Spacing::Wide } else { Spacing::Unknown }
    }

    /// In which plane a block is. Two that are in the wide one are 32 bytes apart: both are longer than 16 and
    /// begin at multiples of 16, or of one kind and longer than 24.
    #[inline(always)]
    fn plane(self, address: Address, size: u64) -> Plane {
        let is_aligned = || size > 16 && address.0.is_multiple_of(16);
        let is_wide = match self {
            Spacing::Wide => true,
            Spacing::Pools => size > 24 || is_aligned(),
            Spacing::Unknown => is_aligned(),
        };
        if is_wide { Plane::Wide } else { Plane::Narrow }
    }
}

/// Blocks from this size on may need the next word too.
const LONG: u64 = 511;

/// A page of words.
#[derive(Clone, Copy)]
struct Page {
    at: usize,
    /// Which of its chunk.
    number: usize,
}

/// Where pages come from.
trait Pages {
    /// A page of zeros, which is said to be what `tag` says.
    fn take(&self, tag: Tag) -> Option<Page>;
    /// Another thread was first: this one is not used.
    fn give_back(&self, page: Page);
}

/// Where a block's word is to be, and the next one. Nowhere for what cannot be in the table.
#[derive(Clone, Copy)]
pub struct Place {
    word: *const AtomicU64,
    next: *const AtomicU64,
}

/// The word of what is in no table.
static NOWHERE: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

impl Place {
    fn nowhere() -> Place {
        Place { word: &NOWHERE[0], next: &NOWHERE[1] }
    }

    /// Enters the block.
    ///
    /// # Safety
    /// This process's [`prepare`] gave the place for this address and size.
    #[inline(always)]
    pub unsafe fn put(self, address: Address, size: u64, stack: StackId, epoch: u32) {
        let stack = if stack.0 < STACKS { stack } else { EndReason::NotCaptured.id() };
        let (word, next) = Word::block(address, size, stack, epoch.min(EPOCHS - 1));
        // SAFETY: words of pages that stay mapped; the caller's word for the rest.
        unsafe {
            if let Some(next) = next {
                (*self.next).store(next.0, Relaxed);
            }
            (*self.word).store(word.0, Relaxed);
        }
    }
}

/// An unfreed block of the table, or nothing.
#[derive(Clone, Copy)]
pub struct Found {
    at: *const AtomicU64,
    next: *const AtomicU64,
    word: Word,
    /// Allocated before Python finalized, and it does now.
    is_early: bool,
}

/// A block that was given to `realloc`, or nothing.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Moved {
    address: Address,
    /// Its word before; empty if it was not in the table.
    word: Word,
    /// As it was left there.
    moving: Word,
}

impl Moved {
    /// No block was.
    pub const NOTHING: Moved = Moved::unknown(Address(0));

    /// A block of which nothing is in the table.
    pub const fn unknown(address: Address) -> Moved {
        Moved { address, word: Word(0), moving: Word(0) }
    }

    /// Whether there is a block.
    #[inline(always)]
    pub fn is_something(self) -> bool {
        self.address.0 != 0
    }

    /// Which block.
    pub fn address(self) -> Address {
        self.address
    }
}

impl Found {
    /// Whether it is a block.
    pub fn is_something(self) -> bool {
        self.word.0 != 0
    }

    /// Whether it was given to a `realloc` that has not come back: another block may be there by now, of which nothing is
    /// known.
    pub fn is_moving(self) -> bool {
        self.word.kind() == Some(Kind::Moving)
    }

    /// What it is once it is freed.
    fn freed(self) -> Word {
        if self.is_early { self.word.with_kind(Kind::FreedLate) } else { Word(0) }
    }

    /// It is about to be freed.
    ///
    /// # Safety
    /// Found by this process, in the same hook.
    #[inline(always)]
    pub unsafe fn remove(self) {
        // SAFETY: a word of a page that stays mapped, or of nothing; the caller's word for the rest.
        unsafe { (*self.at).store(self.freed().0, Relaxed) };
    }

    /// The block at `address`, which was looked for, is about to be given to `realloc`.
    ///
    /// # Safety
    /// As for [`Found::remove`].
    #[inline(always)]
    pub unsafe fn begin_move(self, address: Address) -> Moved {
        if self.word.0 == 0 || self.is_early {
            return Moved { address, word: self.word, moving: self.word };
        }
        // SAFETY: as in `remove`.
        unsafe {
            let size = self.word.size().or_else(|| Word((*self.next).load(Relaxed)).next_size());
            let moving = self.word.moving(size.unwrap_or(0));
            (*self.at).store(moving.0, Relaxed);
            Moved { address, word: self.word, moving }
        }
    }
}

/// See the module's contract. All zero is an empty one.
struct Table<P> {
    /// Early and late pages, of each the wide and the narrow plane.
    directories: [[Directory; 2]; 2],
    /// Python finalizes, or did.
    late: AtomicBool,
    pages: P,
}

const PLANES: [Plane; 2] = [Plane::Wide, Plane::Narrow];

impl<P: Pages> Table<P> {
    #[inline(always)]
    fn is_late(&self) -> bool {
        self.late.load(Relaxed)
    }

    #[inline(always)]
    fn page(&self, late: bool, plane: Plane, address: Address) -> usize {
        self.directories[late as usize][plane as usize].page(plane, address)
    }

    #[inline(always)]
    fn prepare(&self, address: Address, size: u64, spacing: Spacing) -> Option<Place> {
        let plane = spacing.plane(address, size);
        if is_in_reach(address) {
            let page = self.page(self.is_late(), plane, address);
            let word = page + 8 * plane.index(address);
            if page != 0 && (size < LONG || word % PAGE != PAGE - 8) {
                // SAFETY: has no effect but on caches.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(word as *const i8) };
                return Some(Place { word: word as *const AtomicU64, next: (word + 8) as *const AtomicU64 });
            }
        }
        self.make_place(address, size, plane)
    }

    /// There is no page as yet, or two are needed, or the address is out of reach.
    #[cold]
    #[inline(never)]
    fn make_place(&self, address: Address, size: u64, plane: Plane) -> Option<Place> {
        if !is_in_reach(address) {
            file::count_lost(LostKind::Table);
            return Some(Place::nowhere());
        }
        let late = self.is_late();
        let mut words = [address, Address(address.0 + (1 << plane.shift()))].map(|address| (address, 0));
        let needed = if size < LONG || !is_in_reach(words[1].0) { 1 } else { 2 };
        for (address, word) in &mut words[..needed] {
            let tag = Tag { base: address.0 >> plane.page_shift() << plane.page_shift(), plane, late };
            let directory = &self.directories[late as usize][plane as usize];
            let page = directory.page_or(*address, tag, &self.pages)?;
            *word = page + 8 * plane.index(*address);
        }
        let next = if needed == 2 { words[1].1 as *const AtomicU64 } else { &raw const NOWHERE[1] };
        Some(Place { word: words[0].1 as *const AtomicU64, next })
    }

    /// The word for `address` in one of the tables; `None` where there is no page.
    #[inline(always)]
    fn word(&self, late: bool, plane: Plane, address: Address) -> Option<&AtomicU64> {
        let page = if is_in_reach(address) { self.page(late, plane, address) } else { 0 };
        // SAFETY: pages that are in a directory stay mapped.
        (page != 0).then(|| unsafe { &*((page + 8 * plane.index(address)) as *const AtomicU64) })
    }

    #[inline(always)]
    fn find(&self, address: Address) -> Found {
        if !self.is_late()
            && let Some(at) = self.word(false, Plane::Wide, address)
        {
            let (at, word) = (&raw const *at, Word(at.load(Relaxed)));
            if word.is_block_at(address) && at as usize % PAGE != PAGE - 8 {
                return Found { at, next: at.wrapping_add(1), word, is_early: false };
            }
        }
        self.find_elsewhere(address)
    }

    #[cold]
    #[inline(never)]
    fn find_elsewhere(&self, address: Address) -> Found {
        let is_late = self.is_late();
        for late in [true, false] {
            for plane in PLANES {
                let Some(at) = self.word(late, plane, address) else { continue };
                let word = Word(at.load(Relaxed));
                if word.is_block_at(address) {
                    let next = self.word(late, plane, Address(address.0 + (1 << plane.shift())));
                    let next = next.unwrap_or(&NOWHERE[1]);
                    return Found { at, next, word, is_early: is_late && !late };
                }
            }
        }
        Found { at: &NOWHERE[0], next: &NOWHERE[1], word: Word(0), is_early: false }
    }

    /// `realloc` has come back, and the block is in the table as what it is now: if it is elsewhere, its old word
    /// goes, but not if it is another block's by now.
    #[cold]
    #[inline(never)]
    fn end_move(&self, moved: Moved) {
        let is_late = self.is_late();
        self.change(
            moved,
            |late| if is_late && !late { moved.word.with_kind(Kind::FreedLate) } else { Word(0) },
        );
    }

    /// `realloc` failed.
    #[cold]
    #[inline(never)]
    fn undo_move(&self, moved: Moved) {
        self.change(moved, |_| moved.word);
    }

    fn change(&self, moved: Moved, word: impl Fn(bool) -> Word) {
        if moved.moving.0 == 0 {
            return;
        }
        for late in [false, true] {
            for plane in PLANES {
                let Some(at) = self.word(late, plane, moved.address) else { continue };
                if at.load(Relaxed) == moved.moving.0 {
                    let _ = at.compare_exchange(moved.moving.0, word(late).0, AcqRel, Acquire);
                }
            }
        }
    }
}

static TABLE: Table<FilePages> = Table {
    directories: [const { [const { Directory::new() }; 2] }; 2],
    late: AtomicBool::new(false),
    pages: FilePages::new(),
};

/// Begins an empty table, in the one thread that begins the process's file.
pub fn begin() {
    TABLE.late.store(false, Relaxed);
    TABLE.pages.begin();
    process::set_flag(flag::TABLE);
}

/// Python finalizes: what the table has now is kept beside what happens from here on.
#[cold]
pub fn finalizing() {
    if !TABLE.late.swap(true, Relaxed) {
        process::set_flag(flag::BEFORE_EXIT);
    }
}

/// Whether what is allocated now is of the time after Python began to finalize.
#[inline(always)]
pub fn is_late() -> bool {
    TABLE.is_late()
}

/// Python was initialised again: the state before it finalized is not that before exit.
#[cold]
pub fn initialized() {
    if let Some(flags) = file::word(FLAGS) {
        flags.fetch_and(!flag::BEFORE_EXIT, Relaxed);
    }
}

/// Memory for what is mapped later, for when none can be mapped any more.
#[cold]
pub fn reserve() {
    directory::reserve();
}

/// Where a block that was handed out is to be entered. `None`: there is no space, and the recording has stopped.
#[inline(always)]
pub fn prepare(address: Address, size: u64, spacing: Spacing) -> Option<Place> {
    TABLE.prepare(address, size, spacing)
}

/// The unfreed block at this address.
#[inline(always)]
pub fn find(address: Address) -> Found {
    TABLE.find(address)
}

/// Whether there is an unfreed block at this address, as far as it was recorded.
#[inline(always)]
pub fn holds(address: Address) -> bool {
    TABLE.find(address).is_something()
}

/// `realloc` has handed out a block, which was entered, for the one that it was given.
pub fn end_move(moved: Moved) {
    TABLE.end_move(moved);
}

/// `realloc` failed: the block is as it was.
pub fn undo_move(moved: Moved) {
    TABLE.undo_move(moved);
}
