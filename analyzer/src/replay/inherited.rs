//! What forked processes have of their parents' blocks, and have not freed.
//!
//! A parent's events below the stamps that its child noted at the fork are what the child inherited; what the child
//! freed of it, its own events tell. One reading of a parent's events, up to its last fork, serves all its children:
//! for each shard and child the sums are noted when the child's stamp is reached. What a parent had inherited itself its own
//! parent is asked for.
use std::collections::HashMap;

use recording::layout::SHARDS;
use recording::resource::is_resource;
use recording::{Address, Event, StackId, shard_of};

use super::merge::{Place, Sink, in_order};
use super::process::from_events;
use super::replayed::{Options, Replayed};
use crate::fast_map::FastMap;
use crate::reader::Recording;

/// What a process has of its parent's blocks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Inherited {
    /// It is no fork of a recorded process.
    #[default]
    Nothing,
    /// Not all events of its parents are held, or they are too many.
    Unknown,
    /// Blocks and bytes.
    Blocks {
        /// How many.
        blocks: u64,
        /// Bytes of them.
        bytes: u64,
        /// What of them it freed is not known.
        at_most: bool,
    },
}

/// A process whose parents are asked.
pub struct Heir {
    /// Its place among the recordings.
    pub index: usize,
    /// The addresses of which it freed what it had inherited; `None` if that is not known.
    pub freed: Option<Vec<u64>>,
}

impl Heir {
    /// A process that was read. Where that was not from its events, these are read too if they are few.
    pub fn new(index: usize, recording: &Recording, replayed: &mut Replayed, options: Options) -> Heir {
        let few = recording.event_bytes() <= FEW;
        let freed = match (recording.has_all_events(), replayed.is_table) {
            (true, false) => Some(std::mem::take(&mut replayed.inherited_freed)),
            (true, true) if few => Some(from_events(recording, &options, &|_| {}).inherited_freed),
            _ => None,
        };
        Heir { index, freed }
    }
}

/// A log of this size is replayed in a fraction of a second.
const FEW: u64 = 16 << 20;

/// A parent's events are read up to this many bytes; it may have had its last child after years.
const MOST: u64 = 32 << 20;

/// What is asked of a process: its blocks below these stamps, but for those at these addresses.
struct Question {
    /// The place of the heir's answer.
    of: usize,
    stamps: Vec<u64>,
    /// By shard.
    freed: Vec<(usize, u64)>,
}

/// What it says.
#[derive(Default)]
struct Answer {
    of: usize,
    blocks: u64,
    bytes: u64,
    /// Addresses that were freed and are of its own parent's blocks.
    beyond: Vec<u64>,
}

/// What each of `heirs` has, of which the parents are among `recordings`. The answers are in their order.
pub fn inherited(recordings: &[&Recording], heirs: Vec<Heir>) -> Vec<Inherited> {
    let ids: HashMap<u64, usize> =
        recordings.iter().enumerate().map(|(index, recording)| (recording.header.file_id, index)).collect();
    let parent = |index: usize| ids.get(&recordings[index].header.parent_file_id).copied();
    let mut answers = vec![Inherited::Unknown; heirs.len()];
    let mut questions: Vec<Vec<Question>> = recordings.iter().map(|_| Vec::new()).collect();
    for (of, heir) in heirs.into_iter().enumerate() {
        let Some(parent) = parent(heir.index) else { continue };
        let at_most = heir.freed.is_none();
        answers[of] = Inherited::Blocks { blocks: 0, bytes: 0, at_most };
        questions[parent].push(Question::new(of, recordings[heir.index], heir.freed.unwrap_or_default()));
    }
    // Children before parents: a question goes on to the parent's parent. In a damaged file that may be a circle.
    for index in youngest_first(recordings.len(), parent) {
        let asked = std::mem::take(&mut questions[index]);
        if asked.is_empty() {
            continue;
        }
        let recording = recordings[index];
        let beyond = parent(index);
        let heirs: Vec<usize> = asked.iter().map(|question| question.of).collect();
        let known = recording.has_all_events() && (!recording.is_forked() || beyond.is_some());
        let found = if known { Reading::of(recording, asked) } else { None };
        let Some(found) = found else {
            heirs.into_iter().for_each(|of| answers[of] = Inherited::Unknown);
            continue;
        };
        for answer in found {
            if let Inherited::Blocks { blocks, bytes, .. } = &mut answers[answer.of] {
                *blocks += answer.blocks;
                *bytes = bytes.saturating_add(answer.bytes);
            }
            if let Some(beyond) = beyond {
                questions[beyond].push(Question::new(answer.of, recording, answer.beyond));
            }
        }
    }
    // What is in a circle is never asked.
    let unasked = questions.into_iter().flatten();
    unasked.for_each(|question| answers[question.of] = Inherited::Unknown);
    answers
}

/// All places such that each comes before its parent's; those in circles are left out.
fn youngest_first(count: usize, parent: impl Fn(usize) -> Option<usize>) -> Vec<usize> {
    let mut children = vec![0; count];
    (0..count).filter_map(&parent).for_each(|parent| children[parent] += 1);
    let mut order: Vec<usize> = (0..count).filter(|&index| children[index] == 0).collect();
    let mut next = 0;
    while let Some(&index) = order.get(next) {
        next += 1;
        if let Some(parent) = parent(index) {
            children[parent] -= 1;
            if children[parent] == 0 {
                order.push(parent);
            }
        }
    }
    order
}

