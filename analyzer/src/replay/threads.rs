//! By thread, where not all events are held: the live table has every block, the events that are held have the threads of
//! those that were allocated since.
use super::process::from_events;
use super::replayed::{Options, Replayed};
use super::sites::SiteIndex;
use super::table::TableReading;
use crate::fast_map::FastMap;
use crate::reader::Recording;

/// The number of a thread that is not known.
pub const UNKNOWN_THREAD: u32 = u32::MAX;

/// The blocks of the table, each with the thread that the events know. How much a thread allocated is since they are held; of
/// the others known is what is unfreed.
pub(super) fn with_threads(recording: &Recording, options: &Options, progress: &dyn Fn(u64)) -> Replayed {
    let table = TableReading::begin(recording, *options).finish(None);
    let events = match recording.has(recording::layout::flag::NO_EVENTS) {
        true => Replayed::default(),
        false => from_events(recording, options, progress),
    };
    let mut index = SiteIndex::new(recording);
    let mut out = table;
    let sites = std::mem::take(&mut out.sites);
    out.threads = events.threads;
    for totals in &events.sites {
        let site = index.of(totals.stack, totals.thread, &mut out.sites);
        out.sites[site as usize] = *totals;
    }
    let threads: FastMap<u64, (u32, u32)> = {
        let known = |site: u32| events.sites[site as usize];
        let live = events.live.iter();
        live.map(|(address, block)| (address.0, (known(block.site).stack.0, known(block.site).thread)))
            .collect()
    };
    for (address, block) in &mut out.live {
        let stack = sites[block.site as usize].stack;
        let thread = threads.get(&address.0).filter(|(of, _)| *of == stack.0);
        let thread = thread.map_or(UNKNOWN_THREAD, |(_, thread)| *thread);
        block.site = index.of(stack, thread, &mut out.sites);
        if thread == UNKNOWN_THREAD {
            let totals = &mut out.sites[block.site as usize];
            totals.allocations += 1;
            totals.allocated_bytes = totals.allocated_bytes.saturating_add(block.size);
        }
    }
    out
}
