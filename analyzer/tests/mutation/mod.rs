//! Changes the bytes of a recording at random, rather where they mean much: headers, counts, lengths, the first records.
use std::fs::{self, OpenOptions};
use std::path::Path;

use recording::layout::{self, CHUNK, CHUNK_HEADER};

/// Numbers that follow from a seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66_D1CE_4E5B)
    }

    /// splitmix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// One of so many.
    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    /// A number such as programs forget.
    fn telling(&mut self) -> u64 {
        let shift = self.below(64);
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << shift,
            3 => (1 << shift) - 1,
            4 => self.next() % 300,
            _ => self.next(),
        }
    }
}

/// A place in the file, rather one that means much.
fn place(random: &mut Random, len: usize) -> usize {
    let chunk = random.below(len / CHUNK + 1) * CHUNK;
    let at = match random.below(6) {
        0 => layout::NEXT_CHUNK + random.below(layout::INHERITED_STAMPS - layout::NEXT_CHUNK),
        1 => random.below(CHUNK),
        2 => chunk + random.below(CHUNK_HEADER),
        3 | 4 => chunk + CHUNK_HEADER + random.below(2_000),
        _ => random.below(len),
    };
    at.min(len.saturating_sub(1))
}

fn change(random: &mut Random, bytes: &mut [u8]) {
    let at = place(random, bytes.len());
    let rest = bytes.len() - at;
    match random.below(10) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = random.next() as u8,
        3 => {
            let at = at & !7;
            let width = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&random.telling().to_le_bytes()[..width]);
        }
        4 => {
            let count = (1 + random.below(64)).min(rest);
            let with = [0, 0x7f, 0x80, 0xff, random.next() as u8][random.below(5)];
            bytes[at..at + count].fill(with);
        }
        5 => {
            let (from, count) = (place(random, bytes.len()), 1 + random.below(4_096));
            let count = count.min(rest).min(bytes.len() - from);
            bytes.copy_within(from..from + count, at);
        }
        6 => {
            // Takes some bytes out, so that all behind them is read otherwise.
            let end = (at / CHUNK + 1) * CHUNK;
            let end = end.min(bytes.len());
            let count = (1 + random.below(16)).min(end - at);
            bytes.copy_within(at + count..end, at);
        }
        7 => {
            let chunks = bytes.len() / CHUNK;
            let (from, to) = (random.below(chunks), random.below(chunks));
            if chunks > 0 {
                bytes.copy_within(from * CHUNK..(from + 1) * CHUNK, to * CHUNK);
            }
        }
        8 => {
            let count = rest.min(1 + random.below(256));
            bytes[at..at + count].fill_with(|| random.next() as u8);
        }
        _ => {
            let word = layout::NEXT_CHUNK + 8 * random.below(48);
            if let Some(place) = bytes.get_mut(word..word + 8) {
                place.copy_from_slice(&random.telling().to_le_bytes());
            }
        }
    }
}

/// Writes changed `bytes` to `path`: few changes or many, and now and then another length.
pub fn mutate(random: &mut Random, mut bytes: Vec<u8>, path: &Path) {
    let most = 1 << random.below(9);
    for _ in 0..=random.below(most) {
        change(random, &mut bytes);
    }
    let other_length = random.below(12);
    if other_length == 0 {
        bytes.truncate(place(random, bytes.len()) + 1);
    }
    fs::write(path, &bytes).expect("a file is written");
    if other_length == 1 {
        let sparse = 1 << (20 + random.below(20));
        let file = OpenOptions::new().write(true).open(path).expect("the file");
        // Where the file system has no such files it stays as it is.
        let _ = file.set_len(sparse.max(bytes.len() as u64));
    }
}
