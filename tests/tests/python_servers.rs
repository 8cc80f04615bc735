//! Servers with several workers: the line that leaks is named with the sum of all workers, and with each one's own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::{Interpreter, Program, Report, Scratch, Service, artifacts, process, python, report};
use serde_json::Value;

/// `bytes(100_000)`, what each request leaves behind.
const SIZE: u64 = 100_033;
const REQUESTS: u64 = 20;

/// How many requests each process has answered, by its pid.
type Answered = BTreeMap<u64, u64>;

fn source(name: &str) -> PathBuf {
    artifacts::sources().join("python").join(name)
}

/// Two requests at a time, so that each worker that serves one at a time has some, until there were enough and they were
/// answered by so many processes.
fn leak(service: &Service, requests: u64, processes: usize) -> Answered {
    let mut answered = Answered::new();
    let enough =
        |answered: &Answered| answered.values().sum::<u64>() >= requests && answered.len() >= processes;
    while !enough(&answered) {
        assert!(
            answered.values().sum::<u64>() < 100 * requests,
            "{processes} processes answer: {answered:?}"
        );
        let both = [service.begin("/leak"), service.begin("/leak")];
        for request in both {
            let pid = request.answer().parse().expect("the answer is a pid");
            *answered.entry(pid).or_default() += 1;
        }
    }
    answered
}

/// The line that leaks holds what was answered: of all processes together, and of each.
fn assert_line(recording: &Path, source: &Path, answered: &Answered) {
    let report = Report::with(recording, &["--by", "line", "--focus", "^leak$"]);
    report.assert_sound();
    for process in report.processes() {
        assert_eq!(process["merge_mismatches"], 0, "{process}");
        assert_eq!(process["python_bad_frames"], 0, "{process}");
    }
    let [line] = report.sites() else { panic!("one line leaks: {:#?}", report.sites()) };
    let frame = &line["stack"][0];
    assert_eq!(frame["line"], artifacts::line_with(source, "# the leak"), "{line}");
    assert_eq!(unfreed(line), blocks(answered.values().sum()), "{line}");

    let by_process = Report::with(recording, &["--by", "process", "--focus", "^leak$"]);
    let found: Vec<_> = by_process.sites().iter().map(|site| (pid(site), unfreed(site))).collect();
    for (pid, requests) in answered {
        assert!(found.contains(&(*pid, blocks(*requests))), "{pid}: {requests} requests: {found:?}");
    }
    assert_eq!(found.len(), answered.len(), "{found:?}");
}

fn unfreed(site: &Value) -> [u64; 2] {
    ["unfreed_blocks", "unfreed_bytes"].map(|name| report::number(site, name))
}

fn blocks(requests: u64) -> [u64; 2] {
    [requests, requests * SIZE]
}

/// The process that a row of `--by process` is of.
fn pid(site: &Value) -> u64 {
    let name = site["name"].as_str().expect("a group has a name");
    let number = name.strip_prefix("pid ").and_then(|rest| rest.split([',', ':']).next()?.parse().ok());
    number.unwrap_or_else(|| panic!("a pid and not {name:?}"))
}

/// Runs `program` recorded, has it leak, and ends it with SIGTERM.
fn serve(program: &Program, requests: u64) -> (Scratch, Answered) {
    let scratch = Scratch::new("server");
    let service = Service::start(&program.clone().recorded_to(scratch.path()));
    let answered = leak(&service, requests, 2);
    let status = service.end(libc::SIGTERM);
    assert!(status.success(), "{program}: {status}");
    assert_line(scratch.path(), &source("wsgi_leak.py"), &answered);
    (scratch, answered)
}

fn newest() -> &'static Interpreter {
    python::oldest_and_newest().last().expect("an interpreter whose Python frames are recorded")
}

/// The interpreter with these packages, or a message.
fn with(python: &Interpreter, packages: &[&str]) -> Option<Interpreter> {
    let skipped = |reason: &String| eprintln!("skipped: no {packages:?} for {python}: {reason}");
    python.with(packages).inspect_err(skipped).ok()
}

