//! Reports where memory is limited (`ulimit -d`).
mod support;

use std::process::Command;

use support::{Scratch, output, stderr, stdout};

/// What threads reserve counts in the limit, too: it must not take what looking up symbols needs. 1 GiB was once
/// reserved, and what was left of limits like these was too little.
#[test]
fn a_limit_that_is_far_above_what_is_needed_is_enough() {
    let scratch = Scratch::new();
    let recorded =
        output(&mut scratch.unfreed(&["run", "-o", "rec", env!("CARGO_BIN_EXE_unfreed"), "--help"]));
    assert!(recorded.status.success(), "{}", stderr(&recorded));
    let expected = stdout(&output(&mut scratch.unfreed(&["report", "rec"])));
    assert!(expected.contains("clap"), "{expected}");
    for above in [8, 16, 24, 32] {
        let limit = (1024 + above) << 10;
        let script = format!("ulimit -d {limit}; ulimit -c 0; exec \"$0\" report rec");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_unfreed")]).current_dir(&*scratch);
        let limited = output(shell.env("LC_ALL", "C.UTF-8").env("UNFREED_CACHE", ""));
        assert!(limited.status.success(), "{limit} KiB: {}", stderr(&limited));
        assert_eq!(stdout(&limited), expected, "{limit} KiB");
    }
}
