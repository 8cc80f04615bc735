//! What a process keeps beside its events: the live table and the counts.

use std::io;

use recording::counts::{Count, ENTRIES, ENTRY};
use recording::layout::{CHUNK_HEADER, ChunkKind};
use recording::table::{PAGE, PAGES, Plane, TAGS, Tag, Word};
use recording::{Address, StackId};

use crate::file::{BEGUN_MS, EPOCH, File};
use crate::program::Block;
use crate::stacks::Stacks;

/// What a thread has allocated from a stack.
#[derive(Clone, Copy, Default)]
pub struct Allocated {
    /// Blocks.
    pub blocks: u32,
    /// Their bytes.
    pub bytes: u64,
}

/// Writes the pages of the live table: of these blocks, which lie at least 32 bytes apart.
pub fn table(blocks: &mut [Block], stacks: &Stacks, file: &mut File) -> io::Result<()> {
    blocks.sort_unstable_by_key(|block| block.address);
    let plane = Plane::Wide;
    let mut words = Vec::with_capacity(2 * blocks.len());
    for block in blocks {
        let stack = stacks.id(block.stack as usize);
        let (word, next) = Word::block(Address(block.address), u64::from(block.size), stack, EPOCH);
        words.push((block.address, word));
        words.extend(next.map(|next| (block.address + (1 << plane.shift()), next)));
    }
    let base_of = |address: u64| address >> plane.page_shift() << plane.page_shift();
    let pages: Vec<_> = words.chunk_by(|one, next| base_of(one.0) == base_of(next.0)).collect();
    for (ordinal, pages) in pages.chunks(PAGES).enumerate() {
        let mut chunk = file.page();
        chunk.begin(ChunkKind::LiveTable, 0, ordinal as u32, 0, BEGUN_MS);
        for (index, page) in pages.iter().enumerate() {
            let tag = Tag { base: base_of(page[0].0), plane, late: false }.to_word();
            chunk.bytes[TAGS + 8 * index..][..8].copy_from_slice(&tag.to_le_bytes());
            for (address, word) in *page {
                let at = PAGE * (index + 1) + 8 * plane.index(Address(*address));
                chunk.bytes[at..at + 8].copy_from_slice(&word.0.to_le_bytes());
            }
        }
        file.write(&chunk)?;
    }
    Ok(())
}

/// Writes what a writer has allocated, by stack.
pub fn counts(writer: u32, allocated: &[Allocated], stacks: &Stacks, file: &mut File) -> io::Result<()> {
    let met: Vec<Count> = allocated
        .iter()
        .enumerate()
        .filter(|(_, allocated)| allocated.blocks > 0)
        .map(|(stack, allocated)| count(stacks.id(stack), allocated))
        .collect();
    for (ordinal, counts) in met.chunks(ENTRIES).enumerate() {
        let mut chunk = file.page();
        chunk.begin(ChunkKind::Counts, writer, ordinal as u32, 0, BEGUN_MS);
        for (count, place) in counts.iter().zip(chunk.bytes[CHUNK_HEADER..].chunks_exact_mut(ENTRY)) {
            let [first, second] = count.to_words();
            place[..8].copy_from_slice(&first.to_le_bytes());
            place[8..].copy_from_slice(&second.to_le_bytes());
        }
        file.write(&chunk)?;
    }
    Ok(())
}

fn count(stack: StackId, allocated: &Allocated) -> Count {
    Count { stack, late: false, allocations: allocated.blocks, bytes: allocated.bytes }
}
