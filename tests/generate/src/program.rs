//! What the generated threads do. The shares are like those of programs that were recorded: half of the blocks are freed within
//! 20 events, as in sqlite3 and cc1plus, one of sixteen lives long, as in cc1plus, and is any of them when it is freed.

use std::io;

use crate::file::{BEGUN_MS, File};
use crate::heap::{self, Heap, LARGEST};
use crate::kept::{self, Allocated};
use crate::stacks::Stacks;
use crate::writer::{Allocation, Stamps, Writer};
use crate::{Plan, Site, Truth};

/// Blocks of a thread that are freed soon, at most.
const YOUNG: usize = 32;
/// Events of a thread's turn, at most: threads on several cores are in each other's way that often.
const TURN: u64 = 64;
/// Events in a tick of the coarse clock, and its ms.
const TICK: u64 = 40_000;
const TICK_MS: u64 = 4;
/// Log2 of the least sizes that stacks allocate.
const SIZES: [u32; 12] = [4, 4, 5, 5, 5, 5, 6, 6, 6, 7, 8, 9];
/// Where the first thread's arena begins, and how far they are apart.
const ARENA: u64 = 0x7f00_0000_0000;
const ARENAS_APART: u64 = 1 << 36;

/// An unfreed block.
#[derive(Clone, Copy)]
pub struct Block {
    /// Where it is.
    pub address: u64,
    /// Bytes asked for.
    pub size: u32,
    /// The number of its stack.
    pub stack: u32,
}

/// A generator of random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.0)
    }

    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}

fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

struct Thread {
    writer: Writer,
    heap: Heap,
    /// Blocks that live short, the latest last.
    young: Vec<Block>,
    /// Blocks that live long.
    old: Vec<Block>,
    /// How many of them there are to be from the middle on.
    share: usize,
    allocated: Vec<Allocated>,
}

/// A program while it runs.
pub struct Program {
    events: u64,
    last: u64,
    allocations: u64,
    young: u64,
    stacks: Stacks,
    /// Stacks below this one have allocated.
    met: usize,
    threads: Vec<Thread>,
    stamps: Stamps,
    random: Random,
    file: File,
}

impl Program {
    /// One that follows a plan.
    pub fn new(plan: &Plan, stacks: Stacks, mut file: File) -> Program {
        let thread = |index: usize| Thread {
            writer: Writer::new(index as u32, &mut file),
            heap: Heap::new(ARENA + index as u64 * ARENAS_APART),
            young: Vec::with_capacity(YOUNG),
            old: Vec::new(),
            share: (plan.live + index) / plan.threads,
            allocated: vec![Allocated::default(); plan.stacks],
        };
        let threads = (0..plan.threads).map(thread).collect();
        Program {
            events: 0,
            last: plan.events,
            allocations: 0,
            young: 0,
            stacks,
            met: 0,
            threads,
            stamps: Stamps::default(),
            random: Random(1),
            file,
        }
    }

    /// Runs it, up to where all blocks are freed that live short.
    pub fn run(&mut self) -> io::Result<()> {
        while self.events + self.young + 2 <= self.last {
            let thread = self.random.below(self.threads.len() as u64) as usize;
            for _ in 0..=self.random.below(TURN) {
                if self.events + self.young + 2 > self.last {
                    break;
                }
                self.step(thread)?;
            }
        }
        for thread in 0..self.threads.len() {
            while let Some(block) = self.threads[thread].young.pop() {
                self.young -= 1;
                self.free(thread, thread, block, false)?;
            }
        }
        Ok(())
    }

    /// Writes what else belongs to the recording, and says what is true of it.
    pub fn end(mut self) -> io::Result<Truth> {
        let end_ms = self.now_ms();
        let mut blocks = Vec::new();
        for (number, thread) in self.threads.into_iter().enumerate() {
            thread.writer.end(&self.file)?;
            kept::counts(number as u32, &thread.allocated, &self.stacks, &mut self.file)?;
            blocks.extend(thread.old);
        }
        kept::table(&mut blocks, &self.stacks, &mut self.file)?;
        let mut unfreed = vec![(0u64, 0u64); self.stacks.count()];
        for block in &blocks {
            let (blocks, bytes) = &mut unfreed[block.stack as usize];
            *blocks += 1;
            *bytes += u64::from(block.size);
        }
        let site = |(stack, &(blocks, bytes)): (usize, &(u64, u64))| {
            (blocks > 0).then(|| Site { offsets: self.stacks.offsets(stack), blocks, bytes })
        };
        let mut sites: Vec<Site> = unfreed.iter().enumerate().filter_map(site).collect();
        sites.sort_by_key(|site| std::cmp::Reverse(site.bytes));
        Ok(Truth {
            events: self.events,
            allocations: self.allocations,
            unfreed_blocks: blocks.len() as u64,
            unfreed_bytes: blocks.iter().map(|block| u64::from(block.size)).sum(),
            stacks: self.met,
            sites,
            file_bytes: self.file.end(self.stacks.id_blocks, end_ms)?,
        })
    }

