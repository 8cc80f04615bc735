//! What grows in a service and what does not: the classes of leaks, and what looks like them, each with its line, its
//! verdict and its bytes a request.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::growth::{self, Growth};
use e2e::{Program, Scratch, Service, Target, artifacts, python};
use serde_json::Value;

/// Of each path. Bounded stores are full after a tenth of them.
const ROUNDS: u64 = 150;
const UNCLOSED: [&str; 3] = ["# unclosed connection", "# unclosed connection's table", "# unclosed file"];

/// How many requests were answered, and how many bytes they have kept by their own account.
#[derive(Default)]
struct Kept {
    requests: u64,
    bytes: u64,
}

impl Kept {
    fn a_request(&self) -> f64 {
        self.bytes as f64 / self.requests as f64
    }
}

/// What each path kept, in rounds: all paths are asked for until the end.
fn drive(
    service: &Service,
    paths: &[&'static str],
    rounds: u64,
    at_once: usize,
) -> BTreeMap<&'static str, Kept> {
    let mut kept: BTreeMap<_, Kept> = BTreeMap::new();
    for _ in 0..rounds {
        for path in paths {
            // A worker that waits for the end of one request leaves the other to the other worker.
            let begun: Vec<_> = (0..at_once).map(|_| service.begin(path)).collect();
            for request in begun {
                let path = kept.entry(*path).or_default();
                path.requests += 1;
                path.bytes += request.answer().parse::<u64>().unwrap_or(0);
            }
        }
    }
    kept
}

/// Two workers of gunicorn serve the classes of leaks.
fn gunicorn(collector: &str) -> Option<Program> {
    let python = python::newest()?.with(&["flask", "gunicorn"]);
    let python = python.inspect_err(|reason| eprintln!("skipped: no Flask: {reason}")).ok()?;
    let folder = artifacts::sources().join("python");
    let program = python.bare().env("COLLECTOR", collector).arg("-m").arg("gunicorn").arg("--config");
    let program = program.arg(folder.join("gunicorn_port.py")).arg("--pythonpath").arg(&folder);
    Some(program.arg("--workers").arg("2").arg("leak_classes:app"))
}

#[test]
fn classes_of_leaks_in_flask() {
    let Some(program) = gunicorn("on") else { return };
    let scratch = Scratch::new("classes");
    let service = Service::start(&program.recorded_to(scratch.path()));
    let paths = ["/unclosed", "/cycles", "/library", "/cache", "/lru", "/recent", "/lazy", "/orders"];
    let kept = drive(&service, &paths, ROUNDS, 2);
    assert!(service.end(libc::SIGTERM).success());
    let growth = Growth::of(scratch.path(), &["--per", "request"]);
    let source = artifacts::sources().join("python/leak_classes.py");
    let verdict = |mark| growth.verdict(&source, mark);

    assert_eq!(growth.requests(), kept.values().map(|path| path.requests).sum::<u64>());
    UNCLOSED.iter().for_each(|mark| assert_eq!(verdict(mark), "GROWING", "{mark}"));
    let unclosed = UNCLOSED.iter().map(|mark| growth.rate(&source, mark)).sum();
    growth::assert_near(unclosed, kept["/unclosed"].a_request(), 0.1);
    for (mark, path) in [("# library", "/library"), ("# unbounded cache", "/cache")] {
        assert_eq!(verdict(mark), "GROWING", "{mark}");
        growth::assert_near(growth.rate(&source, mark), kept[path].a_request(), 0.05);
    }
    assert_eq!(verdict("# cycle"), "GC-ONLY");
    assert_eq!(verdict("# start-up data"), "RESIDENT");
    assert!(["PLATEAU", "RESIDENT"].contains(&verdict("# lazy data")), "{}", verdict("# lazy data"));
    assert_eq!(verdict("# least recently used"), "PLATEAU");
    assert_eq!(verdict("# bounded cache"), "PLATEAU");
    let grows = [&UNCLOSED[..], &["# library", "# unbounded cache", "# key of an order"]].concat();
    assert_eq!(growth.others(&source, &grows), Vec::<String>::new());

    // All that grows, shared among all requests, those too that leave nothing.
    let leaked: u64 = ["/unclosed", "/library", "/cache"].map(|path| kept[path].bytes).iter().sum();
    growth::assert_near(growth_checked(scratch.path()), leaked as f64 / growth.requests() as f64, 0.1);
}

