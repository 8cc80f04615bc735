//! Workers of a server under load that are killed at random instants: the live table of each says what its events say, and
//! both say what it answered.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use e2e::limits::hold;
use e2e::{Program, Report, Scratch, Service, artifacts, python, replay, report};

/// Only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(60);
/// `bytes(100_000)`, what each request leaves behind.
const SIZE: u64 = 100_033;

/// How many requests each process has answered, by its pid.
type Answered = BTreeMap<i32, u64>;

/// One request for a leak; the process that answered, `None` where it was killed before.
fn leak(port: u16) -> Option<i32> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.write_all(b"GET /leak HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n")?.1.parse().ok()
}

fn gunicorn() -> Option<Program> {
    let python = python::newest()?;
    let python =
        python.with(&["gunicorn"]).inspect_err(|reason| eprintln!("skipped: no gunicorn: {reason}")).ok()?;
    let sources = artifacts::sources().join("python");
    let program = python.bare().arg("-m").arg("gunicorn").arg("--workers").arg("2").arg("--config");
    Some(program.arg(sources.join("gunicorn_port.py")).arg("--pythonpath").arg(sources).arg("wsgi_leak"))
}

/// Kills a worker at a random instant after it has answered, so often.
fn kill_workers(port: u16, kills: u64, answered: &Mutex<Answered>) -> Vec<i32> {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut killed: Vec<i32> = Vec::new();
    let begun = Instant::now();
    let mut last_kill = Instant::now();
    while (killed.len() as u64) < kills {
        assert!(last_kill.elapsed() < LIMIT, "no worker answers after {} kills: {begun:?}", killed.len());
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let Some(pid) = leak(port) else { continue };
        *answered.lock().expect("no panic").entry(pid).or_default() += 1;
        if killed.contains(&pid) {
            continue;
        }
        // Within some requests of the other client, to any instant of which the instant of the kill falls.
        let until = Instant::now() + Duration::from_micros((random >> 33) % 20_000);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        // SAFETY: no memory is touched; the process is a worker of the server that the test has started, which does not
        // end by itself.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        killed.push(pid);
        last_kill = Instant::now();
    }
    killed
}

fn workers_are_killed(kills: u64) {
    let Some(program) = gunicorn() else { return };
    let scratch = Scratch::new("killed-workers");
    let service = Service::start(&program.recorded_to(scratch.path()));
    let (answered, done) = (Mutex::new(Answered::new()), AtomicBool::new(false));
    let killed = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                if let Some(pid) = leak(service.port()) {
                    *answered.lock().expect("no panic").entry(pid).or_default() += 1;
                }
            }
        });
        let killed = kill_workers(service.port(), kills, &answered);
        done.store(true, Relaxed);
        killed
    });
    assert!(service.end(libc::SIGTERM).success());

    let files = replay::read_directory(scratch.path());
    let mut wrong = 0;
    for pid in &killed {
        let file = files.iter().find(|file| file.header.pid == *pid as u32);
        let file = file.unwrap_or_else(|| panic!("worker {pid} has no recording"));
        assert_eq!(file.impossible, Vec::<String>::new(), "{}", file.path.display());
        wrong += u64::from(std::panic::catch_unwind(|| file.assert_table()).is_err());
    }
    hold(&format!("{} kills of workers: tables that are not their events", killed.len()), wrong, 0, "tables");

    // A request may have left its block before its answer: those that were killed have one more for each client at most.
    let answered = answered.into_inner().expect("no panic");
    for source in ["table", "events"] {
        let report =
            Report::with(scratch.path(), &["--by", "process", "--focus", "^leak$", "--from", source]);
        report.assert_sound();
        let mut found = 0;
        for site in report.sites() {
            let name = site["name"].as_str().expect("a group has a name");
            let number =
                name.strip_prefix("pid ").and_then(|rest| rest.split([',', ':']).next()?.parse().ok());
            let pid: i32 = number.unwrap_or_else(|| panic!("a pid and not {name:?}"));
            let requests = answered.get(&pid).copied().unwrap_or(0);
            let more = if killed.contains(&pid) { 2 } else { 0 };
            let blocks = report::number(site, "unfreed_blocks");
            assert!(
                (requests..=requests + more).contains(&blocks),
                "{source}, {pid}: {requests} and {blocks}"
            );
            assert_eq!(report::number(site, "unfreed_bytes"), blocks * SIZE, "{source}, {pid}");
            found += 1;
        }
        assert!(found >= answered.len(), "{found} of {} processes", answered.len());
    }
}

#[test]
fn some_are_killed() {
    workers_are_killed(8);
}

#[test]
#[ignore = "the long form, for scripts/limits"]
fn many_are_killed() {
    workers_are_killed(200);
}
