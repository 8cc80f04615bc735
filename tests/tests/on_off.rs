//! Recording is switched on and off while a program runs: what was allocated while it was off is in no report, and
//! what was recorded stays true.

use std::fs;
use std::path::Path;

use e2e::steps::{kept, kept_by_child};
use e2e::{Program, Report, Scratch, Steps, Unfreed};

/// Started with nothing recorded.
fn dormant(directory: &Path) -> Steps {
    Steps::of(&Program::c("steps").recorded_to(directory).env("UNFREED_START", "off"))
}

fn switch(verb: &str, recording: impl AsRef<Path>) {
    let outcome = Program::unfreed(verb).arg(recording.as_ref()).run();
    assert!(outcome.status.success(), "{}", outcome.stderr_text());
    assert_eq!(outcome.stderr_text(), "", "every process sees it");
}

fn unfreed(recording: &Path) -> [Unfreed; 3] {
    let report = Report::of(recording);
    report.assert_sound();
    ["leak_step", "leak_child", "take_block"].map(|function| report.unfreed_in(function))
}

fn files(directory: &Path) -> usize {
    let entries =
        [directory.to_owned(), directory.join("live")].map(|path| fs::read_dir(path).into_iter().flatten());
    let names = entries.into_iter().flatten().map(|entry| entry.expect("an entry").file_name());
    names.filter(|name| name.as_encoded_bytes().ends_with(b".unfreed")).count()
}

fn unknown_frees(recording: &Path) -> u64 {
    Report::of(recording)
        .processes()
        .iter()
        .map(|process| process["unknown_frees"].as_u64().unwrap_or(0))
        .sum()
}

const NONE: Unfreed = Unfreed { blocks: 0, bytes: 0 };

#[test]
fn a_program_that_starts_dormant() {
    let scratch = Scratch::new("off");
    let directory = scratch.path();
    let mut steps = dormant(directory);
    ["keep", "keep", "take"].into_iter().for_each(|step| steps.step(step));
    assert_eq!(files(directory), 0, "nothing is written");
    for recording in [directory.display().to_string(), steps.pid().to_string()] {
        let outcome = Program::unfreed("report").arg(&recording).run();
        assert_eq!(outcome.status.code(), Some(2));
        let told = outcome.stderr_text();
        assert!(told.contains(&format!("it is off; 'unfreed on {recording}' switches it on\n")), "{told}");
    }
    switch("on", directory);
    ["keep", "keep", "keep", "give"].into_iter().for_each(|step| steps.step(step));
    assert_eq!(unfreed(directory), [kept(3), NONE, NONE]);
    assert_eq!(unknown_frees(directory), 1, "of what was taken while it was off");

    steps.step("take");
    switch("off", directory);
    ["keep", "keep", "give", "take"].into_iter().for_each(|step| steps.step(step));
    assert_eq!(unfreed(directory), [kept(3), NONE, NONE], "the free of what was recorded is recorded");
    switch("on", directory);
    ["give", "keep"].into_iter().for_each(|step| steps.step(step));
    assert_eq!(unfreed(directory), [kept(4), NONE, NONE]);
    assert_eq!(unknown_frees(directory), 2);
    steps.end();
    assert_eq!(unfreed(directory), [kept(4), NONE, NONE]);
}

#[test]
fn a_program_that_is_never_switched_on() {
    let scratch = Scratch::new("off");
    let mut steps = dormant(scratch.path());
    ["work", "fork", "exec", "work"].into_iter().for_each(|step| steps.step(step));
    steps.end();
    assert_eq!(files(scratch.path()), 0);
    let recording = scratch.path().join("recording");
    let run = Program::unfreed("run").arg("--off").arg("-o").arg(&recording).arg("true").run();
    assert!(run.status.success());
    let told = run.stderr_text();
    let shown = recording.display();
    assert!(
        told.contains(&format!(
            "{shown}: nothing was recorded; it was off until the end: while the command runs, 'unfreed on {shown}' \
             switches it on\n"
        )),
        "{told}"
    );
}

/// Processes that begin later, by fork or exec, find it as it is.
#[test]
fn processes_that_begin_later() {
    let scratch = Scratch::new("off");
    let mut steps = dormant(scratch.path());
    steps.step("fork");
    switch("on", scratch.path());
    ["fork", "exec", "keep", "fork"].into_iter().for_each(|step| steps.step(step));
    switch("off", scratch.path());
    ["fork", "keep", "exec", "keep", "fork"].into_iter().for_each(|step| steps.step(step));
    steps.end();
    assert_eq!(unfreed(scratch.path()), [kept(1), kept_by_child(14), NONE]);
}

#[test]
fn single_processes() {
    let scratch = Scratch::new("off");
    let mut steps = dormant(scratch.path());
    ["pair", "keep"].into_iter().for_each(|step| steps.step(step));
    let parent = steps.pid();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).expect("/proc");
    let child = children.trim();
    switch("on", child);
    steps.step("keep");
    assert_eq!(unfreed(scratch.path()), [kept(0), kept_by_child(1), NONE]);
    // With its descendants.
    switch("on", parent.to_string());
    steps.step("keep");
    assert_eq!(unfreed(scratch.path()), [kept(1), kept_by_child(2), NONE]);
    switch("off", child);
    steps.step("keep");
    assert_eq!(unfreed(scratch.path()), [kept(2), kept_by_child(2), NONE]);
    assert_eq!(unfreed(Path::new(child)), [kept(0), kept_by_child(2), NONE]);
    // Whatever held for one.
    switch("on", scratch.path());
    steps.step("keep");
    switch("off", scratch.path());
    steps.step("keep");
    steps.end();
    assert_eq!(unfreed(scratch.path()), [kept(3), kept_by_child(3), NONE]);
}

/// What was recorded before an end by SIGKILL, switched off or not.
#[test]
fn a_program_that_is_killed() {
    for last in ["on", "off"] {
        let scratch = Scratch::new("off");
        let mut steps = dormant(scratch.path());
        steps.step("take");
        switch("on", scratch.path());
        ["work", "give", "take"].into_iter().for_each(|step| steps.step(step));
        switch(last, scratch.path());
        steps.step("give");
        steps.kill();
        assert_eq!(unfreed(scratch.path()), [kept(100), NONE, NONE], "{last}");
    }
}
