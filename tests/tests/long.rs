//! A recording of several segments, which are mapped one after another as it grows, in a program that has limited
//! its own address space: it still gets its threads, and the forked child's file begins at its own first segment.

use e2e::{Program, Run};

#[test]
fn segments_within_a_limit_of_the_programs_own() {
    let run = Run::of(&Program::c("long_recording"));
    run.assert_unfreed(&[("leak_in_parent", 20, 20 * 10_001), ("leak_in_child", 20, 20 * 10_001)]);
    assert_eq!(run.files.len(), 2);
    for file in &run.files {
        assert!(file.header.next_chunk > 256, "{} chunks are one segment", file.header.next_chunk);
        assert!(file.impossible.is_empty(), "{:?}", file.impossible);
    }
}
