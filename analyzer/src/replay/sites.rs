//! What each stack allocated, and the way from a stack to its totals.
use std::collections::HashMap;

use recording::{StackId, layout::IDS_PER_CHUNK};

use crate::memory::prefetch;
use crate::reader::Recording;

/// What one stack allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Totals {
    /// The stack.
    pub stack: StackId,
    /// The thread if [`super::Options::by_thread`], else 0.
    pub thread: u32,
    /// Blocks allocated.
    pub allocations: u64,
    /// Of these, freed.
    pub frees: u64,
    /// Bytes allocated.
    pub allocated_bytes: u64,
}

impl Totals {
    fn new(stack: StackId, thread: u32) -> Totals {
        Totals { stack, thread, allocations: 0, frees: 0, allocated_bytes: 0 }
    }
}

/// From a stack to the index of its totals: by table for the ids that the file gave out, by map for the rest.
pub(super) struct SiteIndex {
    /// For each block of ids, where its table is, from 1; 0 if there is none.
    blocks: Vec<u32>,
    tables: Vec<Vec<u32>>,
    /// Stacks with a thread, ends of stacks, and ids that no chunk defines.
    others: HashMap<(u32, u32), u32>,
}

impl SiteIndex {
    pub fn new(recording: &Recording) -> SiteIndex {
        let mut index = SiteIndex { blocks: Vec::new(), tables: Vec::new(), others: HashMap::new() };
        for place in &recording.definitions {
            let block = (place.header.first_id / IDS_PER_CHUNK) as usize;
            if index.blocks.len() <= block {
                index.blocks.resize(block + 1, 0);
            }
            if index.blocks[block] == 0 {
                index.tables.push(vec![0; IDS_PER_CHUNK as usize]);
                index.blocks[block] = index.tables.len() as u32;
            }
        }
        index
    }

    #[inline(always)]
    pub fn of(&mut self, stack: StackId, thread: u32, sites: &mut Vec<Totals>) -> u32 {
        let table = match self.blocks.get((stack.0 / IDS_PER_CHUNK) as usize) {
            Some(&table) if table != 0 && thread == 0 => &mut self.tables[table as usize - 1],
            _ => return self.other(stack, thread, sites),
        };
        let entry = &mut table[(stack.0 % IDS_PER_CHUNK) as usize];
        if *entry == 0 {
            sites.push(Totals::new(stack, 0));
            *entry = sites.len() as u32;
        }
        *entry - 1
    }

    /// The entry of a stack's table, where it has one.
    #[inline(always)]
    fn entry(&self, stack: StackId) -> Option<(&[u32], usize)> {
        let table = *self.blocks.get((stack.0 / IDS_PER_CHUNK) as usize)?;
        let table = self.tables.get((table as usize).wrapping_sub(1))?;
        Some((table, (stack.0 % IDS_PER_CHUNK) as usize))
    }

    /// The index of this stack will be asked for soon.
    #[inline(always)]
    pub fn soon(&self, stack: StackId) {
        if let Some((table, at)) = self.entry(stack) {
            prefetch(table, at);
        }
    }

    /// The index of a stack that has one, as far as a glance tells.
    #[inline(always)]
    pub fn known(&self, stack: StackId) -> Option<u32> {
        let (table, at) = self.entry(stack)?;
        table[at].checked_sub(1)
    }

    fn other(&mut self, stack: StackId, thread: u32, sites: &mut Vec<Totals>) -> u32 {
        *self.others.entry((stack.0, thread)).or_insert_with(|| {
            sites.push(Totals::new(stack, thread));
            sites.len() as u32 - 1
        })
    }
}
