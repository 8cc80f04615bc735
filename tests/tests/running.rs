//! Reports of a program that allocates at full speed: what it holds at any instant is in each of them, to within what its
//! threads are doing.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use e2e::{Program, Report, Scratch, process, report};

const THREADS: u64 = 3;
const BLOCKS: u64 = 3_000;
const LIMIT: Duration = Duration::from_secs(60);

/// The program, once all its blocks are there.
fn start(directory: &Scratch, max_log: &str) -> Child {
    let program = Program::c("holds").arg(THREADS.to_string()).arg(BLOCKS.to_string());
    let program = program.env("UNFREED_MAX_LOG", max_log).recorded_to(directory.path());
    let mut child = program.command().stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("it says something");
    assert_eq!(line, "ready\n");
    child
}

fn kill(mut child: Child) {
    child.kill().expect("it still runs");
    assert!(process::wait(child, LIMIT).is_some(), "a killed program ends");
}

fn read(directory: &Scratch, from: &str) -> Report {
    let report = Report::with(directory.path(), &["--from", from]);
    let source = &report.processes()[0]["source"];
    assert_eq!(source, from);
    report
}

#[test]
fn each_report_has_what_is_held() {
    // The second is a fraction of what is recorded while this runs, and much more than while a report is made.
    for max_log in ["unlimited", "16M"] {
        let directory = Scratch::new("running");
        let child = start(&directory, max_log);
        for _ in 0..3 {
            let report = read(&directory, "table");
            assert_eq!(report.processes()[0]["state"], "running");
            let held = report.unfreed_in("hold").blocks;
            // A thread may have allocated a block and not yet freed the old one.
            let possible = THREADS * BLOCKS..=THREADS * (BLOCKS + 1);
            assert!(possible.contains(&held), "{held} blocks with --max-log {max_log}");
        }
        kill(child);
    }
}

/// The numbers of each site that are told by both sources, but for what at most one event of each thread changes.
#[test]
fn the_table_tells_what_the_events_tell() {
    let directory = Scratch::new("sources");
    let child = start(&directory, "unlimited");
    let held = read(&directory, "table").unfreed_in("hold").blocks;
    assert!(held >= THREADS * BLOCKS);
    kill(child);
    let (table, events) = (read(&directory, "table"), read(&directory, "events"));
    for key in ["unfreed_bytes", "unfreed_blocks"] {
        assert_eq!(table.total(key), events.total(key), "{key}");
    }
    assert!(table.total("allocations").abs_diff(events.total("allocations")) <= THREADS);
    assert!(table.total("frees").abs_diff(events.total("frees")) <= THREADS);
    let ids = |report: &Report| -> Vec<(String, u64)> {
        let site =
            |site: &serde_json::Value| (site["id"].to_string(), report::number(site, "unfreed_blocks"));
        let mut sites: Vec<_> = report.sites().iter().map(site).collect();
        sites.sort();
        sites
    };
    assert_eq!(ids(&table), ids(&events));
    assert_eq!(table.json()["totals"]["peak_bytes"], serde_json::Value::Null);
    assert!(events.total("peak_bytes") > 0);
}
