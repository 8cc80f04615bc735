//! However a process ends, its recording is whole, and it ends as it would have without.

use e2e::{Program, Run};

fn ends(way: &str) {
    let run = Run::of(&Program::c("exits").arg(way));
    run.assert_unfreed(&[("leak_exit", 5, 50_015)]);
    assert_eq!(run.files.len(), 1);
}

#[test]
fn return_from_main() {
    ends("return");
}

#[test]
fn exit_without_handlers() {
    ends("_exit");
}

#[test]
fn quick_exit() {
    ends("quick_exit");
}

#[test]
fn raw_exit_group() {
    ends("exit_group");
}

#[test]
fn main_thread_leaves_first() {
    ends("pthread_exit");
}

#[test]
fn abort() {
    ends("abort");
}

#[test]
fn sigkill() {
    ends("kill");
}

#[test]
fn crash() {
    ends("crash");
}

/// exit() while eight other threads are in the allocator: nothing that they use may be taken away.
#[test]
fn exit_while_others_allocate() {
    for _ in 0..5 {
        ends("race");
    }
}