fn gunicorn(python: &Interpreter, options: &[&str]) -> Option<Program> {
    let python = with(python, &["gunicorn"])?;
    let program = python.bare().arg("-m").arg("gunicorn").arg("--config").arg(source("gunicorn_port.py"));
    let program = program.arg("--pythonpath").arg(source("")).arg("--workers").arg("2");
    Some(options.iter().fold(program, |program, option| program.arg(option)).arg("wsgi_leak"))
}

#[test]
fn gunicorn_sync() {
    for python in python::oldest_and_newest() {
        let Some(program) = gunicorn(python, &[]) else { return };
        serve(&program, REQUESTS);
    }
}

#[test]
fn gunicorn_threads_after_preload() {
    let Some(program) = gunicorn(newest(), &["--preload", "--worker-class", "gthread", "--threads", "2"])
    else {
        return;
    };
    serve(&program, REQUESTS);
}

/// Workers that end after some requests, and one that is killed, are in the sum as those that replace them.
#[test]
fn gunicorn_workers_that_come_and_go() {
    let Some(program) = gunicorn(newest(), &["--max-requests", "5"]) else { return };
    let scratch = Scratch::new("server");
    let service = Service::start(&program.clone().recorded_to(scratch.path()));
    let mut answered = leak(&service, REQUESTS, 4);
    let killed: i32 = service.get("/").parse().expect("a pid");
    // SAFETY: no memory is touched; the process is a worker of the server that was started here and not ended. One
    // that ends by itself meanwhile is not reaped before its master has seen it.
    unsafe { libc::kill(killed, libc::SIGKILL) };
    for (pid, requests) in leak(&service, REQUESTS, 2) {
        *answered.entry(pid).or_default() += requests;
    }
    assert!(service.end(libc::SIGTERM).success());
    assert_line(scratch.path(), &source("wsgi_leak.py"), &answered);
}

/// What more requests leave behind is the first row of the difference, though the workers are others.
#[test]
fn difference_of_two_runs() {
    let Some(program) = gunicorn(newest(), &[]) else { return };
    let sum = |answered: &Answered| answered.values().sum::<u64>();
    // More are sent than asked for if they all go to one worker at first.
    let (old, few) = serve(&program, REQUESTS);
    let (new, many) = serve(&program, sum(&few) + 2 * REQUESTS);
    let mut command = artifacts::unfreed_command();
    command.arg("diff").args([old.path(), new.path()]).args(["--by", "line", "--format", "json"]);
    let output = command.output().expect("unfreed starts");
    let difference: Value = serde_json::from_slice(&output.stdout).expect("the difference is JSON");
    let first = &difference["sites"][0];
    let leaked = sum(&many) - sum(&few);
    assert_eq!([&first["delta_blocks"], &first["delta_bytes"]], [leaked, leaked * SIZE], "{first}");
    let line = artifacts::line_with(&source("wsgi_leak.py"), "# the leak");
    assert_eq!((&first["stack"][0]["line"], &first["stack"][0]["function"]), (&line.into(), &"leak".into()));
}

/// The service serves other requests all the while, at its marks too.
#[test]
fn difference_of_two_marks() {
    let Some(program) = gunicorn(newest(), &[]) else { return };
    let scratch = Scratch::new("server");
    let service = Service::start(&program.clone().recorded_to(scratch.path()));
    let done = AtomicBool::new(false);
    let between = thread::scope(|scope| {
        let others = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                service.get("/");
            }
        });
        let ended = End(&done);
        let mark =
            |name| assert!(Program::unfreed("mark").arg(scratch.path()).arg(name).run().status.success());
        leak(&service, REQUESTS, 2);
        mark("warm");
        let between = leak(&service, REQUESTS, 2);
        mark("end");
        leak(&service, REQUESTS, 2);
        assert_leaked_between_marks(scratch.path(), &between);
        drop(ended);
        others.join().expect("requests are answered");
        between
    });
    assert!(service.end(libc::SIGTERM).success());
    assert_leaked_between_marks(scratch.path(), &between);
}

