//! Where each resident byte of a process is counted: of mappings as the kernel writes them, and blocks that are laid out by hand.

use analyzer::rss::{Block, Holds, Kernel, Kind, ProcessRss, Recorded, Row, Run, advice, parse};

const PAGE: u64 = 0x1000;
/// Of a heap of an arena.
const ARENA: u64 = 0x7f00_4000_0000;
const HEAP: u64 = 0x5600_0000_0000;

/// `start-end permissions name: rss flags`, sizes in pages; all of it is this process's alone.
fn mappings(lines: &[(u64, u64, &str, &str, u64, &str)]) -> Kernel {
    let mut text = String::new();
    for &(start, pages, permissions, name, rss, flags) in lines {
        let inode = if name.starts_with('/') { 7 } else { 0 };
        let (end, rss) = (start + pages * PAGE, rss * 4);
        text += &format!("{start:x}-{end:x} {permissions} 00000000 fe:00 {inode}     {name}\n");
        text += &format!("Rss:       {rss} kB\nPss:       {rss} kB\nVmFlags: {flags}\n");
    }
    let mappings = parse(&text);
    assert_eq!(mappings.len(), lines.len());
    let pages = mappings.iter().map(|_| None).collect();
    let vm_rss = mappings.iter().map(|mapping| mapping.rss).sum();
    Kernel { page: PAGE, vm_rss, mappings, pages, stacks: Vec::new(), threads: 1 }
}

/// Says of the mapping at this address which of its pages are resident.
fn resident(kernel: &mut Kernel, start: u64, runs: &[(u64, u64, bool)]) {
    let place = kernel.mappings.iter().position(|mapping| mapping.start == start).expect("it is mapped");
    let run = |&(first, behind, exclusive): &(u64, u64, bool)| Run {
        start: start + first * PAGE,
        end: start + behind * PAGE,
        exclusive,
    };
    kernel.pages[place] = Some(runs.iter().map(run).collect());
}

fn block(address: u64, size: u64, site: u32) -> Block {
    Block { address, size, owner: Some((0, site)), holds: Holds::default() }
}

const LIBC: (u64, u64, &str, &str, u64, &str) =
    (0x7fff_0000_0000, 16, "r-xp", "/usr/lib/libc.so.6", 4, "rd ex mr");

fn sizes(rss: &ProcessRss, kinds: &[Kind]) -> Vec<u64> {
    kinds.iter().map(|&kind| rss.row(kind).rss).collect()
}

#[test]
fn each_byte_of_a_heap() {
    let mut kernel = mappings(&[(HEAP, 16, "rw-p", "[heap]", 8, "rd wr"), LIBC]);
    // Of 16 pages the first six and two at the top are there.
    resident(&mut kernel, HEAP, &[(0, 6, true), (12, 14, true)]);
    let blocks = vec![
        // Two neighbours, of which the second's header is all that is between them: 8 + 24 bytes each.
        block(HEAP + 0x10, 24, 1),
        block(HEAP + 0x30, 20, 1),
        // On the third page, which keeps one free page beneath it; it reaches into the fourth.
        block(HEAP + 0x2ff0, 0x20, 2),
        // The topmost one.
        block(HEAP + 0xc010, 0x100, 3),
    ];
    let rss = ProcessRss::of(&kernel, Recorded { blocks, ..Recorded::default() });
    let [unfreed, overhead, pages, space] =
        sizes(&rss, &[Kind::Blocks, Kind::Overhead, Kind::FreePages, Kind::FreeSpace])[..]
    else {
        panic!("four kinds")
    };
    assert_eq!(unfreed, 24 + 20 + 0x20 + 0x100);
    assert_eq!(overhead, 8 + 12 + 16 + 16);
    // The second page, the fifth and the sixth, and the one above the topmost block.
    assert_eq!(pages, 4 * PAGE);
    assert_eq!(unfreed + overhead + pages + space, 8 * PAGE);
    assert_eq!((rss.rss(), rss.vm_rss), (12 * PAGE, 12 * PAGE));
    assert_eq!(rss.row(Kind::Code).rss, 4 * PAGE);
    let [heap] = &rss.heaps[..] else { panic!("one heap") };
    assert!(heap.main && heap.top == Some(3));
    assert_eq!((heap.beneath, heap.above, heap.beside), (3 * PAGE, PAGE, space));
    let beneath: Vec<u64> = rss.blocks.iter().map(|block| block.holds.beneath).collect();
    assert_eq!(beneath, [0, 0, PAGE, 2 * PAGE]);
    let beside: Vec<u64> = rss.blocks.iter().map(|block| block.holds.beside).collect();
    // What is before the first header is nobody's, and counts as free.
    assert_eq!(beside[0] + beside[1], PAGE - 64);
    assert_eq!(beside.iter().sum::<u64>(), space);
}

