//! `unfreed growth` on made-up recordings, as golden files of 80 columns (`UNFREED_BLESS=1 cargo test -p analyzer --test
//! growth_output` rewrites them), and what is said of descriptors beside the memory.
mod schema;
mod synthetic;

use std::fs;
use std::path::Path;
use std::process::Command;

use recording::layout::flag;
use serde_json::{Value, json};
use synthetic::{Scratch, flask};

/// A server that was asked 60 times, and its worker that was killed after 120; in `fds` descriptors were recorded.
fn servers() -> Scratch {
    let scratch = Scratch::new("growth-output");
    for (name, flags) in [("rec", 0), ("fds", flag::DESCRIPTORS)] {
        fs::create_dir(scratch.0.join(name)).expect("a directory");
        flask::record_with(&scratch.0.join(name), 60, |r| r.header.flags |= flags);
    }
    scratch
}

fn growth(scratch: &Scratch, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unfreed"));
    command.env("UNFREED_CACHE", "");
    let command = command.arg("growth").args(arguments).current_dir(&scratch.0).env("LC_ALL", "C.UTF-8");
    let output = command.output().expect("unfreed starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

fn judged(scratch: &Scratch, arguments: &[&str]) -> Value {
    let value = serde_json::from_str(&growth(scratch, &[arguments, &["--format", "json"]].concat()));
    let value = value.expect("it is JSON");
    schema::check("growth", &value);
    value
}

#[test]
fn outputs_are_as_before() {
    let scratch = servers();
    let mut wrong = Vec::new();
    for (name, arguments) in [
        ("growth.txt", &["rec", "--limit", "1G"][..]),
        ("growth-all.txt", &["rec", "--all", "--per", "minute"]),
        ("growth-stack.txt", &["rec", "--by", "stack", "-n", "2"]),
        ("growth-fds.txt", &["fds", "--request", "Flask.full_dispatch_request"]),
        ("growth-fds.csv", &["fds", "--format", "csv"]),
    ] {
        let printed = growth(&scratch, arguments);
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        if std::env::var_os("UNFREED_BLESS").is_some() {
            fs::write(&golden, &printed).expect("a golden file");
        } else if fs::read_to_string(&golden).unwrap_or_default() != printed {
            wrong.push(format!("{}:\n{printed}", golden.display()));
        }
        let long = printed.lines().filter(|line| line.chars().count() > 80 && name.ends_with(".txt"));
        // Names of files are as long as they are.
        assert_eq!(long.filter(|line| !line.contains("file missing")).count(), 0, "{printed}");
    }
    assert!(wrong.is_empty(), "UNFREED_BLESS=1 rewrites:\n{}", wrong.join("\n"));
}

#[test]
fn descriptors_are_judged_as_memory_is() {
    let scratch = servers();
    assert_eq!(judged(&scratch, &["rec"])["descriptors"], Value::Null, "none were recorded");
    let said = judged(&scratch, &["fds"]);
    let find = |sites: &Value, line: u64| {
        let mut sites = sites.as_array().expect("sites").iter();
        sites.find(|site| site["line"] == line).cloned()
    };
    let opened = |line| find(&said["descriptors"]["sites"], line).expect("a site");
    let memory = |line| find(&said["sites"], line);
    let sites = |line| ["verdict", "held", "delta"].map(|key| opened(line)[key].clone());
    // Of the server before it exits, and of its worker.
    for (line, kind) in [(3, "socket"), (5, "file")] {
        assert_eq!(sites(line), [json!("GROWING"), json!(180), json!(180)]);
        assert_eq!(opened(line)["kinds"][kind], 180);
        assert_eq!(opened(line)["why"].as_str().map(|why| why.starts_with("never closed")), Some(true));
    }
    assert_eq!(sites(7), [json!("TEMPORARY"), json!(0), json!(0)]);
    assert_eq!(memory(3).expect("a site")["delta_descriptors"], 180, "beside the memory of the same line");
    assert_eq!(memory(3).expect("a site")["id"], opened(3)["id"]);
    assert_eq!(memory(5), None, "this line has no memory");
    // What is said of memory is the same.
    let others = judged(&scratch, &["rec"]);
    let verdicts = |said: &Value| -> Vec<Value> {
        said["sites"].as_array().expect("sites").iter().map(|site| site["verdict"].clone()).collect()
    };
    assert_eq!(verdicts(&said), verdicts(&others));
}