    fn now_ms(&self) -> u64 {
        BEGUN_MS + self.events / TICK * TICK_MS
    }

    fn step(&mut self, thread: usize) -> io::Result<()> {
        let Thread { old, young, share, .. } = &self.threads[thread];
        // The old blocks grow in number up to the middle.
        let wanted =
            (*share as u128 * 2 * u128::from(self.events) / u128::from(self.last)).min(*share as u128);
        if (old.len() as u128) < wanted || (old.len() < *share && 2 * self.events >= self.last) {
            let block = self.alloc(thread)?;
            self.threads[thread].old.push(block);
            return Ok(());
        }
        let (old, young) = (old.len() as u64, young.len());
        match self.random.below(32) {
            0 | 1 if old > 0 => {
                let index = self.random.below(old) as usize;
                self.free(thread, thread, self.threads[thread].old[index], false)?;
                self.threads[thread].old[index] = self.alloc(thread)?;
            }
            2 if young > 0 => self.realloc(thread)?,
            choice if young == 0 || (young < YOUNG && choice % 2 == 0) => {
                let block = self.alloc(thread)?;
                self.threads[thread].young.push(block);
                self.young += 1;
            }
            _ => self.free_young(thread)?,
        }
        Ok(())
    }

    fn alloc(&mut self, thread: usize) -> io::Result<Block> {
        let stack = self.stack();
        let varied = mixed(stack as u64);
        let least = 1 << SIZES[(varied % SIZES.len() as u64) as usize];
        let size = least + (varied >> 32) as u32 % least;
        // Of a fifth of the stacks each block has another size, as strings have.
        let more =
            if (varied >> 16).is_multiple_of(5) { self.random.below(u64::from(size)) as u32 } else { 0 };
        let address = self.threads[thread].heap.take(size + more);
        let block = Block { address, size: size + more, stack: stack as u32 };
        self.record(thread, block, false)?;
        Ok(block)
    }

    /// A stack: each once, evenly and before the middle, and otherwise the first ones far more often than the others.
    fn stack(&mut self) -> usize {
        let count = self.stacks.count();
        if self.met < count
            && self.met as u128 * u128::from(self.last) <= 4 * u128::from(self.events) * count as u128
        {
            self.met += 1;
            return self.met - 1;
        }
        let among = self.random.below(u64::from(usize::BITS - (count - 1).leading_zeros()) + 1);
        self.random.below((1 << among).min(count as u64)) as usize
    }

    fn record(&mut self, thread: usize, block: Block, realloc: bool) -> io::Result<()> {
        let ms = self.now_ms();
        self.events += 1;
        self.allocations += 1;
        let Block { address, size, stack } = block;
        let allocation = Allocation { address, size, stack: self.stacks.id(stack as usize), realloc };
        let thread = &mut self.threads[thread];
        let allocated = &mut thread.allocated[stack as usize];
        allocated.blocks += 1;
        allocated.bytes += u64::from(size);
        thread.writer.alloc(allocation, ms, &mut self.stamps, &mut self.file)
    }

    /// Frees a block in the arena of `owner`.
    fn free(&mut self, thread: usize, owner: usize, block: Block, realloc: bool) -> io::Result<()> {
        self.events += 1;
        let usable = heap::usable(block.size);
        let writer = &mut self.threads[thread].writer;
        writer.free(block.address, usable, realloc, &mut self.stamps, &mut self.file)?;
        self.threads[owner].heap.give(block.address, block.size);
        Ok(())
    }

    /// Mostly the latest, else any; one of sixty-four is another thread's.
    fn free_young(&mut self, thread: usize) -> io::Result<()> {
        let chance = self.random.next();
        let other = (thread + 1) % self.threads.len();
        let owner =
            if chance.is_multiple_of(64) && !self.threads[other].young.is_empty() { other } else { thread };
        let young = &mut self.threads[owner].young;
        let last = young.len() - 1;
        let index =
            if (chance >> 8).is_multiple_of(4) { (chance >> 16) as usize % young.len() } else { last };
        let block = young.remove(index);
        self.young -= 1;
        self.free(thread, owner, block, false)
    }

    /// The latest of the thread's blocks becomes larger by half, or moves to where that is possible.
    fn realloc(&mut self, thread: usize) -> io::Result<()> {
        let Some(block) = self.threads[thread].young.pop() else { return Ok(()) };
        self.free(thread, thread, block, true)?;
        let size = (block.size + block.size / 2).min(LARGEST);
        let address = self.threads[thread].heap.take(size);
        let grown = Block { address, size, ..block };
        self.record(thread, grown, true)?;
        self.threads[thread].young.push(grown);
        Ok(())
    }
}
