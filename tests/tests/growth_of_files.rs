//! Files and sockets that a service opens and does not close grow with its requests, beside the memory of the same line or
//! without any, and a pool of them does not.

use e2e::growth::Growth;
use e2e::{Program, Scratch, Service, artifacts, python};

const ROUNDS: u64 = 80;

#[test]
fn unclosed_files_of_a_service() {
    let Some(newest) = python::newest() else { return };
    let python = match newest.with(&["gunicorn"]) {
        Ok(python) => python,
        Err(reason) => return eprintln!("skipped: no gunicorn: {reason}"),
    };
    let folder = artifacts::sources().join("python");
    let program =
        python.bare().arg("-m").arg("gunicorn").arg("--config").arg(folder.join("gunicorn_port.py"));
    let program = program.arg("--pythonpath").arg(&folder).arg("wsgi_files").env("UNFREED_FDS", "1");
    let scratch = Scratch::new("growth-files");
    let service = Service::start(&program.recorded_to(scratch.path()));
    let paths = ["/socket", "/number", "/pool", "/read"];
    (0..ROUNDS).for_each(|_| paths.iter().for_each(|path| drop(service.get(path))));
    let running = Growth::of(scratch.path(), &[]);
    assert!(service.end(libc::SIGTERM).success());
    let source = folder.join("wsgi_files.py");
    for growth in [running, Growth::of(scratch.path(), &[])] {
        for (mark, kind) in [("# a socket", "socket"), ("# a number", "file")] {
            let opened = growth.opened(&source, mark);
            assert_eq!(
                (&opened["verdict"], &opened["delta"]),
                (&"GROWING".into(), &ROUNDS.into()),
                "{opened}"
            );
            assert_eq!((&opened["kinds"][kind], &opened["closed_share"]), (&ROUNDS.into(), &0.0.into()));
            let rate = &opened["rate"];
            assert_eq!((&rate["per"], &rate["count"]["value"]), (&"request".into(), &1.0.into()), "{rate}");
            assert_eq!(growth.at(&source, mark)["delta_descriptors"], ROUNDS, "beside the memory");
        }
        for (mark, verdict, held) in
            [("# a pool", "PLATEAU", 8), ("# closed again", "TEMPORARY", 0), ("# at start-up", "RESIDENT", 1)]
        {
            let opened = growth.opened(&source, mark);
            assert_eq!((&opened["verdict"], &opened["held"]), (&verdict.into(), &held.into()), "{opened}");
        }
    }
    let text = Program::unfreed("growth").arg(scratch.path()).run().stdout_text();
    assert!(text.contains(&format!("+{ROUNDS} open files: {ROUNDS} sockets; 1/req, never closed")), "{text}");
    let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(long.is_empty(), "{long:#?}");
}
