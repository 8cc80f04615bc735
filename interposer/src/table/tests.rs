//! The table against a map, with random programs.

use super::*;
use recording::table::{PAGES, WORDS};
use std::collections::HashMap;
use std::sync::{Barrier, Mutex};

/// Pages of the heap.
#[derive(Default)]
struct HeapPages(Mutex<Vec<(Tag, usize)>>);

impl Pages for HeapPages {
    fn take(&self, tag: Tag) -> Option<Page> {
        let words: &'static mut [[u64; WORDS]] = Box::leak(Box::new([[0u64; WORDS]; 2]));
        let at = (words.as_ptr() as usize).next_multiple_of(PAGE);
        let mut pages = self.0.lock().expect("no test panics here");
        pages.push((tag, at));
        Some(Page { at, number: pages.len() % PAGES })
    }

    fn give_back(&self, page: Page) {
        self.0.lock().expect("no test panics here").retain(|&(_, at)| at != page.at);
    }
}

type Blocks = HashMap<u64, (u64, StackId, u32)>;

fn table() -> Box<Table<HeapPages>> {
    let table = Box::<Table<HeapPages>>::new_zeroed();
    // SAFETY: all zero is an empty table, and so are an unlocked mutex and a vector that was written.
    unsafe {
        let table = Box::into_raw(table).cast::<Table<HeapPages>>();
        (&raw mut (*table).pages).write(HeapPages::default());
        Box::from_raw(table)
    }
}

impl Table<HeapPages> {
    fn insert(&self, address: u64, size: u64, stack: u32, epoch: u32, spacing: Spacing) {
        let address = Address(address);
        let place = self.prepare(address, size, spacing).expect("there is memory");
        // SAFETY: just prepared.
        unsafe { place.put(address, size, StackId(stack), epoch) };
    }

    fn remove(&self, address: u64) -> bool {
        let found = self.find(Address(address));
        // SAFETY: just found.
        unsafe { found.remove() };
        found.is_something()
    }

    fn begin_move(&self, address: u64) -> Moved {
        // SAFETY: just found.
        unsafe { self.find(Address(address)).begin_move(Address(address)) }
    }