/// Sets the flag when it goes, also while a test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn assert_leaked_between_marks(recording: &Path, between: &Answered) {
    let at = |mark| format!("{}@{mark}", recording.display());
    let diff = Program::unfreed("diff").arg(at("warm")).arg(at("end"));
    let outcome = diff.arg("--by").arg("line").arg("--format").arg("json").run();
    let difference: Value = serde_json::from_slice(&outcome.stdout).expect("the difference is JSON");
    let first = &difference["sites"][0];
    let leaked: u64 = between.values().sum();
    assert_eq!([&first["delta_blocks"], &first["delta_bytes"]], [leaked, leaked * SIZE], "{first}");
    let line = artifacts::line_with(&source("wsgi_leak.py"), "# the leak");
    assert_eq!((&first["stack"][0]["line"], &first["stack"][0]["function"]), (&line.into(), &"leak".into()));

    let options = ["--born", "warm..end", "--by", "process", "--focus", "^leak$"];
    let report = Report::with(recording, &options);
    let sites = report.sites().iter().filter(|site| report::number(site, "unfreed_blocks") > 0);
    let found: Answered = sites.map(|site| (pid(site), report::number(site, "unfreed_blocks"))).collect();
    assert_eq!(found, *between, "of each worker");
}

fn uwsgi(python: &Interpreter, uwsgi: &Path, options: &[&str]) -> Program {
    let program = python.bare().arg(source("uwsgi_port.py")).arg(uwsgi);
    let program = options.iter().fold(program, |program, option| program.arg(option));
    let program = program.arg("--master").arg("--die-on-term").arg("--workers").arg("2");
    program.arg("--wsgi-file").arg(source("wsgi_leak.py"))
}

#[test]
fn uwsgi_with_the_interpreter_in_it() {
    let Some(python) = with(newest(), &["uwsgi"]) else { return };
    serve(&uwsgi(&python, &python.path.with_file_name("uwsgi"), &[]), REQUESTS);
}

/// The interpreter comes with a plugin, after `main` has begun.
#[test]
fn uwsgi_that_loads_the_interpreter() {
    let path = Path::new("/usr/bin/uwsgi");
    let plugin = Command::new(path).args(["--plugin", "python3", "--version"]).output();
    if !plugin.is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: no {} with the plugin python3", path.display());
    }
    serve(&uwsgi(newest(), path, &["--plugin", "python3"]), REQUESTS);
}

#[test]
fn celery_prefork() {
    let Some(python) = with(newest(), &["celery"]) else { return };
    let [scratch, messages] = ["server", "messages"].map(Scratch::new);
    let source = source("celery_leak.py");
    let program = python.bare().arg(&source).arg(messages.path());
    let sent = program.clone().arg("send").arg(REQUESTS.to_string()).run();
    assert!(sent.status.success(), "{}", sent.stderr_text());

    let mut command = program.arg("work").recorded_to(scratch.path()).command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut master = command.spawn().expect("celery starts");
    let lines = BufReader::new(master.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut answered = Answered::new();
    for pid in lines.filter_map(|line| line.strip_prefix("done ")?.parse().ok()).take(REQUESTS as usize) {
        *answered.entry(pid).or_default() += 1;
    }
    assert_eq!((answered.len(), answered.values().sum::<u64>()), (2, REQUESTS), "{answered:?}");
    // SAFETY: no memory is touched; the process was started here and is not yet waited for.
    assert_eq!(unsafe { libc::kill(master.id() as i32, libc::SIGTERM) }, 0);
    let status = process::wait(master, Duration::from_secs(60)).expect("celery ends on SIGTERM");
    assert!(status.success(), "{status}");
    assert_line(scratch.path(), &source, &answered);
}