/// Bytes for each request that `unfreed check` finds.
fn growth_checked(recording: &Path) -> f64 {
    let mut check = artifacts::unfreed_command();
    let check = check.arg("check").arg(recording).args(["--max-growth", "1/request", "--format", "json"]);
    let output = check.output().expect("unfreed starts");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let checked: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    checked["limits"][0]["found"].as_f64().expect("a number")
}

#[test]
fn cycles_that_nothing_collects() {
    let Some(program) = gunicorn("off") else { return };
    let scratch = Scratch::new("cycles");
    let service = Service::start(&program.recorded_to(scratch.path()));
    let kept = drive(&service, &["/cycles", "/orders"], ROUNDS, 2);
    assert!(service.end(libc::SIGTERM).success());
    let growth = Growth::of(scratch.path(), &["--per", "request"]);
    let source = artifacts::sources().join("python/leak_classes.py");
    assert_eq!(growth.verdict(&source, "# cycle"), "GROWING");
    growth::assert_near(growth.rate(&source, "# cycle"), kept["/cycles"].a_request(), 0.05);
}

#[test]
fn server_in_cpp() {
    let scratch = Scratch::new("server");
    let server = Target::new("cpp/server.cpp").build();
    let service = Service::start(&Program::new(server).recorded_to(scratch.path()));
    let kept = drive(&service, &["/map", "/bounded", "/arena"], 10 * ROUNDS, 1);
    assert!(!service.end(libc::SIGTERM).success());
    let growth = Growth::of(scratch.path(), &["--per", "request", "--request", "handle"]);
    let source = artifacts::sources().join("cpp/server.cpp");
    let verdict = |mark| growth.verdict(&source, mark);
    assert_eq!(growth.requests(), 30 * ROUNDS);
    assert_eq!(verdict("// unbounded"), "GROWING");
    growth::assert_near(growth.rate(&source, "// unbounded"), kept["/map"].a_request(), 0.02);
    assert_eq!(verdict("// bounded"), "PLATEAU");
    assert_eq!(verdict("// arena"), "TEMPORARY");
    assert_eq!(verdict("// one-time table"), "RESIDENT");
    assert_eq!(growth.others(&source, &["// unbounded", "// unbounded index"]), Vec::<String>::new());
}

/// The C extension, compiled for an interpreter that has its headers.
fn extension() -> Option<(Program, PathBuf)> {
    let python = python::newest()?;
    let ask = ["-c", "import sysconfig; print(sysconfig.get_path('include'))"];
    let output = Command::new(&python.path).args(ask).output().expect("an interpreter starts");
    let include = String::from_utf8(output.stdout).expect("a path is text");
    let include = Path::new(include.trim());
    if !include.join("Python.h").exists() {
        eprintln!("skipped: no headers of {python}");
        return None;
    }
    let built = Target::new("c/leaky_extension.c").flag(&format!("-I{}", include.display())).shared().build();
    let source = artifacts::sources().join("python/leaky_extension.py");
    Some((python.bare().arg(&source).arg(built), source))
}

#[test]
fn extension_without_decref_and_without_free() {
    let Some((program, source)) = extension() else { return };
    let scratch = Scratch::new("extension");
    let outcome = program.recorded_to(scratch.path()).run();
    assert!(outcome.status.success(), "{}", outcome.stderr_text());
    let growth = Growth::of(scratch.path(), &["--per", "request", "--request", "request"]);
    for mark in ["# a missing decref", "# a missing free"] {
        assert_eq!(growth.verdict(&source, mark), "GROWING");
        growth::assert_near(growth.rate(&source, mark), 1000.0, 0.05);
    }
    assert_eq!(growth.verdict(&source, "# correct"), "TEMPORARY");
    assert_eq!(growth.others(&source, &["# a missing decref", "# a missing free"]), Vec::<String>::new());
}
