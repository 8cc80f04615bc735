//! A process that comes from another has its own file, which names the file it comes from, and what it inherited is
//! counted once.

use std::collections::HashSet;

use e2e::{Program, Run};
use recording::layout::State;

fn forks(way: &str) -> Run {
    Run::of(&Program::c("forks").arg(way))
}

/// The blocks of the parent, which also frees what its children inherited from it.
const PARENT: (&str, u64, u64) = ("leak_parent", 2, 20_003);

/// Checks that there is one first process and that all others name its file; returns how many others.
fn children_of_one(run: &Run) -> usize {
    let (first, others): (Vec<_>, Vec<_>) =
        run.files.iter().partition(|file| file.header.parent_file_id == 0);
    assert_eq!(first.len(), 1, "processes without a recorded parent");
    let ids: HashSet<u64> = run.files.iter().map(|file| file.header.file_id).collect();
    assert_eq!(ids.len(), run.files.len(), "file ids differ");
    for child in &others {
        assert_eq!(child.header.parent_file_id, first[0].header.file_id, "{}", child.path.display());
        assert_eq!(child.header.parent_pid, first[0].header.pid, "{}", child.path.display());
    }
    assert_eq!(run.report.processes().len(), run.files.len());
    others.len()
}

fn one_child(way: &str) {
    let run = forks(way);
    run.assert_unfreed(&[PARENT, ("leak_child", 5, 100_015)]);
    assert_eq!(children_of_one(&run), 1);
}

#[test]
fn fork() {
    one_child("fork");
}

/// Runs no atfork handlers.
#[test]
fn raw_clone() {
    one_child("clone");
}

/// Neither does this.
#[test]
fn fork_function_without_handlers() {
    one_child("_Fork");
}

/// The child of vfork shares the parent's memory: it must not end or restart the parent's recording.
#[test]
fn vfork() {
    let run = forks("vfork");
    run.assert_unfreed(&[PARENT]);
    assert_eq!(run.files.len(), 1);
}

#[test]
fn posix_spawn() {
    let run = forks("spawn");
    run.assert_unfreed(&[PARENT, ("leak_child", 1, 20_001)]);
    assert_eq!(run.files.len(), 2);
    let (first, second) = (&run.files[0].header, &run.files[1].header);
    assert!(
        first.parent_pid == second.pid || second.parent_pid == first.pid,
        "one is the parent of the other"
    );
}

#[test]
fn prefork_server() {
    let run = forks("prefork");
    run.assert_unfreed(&[PARENT, ("leak_child", 80, 80 * 20_100)]);
    assert_eq!(children_of_one(&run), 8);
}

#[test]
fn fork_while_threads_allocate() {
    for way in ["threads", "threads exit"] {
        let run = forks(way);
        run.assert_unfreed(&[PARENT, ("leak_child", 20, 20 * 20_200)]);
        assert_eq!(children_of_one(&run), 20);
    }
}

/// They wait for the one that begins the file, and none takes the memory of the thread that forked.
#[test]
fn first_events_of_a_child_in_several_threads() {
    let run = forks("threads of child");
    run.assert_unfreed(&[PARENT, ("leak_child", 90, 90 * 20_400)]);
    assert_eq!(children_of_one(&run), 29);
}

#[test]
fn grandchild_names_its_own_parent() {
    let run = forks("grandchild");
    run.assert_unfreed(&[PARENT, ("leak_child", 2, 20_301 + 20_302)]);
    assert_eq!(run.files.len(), 3);
    let with = |size| {
        let mut found = run.files.iter().filter(move |file| !file.live_of_size(size).is_empty());
        let file = found.next().unwrap_or_else(|| panic!("no file has a block of {size} bytes"));
        assert!(found.next().is_none(), "a block of {size} bytes is in two files");
        file
    };
    let (parent, child, grandchild) = (with(10_002), with(20_301), with(20_302));
    assert_eq!(child.header.parent_file_id, parent.header.file_id);
    assert_eq!(grandchild.header.parent_file_id, child.header.file_id);
}

/// exec keeps the pid, and must keep the first image's recording.
#[test]
fn exec_of_itself() {
    let run = forks("exec");
    run.assert_unfreed(&[("leak_parent", 3, 30_006)]);
    assert_eq!(run.files.len(), 2);
    assert_eq!(run.files[0].header.pid, run.files[1].header.pid);
    assert_eq!(run.files[0].header.state, Some(State::Recording), "the first image ran no exit handlers");
    assert_eq!(run.files[1].header.state, Some(State::Ended));
}
