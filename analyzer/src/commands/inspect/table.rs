//! Whether the live table says what the events say: of a process that is gone it must, whatever ended it.
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault};
use std::io::{self, Write};

use recording::Address;

use crate::fast_map::IntegerHasher;
use crate::output::{Number, counted};
use crate::reader::Recording;
use crate::replay::{self, Moment, Options, Replayed, Source};

/// Prints it. `events` is what was replayed.
pub(super) fn table(recording: &Recording, events: &Replayed, out: &mut dyn Write) -> io::Result<()> {
    if !recording.has_table() {
        return Ok(());
    }
    let options = Options { from: Source::Table, until: Moment::End, ..Options::default() };
    let table = replay::replay(recording, options, &|_| {});
    let (blocks, bytes) = (counted(table.live.len() as u64, "block"), Number(table.live_bytes));
    write!(out, "  live table: {blocks} of {bytes} bytes")?;
    if events.is_table || !recording.has_all_events() {
        return writeln!(out, "; not all events are held");
    }
    let is_same = table.live.len() == events.live.len() && sum(&table) == sum(events);
    let (missing, other) = if is_same { (0, 0) } else { difference(&table, events) };
    match (missing, other, recording.is_running()) {
        (0, 0, _) => writeln!(out, ", as the events say"),
        (_, _, true) => writeln!(out, "; the process runs, and went on"),
        (missing, other, false) => {
            writeln!(
                out,
                ", which is WRONG: by the events {missing} are missing and {other} are not there or others"
            )
        }
    }
}

/// What a block is, in comparisons.
fn what(replayed: &Replayed, block: &replay::Block) -> (u64, u32) {
    (block.size, replayed.sites[block.site as usize].stack.0)
}

/// A sum over the blocks that is the same in whatever order they are: tables of millions of blocks are compared by it.
fn sum(replayed: &Replayed) -> u64 {
    let hasher = BuildHasherDefault::<IntegerHasher>::default();
    let hash =
        |(address, block): &(Address, replay::Block)| hasher.hash_one((address.0, what(replayed, block)));
    replayed.live.iter().map(hash).fold(0, u64::wrapping_add)
}

/// How many blocks of the events are not in the table, and how many of the table are not those of the events.
///
/// A process may be killed inside a `realloc` that has given the old block back already, whose place another one has taken
/// since: that is seen in the table alone.
fn difference(table: &Replayed, events: &Replayed) -> (usize, usize) {
    let blocks = |replayed: &Replayed| -> HashMap<u64, (u64, u32)> {
        replayed.live.iter().map(|(address, block)| (address.0, what(replayed, block))).collect()
    };
    let moving = events.live.iter().filter(|(_, block)| block.moving != 0);
    let events_moving: HashSet<u64> = moving.map(|(address, _)| address.0).collect();
    let (table, events) = (blocks(table), blocks(events));
    let is_moving = |address: &&u64| events_moving.contains(*address);
    let gone = |address: &&u64| !table.contains_key(*address);
    let missing = events.keys().filter(gone).filter(|address| !is_moving(address)).count();
    let other = table.iter().filter(|(address, block)| events.get(address) != Some(block)).count();
    (missing, other)
}
