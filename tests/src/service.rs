//! Servers: started, asked over HTTP, and ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::time::Duration;

use crate::{Program, process};

/// Far above what any answer takes; only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(60);

/// A program that serves HTTP on 127.0.0.1 and has printed its port as the first line of its standard output.
pub struct Service {
    child: Child,
    port: u16,
    // Open for as long as the program may print.
    _stdout: BufReader<ChildStdout>,
}

impl Service {
    /// Starts it and waits until it has printed its port.
    pub fn start(program: &Program) -> Service {
        let mut command = program.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a pipe can be read");
        let port = line.trim().parse().unwrap_or_else(|_| panic!("{program} prints {line:?} and no port"));
        Service { child, port, _stdout: stdout }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The body of the answer to a GET; a status that is not 200 fails the test.
    pub fn get(&self, path: &str) -> String {
        self.begin(path).answer()
    }

    /// Begins to send a GET: a worker that serves one request at a time waits for the rest of it.
    pub fn begin(&self, path: &str) -> Request {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit can be set");
        write!(stream, "GET {path} HTTP/1.0\r\n").expect("a request can be sent");
        Request(stream)
    }

    /// Sends a signal and waits for the end.
    pub fn end(self, signal: i32) -> ExitStatus {
        // SAFETY: no memory is touched; the process was started here and is not yet waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
        process::wait(self.child, LIMIT).expect("the server ends")
    }
}

/// A request whose end was not yet sent.
pub struct Request(TcpStream);

impl Request {
    /// Sends the rest; the body of the answer.
    pub fn answer(self) -> String {
        let Request(mut stream) = self;
        write!(stream, "\r\n").expect("a request can be sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
        assert!(head.contains(" 200 "), "{answer}");
        body.to_owned()
    }
}
