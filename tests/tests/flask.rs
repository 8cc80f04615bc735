//! A Flask server that leaks with every request, with a real interpreter: under `unfreed run`, and as workers of gunicorn.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;
use std::{fs, thread};

use e2e::{Program, Report, Scratch, artifacts, process, python, report};

const REQUESTS: u64 = 20;
/// A server has a hundred thousand stacks.
const LARGEST: &[&str] = &["-n", "50", "--all-frames"];
const LIMIT: Duration = Duration::from_secs(60);

/// The first interpreter that can have a Flask of today.
fn with_flask() -> Result<PathBuf, String> {
    let mut all = python::interpreters().iter();
    let recent = all.find(|python| python.version >= (3, 9)).ok_or("no Python 3.9 or later")?;
    recent.with(&["flask", "gunicorn"]).map(|python| python.path)
}

fn get_foo(port: u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit can be set");
    stream.write_all(b"GET /foo HTTP/1.0\r\n\r\n").expect("a request can be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    assert!(answer.contains(" 200 ") && answer.contains("true"), "{answer}");
}

/// Runs the demo's app, sends the requests and ends it, all under `unfreed run`.
fn record(python: &Path, directory: &Path) {
    let mut command = artifacts::unfreed_command();
    command.arg("run").arg("-o").arg(directory).arg("--").arg(python);
    command.arg(artifacts::repository().join("scripts/demo.d/app.py"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut server = command.spawn().expect("unfreed starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(server.stdout.take().expect("a pipe"));
    stdout.read_line(&mut line).expect("the server prints its port");
    let port = line.trim().parse().unwrap_or_else(|_| panic!("a port and not {line:?}"));
    (0..REQUESTS).for_each(|_| get_foo(port));
    // SAFETY: no memory is touched; the process was started here and is not yet waited for.
    assert_eq!(unsafe { libc::kill(server.id() as i32, libc::SIGTERM) }, 0);
    let status = process::wait(server, LIMIT).expect("the server ends on SIGTERM");
    assert!(status.success(), "{status}");
}

#[test]
fn each_request_leaks_one_list() {
    let python = match with_flask() {
        Ok(python) => python,
        Err(reason) => return eprintln!("skipped: no Flask: {reason}"),
    };
    let scratch = Scratch::new("flask");
    let directory = scratch.path().join("recording");
    record(&python, &directory);
    let report = Report::with(&directory, LARGEST);
    assert_eq!(report.lost(), 0);
    // 40,000 pointers, and nothing else in the server is of that size.
    let leaks: Vec<_> =
        report.sites().iter().filter(|site| site["unfreed_bytes"] == 320_000 * REQUESTS).collect();
    assert_eq!(leaks.len(), 1, "one stack has {REQUESTS} lists");
    assert_eq!(leaks[0]["unfreed_blocks"], REQUESTS);
    let functions: Vec<_> = report::functions(leaks[0]).collect();
    assert!(
        functions.iter().any(|name| name.starts_with("list_repeat")) || stripped(&python),
        "{functions:?}"
    );
    assert!(functions.iter().any(|name| name.contains("PyEval")), "{functions:?}");
}

/// Starts gunicorn with two workers, recorded; returns it and the port that it listens on.
fn gunicorn(python: &Path, directory: &Path) -> (Child, u16) {
    fs::create_dir(directory).expect("the directory can be made");
    let program = ["-m", "gunicorn", "-w", "2", "-b", "127.0.0.1:0", "app:app", "--pythonpath"];
    let program = program.iter().fold(Program::new(python), |program, argument| program.arg(argument));
    let program = program.arg(artifacts::repository().join("scripts/demo.d")).recorded_to(directory);
    let mut command = program.command();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut master = command.spawn().expect("gunicorn starts");
    let mut lines = BufReader::new(master.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let listening = lines.find(|line| line.contains("Listening at: ")).expect("gunicorn listens");
    // Its pipe must not be full, nor closed.
    thread::spawn(move || lines.for_each(drop));
    let port = listening.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    (master, port.expect("a port"))
}

/// Read while the service runs: the master, the workers, and every leak.
#[test]
fn gunicorn_workers() {
    let python = match with_flask() {
        Ok(python) => python,
        Err(reason) => return eprintln!("skipped: no Flask: {reason}"),
    };
    let scratch = Scratch::new("gunicorn");
    let directory = scratch.path().join("recording");
    let (master, port) = gunicorn(&python, &directory);
    (0..REQUESTS).for_each(|_| get_foo(port));
    let report = Report::with(&directory, LARGEST);
    // SAFETY: no memory is touched; the process was started here and is not yet waited for.
    assert_eq!(unsafe { libc::kill(master.id() as i32, libc::SIGTERM) }, 0);
    let status = process::wait(master, LIMIT).expect("gunicorn ends on SIGTERM");
    assert!(status.success(), "{status}");
    report.assert_sound();
    // The second worker need not have begun while the first answers.
    assert!((2..=3).contains(&report.processes().len()), "master and one or two workers");
    let number = |site: &serde_json::Value, name: &str| site[name].as_u64().expect("a site has numbers");
    let lists = report.sites().iter().filter(|site| {
        number(site, "unfreed_blocks") > 0
            && number(site, "unfreed_bytes") == 320_000 * number(site, "unfreed_blocks")
    });
    assert_eq!(lists.map(|site| number(site, "unfreed_blocks")).sum::<u64>(), REQUESTS);
}

/// A distribution's interpreter has the names of what it exports and no others.
fn stripped(python: &Path) -> bool {
    let bytes = fs::read(python).expect("the interpreter can be read");
    !bytes.windows(11).any(|window| window == b"list_repeat")
}
