//! What the live table costs: ns of CPU time that entering and removing a block add to malloc and free of blocks chosen at random,
//! and its size beside that of the heap. No stacks are taken and no events written. `cargo run --release -p interposer --example table_cost`

#![allow(clippy::disallowed_macros, clippy::disallowed_methods, reason = "a program that prints")]

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::{env, fs, ptr};

use interposer::table::{self, Spacing};
use interposer::{process, real, sys};
use recording::layout::LIVE_DIRECTORY;
use recording::{Address, StackId};

const ROUNDS: usize = 9;
const STEPS: usize = 2_000_000;
/// Bytes of a file that are no page of the table: its header.
const HEADER: u64 = 8 << 10;

/// Whether the table is kept.
trait Kept {
    const KEPT: bool;
}

struct Bare;
struct Table;

impl Kept for Bare {
    const KEPT: bool = false;
}

impl Kept for Table {
    const KEPT: bool = true;
}

/// Blocks, and where the program's random numbers are.
struct Program {
    blocks: Vec<usize>,
    random: u64,
}

impl Program {
    fn new(blocks: usize) -> Program {
        let mut program = Program { blocks: vec![0; blocks], random: 1 };
        (0..blocks).for_each(|at| program.replace::<Table>(at));
        program
    }

    fn below(&mut self, end: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) as usize % end
    }

    /// Frees a block and allocates another: two events.
    #[inline(always)]
    fn replace<K: Kept>(&mut self, at: usize) {
        let size = 1 + self.below(250);
        let old = Address(self.blocks[at] as u64);
        // SAFETY: a block of this program's, and its place in this process's table.
        unsafe {
            if K::KEPT && old.0 != 0 {
                table::find(old).remove();
            }
            libc::free(ptr::with_exposed_provenance_mut(old.0 as usize));
            let block = Address(libc::malloc(size).expose_provenance() as u64);
            if K::KEPT {
                let place = table::prepare(block, size as u64, Spacing::of_malloc()).expect("there is space");
                place.put(block, size as u64, StackId(40_000 + size as u32), 1);
            }
            self.blocks[at] = block.0 as usize;
        }
    }

    /// ns of CPU time of an event.
    fn ns<K: Kept>(&mut self) -> f64 {
        let begun = cpu_ns();
        for _ in 0..STEPS {
            let at = self.below(self.blocks.len());
            self.replace::<K>(at);
        }
        (cpu_ns() - begun) as f64 / (2 * STEPS) as f64
    }
}

fn cpu_ns() -> u64 {
    sys::clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID).expect("the process has a clock")
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// In a process that is recorded to this directory.
fn measure(directory: &Path) {
    while real::malloc().is_none() {}
    assert!(process::begin(), "the recording begins");
    for blocks in [1, 1_000, 30_000, 300_000] {
        let mut program = Program::new(blocks);
        let (mut bare, mut added) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            // What was freed without the table is not in it any more.
            let seed = program.random;
            let with = program.ns::<Table>();
            program.random = seed;
            program.blocks.iter().for_each(|&block| {
                // SAFETY: found in this process's table.
                unsafe { table::find(Address(block as u64)).remove() };
            });
            bare.push(program.ns::<Bare>());
            added.push(with - bare[bare.len() - 1]);
            (0..blocks).for_each(|at| program.replace::<Table>(at));
        }
        println!(
            "{blocks} blocks: malloc and free {:.1} ns each, the table adds {:.1} ns",
            median(bare),
            median(added)
        );
        program.blocks.iter().for_each(|&block| {
            // SAFETY: as in `replace`.
            unsafe {
                table::find(Address(block as u64)).remove();
                libc::free(ptr::with_exposed_provenance_mut(block));
            }
        });
    }
    let file = fs::read_dir(directory.join(LIVE_DIRECTORY)).expect("a directory");
    let of_recordings =
        file.map(|entry| entry.expect("an entry").path()).filter(|path| path.extension().is_some());
    let disk: u64 = of_recordings.map(|path| fs::metadata(path).expect("a file").blocks() * 512).sum();
    // SAFETY: only counts.
    let heap = unsafe { libc::mallinfo2() };
    let (disk, heap) = (disk - HEADER, (heap.arena + heap.hblkhd) as u64);
    println!("table {} KiB, heap {} KiB: {:.1} %", disk >> 10, heap >> 10, 100.0 * disk as f64 / heap as f64);
}

fn main() {
    let variable = "UNFREED_DIR";
    if let Some(directory) = env::var_os(variable) {
        return measure(Path::new(&directory));
    }
    let directory = env::temp_dir().join(format!("table_cost-{}", std::process::id()));
    fs::create_dir(&directory).expect("a directory can be made");
    let program = env::current_exe().expect("it has a path");
    let status = Command::new(program).env(variable, &directory).status();
    fs::remove_dir_all(&directory).expect("it can be removed");
    assert!(status.expect("it starts again").success());
}
