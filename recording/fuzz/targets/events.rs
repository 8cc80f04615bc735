//! Any bytes as an events chunk: records that each take bytes, then one stop that stays; and what was read can be
//! written again and reads the same.
#![no_main]

#[path = "../../tests/packing/mod.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod packing;

use libfuzzer_sys::fuzz_target;
use recording::Event;

fuzz_target!(|bytes: &[u8]| {
    let (found, _, _) = packing::events(bytes, 1000);
    let found: Vec<Event> = found.into_iter().map(|(_, event)| event).collect();
    let mut writer = packing::EventWriter::new(1000);
    found.iter().for_each(|&event| writer.push(event));
    let again: Vec<Event> =
        writer.finish().into_iter().flat_map(|chunk| chunk.records).map(|(_, event)| event).collect();
    // A clock that stands still, or wrapped around, is what no writer writes.
    let without_clock = |events: Vec<Event>| -> Vec<Event> {
        events.into_iter().filter(|event| !matches!(event, Event::Clock(_))).collect()
    };
    assert_eq!(without_clock(again), without_clock(found));
});