impl Question {
    fn new(of: usize, child: &Recording, freed: Vec<u64>) -> Question {
        let mut freed: Vec<_> =
            freed.into_iter().map(|address| (shard_of(Address(address)), address)).collect();
        freed.sort_unstable();
        freed.dedup();
        Question { of, stamps: child.inherited_stamps.clone(), freed }
    }
}

/// A parent's events being read.
struct Reading {
    questions: Vec<Question>,
    answers: Vec<Answer>,
    shards: Vec<Shard>,
    /// Questions and shards without an answer as yet.
    open: usize,
    /// The blocks of a realloc that has not ended, by writer, with their sizes.
    moving: Vec<Vec<(Address, Option<u64>)>>,
    bytes_read: u64,
}

#[derive(Default)]
struct Shard {
    /// Sizes of the live blocks.
    live: FastMap<u64, u64>,
    arenas: FastMap<u64, ()>,
    bytes: u64,
    /// The next stamp.
    next: u64,
    /// Stamps that are asked for and the places of their questions, the next one last.
    due: Vec<(u64, usize)>,
    /// What was freed of what this process had inherited itself.
    freed: Vec<u64>,
}

impl Reading {
    fn of(recording: &Recording, questions: Vec<Question>) -> Option<Vec<Answer>> {
        let mut shards: Vec<Shard> = (0..SHARDS).map(|_| Shard::default()).collect();
        for (number, shard) in shards.iter_mut().enumerate() {
            let stamp = |question: &Question| question.stamps.get(number).copied().unwrap_or(0);
            shard.due = questions.iter().map(stamp).enumerate().map(|(at, stamp)| (stamp, at)).collect();
            shard.due.sort_unstable_by(|a, b| b.cmp(a));
            shard.next = recording.inherited_stamps.get(number).copied().unwrap_or(0);
        }
        let mut reading = Reading {
            answers: questions
                .iter()
                .map(|question| Answer { of: question.of, ..Answer::default() })
                .collect(),
            open: questions.len() * SHARDS,
            questions,
            shards,
            moving: vec![Vec::new(); recording.writers.len()],
            bytes_read: 0,
        };
        (0..SHARDS).for_each(|shard| reading.answer(shard, reading.shards[shard].next));
        let order = if reading.is_done() { None } else { Some(in_order(recording, &mut reading)) };
        if reading.bytes_read > MOST && reading.open > 0
            || order.is_some_and(|order| !order.losses.is_empty())
        {
            return None;
        }
        (0..SHARDS).for_each(|shard| reading.answer(shard, u64::MAX));
        Some(reading.answers)
    }

    /// Answers what is asked of a shard up to this stamp.
    fn answer(&mut self, number: usize, stamp: u64) {
        let shard = &mut self.shards[number];
        while let Some((_, at)) = shard.due.pop_if(|(due, _)| *due <= stamp) {
            let (question, answer) = (&self.questions[at], &mut self.answers[at]);
            self.open -= 1;
            answer.beyond.extend(&shard.freed);
            answer.blocks += shard.live.len() as u64;
            answer.bytes = answer.bytes.saturating_add(shard.bytes);
            let first = question.freed.partition_point(|(of, _)| *of < number);
            for (_, address) in question.freed[first..].iter().take_while(|(of, _)| *of == number) {
                match shard.live.get(address) {
                    Some(size) => {
                        answer.blocks -= 1;
                        answer.bytes = answer.bytes.saturating_sub(*size);
                    }
                    None if shard.arenas.contains_key(address) => {}
                    None => answer.beyond.push(*address),
                }
            }
        }
    }

    fn insert(&mut self, address: Address, size: u64, stack: StackId) {
        let shard = &mut self.shards[shard_of(address)];
        if stack == StackId::ARENA {
            shard.arenas.insert(address.0, ());
        } else {
            let before = shard.live.insert(address.0, size).unwrap_or(0);
            shard.bytes = shard.bytes.saturating_add(size).saturating_sub(before);
        }
    }

    /// The size of the block that was there.
    fn remove(&mut self, address: Address) -> Option<u64> {
        let shard = &mut self.shards[shard_of(address)];
        let size = shard.live.remove(&address.0);
        match size {
            Some(size) => shard.bytes = shard.bytes.saturating_sub(size),
            None if shard.arenas.remove(&address.0).is_some() => {}
            None => shard.freed.push(address.0),
        }
        size
    }
}

impl Sink for Reading {
    fn event(&mut self, place: Place, event: &Event) {
        let Some((address, stamp)) = event.place() else { return };
        let shard = shard_of(address);
        self.answer(shard, stamp);
        match *event {
            _ if is_resource(address) => {}
            Event::Alloc { address, size, stack, .. } => self.insert(address, size, stack),
            Event::Free { address, .. } => _ = self.remove(address),
            Event::ReallocBegin { address, .. } => {
                let size = self.remove(address);
                self.moving[place.writer].push((address, size));
            }
            Event::ReallocEnd { address, size, stack, .. } => {
                self.moving[place.writer].pop();
                self.insert(address, size, stack);
            }
            Event::ReallocUndo { address, .. } => {
                if let Some((_, Some(size))) = self.moving[place.writer].pop() {
                    self.insert(address, size, StackId(0));
                }
            }
            _ => {}
        }
        let shard_state = &mut self.shards[shard];
        shard_state.next = stamp.saturating_add(1).max(shard_state.next);
        let next = shard_state.next;
        self.answer(shard, next);
    }

    fn thread(&mut self, _number: u32, _tid: u32) {}

    fn progress(&mut self, bytes: u64) {
        self.bytes_read = self.bytes_read.saturating_add(bytes);
    }

    fn is_done(&self) -> bool {
        self.open == 0 || self.bytes_read > MOST
    }
}
