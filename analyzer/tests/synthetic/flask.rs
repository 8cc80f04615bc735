//! A server in Python with a leak, and its child: what each is at its end, and what it was before.
use std::path::Path;

use recording::StackId;

use super::Recorder;

/// `requests` requests were made; then the server ended in an orderly way, and its worker was killed.
pub fn record(directory: &Path, requests: u64) {
    let mut server = Recorder::new(71);
    serve(&mut server, requests);
    let mut worker = server.fork(72);
    serve(&mut worker, 2 * requests);
    worker.header.state = Some(recording::layout::State::Recording);
    worker.header.end_monotonic_ns = 0;
    server.finalize();
    (0..requests).for_each(|request| server.free(0, leaked(request)));
    for process in [server, worker] {
        process.write(directory);
    }
}

fn leaked(request: u64) -> u64 {
    0x7f00_0000_0000 + 0x10_0000 * request
}

fn serve(r: &mut Recorder, requests: u64) {
    r.exe = "/opt/flask/bin/python3.11".into();
    r.command = vec!["python3".into(), "app.py".into()];
    r.module(0, 1, "/opt/flask/bin/python3.11", 0x5555_0000_0000, 0x100_0000);
    let list = r.stack(&[0x5555_0000_1001, 0x5555_0000_2001]);
    let writer = r.writer();
    r.alloc(writer, 0x7e00_0000_0000, 1 << 20, StackId::ARENA);
    for request in 0..requests {
        r.clock(writer, 2_000 + 100 * request);
        r.alloc(writer, leaked(request), 320_000, list);
        r.alloc(writer, 0x7e00_0000_0030 + 64 * request, 56, list);
    }
}
