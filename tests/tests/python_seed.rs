//! The experiment that the project was made for: a Flask app with a leaking line, after 10 requests and after 60.

use std::path::Path;

use e2e::{Interpreter, Program, Scratch, Service, artifacts, python, report};
use serde_json::Value;

/// Bytes of a list without its elements' pointers, with the collector's header, in one version or another.
const LIST_OBJECT: std::ops::RangeInclusive<i64> = 40..=72;

/// How a service is ended.
#[derive(Clone, Copy)]
enum End {
    /// On SIGTERM: the interpreter frees its globals, the leak with them.
    Orderly,
    /// By SIGKILL.
    Killed,
}

fn end(service: Service, how: End) {
    match how {
        End::Orderly => assert!(service.end(libc::SIGTERM).success(), "an orderly end"),
        End::Killed => assert!(!service.end(libc::SIGKILL).success(), "killed"),
    }
}

fn record(program: &Program, requests: usize, how: End, directory: &Path) {
    std::fs::create_dir(directory).expect("the directory can be made");
    let service = Service::start(&program.clone().recorded_to(directory));
    (0..requests).for_each(|_| drop(service.get("/foo")));
    end(service, how);
}

/// Size of one list, and what tracemalloc says that the line has more after 60 requests than after 10.
fn traced(program: &Program) -> (u64, [u64; 2]) {
    let service = Service::start(&program.clone().env("PYTHONTRACEMALLOC", "1"));
    let count_after = |requests: usize| -> [u64; 2] {
        (0..requests).for_each(|_| drop(service.get("/foo")));
        let answer = service.get("/count");
        let (blocks, bytes) = answer.split_once(' ').expect("two numbers");
        [blocks, bytes].map(|number| number.parse().expect("a number"))
    };
    let (old, new) = (count_after(10), count_after(50));
    let size = service.get("/size").parse().expect("a size");
    end(service, End::Killed);
    (size, [new[0] - old[0], new[1] - old[1]])
}

fn difference(old: &Path, new: &Path, options: &[&str]) -> Value {
    let mut command = artifacts::unfreed_command();
    command.arg("diff").args([old, new]).args(["--format", "json"]).args(options);
    let output = command.output().expect("unfreed starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the difference is JSON")
}

fn delta(site: &Value, name: &str) -> i64 {
    site[name].as_i64().expect("a number")
}

/// The two recordings, unless there is no Flask.
fn experiment(python: &Interpreter, how: End) -> Option<Scratch> {
    let python = match python.with(&["flask"]) {
        Ok(python) => python,
        Err(reason) => {
            eprintln!("skipped: no Flask for {python}: {reason}");
            return None;
        }
    };
    let program = python.program("seed.py");
    let scratch = Scratch::new("seed");
    let [old, new] = ["10", "60"].map(|requests| scratch.path().join(requests));
    record(&program, 10, how, &old);
    record(&program, 60, how, &new);
    let (list, [blocks, bytes]) = traced(&program);

    let lines = difference(&old, &new, python::BY_LINE);
    let first = &lines["sites"][0];
    let frame = &first["stack"][0];
    assert!(
        frame["file"].as_str().is_some_and(|file| file.ends_with("/python/seed.py")),
        "{python}: {first}"
    );
    let source = artifacts::sources().join("python/seed.py");
    let source = std::fs::read_to_string(source).expect("the source can be read");
    let line = source.lines().position(|text| text.ends_with("# the leak")).expect("the line is marked") + 1;
    assert_eq!(
        (frame["line"].as_u64(), frame["function"].as_str()),
        (Some(line as u64), Some("_get_foo")),
        "{python}"
    );
    let found = (delta(first, "delta_blocks"), delta(first, "delta_bytes"));
    // A list object may come off the interpreter's free list: to tracemalloc it is new, to its allocator it never left.
    let reused = blocks as i64 - found.0;
    assert!(reused.abs() <= 2, "{python}: {} blocks, tracemalloc has {blocks}", found.0);
    let missing = bytes as i64 - found.1;
    match reused {
        0 => assert_eq!(missing, 0, "{python}: bytes of tracemalloc"),
        _ => {
            assert!(LIST_OBJECT.contains(&(missing / reused)), "{python}: {missing} bytes for {reused} lists")
        }
    }
    let lists = 50 * list as i64;
    assert!((found.1 - lists).abs() * 100 <= lists, "{python}: {} bytes for 50 lists of {list}", found.1);
    Some(scratch)
}

#[test]
fn after_an_orderly_end() {
    python::on_each(|python| drop(experiment(python, End::Orderly)));
}

/// Nothing of this depends on the version. By stack, a list is two blocks: its pointers, and what holds their address.
#[test]
fn after_a_kill() {
    let Some(scratch) = python::newest().and_then(|python| experiment(python, End::Killed)) else { return };
    let [old, new] = ["10", "60"].map(|requests| scratch.path().join(requests));
    let stacks = difference(&old, &new, &["--focus", "_get_foo"]);
    let all = stacks["sites"].as_array().expect("sites");
    let pointers = all.iter().filter(|site| {
        let innermost = report::python_frames(site).next();
        delta(site, "delta_blocks") > 0
            && delta(site, "delta_bytes") == 320_000 * delta(site, "delta_blocks")
            && innermost.is_some_and(|frame| frame["function"] == "_get_foo")
    });
    assert_eq!(pointers.map(|site| delta(site, "delta_blocks")).sum::<i64>(), 50);
}
