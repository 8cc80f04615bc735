//! `unfreed growth` of a service with several workers: the line that leaks grows by what each request leaves, requests are
//! those that were sent, while it runs and afterwards, from a mark on, with workers that come and go, and without events.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use e2e::growth::{self, Growth};
use e2e::{MemoryGroup, Program, Scratch, Service, artifacts, python};
use serde_json::Value;

/// `bytes(100_000)`, what each request of `wsgi_leak.py` leaves behind.
const SIZE: f64 = 100_033.0;
const REQUESTS: u64 = 120;

/// How many requests each process has answered, by its pid.
type Answered = BTreeMap<u64, u64>;

fn source(name: &str) -> PathBuf {
    artifacts::sources().join("python").join(name)
}

/// gunicorn with two workers that serve one request at a time.
fn gunicorn(options: &[&str]) -> Option<Program> {
    let newest = python::oldest_and_newest().last()?;
    let skipped = |reason: &String| eprintln!("skipped: no gunicorn for {newest}: {reason}");
    let python = newest.with(&["gunicorn"]).inspect_err(skipped).ok()?;
    let program = python.bare().arg("-m").arg("gunicorn").arg("--config").arg(source("gunicorn_port.py"));
    let program = program.arg("--pythonpath").arg(source("")).arg("--workers").arg("2");
    Some(options.iter().fold(program, |program, option| program.arg(option)).arg("wsgi_leak"))
}

/// Each third request leaks nothing.
fn ask(service: &Service, requests: u64, answered: &mut Answered) {
    for request in 0..requests {
        let path = if request % 3 == 2 { "/" } else { "/leak" };
        let pid = service.get(path).parse().expect("the answer is a pid");
        *answered.entry(pid).or_default() += 1;
    }
}

fn growth(recording: &Path, options: &[&str]) -> Value {
    let output = Program::unfreed("growth").arg(recording).arg("--format").arg("json");
    let output = options.iter().fold(output, |program, option| program.arg(option)).run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("growth is JSON")
}

/// The line that leaks, which is the first row.
fn leak(growth: &Value) -> &Value {
    let line = artifacts::line_with(&source("wsgi_leak.py"), "# the leak");
    let site = &growth["sites"][0];
    assert_eq!((&site["line"], &site["verdict"]), (&line.into(), &"GROWING".into()), "{site}");
    assert!(site["file"].as_str().is_some_and(|file| file.ends_with("/wsgi_leak.py")), "{site}");
    site
}

fn assert_requests(growth: &Value, answered: &Answered) {
    let found: Answered = growth["processes"]
        .as_array()
        .expect("processes are a list")
        .iter()
        .map(|process| {
            (process["pid"].as_u64().expect("a pid"), process["requests"].as_u64().expect("a count"))
        })
        .filter(|(_, requests)| *requests > 0)
        .collect();
    assert_eq!(&found, answered, "as many requests as were answered, by each process");
    assert_eq!((&growth["per"], &growth["requests"]["servers"][0]), (&"request".into(), &"gunicorn".into()));
}

/// What a request leaves, of those that come to the line.
fn assert_rate(site: &Value) {
    let bytes = site["rate"]["bytes"]["value"].as_f64().expect("a rate");
    assert!((bytes - SIZE).abs() < SIZE / 50.0, "{}", site["rate"]);
    let share = site["rate"]["units"].as_f64().expect("units") / site["rate"]["of"].as_f64().expect("of");
    assert!((share - 2.0 / 3.0).abs() < 0.1, "two of three requests leak: {}", site["rate"]);
}

