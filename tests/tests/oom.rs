//! Killed by the OOM killer of a memory cgroup: the recording, which nobody could close, names what filled the memory,
//! and says when its process died. Needs a hierarchy of cgroups in which a group can be made.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use e2e::{MemoryGroup, Report, Scratch, artifacts, python};

/// The text of the report.
fn text(directory: &Path) -> String {
    let output = artifacts::unfreed_command().arg("report").arg(directory).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Of a process that was killed between `begun` and now: it says so, and when.
fn assert_killed(report: &Report, text: &str, begun: SystemTime) {
    let killed: Vec<_> = report.processes().iter().filter(|process| process["state"] == "killed").collect();
    assert_eq!(killed.len(), 1, "{text}");
    let ended = killed[0]["ended"].as_str().expect("a moment");
    let date = |time: SystemTime| {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let at = format!("@{seconds}");
        let output = Command::new("date").args(["-u", "-d", &at, "+%FT%TZ"]).output().expect("date");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    assert!((date(begun)..=date(SystemTime::now())).contains(&ended.to_owned()), "{ended}");
    assert!(
        text.contains("ended abruptly") && text.contains(&format!("ended at {ended} or later")),
        "{text}"
    );
    assert!(text.contains("OOM killer"), "{text}");
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_line_that_filled_the_memory() {
    const MOST: u64 = 64 << 20;
    let Some(group) = MemoryGroup::new("c", MOST) else { return };
    let scratch = Scratch::new("oom");
    let begun = SystemTime::now();
    let mut command = artifacts::unfreed_command();
    command.arg("run").arg("-o").arg(scratch.path().join("recording")).arg("--");
    command.arg(e2e::Target::new("c/hungry.c").build());
    let output = group.run(&command).output().expect("it starts");
    assert_eq!(output.status.code(), Some(128 + libc::SIGKILL), "{}", said(&output));
    assert!(said(&output).contains("OOM killer ended 1 process"), "{}", said(&output));
    let directory = scratch.path().join("recording");
    let report = Report::of(&directory);
    report.assert_sound();
    let filled = report.unfreed_in("fill_the_cache");
    // The rest is the program's own, the recorder's, and page tables.
    assert!(filled.bytes > MOST / 2 && filled.bytes < MOST, "{filled:?}");
    assert_eq!(filled.bytes, filled.blocks * 10_001);
    let text = text(&directory);
    assert_killed(&report, &text, begun);
    let first = text.lines().find(|line| line.contains("hungry.c")).expect("a site");
    assert!(first.contains("fill_the_cache"), "{text}");
}

/// The demo's app, whose every request keeps a list, until it is killed.
#[test]
fn the_line_of_a_flask_app() {
    let recent = python::interpreters().iter().find(|python| python.version >= (3, 9));
    let python = match recent.ok_or("no Python 3.9".to_owned()).and_then(|python| python.with(&["flask"])) {
        Ok(python) => python.path,
        Err(reason) => return eprintln!("skipped: no Flask: {reason}"),
    };
    let Some(group) = MemoryGroup::new("flask", 160 << 20) else { return };
    let scratch = Scratch::new("oom-flask");
    let directory = scratch.path().join("recording");
    let begun = SystemTime::now();
    let mut command = artifacts::unfreed_command();
    command.arg("run").arg("-o").arg(&directory).arg("--").arg(&python);
    command.arg(artifacts::repository().join("scripts/demo.d/app.py"));
    let mut server = group.run(&command).stderr(Stdio::null()).spawn().expect("it starts");
    let mut port = String::new();
    let mut stdout = BufReader::new(server.stdout.take().expect("a pipe"));
    stdout.read_line(&mut port).expect("the server prints its port");
    let port: u16 = port.trim().parse().expect("a port");
    let request = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET /foo HTTP/1.0\r\n\r\n")?;
        stream.read_to_string(&mut String::new()).map(drop)
    };
    // 320,000 bytes each.
    let answered = (0..2_000).take_while(|_| request().is_ok()).count();
    let status = server.wait().expect("the server ends");
    assert_eq!(status.code(), Some(128 + libc::SIGKILL), "after {answered} requests");
    let report = Report::with(&directory, &["-n", "5"]);
    assert_eq!(report.lost(), 0);
    let (site, text) = (&report.sites()[0], text(&directory));
    assert!(site["unfreed_bytes"].as_u64().expect("a number") >= answered as u64 / 2 * 320_000, "{text}");
    assert!(
        e2e::report::python_frames(site)
            .any(|frame| frame["file"].as_str().is_some_and(|file| file.ends_with("app.py"))),
        "{text}"
    );
    assert_killed(&report, &text, begun);
}
