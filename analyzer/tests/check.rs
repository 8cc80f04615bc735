//! `unfreed check` on made-up recordings: each exit status, each format as a golden file (`UNFREED_BLESS=1 cargo test -p
//! analyzer --test check` rewrites them), baselines and what makes a recording incomplete.
mod schema;
mod synthetic;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use recording::layout::{LOST_KINDS, State, StopCause};
use serde_json::Value;
use synthetic::{Recorder, Scratch, flask};

/// Recordings of a server after 10 and 60 requests, and a baseline of the first.
fn servers() -> Scratch {
    let scratch = Scratch::new("check");
    for (name, requests) in [("old", 10), ("new", 60)] {
        fs::create_dir(scratch.0.join(name)).expect("a directory");
        flask::record(&scratch.0.join(name), requests);
    }
    assert_eq!(status(&scratch, &["old", "--write-baseline", "base.json"]), 0);
    scratch
}

fn check(scratch: &Scratch, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unfreed"));
    command.env("UNFREED_CACHE", "");
    command.arg("check").args(arguments).current_dir(&scratch.0).output().expect("unfreed starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

fn status(scratch: &Scratch, arguments: &[&str]) -> i32 {
    check(scratch, arguments).status.code().expect("it exits")
}

fn json(scratch: &Scratch, arguments: &[&str]) -> Value {
    let output = check(scratch, &[arguments, &["--format", "json"]].concat());
    let value: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    schema::check("check", &value);
    assert_eq!(value["exit_status"], output.status.code().expect("it exits"));
    value
}

/// The one line with which it is refused.
fn refused(scratch: &Scratch, arguments: &[&str]) -> String {
    let output = check(scratch, arguments);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}");
    let line = text(&output.stderr);
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

#[test]
fn outputs_are_as_before() {
    let scratch = servers();
    scratch.write("known.supp", b"leak:^_get_foo$\nleak:libsqlite3\n# of the past\nleak:gone\n");
    let compared = ["new", "--baseline", "base.json"];
    let mut wrong = Vec::new();
    for (name, expected, arguments) in [
        ("check-baseline.txt", 1, &compared[..]),
        ("check-baseline.md", 1, &["new", "--baseline", "base.json", "--format", "markdown"]),
        ("check-baseline.json", 1, &["new", "--baseline", "base.json", "--format", "json", "-n", "2"]),
        ("check-baseline.lsan", 1, &["new", "--baseline", "base.json", "--format", "lsan"]),
        ("check-same.txt", 0, &["old", "--baseline", "base.json"]),
        ("check-limits.txt", 1, &["new", "--max-unfreed", "1MiB", "--max-blocks", "1000", "-n", "1"]),
        (
            "check-limits.md",
            1,
            &["new", "--max-unfreed", "1MiB", "--max-blocks", "1000", "-n", "2", "--format", "markdown"],
        ),
        (
            "check-limits.lsan",
            1,
            &["new", "--max-unfreed", "0", "--format", "lsan", "--suppressions", "known.supp"],
        ),
        ("check-within.txt", 0, &["new", "--max-unfreed", "1GiB"]),
        ("check-suppressed.txt", 1, &["new", "--max-unfreed", "4096", "--suppressions", "known.supp"]),
        (
            "check-suppressed.lsan",
            0,
            &["new", "--baseline", "base.json", "--suppressions", "known.supp", "--format", "lsan"],
        ),
    ] {
        let output = check(&scratch, arguments);
        let (printed, golden) = (text(&output.stdout), golden(name));
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {}", text(&output.stderr));
        if std::env::var_os("UNFREED_BLESS").is_some() {
            fs::write(&golden, &printed).expect("a golden file");
        } else if fs::read_to_string(&golden).unwrap_or_default() != printed {
            wrong.push(format!("{}:\n{printed}", golden.display()));
        }
        let long = printed.lines().filter(|line| line.chars().count() > 80 && name.ends_with(".txt"));
        // Names of files are as long as they are.
        assert_eq!(long.filter(|line| !line.contains("file missing")).count(), 0, "{printed}");
    }
    let written = fs::read_to_string(scratch.0.join("base.json")).expect("a baseline");
    let expected = golden("baseline.json");
    if std::env::var_os("UNFREED_BLESS").is_some() {
        fs::write(&expected, &written).expect("a golden file");
    }
    assert_eq!(fs::read_to_string(&expected).unwrap_or_default(), written, "{}", expected.display());
    assert!(wrong.is_empty(), "UNFREED_BLESS=1 rewrites:\n{}", wrong.join("\n"));
}

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[test]
fn limits_hold_up_to_their_value() {
    let scratch = Scratch::new("limits");
    let mut r = Recorder::new(1);
    let (stack, writer) = (r.stack(&[0x1000]), r.writer());
    (0..10).for_each(|block| r.alloc(writer, 0x1_0000 * (block + 1), 100, stack));
    r.write(&scratch.0);
    for (options, expected) in [
        (&["--max-unfreed", "1000"][..], 0),
        (&["--max-unfreed", "999"], 1),
        (&["--max-blocks", "10"], 0),
        (&["--max-blocks", "9"], 1),
        (&["--max-unfreed", "1KiB", "--max-blocks", "9"], 1),
        (&["--max-unfreed", "0", "--focus", "elsewhere"], 0),
    ] {
        assert_eq!(status(&scratch, &[&["."], options].concat()), expected, "{options:?}");
    }
    let value = json(&scratch, &[".", "--max-unfreed", "1KiB", "--max-blocks", "9"]);
    let limits: Vec<_> = value["limits"].as_array().expect("limits").iter().collect();
    assert_eq!(limits[0]["option"], "max-blocks", "the exceeded one is the first");
    assert_eq!([&limits[0]["found"], &limits[1]["found"]], [10, 1000]);
    assert_eq!([&limits[0]["exceeded"], &limits[1]["exceeded"]], [true, false]);
}

#[test]
fn a_limit_must_be_named() {
    let scratch = servers();
    let line = refused(&scratch, &["new"]);
    for option in ["--max-growth", "--max-unfreed", "--max-blocks", "--baseline", "--write-baseline"] {
        assert!(line.contains(option), "{option}: {line}");
    }
    let line = refused(&scratch, &["absent", "--max-blocks", "1"]);
    assert!(line.starts_with("unfreed: absent: No such file or directory"), "{line}");
    let line = refused(&scratch, &["new", "--max-unfreed", "1MB"]);
    assert!(line.contains("expected a size such as 64KiB"), "{line}");
}

#[test]
fn a_baseline_is_compared_with_what_was_selected_alike() {
    let scratch = servers();
    for (arguments, why) in [
        (&["--baseline", "absent"][..], "absent: No such file"),
        (&["--baseline", "new"], "new: Is a directory"),
        (&["--baseline", "known.json"], "known.json: not a baseline: "),
        (
            &["--baseline", "later.json"],
            "later.json: a baseline of version unfreed.baseline/2, this unfreed reads unfreed.baseline/1",
        ),
        (&["--baseline", "cut.json"], "cut.json: not a baseline: "),
        (&["--baseline", "base.json", "--by", "line"], "base.json: its sites are by function, not by line"),
        (
            &["--baseline", "base.json", "--phase", "run"],
            "base.json: it was written without options that select, and this is with --phase run",
        ),
        (&["--write-baseline", "no/such/directory"], "no/such/directory: No such file or directory"),
    ] {
        let base = fs::read_to_string(scratch.0.join("base.json")).expect("a baseline");
        scratch.write("known.json", b"{\"sites\": []}");
        scratch.write("later.json", base.replace("baseline/1", "baseline/2").as_bytes());
        scratch.write("cut.json", &base.as_bytes()[..base.len() / 2]);
        let output = check(&scratch, &[&["new"], arguments].concat());
        let line = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(line.starts_with(&format!("unfreed: {why}")) && line.lines().count() == 1, "{line}");
    }
    let selected = ["--phase", "run", "--by", "line"];
    let written = [&["old", "--write-baseline", "run.json"], &selected[..]].concat();
    assert_eq!(status(&scratch, &written), 0);
    assert_eq!(status(&scratch, &["old", "--phase", "run", "--baseline", "run.json"]), 0);
    assert_eq!(status(&scratch, &[&["new", "--baseline", "run.json"], &selected[..]].concat()), 1);
}

#[test]
fn a_baseline_compares_by_each_key() {
    let scratch = servers();
    for by in ["function", "line", "stack", "module"] {
        let write = ["old", "--write-baseline", "by.json", "--by", by];
        assert_eq!(status(&scratch, &write), 0, "{by}");
        let same = json(&scratch, &["old", "--baseline", "by.json"]);
        assert_eq!(same["verdict"], "within", "{by}");
        let statuses: Vec<_> =
            same["sites"].as_array().expect("sites").iter().map(|site| &site["status"]).collect();
        assert!(
            !statuses.is_empty() && statuses.iter().all(|status| *status == "unchanged"),
            "{by}: {statuses:?}"
        );
        let value = json(&scratch, &["new", "--baseline", "by.json"]);
        assert_eq!(
            (&value["verdict"], &value["limits"][0]["exceeded"]),
            (&"over".into(), &true.into()),
            "{by}"
        );
        // 320,000 bytes for each of 150 requests more.
        let over = value["sites"].as_array().expect("sites").iter().filter(|site| site["over"] == true);
        let grown = over.map(|site| {
            site["new_bytes"].as_f64().expect("a number") - site["old_bytes"].as_f64().unwrap_or(0.0)
        });
        assert!(grown.sum::<f64>() >= 150.0 * 320_000.0, "{by}: {value}");
    }
}

#[test]
fn small_differences_are_noise() {
    let scratch = servers();
    let of = |noise: &str| status(&scratch, &["new", "--baseline", "base.json", "--noise", noise]);
    assert_eq!((of("5%,4KiB"), of("0"), of("100MiB"), of("10%,100MiB")), (1, 1, 0, 0));
    // What is less than before is within, and shown.
    assert_eq!(status(&scratch, &["new", "--write-baseline", "more.json"]), 0);
    let value = json(&scratch, &["old", "--baseline", "more.json"]);
    assert_eq!(value["verdict"], "within");
    assert_eq!(value["sites"][0]["status"], "less");
}

#[test]
fn new_and_gone_sites() {
    let scratch = Scratch::new("sites");
    for (name, module) in [("a", "/opt/old.so"), ("b", "/opt/new.so.2")] {
        let mut r = Recorder::new(1);
        r.module(0, 1, module, 0x1_0000, 0x1_0000);
        let (stack, writer) = (r.stack(&[0x1_0101]), r.writer());
        r.alloc(writer, 0x9_0000, 100_000, stack);
        fs::create_dir(scratch.0.join(name)).expect("a directory");
        r.write(&scratch.0.join(name));
    }
    assert_eq!(status(&scratch, &["a", "--write-baseline", "a.json"]), 0);
    let value = json(&scratch, &["b", "--baseline", "a.json"]);
    let sites = value["sites"].as_array().expect("sites").iter();
    let told: Vec<_> =
        sites.map(|site| [&site["name"], &site["status"], &site["over"]].map(Value::to_string)).collect();
    assert_eq!(told, [[r#""[new.so]""#, r#""new""#, "true"], [r#""[old.so]""#, r#""gone""#, "false"]]);
    let printed = text(&check(&scratch, &["b", "--baseline", "a.json"]).stdout);
    assert!(printed.starts_with("over --baseline a.json: 1 site holds more, +97.7 KiB\n"), "{printed}");
    assert!(printed.contains(" new  [new.so]\n") && printed.contains(" gone  [old.so]\n"), "{printed}");
}

/// A recording of one block, whose header says that something is missing.
fn incomplete(change: impl FnOnce(&mut Recorder)) -> Scratch {
    let scratch = Scratch::new("incomplete");
    let mut r = Recorder::new(5);
    let (stack, writer) = (r.stack(&[0x1000]), r.writer());
    r.alloc(writer, 0x1_0000, 1000, stack);
    change(&mut r);
    r.write(&scratch.0);
    scratch
}

#[test]
fn an_incomplete_recording_is_3() {
    let lost = |kind: usize| {
        let mut lost = [0; LOST_KINDS];
        lost[kind] = 7;
        lost
    };
    let stopped = incomplete(|r| {
        r.header.state = Some(State::Stopped);
        r.header.stop_cause = StopCause::from_number(1);
        r.header.stop_errno = 28;
    });
    let damaged = incomplete(|_| {});
    let file = fs::read_dir(&damaged.0).expect("a directory").flatten().next().expect("a file").path();
    let bytes = fs::read(&file).expect("a recording");
    fs::write(&file, &bytes[..bytes.len() - 40_000]).expect("a cut recording");
    let strange = incomplete(|_| {});
    strange.write("other.unfreed", b"something else that is no recording");
    for (scratch, reason) in [
        (incomplete(|r| r.header.lost = lost(1)), "pid 5: 7 events lost"),
        (incomplete(|r| r.header.lost = lost(4)), "pid 5: 7 forked children that could not be recorded"),
        (stopped, "pid 5: recording stopped before the process did: "),
        (damaged, "pid 5: "),
        (strange, "./other.unfreed: not a recording"),
    ] {
        let value = json(&scratch, &[".", "--max-unfreed", "1KiB"]);
        assert_eq!(value["verdict"], "incomplete", "{reason}");
        let told = value["incomplete"][0].as_str().unwrap_or_default();
        assert!(told.starts_with(reason), "{told}");
        let output = check(&scratch, &[".", "--max-unfreed", "1KiB"]);
        assert_eq!(output.status.code(), Some(3));
        assert!(
            text(&output.stdout).starts_with(&format!("incomplete: {reason}")),
            "{}",
            text(&output.stdout)
        );
        // What is missing may be that it was freed.
        let over = check(&scratch, &[".", "--max-unfreed", "999"]);
        assert_eq!(over.status.code(), Some(3));
        assert!(text(&over.stdout).starts_with("over --max-unfreed 999"), "{}", text(&over.stdout));
        assert_eq!(status(&scratch, &[".", "--max-unfreed", "999", "--allow-incomplete"]), 1);
        assert_eq!(status(&scratch, &[".", "--max-unfreed", "1KiB", "--allow-incomplete"]), 0);
        // No baseline is made of it, unless that is wanted.
        assert_eq!(status(&scratch, &[".", "--write-baseline", "base.json"]), 3);
        assert!(!scratch.0.join("base.json").exists());
        assert_eq!(status(&scratch, &[".", "--write-baseline", "base.json", "--allow-incomplete"]), 0);
        assert!(scratch.0.join("base.json").exists());
    }
}

#[test]
fn what_was_asked_for_is_complete() {
    // Killed, without stacks, and beside a file that its process never began.
    let scratch = incomplete(|r| {
        r.header.state = Some(State::Recording);
        r.header.end_monotonic_ns = 0;
        r.header.lost[3] = 7;
    });
    scratch.write("0000000000000001.unfreed", &vec![0; 65_536]);
    let value = json(&scratch, &[".", "--max-unfreed", "1KiB"]);
    assert_eq!((&value["verdict"], &value["incomplete"]), (&"within".into(), &serde_json::json!([])));
}

#[test]
fn a_baseline_is_replaced_whole_and_through_links() {
    let scratch = servers();
    let base = scratch.0.join("base.json");
    std::os::unix::fs::symlink(&base, scratch.0.join("link.json")).expect("a link");
    let before = fs::read_to_string(&base).expect("a baseline");
    // It is compared with what it was.
    assert_eq!(status(&scratch, &["new", "--baseline", "link.json", "--write-baseline", "link.json"]), 1);
    let after = fs::read_to_string(&base).expect("a baseline");
    assert!(before != after && scratch.0.join("link.json").is_symlink());
    assert_eq!(status(&scratch, &["new", "--baseline", "base.json"]), 0);
    let names: Vec<_> =
        fs::read_dir(&scratch.0).expect("a directory").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 4, "nothing is left beside it: {names:?}");
    assert_eq!(status(&scratch, &["new", "--write-baseline", "/dev/null"]), 0);
}

/// A service of ten minutes: a site keeps `size` bytes each second, another one keeps the last ten blocks. A mark each
/// minute, if `marked`.
fn service(directory: &Path, seconds: u64, size: u64) {
    fs::create_dir(directory).expect("a directory");
    let mut r = Recorder::new(9);
    r.module(0, 1, "/opt/shop/server", 0x1_0000, 0x10_0000);
    let (kept, cache, start) = (r.stack(&[0x1_0101]), r.stack(&[0x1_0201]), r.stack(&[0x1_0301]));
    r.module(1, 1, "/opt/shop/libcache.so", 0x20_0000, 0x1_0000);
    let library = r.stack(&[0x20_0101, 0x1_0201]);
    let writer = r.writer();
    r.alloc(writer, 0x1000_0000, 1 << 20, start);
    for second in 0..seconds {
        r.clock(writer, 1_000 + 1_000 * second);
        if size > 0 {
            r.alloc(writer, 0x2000_0000 + 0x1_0000 * second, size, kept);
        }
        r.alloc(writer, 0x8000_0000 + 0x1_0000 * second, 3_000, library);
        if second >= 10 {
            r.free(writer, 0x8000_0000 + 0x1_0000 * (second - 10));
        }
        // What is freed at once keeps it busy.
        for block in 0..20 {
            r.alloc(writer, 0x4000_0000 + 64 * block, 50, cache);
            r.free(writer, 0x4000_0000 + 64 * block);
        }
    }
    r.header.end_monotonic_ns = (1 + seconds) * 1_000_000_000;
    r.write(directory);
}

#[test]
fn growth_is_limited_by_its_rate() {
    let scratch = Scratch::new("growth");
    for (name, seconds, size) in
        [("leaks", 600, 4_000), ("longer", 1_500, 4_000), ("faster", 600, 8_000), ("kept", 600, 0)]
    {
        service(&scratch.0.join(name), seconds, size);
    }
    // 4,000 bytes a second are 234 KiB a minute.
    for (limit, expected) in [("230KiB/minute", 1), ("240KiB/minute", 0), ("0/minute", 1)] {
        assert_eq!(status(&scratch, &["leaks", "--max-growth", limit, "--by", "stack"]), expected, "{limit}");
        assert_eq!(status(&scratch, &["kept", "--max-growth", limit, "--by", "stack"]), 0, "{limit}");
    }
    let value = json(&scratch, &["leaks", "--max-growth", "1KiB/minute", "--by", "stack"]);
    let limit = &value["limits"][0];
    assert_eq!(
        [&limit["option"], &limit["per"], &limit["sites"]],
        [&Value::from("max-growth"), &"minute".into(), &1.into()]
    );
    let found = limit["found"].as_f64().expect("a number");
    assert!((235_000.0..245_000.0).contains(&found), "{found}");
    let row = &value["sites"][0];
    assert_eq!([&row["measure"], &row["over"]], [&Value::from("growth"), &true.into()]);
    assert!(
        value["sites"].as_array().expect("sites").iter().skip(1).all(|site| site["over"] == false),
        "{value}"
    );
    // Shared among requests whose number is known: 600 of them, each with a second's 4,000 bytes.
    for (limit, expected) in [("3900/request", 1), ("4100/request", 0)] {
        let options = ["leaks", "--max-growth", limit, "--requests", "600", "--by", "stack"];
        assert_eq!(status(&scratch, &options), expected, "{limit}");
    }
    for format in ["text", "markdown"] {
        let options = ["leaks", "--max-growth", "3900/request", "--requests", "600", "--by", "stack"];
        let printed = text(&check(&scratch, &[&options[..], &["--format", format]].concat()).stdout);
        let of = "a site: by request that reaches it; together: by each of all 600 requests\n";
        assert!(printed.contains(of) && printed.contains("/request together"), "{format}: {printed}");
    }
}

#[test]
fn recordings_of_other_lengths_are_compared_by_rates() {
    let scratch = Scratch::new("rates");
    for (name, seconds, size) in [("leaks", 600, 4_000), ("longer", 1_500, 4_000), ("faster", 600, 8_000)] {
        service(&scratch.0.join(name), seconds, size);
    }
    let write = ["leaks", "--per", "minute", "--by", "stack", "--write-baseline", "base.json"];
    assert_eq!(status(&scratch, &write), 0);
    for (name, expected) in [("leaks", 0), ("longer", 0), ("faster", 1)] {
        let value = json(&scratch, &[name, "--baseline", "base.json"]);
        assert_eq!(value["exit_status"], expected, "{name}: {value}");
    }
    let printed = text(&check(&scratch, &["faster", "--baseline", "base.json"]).stdout);
    assert!(printed.contains("\ngrowth per minute\n") && printed.contains("+100%"), "{printed}");
    // Without rates, what is unfreed is compared.
    assert_eq!(status(&scratch, &["leaks", "--by", "stack", "--write-baseline", "plain.json"]), 0);
    assert_eq!(status(&scratch, &["longer", "--baseline", "plain.json"]), 1);
    // A unit is a baseline's own.
    for (arguments, why) in [
        (
            &["leaks", "--baseline", "base.json", "--per", "mark"][..],
            "unfreed: --per mark: 0 marks in the window",
        ),
        (
            &["leaks", "--baseline", "base.json", "--per", "request", "--requests", "600"],
            "unfreed: base.json: its growth is per minute, not per request",
        ),
        (
            &["leaks", "--max-growth", "1/minute", "--per", "mark"],
            "unfreed: --max-growth: it is per minute; leave out --per mark",
        ),
        (
            &["leaks", "--max-growth", "1/request", "--by", "line"],
            "unfreed: --per request: no function is known",
        ),
    ] {
        let line = refused(&scratch, arguments);
        assert!(line.starts_with(why), "{line}");
    }
}

#[test]
fn what_is_too_short_to_tell_growth_is_incomplete() {
    let scratch = Scratch::new("short");
    service(&scratch.0.join("short"), 1, 4_000);
    assert_eq!(status(&scratch, &["short", "--max-growth", "0/minute"]), 3);
    assert_eq!(status(&scratch, &["short", "--max-growth", "0/request", "--requests", "9"]), 3);
    assert_eq!(status(&scratch, &["short", "--max-growth", "0/request", "--requests", "10"]), 0);
    assert_eq!(status(&scratch, &["short", "--max-growth", "0/minute", "--allow-incomplete"]), 0);
}