#[test]
fn each_request_is_counted_and_leaves_what_it_leaves() {
    let Some(program) = gunicorn(&[]) else { return };
    let scratch = Scratch::new("growth");
    let service = Service::start(&program.recorded_to(scratch.path()));
    let mut answered = Answered::new();
    ask(&service, REQUESTS, &mut answered);
    assert!(Program::unfreed("mark").arg(scratch.path()).arg("warm").run().status.success());
    let mut since = Answered::new();
    ask(&service, REQUESTS, &mut since);
    since.iter().for_each(|(pid, requests)| *answered.entry(*pid).or_default() += requests);
    let running = growth(scratch.path(), &[]);
    assert_requests(&running, &answered);
    assert_rate(leak(&running));
    assert!(service.end(libc::SIGTERM).success());

    let ended = growth(scratch.path(), &["--limit", "1G"]);
    assert_requests(&ended, &answered);
    assert_rate(leak(&ended));
    let forecast = &ended["forecast"];
    assert!(forecast["minutes"].as_f64().is_some_and(|minutes| minutes > 0.0), "{forecast}");
    assert_eq!(forecast["limit_bytes"], 1u64 << 30);
    let window = growth(scratch.path(), &["--since", "warm"]);
    assert_requests(&window, &since);
    assert_rate(leak(&window));
}

/// What one mark to the next leaves is what was asked for in between.
#[test]
fn by_the_mark() {
    let Some(program) = gunicorn(&[]) else { return };
    let scratch = Scratch::new("growth-marks");
    let service = Service::start(&program.recorded_to(scratch.path()));
    let mut answered = Answered::new();
    for mark in ["one", "two", "three", "four"] {
        assert!(Program::unfreed("mark").arg(scratch.path()).arg(mark).run().status.success());
        ask(&service, 60, &mut answered);
    }
    assert!(Program::unfreed("mark").arg(scratch.path()).arg("end").run().status.success());
    assert!(service.end(libc::SIGTERM).success());
    let growth = growth(scratch.path(), &["--per", "mark", "--since", "one"]);
    assert_eq!((&growth["per"], &growth["marks"]), (&"mark".into(), &5.into()));
    let rate = &leak(&growth)["rate"];
    let bytes = rate["bytes"]["value"].as_f64().expect("a rate");
    assert!((bytes - 40.0 * SIZE).abs() < 4.0 * SIZE, "40 of 60 requests leak: {rate}");
}

/// Where the events of the window are not held, unfreed blocks are judged by their age, of which a short run says nothing: it is
/// not said that something grows, nor that it was made at start-up.
#[test]
fn with_a_bounded_log_and_without_one() {
    let Some(python) = python::newest() else { return };
    let source = source("steady_leak.py");
    for most in ["1M", "0"] {
        let scratch = Scratch::new("growth-bounded");
        let program = python.program("steady_leak.py").env("UNFREED_MAX_LOG", most);
        assert!(program.recorded_to(scratch.path()).run().status.success());
        let growth = growth(scratch.path(), &[]);
        assert_eq!(growth["processes"][0]["only_unfreed"], true, "{most}");
        let line = artifacts::line_with(&source, "# the leak");
        let mut sites = growth["sites"].as_array().expect("sites").iter();
        let site = sites.find(|site| site["line"] == line).expect("the line");
        assert_eq!((&site["verdict"], &site["confidence"]), (&"PLATEAU".into(), &"low".into()), "{site}");
        let blocks = site["unfreed_blocks"].as_u64().expect("a number");
        assert!((400..410).contains(&blocks), "a block of each call, and the list: {site}");
    }
    let scratch = Scratch::new("growth-all");
    assert!(python.program("steady_leak.py").recorded_to(scratch.path()).run().status.success());
    let growth = Growth::of(scratch.path(), &["--request", "request"]);
    assert_eq!((growth.verdict(&source, "# the leak"), growth.requests()), ("GROWING", 400));
    growth::assert_near(growth.rate(&source, "# the leak"), 20_033.0, 0.02);
}

