//! Deep stacks: whole up to 1,024 frames, cut and marked as cut above.

use e2e::{Program, Run};
use recording::EndReason;

fn at_depth(depth: u32) -> Vec<(usize, Option<EndReason>)> {
    let run = Run::of(&Program::c("deep").arg(depth.to_string()));
    run.assert_unfreed(&[("leak_deep", 50, 50 * 10_001)]);
    let blocks = run.files[0].live_of_size(10_001);
    assert_eq!(blocks.len(), 50);
    blocks.iter().map(|block| run.files[0].depth_and_end(block.stack)).collect()
}

#[test]
fn whole_below_the_limit() {
    for (depth, end) in at_depth(900) {
        assert_eq!(end, Some(EndReason::Complete));
        // leak_deep, descend once more than the depth, main, and what calls main.
        assert!((903..=906).contains(&depth), "{depth} frames");
    }
}

#[test]
fn cut_above_the_limit() {
    for depth in [1100, 60_000] {
        assert_eq!(at_depth(depth), vec![(1024, Some(EndReason::TooDeep)); 50], "at depth {depth}");
    }
}