/// In a forked process what the heap has grown by is another mapping.
#[test]
fn a_heap_of_two_mappings() {
    let mut kernel = mappings(&[
        (HEAP, 4, "rw-p", "[heap]", 4, "rd wr"),
        (HEAP + 4 * PAGE, 4, "rw-p", "[heap]", 4, "rd wr"),
        (ARENA, 4, "rw-p", "", 4, "rd wr nr"),
        (ARENA + 4 * PAGE, 4, "rw-p", "", 4, "rd wr nr"),
        (ARENA + 8 * PAGE, (64 << 20) / PAGE - 8, "---p", "", 0, "nr"),
        LIBC,
    ]);
    for start in [HEAP, HEAP + 4 * PAGE, ARENA, ARENA + 4 * PAGE] {
        resident(&mut kernel, start, &[(0, 4, true)]);
    }
    // One that reaches from one mapping into the other, and one at the end.
    let in_heap = |start: u64| [block(start + 0x3f10, 0x200, 0), block(start + 6 * PAGE + 0x10, 24, 1)];
    let blocks = [in_heap(HEAP), in_heap(ARENA)].concat();
    let rss = ProcessRss::of(&kernel, Recorded { blocks, ..Recorded::default() });
    assert_eq!(rss.row(Kind::Blocks).rss, 2 * (0x200 + 24));
    assert_eq!(rss.row(Kind::FreePages).rss, 2 * 5 * PAGE);
    assert_eq!(rss.heaps.iter().map(|heap| heap.main).collect::<Vec<_>>(), [true, false]);
    for (heap, top) in rss.heaps.iter().zip([1, 3]) {
        assert_eq!((heap.beneath, heap.above, heap.top), (4 * PAGE, PAGE, Some(top)));
    }
    let beneath: Vec<u64> = rss.blocks.iter().map(|block| block.holds.beneath).collect();
    assert_eq!(beneath, [3 * PAGE, PAGE, 3 * PAGE, PAGE]);
    assert_eq!(rss.rss(), kernel.vm_rss);
}

#[test]
fn arenas_and_blocks_in_mappings_of_their_own() {
    let large = ARENA + 0x800_0000;
    let mut kernel = mappings(&[
        (ARENA, 8, "rw-p", "", 3, "rd wr nr"),
        (ARENA + 8 * PAGE, (64 << 20) / PAGE - 8, "---p", "", 0, "nr"),
        // A block of 300 KiB, and memory that the program has mapped behind it.
        (large, 100, "rw-p", "", 90, "rd wr"),
        // An arena that no block is in any more.
        (ARENA + 0x4000_0000, 4, "rw-p", "", 2, "rd wr nr"),
        (ARENA + 0x4000_0000 + 4 * PAGE, (64 << 20) / PAGE - 4, "---p", "", 0, "nr"),
        LIBC,
    ]);
    resident(&mut kernel, ARENA, &[(0, 3, true)]);
    resident(&mut kernel, large, &[(0, 90, true)]);
    resident(&mut kernel, ARENA + 0x4000_0000, &[(0, 2, true)]);
    let blocks = vec![block(ARENA + 0x1010, 40, 0), block(large + 16, 300 << 10, 1)];
    let rss = ProcessRss::of(&kernel, Recorded { blocks, ..Recorded::default() });
    assert_eq!(rss.heaps.iter().filter(|heap| !heap.main).count(), 2);
    assert_eq!(rss.row(Kind::FreePages).rss, (2 + 2) * PAGE);
    // 300 KiB and 16 bytes are 76 pages.
    assert_eq!(rss.row(Kind::Blocks).rss, (300 << 10) + 40);
    assert_eq!(rss.row(Kind::Overhead).rss, PAGE + 8);
    assert_eq!(rss.row(Kind::Anonymous), Row { rss: 14 * PAGE, pss: 14 * PAGE, mappings: 1 });
    assert_eq!(rss.rss(), kernel.vm_rss);
}

#[test]
fn what_is_shared_and_what_is_zeros() {
    let mut kernel = mappings(&[(HEAP, 16, "rw-p", "[heap]", 6, "rd wr"), LIBC]);
    // Eight pages are there, of which the kernel counts six: two are zeros that were read. Three others are shared by two.
    resident(&mut kernel, HEAP, &[(0, 3, true), (3, 8, false)]);
    kernel.mappings[0].pss = 3 * PAGE + 3 * PAGE / 2;
    let rss = ProcessRss::of(&kernel, Recorded::default());
    let row = rss.row(Kind::FreePages);
    assert_eq!((row.rss, row.pss), (6 * PAGE, 4 * PAGE + PAGE / 2));
}

