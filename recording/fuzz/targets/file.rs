//! Any bytes as a file: its header, strings and chunk headers, and the chunks by their kinds.
#![no_main]

#[path = "../../tests/packing/mod.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod packing;

use libfuzzer_sys::fuzz_target;
use recording::layout::{CHUNK_HEADER, ChunkHeader, ChunkKind, FileHeader, inherited_stamp};

/// Smaller than a real chunk, so that a small input has several.
const STRIDE: usize = 256;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = FileHeader::decode(bytes) {
        assert_eq!(header.to_bytes()[8..76], bytes[8..76]);
    }
    assert!(FileHeader::strings(bytes).count() <= bytes.len());
    assert!(inherited_stamp(bytes, 255).is_none_or(|_| bytes.len() >= 512 + 2048));
    for chunk in bytes.chunks(STRIDE) {
        // Of a further process.
        let _ = FileHeader::decode(chunk);
        let Some(header) = ChunkHeader::decode(chunk) else { continue };
        let records = &chunk[CHUNK_HEADER.min(chunk.len())..];
        match header.kind {
            ChunkKind::Definitions => drop(packing::definitions(records, header.first_id)),
            ChunkKind::Events => drop(packing::events(records, header.clock_ms)),
            _ => {}
        }
    }
});
