//! What a program sees of itself: the same with the recorder as without.

use e2e::{Program, Run};

fn sees(what: &str) -> String {
    let run = Run::of(&Program::c("bystander").arg(what));
    run.assert_unfreed(&[("leak_bystander", 3, 30_003)]);
    run.outcome.stdout_text()
}

#[test]
fn handlers_and_mask() {
    assert_eq!(sees("signals"), "", "no handler is installed and no signal blocked");
}

/// One thread, so that namespaces can be unshared and a signal waits for who waits for it.
#[test]
fn threads() {
    assert!(sees("threads").ends_with("signal 1\n"));
}

#[test]
fn namespaces() {
    sees("namespaces");
}

/// While one thread changes the environment others allocate.
#[test]
fn environment() {
    sees("environment");
}

/// Chunks are turned under way.
#[test]
fn error_number() {
    assert_eq!(sees("errno"), "changed 0\n");
}

/// Where the time stamp counter may not be read, as when a process is to be moved to another machine.
#[test]
fn time_stamp_counter() {
    assert!(sees("counter").starts_with("start\n"));
}
