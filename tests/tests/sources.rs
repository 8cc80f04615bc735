//! A report is the same whether its blocks are read from the live table or from the events, of programs that have ended.

use e2e::{Program, Report, Run, artifacts, python};

/// The sites of a recording, all of them, as CSV.
fn sites(run: &Run, at: &str, from: &str) -> String {
    let mut command = artifacts::unfreed_command();
    command.arg("report").arg(run.directory()).args(["--format", "csv", "-n", "0"]);
    let output = command.args(["--at", at, "--from", from]).output().expect("unfreed starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn assert_same(run: &Run, of: &str) {
    for (at, from) in [("before-exit", "best"), ("end", "table")] {
        let events = sites(run, at, "events");
        assert!(events.lines().count() > 1, "{of}: there are sites");
        assert!(sites(run, at, from) == events, "{of}: --at {at} --from {from}");
    }
    let read = |from: &str| Report::with(run.directory(), &["--from", from, "-n", "1"]);
    let (table, events) = (read("table"), read("events"));
    assert_eq!(
        (&table.processes()[0]["source"], &events.processes()[0]["source"]),
        (&"table".into(), &"events".into())
    );
    for key in ["events", "lost", "unfreed_blocks", "unfreed_bytes", "allocations", "frees"] {
        assert_eq!(table.total(key), events.total(key), "{of}: {key}");
    }
}

#[test]
fn of_threads_that_free_each_others_blocks() {
    assert_same(&Run::of(&Program::c("races").arg("across")), "threads");
}

/// What happens while it exits is in another place of its table.
#[test]
fn of_python() {
    let Some(interpreter) = python::newest() else { return };
    assert_same(&Run::recorded(&interpreter.program("phases.py")), &interpreter.to_string());
}
