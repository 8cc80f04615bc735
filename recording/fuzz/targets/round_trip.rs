//! Bytes as a program's events: what is packed into chunks comes out of them.
#![no_main]

#[path = "../../tests/packing/mod.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod packing;

use libfuzzer_sys::fuzz_target;
use recording::layout::{CHUNK_HEADER, ChunkHeader};
use recording::{Address, Event, StackId, Stop, shard_of};

/// The input as numbers, 0 when it is used up, and the next stamp of each shard.
struct Input<'a>(&'a [u8], [u64; 256]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (&byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        byte
    }

    /// Of one, two, four or eight bytes.
    fn number(&mut self) -> u64 {
        let width = 1 << (self.byte() & 3);
        (0..width).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    fn stack(&mut self) -> StackId {
        let id = self.number() as u32;
        StackId(if id < 0x100 { StackId::FIRST.0 + id } else { id })
    }

    fn address(&mut self) -> Address {
        let at = self.number();
        Address(if at < 0x10000 { 0x5555_5555_0000 + at * 8 } else { at })
    }

    /// The next one of the address, or as much later as the input says.
    fn stamp(&mut self, address: Address) -> u64 {
        let gap = self.number();
        let next = &mut self.1[shard_of(address)];
        let stamp = next.wrapping_add(gap);
        *next = stamp.wrapping_add(1);
        stamp
    }
}

fn event(input: &mut Input, clock: &mut u64) -> Event {
    let kind = input.byte();
    match kind % 16 {
        0..=5 | 11 => {
            let (address, size, stack) = (input.address(), input.number(), input.stack());
            let stamp = input.stamp(address);
            if kind % 16 == 11 {
                Event::ReallocEnd { address, size, stack, stamp }
            } else {
                Event::Alloc { address, size, stack, stamp }
            }
        }
        6..=10 | 12 => {
            let address = input.address();
            let stamp = input.stamp(address);
            match kind % 16 {
                10 => Event::ReallocBegin { address, stamp },
                12 => Event::ReallocUndo { address, stamp },
                _ => Event::Free { address, stamp },
            }
        }
        13 => {
            *clock = clock.saturating_add(input.number());
            Event::Clock(*clock)
        }
        14 => Event::Thread { number: input.number() as u32, tid: input.number() as u32 },
        _ if kind < 128 => Event::Mark(input.number()),
        _ => Event::Lost(input.number()),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (mut input, mut clock) = (Input(bytes, [0; 256]), 0);
    let mut writer = packing::EventWriter::new(0);
    while !input.0.is_empty() {
        let event = event(&mut input, &mut clock);
        writer.push_with(event, input.number() as usize);
    }
    for chunk in writer.finish() {
        let clock_ms = ChunkHeader::decode(&chunk.bytes).expect("a begun chunk").clock_ms;
        let (found, stop, model) = packing::events(&chunk.bytes[CHUNK_HEADER..], clock_ms);
        assert_eq!(stop, Stop::End);
        assert_eq!(found, chunk.records);
        assert!(model == chunk.model, "encoder and decoder predict alike");
    }
});
