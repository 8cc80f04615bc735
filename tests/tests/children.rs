//! Children in numbers, and commands that are started while other threads allocate.

use std::fs;
use std::os::unix::fs::MetadataExt;

use e2e::{Program, Run};

const PARENT: (&str, u64, u64) = ("leak_parent", 1, 10_001);

fn children(way: &str, printed: &str) -> Run {
    let run = Run::of(&Program::c("children").arg(way));
    assert_eq!(run.outcome.stdout_text(), printed, "{way}");
    run
}

/// A child that allocates nothing has no file.
#[test]
fn that_do_nothing() {
    let run = children("idle", "50\n");
    run.assert_unfreed(&[PARENT]);
    assert_eq!(run.files.len(), 1);
}

/// Servers and shells have one for each request.
#[test]
fn that_do_little_take_little() {
    let run = children("brief", "50\n");
    run.assert_unfreed(&[PARENT]);
    assert_eq!(run.files.len(), 51);
    let blocks: u64 = run.files.iter().map(|file| fs::metadata(&file.path).expect("a file").blocks()).sum();
    assert!(blocks * 512 / 51 <= 32 << 10, "{} bytes of disk for each", blocks * 512 / 51);
}

#[test]
fn commands_beside_threads() {
    children("commands", "40\n").assert_unfreed(&[PARENT]);
}

/// Blocks of a child that shares its parent's memory are the parent's.
#[test]
fn vfork_beside_threads() {
    children("vfork", "20\n").assert_unfreed(&[("leak_parent", 41, 41 * 10_001)]);
}

#[test]
fn fork_of_a_later_thread() {
    let run = children("thread", "5\n");
    run.assert_unfreed(&[PARENT, ("leak_child", 5, 5 * 20_001)]);
    assert_eq!(run.files.len(), 6);
}

#[test]
fn exec_of_a_later_thread() {
    let run = Run::of(&Program::c("children").arg("exec").arg("3"));
    // One in each image, and one at the end of the last.
    run.assert_unfreed(&[("leak_parent", 5, 5 * 10_001)]);
    assert_eq!(run.files.len(), 4);
}