#[test]
fn arenas_of_python() {
    let start = 0x7f10_0000_0000;
    let mut kernel = mappings(&[(start, 512, "rw-p", "", 300, "rd wr"), LIBC]);
    resident(&mut kernel, start, &[(0, 256, true), (456, 500, true)]);
    // One object of 50 bytes on a page of the first MiB; the second MiB is no arena.
    let blocks = vec![block(start + 0x3030, 50, 4)];
    let arenas = vec![(start, 1 << 20)];
    let rss = ProcessRss::of(&kernel, Recorded { blocks, arenas, ..Recorded::default() });
    assert_eq!((rss.python.arenas, rss.python.half_empty), (1, 1));
    assert_eq!((rss.python.resident, rss.python.filled), (1 << 20, 50));
    assert_eq!(rss.python.empty_pages, 255 * PAGE);
    assert_eq!(rss.row(Kind::PythonFree).rss, (1 << 20) - 64);
    assert_eq!(rss.row(Kind::Anonymous).rss, 44 * PAGE);
    assert_eq!(rss.blocks[0].holds, Holds { arena: (1 << 20) - 50, ..Holds::default() });
}

#[test]
fn every_mapping_has_its_row() {
    let program = 0x5500_0000_0000;
    let mut kernel = mappings(&[
        (program, 4, "r-xp", "/srv/server", 4, "rd ex"),
        (program + 4 * PAGE, 4, "rw-p", "/srv/server", 2, "rd wr"),
        (program + 8 * PAGE, 8, "rw-p", "", 3, "rd wr"),
        (0x7f00_0000_0000, 64, "rw-p", "", 5, "rd wr nr wf dd"),
        (0x7f00_1000_0000, 64, "rw-s", "/rec/live/0123456789abcdef.unfreed", 6, "rd wr sh"),
        (0x7f00_2000_0000, 64, "r--s", "/var/lib/data.db", 7, "rd sh"),
        (0x7f00_3000_0000, 64, "rw-s", "/var/lib/data.db-shm", 8, "rd wr sh"),
        (0x7f00_3800_0000, 64, "rw-s", "/memfd:x (deleted)", 9, "rd wr sh"),
        (0x7f01_0000_0000, 1, "---p", "", 0, "mr"),
        (0x7f01_0000_1000, 2048, "rw-p", "", 10, "rd wr"),
        // The same size behind a guard, and no thread in it: kept for the next one.
        (0x7f01_1000_0000, 1, "---p", "", 0, "mr"),
        (0x7f01_1000_1000, 2048, "rw-p", "", 1, "rd wr"),
        LIBC,
        (0x7fff_f000_0000, 33, "rw-p", "[stack]", 11, "rd wr gd"),
        (0x7fff_f100_0000, 2, "r-xp", "[vdso]", 1, "rd ex"),
        (0xffff_ffff_ff60_0000, 1, "--xp", "[vsyscall]", 0, "ex"),
    ]);
    kernel.stacks = vec![0x7f01_0000_1000 + 2047 * PAGE];
    kernel.threads = 2;
    let segments = vec![(program + 4 * PAGE, program + 10 * PAGE + 100)];
    resident(&mut kernel, program + 8 * PAGE, &[(0, 2, true), (5, 6, true)]);
    let rss = ProcessRss::of(&kernel, Recorded { segments, ..Recorded::default() });
    assert_eq!(rss.row(Kind::Code).rss, (4 + 2 + 2 + 4 + 1) * PAGE, "with what of its data the file has not");
    assert_eq!(rss.row(Kind::Anonymous).rss, PAGE);
    assert_eq!(rss.row(Kind::Recorder).rss, (5 + 6) * PAGE);
    assert_eq!(rss.row(Kind::Files).rss, 7 * PAGE);
    assert_eq!(rss.row(Kind::Written).rss, 8 * PAGE);
    assert_eq!(rss.row(Kind::Shared).rss, 9 * PAGE);
    assert_eq!((rss.row(Kind::Stacks).rss, rss.stacks), ((10 + 1 + 11) * PAGE, 2));
    assert_eq!(rss.rss(), kernel.vm_rss);
    assert!(rss.is_exact, "of the recorder's pages and those of stacks it does not matter which they are");
}