    /// What a reader finds: blocks now, and those before Python finalized.
    fn read(&self) -> [Blocks; 2] {
        let pages = self.pages.0.lock().expect("no test panics here").clone();
        // SAFETY: pages are never freed, and their words are atomic.
        let word = |at: usize| Word(unsafe { &*(at as *const AtomicU64) }.load(Relaxed));
        let mut sets = [Blocks::new(), Blocks::new()];
        for &(tag, at) in &pages {
            for index in 0..WORDS {
                let here = word(at + 8 * index);
                let [now, before] = match here.kind() {
                    Some(Kind::Block | Kind::Moving) => [true, !tag.late],
                    Some(Kind::FreedLate) => [false, true],
                    Some(Kind::Size) | None => continue,
                };
                let next = if index + 1 < WORDS {
                    Some(at + 8 * (index + 1))
                } else {
                    let next = Tag { base: tag.base + ((WORDS as u64) << tag.plane.shift()), ..tag };
                    pages.iter().find(|(tag, _)| *tag == next).map(|&(_, at)| at)
                };
                let size = here.size().or_else(|| word(next?).next_size()).expect("a size is there");
                let block = (size, here.stack(), here.epoch());
                for (set, is_in) in sets.iter_mut().zip([now, before]) {
                    if is_in {
                        assert_eq!(
                            set.insert(here.address(tag, index).0, block),
                            None,
                            "one word for a block"
                        );
                    }
                }
            }
        }
        sets
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A heap that hands out what is free at random, each block with as little space as its kind of allocator spends.
struct Heap {
    spacing: Spacing,
    begin: u64,
    /// Units of eight bytes that are in use.
    used: Vec<bool>,
}

impl Heap {
    fn new(spacing: Spacing, begin: u64, units: usize) -> Heap {
        Heap { spacing, begin, used: vec![false; units] }
    }

    /// Units of eight bytes that a block takes, and to how many it is aligned.
    fn spent(&self, size: u64) -> (usize, usize) {
        let units = (size.max(1)).div_ceil(8) as usize;
        match self.spacing {
            Spacing::Wide => (units.next_multiple_of(2).max(4), 2),
            _ if size > 8 => (units.next_multiple_of(2), 2),
            _ => (units, 1),
        }
    }

    fn take(&mut self, size: u64, random: &mut Random) -> Option<u64> {
        let (units, alignment) = self.spent(size);
        let count = self.used.len();
        let first = random.below(count as u64) as usize / alignment * alignment;
        let is_free = |at: &usize| self.used.get(*at..at + units).is_some_and(|used| !used.contains(&true));
        let at = (first..count).step_by(alignment).take(200).find(is_free)?;
        self.used[at..at + units].fill(true);
        Some(self.begin + 8 * at as u64)
    }

    fn set_used(&mut self, address: u64, size: u64, used: bool) {
        let at = ((address - self.begin) / 8) as usize;
        let units = self.spent(size).0;
        self.used[at..at + units].fill(used);
    }
}

fn random_size(random: &mut Random) -> u64 {
    match random.below(10) {
        0..6 => random.below(40),
        6..8 => random.below(400),
        8 => 500 + random.below(600),
        _ => random.below(40_000),
    }
}

/// A random program of so many steps that leaves what is in `blocks`; before step `finalizes` Python finalizes.
fn run(
    table: &Table<HeapPages>,
    heap: &mut Heap,
    random: &mut Random,
    steps: usize,
    finalizes: usize,
) -> [Blocks; 2] {
    let mut blocks = Blocks::new();
    let mut before = Blocks::new();
    let mut order: Vec<u64> = Vec::new();
    for step in 0..steps {
        if step == finalizes {
            table.late.store(true, Relaxed);
            before = blocks.clone();
        }
        let (size, stack, epoch) =
            (random_size(random), 40_000 + random.below(100) as u32, 1 + random.below(9) as u32);
        let chosen = random.below(order.len().max(1) as u64) as usize;
        let old = order.get(chosen).map(|&address| (address, blocks[&address].0));
        match (random.below(8), old) {
            (0..4, _) | (_, None) => {
                let Some(address) = heap.take(size, random) else { continue };
                table.insert(address, size, stack, epoch, heap.spacing);
                blocks.insert(address, (size, StackId(stack), epoch));
                order.push(address);
            }
            (4 | 5, Some((address, old_size))) => {
                assert!(table.remove(address), "{address:#x} is there");
                assert!(!table.find(Address(address)).is_something());
                heap.set_used(address, old_size, false);
                blocks.remove(&address);
                order.swap_remove(chosen);
            }
            (6, Some((address, _))) => {
                let moved = table.begin_move(address);
                assert!(table.find(Address(address)).is_something(), "it is unfreed until it was moved");
                table.undo_move(moved);
            }
            (_, Some((address, old_size))) => {
                let moved = table.begin_move(address);
                heap.set_used(address, old_size, false);
                let Some(new) = heap.take(size, random) else {
                    heap.set_used(address, old_size, true);
                    table.undo_move(moved);
                    continue;
                };
                // Another thread may be given the old address meanwhile.
                let other = (new != address && random.below(2) == 0).then(|| heap.take(16, random)).flatten();
                if let Some(other) = other {
                    table.insert(other, 16, stack, epoch, heap.spacing);
                }
                table.insert(new, size, stack, epoch, heap.spacing);
                table.end_move(moved);
                blocks.remove(&address);
                blocks.insert(new, (size, StackId(stack), epoch));
                order[chosen] = new;
                if let Some(other) = other {
                    blocks.insert(other, (16, StackId(stack), epoch));
                    order.push(other);
                }
            }
        }
    }
    [blocks, before]
}

const SPACINGS: [Spacing; 3] = [Spacing::Wide, Spacing::Pools, Spacing::Unknown];

#[test]
fn it_holds_what_a_map_holds() {
    for (seed, spacing) in SPACINGS.into_iter().enumerate() {
        let table = table();
        let mut random = Random(seed as u64);
        // Its pages lie in two parts of the directory.
        let mut heap = Heap::new(spacing, (5 << 31) - 20_000, 8_000);
        let [blocks, _] = run(&table, &mut heap, &mut random, 8_000, usize::MAX);
        assert!(blocks.len() > 100);
        let [now, _] = table.read();
        assert_eq!(now, blocks, "{spacing:?}");
    }
}

#[test]
fn what_was_there_before_python_finalized_is_kept() {
    for (seed, spacing) in SPACINGS.into_iter().enumerate() {
        let table = table();
        let mut random = Random(100 + seed as u64);
        let mut heap = Heap::new(spacing, 0x5555_0000_0000, 8_000);
        let [blocks, before_exit] = run(&table, &mut heap, &mut random, 8_000, 4_000);
        let [now, before] = table.read();
        assert_eq!(now, blocks, "{spacing:?}");
        assert_eq!(before, before_exit, "{spacing:?}");
    }
}

#[test]
fn threads_do_not_disturb_each_other() {
    let table = &*table();
    let barrier = &Barrier::new(4);
    let programs: Vec<Blocks> = std::thread::scope(|scope| {
        // Their heaps share pages.
        let program = |number: u64| {
            scope.spawn(move || {
                let mut heap =
                    Heap::new(SPACINGS[number as usize % 3], 0x7fff_0000_0000 + number * 40_032, 5_004);
                barrier.wait();
                run(table, &mut heap, &mut Random(number), 5_000, usize::MAX)
            })
        };
        let threads = [0, 1, 2, 3].map(program);
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a program ends"))
            .map(|[blocks, _]| blocks)
            .collect()
    });
    let [now, _] = table.read();
    assert_eq!(now, programs.into_iter().flatten().collect::<Blocks>());
    let pages = table.pages.0.lock().expect("no test panics here");
    let tags: std::collections::HashSet<u64> = pages.iter().map(|(tag, _)| tag.to_word()).collect();
    assert_eq!(tags.len(), pages.len(), "one page for a part of the heap");
}

#[test]
fn an_old_word_goes_only_if_it_is_still_the_block_s() {
    let table = table();
    let (old, new) = (0x1000, 0x2000);
    table.insert(old, 100, 40_000, 1, Spacing::Wide);
    let moved = table.begin_move(old);
    // Another thread is given the old memory, in another plane or the same.
    for (size, spacing) in [(100, Spacing::Wide), (8, Spacing::Unknown)] {
        table.insert(old, size, 40_001, 1, spacing);
        table.insert(new, 300, 40_000, 1, Spacing::Wide);
        table.end_move(moved);
        assert_eq!(table.read()[0][&old], (size, StackId(40_001), 1));
        assert!(table.remove(old));
    }
    assert_eq!(table.read()[0].len(), 1);
}

#[test]
fn a_realloc_in_place_may_change_the_plane() {
    let table = table();
    let address = 0x7000_0000_1000;
    table.insert(address, 8, 40_000, 1, Spacing::Unknown);
    for size in [100, 16, 2000, 1, 511, 0] {
        let moved = table.begin_move(address);
        table.insert(address, size, 40_000, 2, Spacing::Unknown);
        table.end_move(moved);
        assert_eq!(table.read()[0], Blocks::from([(address, (size, StackId(40_000), 2))]));
    }
}

#[test]
fn blocks_may_lie_as_close_as_eight_bytes() {
    for (spacing, apart) in
        [(Spacing::Unknown, 8), (Spacing::Unknown, 16), (Spacing::Pools, 16), (Spacing::Pools, 24)]
    {
        let table = table();
        let addresses = || (0..1000).map(|number| 0x5555_0000_0030 + number * apart);
        let block = (apart, StackId(40_000), 1);
        addresses().for_each(|address| table.insert(address, apart, 40_000, 1, spacing));
        assert_eq!(table.read()[0], addresses().map(|address| (address, block)).collect(), "{apart}");
        assert!(addresses().step_by(2).all(|address| table.remove(address)));
        assert_eq!(table.read()[0].len(), 500, "{apart}");
    }
}

#[test]
fn what_has_no_place_is_nowhere() {
    let table = table();
    for address in [1 << 47, u64::MAX - 7, 0x1004, 0x7fff_ffff_fff9] {
        table.insert(address, 5000, 40_000, 1, Spacing::Wide);
        assert!(!table.remove(address), "{address:#x}");
        table.undo_move(table.begin_move(address));
        table.end_move(table.begin_move(address));
    }
    assert!(table.read()[0].is_empty());
    // The last that has one.
    table.insert((1 << 47) - 8, 5000, 40_000, 1, Spacing::Unknown);
    assert!(table.remove((1 << 47) - 8));
}

#[test]
fn numbers_that_a_word_does_not_hold_are_the_nearest() {
    let table = table();
    table.insert(0x1000, 5, u32::MAX, u32::MAX, Spacing::Wide);
    assert_eq!(table.read()[0][&0x1000], (5, EndReason::NotCaptured.id(), EPOCHS - 1));
}
