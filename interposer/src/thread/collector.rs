//! What a level's chunk says of Python's cyclic collector.

use super::{Level, current};
use crate::python::collector;

impl Level {
    /// Python's collector is in another state than this level saw. There is room, and again after this where there can be.
    #[cold]
    #[inline(never)]
    pub(super) fn see_collector(&mut self, now: u32) {
        let python = &mut self.kept.python;
        let Some(is_in_it) = collector::is_in_it(now, current() as u64, || python.is_running()) else {
            return;
        };
        self.wiped.events.collector_seen(now, is_in_it);
        if self.make_room_for_events() && self.wiped.events.collector() != now {
            // A fresh chunk has more than the room for one event.
            self.wiped.events.collector_seen(now, is_in_it);
        }
    }
}