#[test]
fn what_the_program_maps_is_told_apart() {
    let start = 0x7f30_0000_0000;
    let mut kernel = mappings(&[(start, 64, "rw-p", "", 60, "rd wr"), LIBC]);
    resident(&mut kernel, start, &[(0, 60, true)]);
    // A block in a mapping of its own between two of the program's, the second of which reaches beyond.
    let blocks = vec![block(start + 10 * PAGE + 16, 20 * PAGE - 16, 0)];
    let mapped = vec![(start, 8 * PAGE, (0, 5)), (start + 40 * PAGE, 100 * PAGE, (0, 6))];
    let rss = ProcessRss::of(&kernel, Recorded { blocks, mapped: Some(mapped), ..Recorded::default() });
    assert_eq!(rss.row(Kind::Mapped).rss, (8 + 20) * PAGE);
    let resident: Vec<u64> = rss.mapped.iter().flatten().map(|mapped| mapped.rss).collect();
    assert_eq!(resident, [8 * PAGE, 20 * PAGE]);
    assert_eq!((rss.row(Kind::Blocks).rss, rss.row(Kind::Overhead).rss), (20 * PAGE - 16, 16));
    assert_eq!(rss.row(Kind::Anonymous).rss, 12 * PAGE);
}

#[test]
fn of_another_allocator_the_mappings_with_blocks_are_its_heap() {
    let start = 0x7f20_0000_0000;
    let jemalloc = (0x7ffe_0000_0000, 16, "r-xp", "/usr/lib/libjemalloc.so.2", 1, "rd ex");
    let mut kernel = mappings(&[
        (start, 512, "rw-p", "", 100, "rd wr"),
        (start + (1 << 30), 16, "rw-p", "", 3, "rd wr"),
        (start + (2 << 30), 64, "rw-p", "", 64, "rd wr"),
        jemalloc,
        LIBC,
    ]);
    resident(&mut kernel, start, &[(0, 100, true)]);
    resident(&mut kernel, start + (1 << 30), &[(0, 3, true)]);
    // Slots of 320 bytes.
    let small = (0..8).map(|index| block(start + 320 * index, 300, 0));
    // A large one, and what the program has mapped behind it.
    let large = block(start + (2 << 30), 40 * PAGE - 96, 1);
    resident(&mut kernel, start + (2 << 30), &[(0, 64, true)]);
    let blocks = small.chain([large]).collect();
    let rss = ProcessRss::of(&kernel, Recorded { blocks, ..Recorded::default() });
    assert_eq!(rss.allocator.name(), "jemalloc");
    assert_eq!(rss.row(Kind::Blocks).rss, 8 * 300 + 40 * PAGE - 96);
    assert_eq!(rss.row(Kind::Overhead).rss, 8 * 20 + 96);
    assert_eq!((rss.row(Kind::FreeSpace).rss, rss.row(Kind::FreePages).rss), (PAGE - 8 * 320, 99 * PAGE));
    assert_eq!(rss.row(Kind::Anonymous).rss, (3 + 24) * PAGE);
}

#[test]
fn advice_is_given_where_the_numbers_show_that_it_would_help() {
    let ids = |kernel: &Kernel, blocks: Vec<Block>| -> Vec<&str> {
        let rss = ProcessRss::of(kernel, Recorded { blocks, ..Recorded::default() });
        advice(&rss, &|bytes| bytes.to_string()).into_iter().map(|advice| advice.id).collect()
    };
    let pages = (64 << 20) / PAGE;
    let mut kernel = mappings(&[(HEAP, pages, "rw-p", "[heap]", pages, "rd wr"), LIBC]);
    resident(&mut kernel, HEAP, &[(0, pages, true)]);
    let end = HEAP + pages * PAGE;
    assert_eq!(ids(&kernel, vec![block(end - 0x100, 32, 0)]), ["trim"], "a block at the top");
    assert_eq!(
        ids(&kernel, vec![block(HEAP + 0x10, 32, 0)]),
        ["trim", "trim-threshold"],
        "one at the bottom"
    );
    let each_page = (0..pages).map(|page| block(HEAP + page * PAGE + 0x10, 32, 0)).collect();
    assert_eq!(ids(&kernel, each_page), ["fragmented"]);
    assert_eq!(ids(&kernel, vec![block(HEAP + 0x10, (64 << 20) - 0x40, 0)]), [""; 0], "all in use");
}

#[test]
fn damage_is_survived() {
    let mut kernel = mappings(&[(HEAP, 16, "rw-p", "[heap]", 16, "rd wr"), LIBC]);
    resident(&mut kernel, HEAP, &[(0, 16, true)]);
    // Blocks that overlap, and reach beyond all that is mapped.
    let blocks = vec![
        block(HEAP, 1 << 40, 0),
        block(HEAP + 8, 100, 1),
        block(HEAP + 16, 0, 2),
        block(HEAP + 0x2000, 1 << 40, 3),
    ];
    let arenas = vec![(HEAP + 0x1000, 1 << 55), (HEAP + 0x1800, 1 << 20)];
    let recorded = Recorded { blocks, arenas, ..Recorded::default() };
    assert_eq!(ProcessRss::of(&kernel, recorded.clone()).rss(), kernel.vm_rss);
    let ended = ProcessRss::of_ended(recorded, PAGE);
    assert!(!ended.is_running && ended.rss() > 0);
}
