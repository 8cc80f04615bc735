//! Functions and lines of real programs, compared with what binutils and LLVM say, and of files that are wrong.
mod programs;

use programs::*;

/// Part of the addresses whose whole chain of file:line another tool has to confirm.
fn assert_agrees(file: &std::path::Path, described_by: &std::path::Path, least: f64) {
    let addresses = calls(described_by);
    let ours: Vec<Chain> = look_up_file(file, &addresses).iter().map(|found| chain(&found.frames)).collect();
    for tool in ["llvm-symbolizer", "addr2line"] {
        let Some(theirs) = others(tool, described_by, &addresses) else { continue };
        let mut lines = 0;
        let mut names = 0;
        for ((address, ours), theirs) in addresses.iter().zip(&ours).zip(&theirs) {
            let same_lines = ours.iter().map(|f| &f.1).eq(theirs.iter().map(|f| &f.1));
            let same_names = ours.iter().map(|f| &f.0).eq(theirs.iter().map(|f| &f.0));
            lines += usize::from(same_lines);
            names += usize::from(same_names);
            if !same_lines {
                let lines =
                    |chain: &Chain| chain.iter().map(|frame| frame.1.clone()).collect::<Vec<_>>().join(" < ");
                eprintln!("{tool} {address:#x}: ours {}, theirs {}", lines(ours), lines(theirs));
            }
        }
        let part = |n: usize| n as f64 / addresses.len() as f64;
        eprintln!(
            "{tool}: {} addresses, lines {:.3}, names {:.3}",
            addresses.len(),
            part(lines),
            part(names)
        );
        assert!(part(lines) >= least, "{tool} has other lines");
    }
}

#[test]
fn inlined_calls_agree_with_other_tools() {
    let place = Place::new("inlined");
    let file = place.cpp("", "shop");
    assert_agrees(&file, &file, 0.98);
}
