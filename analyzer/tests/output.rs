//! Reports and diffs of made-up recordings, in every format, as golden files: `UNFREED_BLESS=1 cargo test -p analyzer
//! --test output` rewrites them. JSON is checked against the schemas too.
mod schema;
mod synthetic;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use synthetic::{Recorder, Scratch, flask};

/// Two processes with two threads. `round` is how far they got; the load address differs from run to run.
fn record(directory: &Path, bias: u64, round: u64) {
    for pid in [41, 42] {
        let mut r = Recorder::new(pid);
        r.command = vec!["./app".into(), format!("--worker={pid}")];
        r.module(0, 1, "/opt/shop/app", bias, 0x10_0000);
        r.module(1, 1, "/opt/shop/lib,odd\"name.so", bias + 0x100_0000, 0x10_0000);
        let (app, lib) = (|offset: u64| bias + offset + 1, |offset: u64| bias + 0x100_0000 + offset + 1);
        let cache = r.stack(&[lib(0x10), app(0x200), app(0x300)]);
        let request = r.stack(&[app(0x400), app(0x300)]);
        let start = r.stack(&[app(0x500)]);
        let cut = r.node(recording::StackId(2), bias + 0x601);
        let (main, worker) = (r.writer(), r.writer());
        r.thread_name(main, "app");
        r.thread_name(worker, "worker");
        r.alloc(main, 0x10_0000, 1 << 20, start);
        for i in 0..50 * round {
            r.clock(worker, 1_000 + 10 * i);
            r.alloc(worker, 0x20_0000 + 64 * i, 40, cache);
            r.alloc(worker, 0x40_0000 + 64 * i, 4000, request);
            r.free(main, 0x40_0000 + 64 * i);
        }
        if round == 1 {
            r.alloc(main, 0x30_0000, 700, cut);
        }
        r.write(directory);
    }
}

fn two_recordings() -> Scratch {
    let scratch = Scratch::new("output");
    for (name, bias, round) in [("old", 0x5555_0000_0000, 1), ("new", 0x5600_1234_0000, 3)] {
        std::fs::create_dir(scratch.0.join(name)).expect("a directory");
        record(&scratch.0.join(name), bias, round);
    }
    for (name, requests) in [("flask-10", 10), ("flask-60", 60)] {
        std::fs::create_dir(scratch.0.join(name)).expect("a directory");
        flask::record(&scratch.0.join(name), requests);
    }
    scratch.write("suppressions", b"# known\n\nleak:odd\"name.so\nleak:^_get_foo$\n  leak:nothing*like$\n");
    scratch
}

fn unfreed(scratch: &Scratch, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unfreed"));
    command.env("UNFREED_CACHE", "");
    command.args(arguments).current_dir(&scratch.0).output().expect("unfreed starts")
}