/// A pack, which is read anywhere, and workers that nobody let finish.
#[test]
fn of_a_pack_and_of_killed_workers() {
    let Some(program) = gunicorn(&[]) else { return };
    let scratch = Scratch::new("growth-pack");
    let recording = scratch.path().join("recording");
    let service = Service::start(&program.recorded_to(&recording));
    let mut answered = Answered::new();
    ask(&service, REQUESTS, &mut answered);
    for pid in answered.keys() {
        // SAFETY: no memory is touched; the process is a worker that has just answered.
        assert_eq!(unsafe { libc::kill(*pid as i32, libc::SIGKILL) }, 0);
    }
    assert!(service.end(libc::SIGTERM).success());
    let ended = growth(&recording, &[]);
    assert_requests(&ended, &answered);
    assert_rate(leak(&ended));
    let pack = scratch.path().join("pack");
    let packed = Program::unfreed("pack").arg("-o").arg(&pack).arg(&recording).run();
    assert!(packed.status.success(), "{}", packed.stderr_text());
    let packed = growth(&pack, &[]);
    for key in ["window", "requests", "processes", "sites"] {
        assert_eq!(packed[key], ended[key], "{key}");
    }
}

/// Of a process that runs in a limited cgroup it is said when that is full.
#[test]
fn when_the_limit_of_a_running_service_is_reached() {
    const MOST: u64 = 256 << 20;
    let Some(program) = gunicorn(&[]) else { return };
    let Some(group) = MemoryGroup::new("growth", MOST) else { return };
    let scratch = Scratch::new("growth-limit");
    let service = Service::start(&program.recorded_to(scratch.path()));
    let mut answered = Answered::new();
    ask(&service, REQUESTS, &mut answered);
    group.take(service.pid());
    answered.keys().for_each(|pid| group.take(*pid as u32));
    let growth = growth(Path::new(&service.pid().to_string()), &[]);
    assert_requests(&growth, &answered);
    assert_rate(leak(&growth));
    let forecast = &growth["forecast"];
    assert!(forecast["cgroup"].as_str().is_some_and(|path| group.is_at(path)), "{forecast}");
    assert_eq!((&forecast["limit_bytes"], &forecast["measured"]), (&MOST.into(), &true.into()));
    let number = |name: &str| forecast[name].as_f64().unwrap_or_else(|| panic!("no {name} in {forecast}"));
    let expected = (MOST as f64 - number("used_bytes")) / number("bytes_per_minute");
    assert!((number("minutes") - expected).abs() < expected / 1e6 && expected > 0.0, "{forecast}");
    assert!(answered.contains_key(&(number("first_pid") as u64)), "{forecast}");
    assert!(service.end(libc::SIGTERM).success());
}

/// Each process is judged in its own part of the window, and their requests are added up.
#[test]
fn workers_that_come_and_go() {
    let Some(program) = gunicorn(&["--max-requests", "40"]) else { return };
    let scratch = Scratch::new("growth");
    let service = Service::start(&program.recorded_to(scratch.path()));
    let mut answered = Answered::new();
    ask(&service, 2 * REQUESTS, &mut answered);
    assert!(service.end(libc::SIGTERM).success());
    assert!(answered.len() > 2, "workers were replaced: {answered:?}");
    let growth = growth(scratch.path(), &[]);
    assert_requests(&growth, &answered);
    assert_rate(leak(&growth));
}

#[test]
fn without_a_moment_or_a_function_it_says_what_to_do() {
    let scratch = Scratch::new("growth");
    Program::c("basic").recorded_to(scratch.path()).run();
    for (options, expected) in [
        (
            &["--per", "request"][..],
            "no function is known that works on requests; --request FUNCTION names one",
        ),
        (&["--per", "mark"], "0 marks in the window, and two are needed; 'unfreed mark"),
        (&["--request", "no_such_function"], "no stack leads through a function 'no_such_function'"),
        (&["--since", "dawn"], "there is no mark 'dawn'"),
    ] {
        let program = Program::unfreed("growth").arg(scratch.path());
        let output = options.iter().fold(program, |program, option| program.arg(option)).run();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(expected), "{options:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