fn stdout(scratch: &Scratch, arguments: &[&str]) -> String {
    let output = unfreed(scratch, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[test]
fn outputs_are_as_before() {
    let scratch = two_recordings();
    let mut wrong = Vec::new();
    for (name, arguments) in [
        ("report-stack.txt", &["report", "new"][..]),
        ("report-limit.txt", &["report", "old", "-n", "1"]),
        ("report-function.txt", &["report", "new", "--by", "function"]),
        ("report-module.txt", &["report", "new", "--by", "module"]),
        ("report-thread.txt", &["report", "new", "--by", "thread"]),
        ("report-process.txt", &["report", "new", "--by", "process"]),
        ("report-focus.txt", &["report", "new", "--focus", "app.0x2", "--by", "line"]),
        ("report-suppressed.txt", &["report", "new", "--suppressions", "suppressions"]),
        ("report.json", &["report", "old", "--format", "json"]),
        ("report.csv", &["report", "old", "--format", "csv"]),
        ("python.txt", &["report", "flask-10"]),
        ("python-end.txt", &["report", "flask-10", "--at", "end"]),
        ("python-all-frames.txt", &["report", "flask-10", "--all-frames", "-n", "1"]),
        (
            "python-own.txt",
            &["report", "flask-10", "--own", "site-packages/flask", "--phase", "run,start-up"],
        ),
        ("python-line.txt", &["report", "flask-10", "--by", "line"]),
        ("python-process.txt", &["report", "flask-10", "--by", "process"]),
        ("python.csv", &["report", "flask-10", "--format", "csv"]),
        ("python.json", &["report", "flask-10", "--format", "json", "-n", "2"]),
        ("python-diff.txt", &["diff", "flask-10", "flask-60"]),
        ("python-diff-line.txt", &["diff", "flask-10", "flask-60", "--by", "line"]),
        ("diff-stack.txt", &["diff", "old", "new"]),
        ("diff-line.txt", &["diff", "old", "new", "--by", "line"]),
        (
            "diff-suppressed.txt",
            &["diff", "flask-10", "flask-60", "-n", "1", "--suppressions", "suppressions"],
        ),
        ("diff-function.txt", &["diff", "old", "new", "--by", "function"]),
        ("diff.json", &["diff", "old", "new", "--format", "json"]),
        ("diff.csv", &["diff", "old", "new", "--format", "csv"]),
    ] {
        let text = stdout(&scratch, arguments);
        assert_eq!(text, stdout(&scratch, arguments), "{arguments:?} twice");
        let file = golden(name);
        if std::env::var_os("UNFREED_BLESS").is_some() {
            std::fs::write(&file, &text).expect("a golden file");
        } else if std::fs::read_to_string(&file).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "UNFREED_BLESS=1 rewrites:\n{}", wrong.join("\n"));
}

fn json(scratch: &Scratch, arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(scratch, arguments)).expect("it is JSON")
}

fn sum(sites: &Value, key: &str) -> u64 {
    sites.as_array().expect("sites").iter().map(|site| site[key].as_u64().expect("a number")).sum()
}

#[test]
fn every_grouping_adds_up_to_the_totals() {
    let scratch = two_recordings();
    for by in ["stack", "function", "line", "module", "thread", "process"] {
        let report = json(&scratch, &["report", "new", "--format", "json", "--by", by]);
        for key in ["unfreed_bytes", "unfreed_blocks", "allocated_bytes", "allocations", "frees"] {
            assert_eq!(sum(&report["sites"], key), report["totals"][key], "{by}: {key}");
        }
        let ids = report["sites"].as_array().expect("sites").iter().map(|site| site["id"].as_str());
        let distinct: std::collections::HashSet<_> = ids.clone().collect();
        assert_eq!(distinct.len(), ids.count(), "{by}: ids are unique");
    }
}

#[test]
fn ids_are_the_same_at_another_load_address() {
    let scratch = two_recordings();
    let diff = json(&scratch, &["diff", "old", "new", "--format", "json"]);
    let sites = diff["sites"].as_array().expect("sites");
    // Two processes at 50 blocks of 40 bytes, then at 150.
    let cache = &sites[0];
    assert_eq!((&cache["old_blocks"], &cache["new_blocks"]), (&100.into(), &300.into()));
    assert_eq!((&cache["delta_blocks"], &cache["delta_bytes"]), (&200.into(), &8000.into()));
    let status = |site: &Value| site["status"].as_str().map(str::to_string);
    let statuses: Vec<_> = sites.iter().filter_map(status).collect();
    assert_eq!(statuses, ["changed", "vanished", "unchanged"]);
}

#[test]
fn older_leaves_out_what_is_young() {
    let scratch = Scratch::new("older");
    let mut r = Recorder::new(1);
    let stack = r.stack(&[0x1000]);
    let writer = r.writer();
    for (ms, size) in [(10_000, 1), (30_000, 20), (60_500, 300)] {
        r.clock(writer, ms);
        r.alloc(writer, 0x10000 * ms, size, stack);
    }
    r.write(&scratch.0); // it ends at 61 s
    for (older, bytes) in [("0s", 321), ("1s", 21), ("31s", 21), ("32s", 1), ("1m", 0)] {
        let report = json(&scratch, &["report", ".", "--older", older, "--format", "json"]);
        assert_eq!(report["sites"][0]["unfreed_bytes"], bytes, "older than {older}");
        assert_eq!(report["totals"]["unfreed_bytes"], 321);
    }
}

#[test]
fn focus_and_ignore_look_at_every_frame() {
    let scratch = two_recordings();
    let blocks = |arguments: &[&str]| {
        let report = json(&scratch, &[&["report", "old", "--format", "json"], arguments].concat());
        sum(&report["sites"], "unfreed_blocks")
    };
    assert_eq!(blocks(&[]), 104);
    assert_eq!(blocks(&["--focus", "odd.name"]), 100);
    assert_eq!(blocks(&["--ignore", "odd.name"]), 4);
    assert_eq!(blocks(&["--focus", r"app\+0x300$"]), 100);
    assert_eq!(blocks(&["--focus", "^/opt/", "--ignore", r"app\+0x500"]), 102);
    assert_eq!(blocks(&["--focus", "nothing of that kind"]), 0);
}

#[test]
fn suppressions_leave_out_stacks_and_say_how_much() {
    let scratch = two_recordings();
    scratch.write("more", b"leak:app\n");
    let report = |files: &[&str]| {
        let options = files.iter().flat_map(|file| ["--suppressions", file]);
        let arguments: Vec<&str> = ["report", "old", "--format", "json"].into_iter().chain(options).collect();
        json(&scratch, &arguments)
    };
    let of = |report: &Value, index: usize, key: &str| report["suppressions"][index][key].as_u64();
    let all = report(&[]);
    assert_eq!((sum(&all["sites"], "unfreed_blocks"), all.get("suppressions")), (104, None));
    let one = report(&["suppressions"]);
    assert_eq!(sum(&one["sites"], "unfreed_blocks"), 4);
    assert_eq!(
        (of(&one, 0, "suppressed_blocks"), of(&one, 0, "suppressed_bytes")),
        (Some(100), Some(4000)),
        "{one}"
    );
    assert_eq!(of(&one, 1, "suppressed_blocks"), Some(0));
    // Each stack is credited once: to its innermost frame's.
    let both = report(&["more", "suppressions"]);
    assert_eq!(sum(&both["sites"], "unfreed_blocks"), 0);
    assert_eq!(
        [0, 1].map(|index| of(&both, index, "suppressed_blocks")),
        [Some(4), Some(100)],
        "the library calls malloc"
    );
    assert_eq!(both["totals"], all["totals"]);

    scratch.write("bad", b"leak:a\nrace:b\n");
    for (file, expected) in [
        ("bad", "unfreed: bad:2: 'race:b' is no suppression; a line is leak:PATTERN, or # and a comment\n"),
        (
            "absent",
            "unfreed: absent: No such file or directory; --suppressions names a file of leak:PATTERN lines\n",
        ),
    ] {
        let output = unfreed(&scratch, &["report", "old", "--suppressions", file]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    }
}

#[test]
fn a_closed_pipe_and_a_full_disk() {
    let scratch = two_recordings();
    let mut command = Command::new(env!("CARGO_BIN_EXE_unfreed"));
    command.env("UNFREED_CACHE", "");
    command.args(["report", "new", "--format", "json"]).current_dir(&scratch.0);
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let output = command.stdout(full).stderr(std::process::Stdio::piped()).spawn().expect("unfreed starts");
    let output = output.wait_with_output().expect("unfreed ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("No space left"), "{stderr}");

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_unfreed"));
    command.env("UNFREED_CACHE", "");
    let output = command
        .args(["report", "new"])
        .current_dir(&scratch.0)
        .stdout(writer)
        .output()
        .expect("unfreed starts");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn json_is_as_the_schemas_say() {
    let scratch = two_recordings();
    for (verb, arguments) in [
        ("report", &["report", "old"][..]),
        ("report", &["report", "flask-60", "--suppressions", "suppressions"]),
        ("diff", &["diff", "old", "new", "--suppressions", "suppressions"]),
        ("rss", &["rss", "flask-60"]),
        ("growth", &["growth", "flask-60", "--limit", "64M"]),
        ("growth", &["growth", "new", "--per", "minute"]),
    ] {
        for by in ["stack", "function", if verb == "growth" { "module" } else { "thread" }] {
            let value = json(&scratch, &[arguments, &["--format", "json", "--by", by]].concat());
            schema::check(verb, &value);
        }
    }
}

/// Killed processes with long command lines, one of them the other's child.
#[test]
fn what_is_told_of_processes_fits_into_80_columns() {
    let scratch = Scratch::new("columns");
    for (pid, size) in [(4_194_302, 90 << 20), (4_194_303, 20 << 20)] {
        let mut r = Recorder::new(pid);
        r.header.state = Some(recording::layout::State::Recording);
        r.header.parent_pid = 4_194_302;
        r.header.end_monotonic_ns = 0;
        r.command =
            ["/opt/venv/bin/python3", "/opt/venv/bin/gunicorn", "--workers=200", "shop.wsgi:application"]
                .map(String::from)
                .into();
        let (stack, main) = (r.stack(&[0x1000]), r.writer());
        r.clock(main, 100_000);
        (0..1_000).for_each(|block| r.alloc(main, 0x10_0000 * block, size / 1_000, stack));
        r.write(&scratch.0);
    }
    for arguments in [
        &["report", "."][..],
        &["report", ".", "--by", "process"],
        &["diff", ".", "./4194302.unfreed", "--by", "process"],
    ] {
        let text = stdout(&scratch, arguments);
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{arguments:?}: {long:#?}");
        assert!(
            text.contains("pid 4194302 ended abruptly: 90.0 MiB in 1,000 blocks  python3 gunicorn"),
            "{text}"
        );
        assert!(text.contains("    it ended at 2026-") && text.contains(" or later\n"), "{text}");
        assert!(text.contains(" held 90.0 MiB as it ended, 100 % of its peak:\n"), "{text}");
    }
}

#[test]
fn no_change_is_told() {
    let scratch = two_recordings();
    assert_eq!(stdout(&scratch, &["diff", "new", "new", "--by", "line"]), "# no line changed\n");
}

/// Files, functions and threads are called what a program wants: nothing of it reaches the terminal but text on one line.
#[test]
fn names_are_no_commands_for_the_terminal() {
    let scratch = Scratch::new("names");
    let mut r = Recorder::new(9);
    r.command = vec!["app".into(), "\x1b[2J".into()];
    r.module(0, 1, "/opt/\x1b[31m\nlib.so", 0x10_0000, 0x1000);
    let (stack, main) = (r.stack(&[0x10_0123]), r.writer());
    r.thread_name(main, "\x1b]0;x\x07");
    (0..100).for_each(|block| {
        r.clock(main, 2_000 + 100 * block);
        r.alloc(main, 0x20_0000 + 64 * block, 60, stack);
    });
    r.write(&scratch.0);
    scratch.write("\x1bodd.unfreed", b"no recording");
    for arguments in [
        &["report", "."][..],
        &["report", ".", "--by", "thread"],
        &["report", ".", "--by", "module"],
        &["report", ".", "--by", "process"],
        &["growth", "."],
        &["check", ".", "--max-unfreed", "1"],
        &["check", ".", "--max-unfreed", "1", "--format", "lsan"],
        &["check", ".", "--max-unfreed", "1", "--format", "markdown"],
        &["rss", "."],
        &["top", ".", "1", "1"],
        &["inspect", "."],
        &["report", "\x1bodd.unfreed"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unfreed"));
        command.env("UNFREED_CACHE", "");
        let output = command.args(arguments).current_dir(&scratch.0).output().expect("unfreed starts");
        let printed = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(printed).expect("text");
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{arguments:?}: {text:?}");
        assert!(!text.contains("\nlib.so"), "{arguments:?}: {text}");
    }
}
