//! A server in Python with a leak, and its child: what each is at its end, and what it was before.
use std::path::Path;

use recording::layout::flag;
use recording::resource::{Descriptor, Resource};
use recording::{CodeObject, EndReason, EvalLoop, Interpreter, StackId};

use super::Recorder;

const PYTHON: u64 = 0x5555_0000_0000;
const LIBRARY: u64 = 0x7fff_0000_0000;
/// Return addresses in the interpreter: beside the evaluation loop, code without names.
const EVALUATES: u64 = PYTHON + 0x1101;
pub const ALLOCATES: u64 = PYTHON + 0x2011;
const CALLS: u64 = PYTHON + 0x2021;
const MAIN: u64 = PYTHON + 0x2031;

/// `requests` requests were made; then the server ended in an orderly way, and its worker was killed.
pub fn record(directory: &Path, requests: u64) {
    record_with(directory, requests, |_| {});
}

/// The same of processes that are prepared.
pub fn record_with(directory: &Path, requests: u64, prepare: impl Fn(&mut Recorder)) {
    let mut server = Recorder::new(71);
    prepare(&mut server);
    serve(&mut server, requests);
    let mut worker = server.fork(72);
    prepare(&mut worker);
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
    let command = "/opt/flask/bin/python3 /opt/flask/bin/gunicorn --workers 1 shop.app:app";
    r.command = command.split(' ').map(str::to_string).collect();
    describe(r);
    let start = r.stack(&[ALLOCATES, MAIN]);
    let import = merged(r, &[ALLOCATES], &[(3, 5), (4, 2), (4, 2), (2, 3)]);
    let list = merged(r, &[ALLOCATES], &[(0, 2), (1, 7), (1, 7), (2, 3)]);
    let query = merged(r, &[LIBRARY + 0x11, LIBRARY + 0x21, CALLS], &[(5, 8), (0, 1), (1, 7), (2, 3)]);
    let library = r.stack(&[LIBRARY + 0x11, LIBRARY + 0x31]);
    let writer = r.writer();
    r.alloc(writer, 0x1000, 4_000, start);
    r.alloc(writer, 0x7e00_0000_0000, 1 << 20, StackId::ARENA);
    for object in 0..100 {
        r.alloc(writer, 0x7e00_0000_8030 + 64 * object, 60, import);
    }
    for request in 0..requests {
        r.clock(writer, 2_000 + 100 * request);
        r.alloc(writer, leaked(request), 320_000, list);
        r.alloc(writer, 0x7e00_0000_0030 + 64 * request, 56, list);
        r.alloc(writer, 0x2_0000 + 0x1000 * request, 500, query);
        r.alloc(writer, 0x20_0000 + 0x1000 * request, 20, library);
        if r.header.flags & flag::DESCRIPTORS != 0 {
            open(r, writer, request);
        }
    }
}

/// What each request opens, where that is recorded: a socket beside the memory, a file beside no memory, and one that it closes.
fn open(r: &mut Recorder, writer: usize, request: u64) {
    let mut at = |frames: &[(u32, i32)]| merged(r, &[LIBRARY + 0x41], frames);
    let stacks =
        [at(&[(0, 2), (1, 7), (1, 7), (2, 3)]), at(&[(0, 4), (1, 7), (2, 3)]), at(&[(5, 8), (0, 6), (2, 3)])];
    let numbers = [10 + 2 * request, 11 + 2 * request, 9];
    let kinds = [Descriptor::Socket, Descriptor::File, Descriptor::File];
    for ((number, kind), stack) in numbers.into_iter().zip(kinds).zip(stacks) {
        r.open(writer, Resource::Descriptor(number as u32), kind as u64, stack);
    }
    r.close(writer, Resource::Descriptor(9));
}

/// The interpreter, its code and the files.
pub fn describe(r: &mut Recorder) {
    r.module(0, 1, "/opt/flask/bin/python3.11", PYTHON, 0x100_0000);
    r.module(1, 1, "/opt/flask/lib/libsqlite3.so.0", LIBRARY, 0x10_0000);
    let text = b"3.11.7 (main)";
    let interpreter = Interpreter { number: 1, version: 0x030B_07F0, walked: true, objects: true, text };
    r.long(|out| interpreter.write(out));
    let code = EvalLoop { interpreter: 1, begin: PYTHON + 0x1000, end: PYTHON + 0x2000 };
    r.long(|out| code.write(out));
    for (number, (file, name)) in [
        ("/srv/shop/app.py", "_get_foo"),
        ("/opt/flask/lib/python3.11/site-packages/flask/app.py", "Flask.full_dispatch_request"),
        ("/opt/flask/bin/gunicorn", "<module>"),
        ("/srv/shop/models.py", "<module>"),
        ("<frozen importlib._bootstrap>", "_find_and_load"),
        ("/opt/flask/lib/python3.11/sqlite3/dbapi2.py", "connect"),
    ]
    .into_iter()
    .enumerate()
    {
        // A location table: each instruction is in the line behind the one before.
        let lines: Vec<u8> = [0x80 | 13 << 3, 1 << 1].repeat(20);
        let code = CodeObject {
            number: number as u32 + 1,
            interpreter: 1,
            first_line: 10 * number as i32,
            lines_size: lines.len() as u32,
            file: file.as_bytes(),
            name: name.as_bytes(),
            lines: &lines,
        };
        r.long(|out| code.write(out));
    }
}

/// A stack of Python frames (code object from 0, instruction), innermost first, each in an evaluation loop of its own.
/// `inside` are the native frames that the innermost one has called.
pub fn merged(r: &mut Recorder, inside: &[u64], frames: &[(u32, i32)]) -> StackId {
    let between = frames.iter().skip(1).flat_map(|_| [CALLS, EVALUATES]);
    let native: Vec<u64> = inside.iter().copied().chain([EVALUATES]).chain(between).chain([MAIN]).collect();
    let native = r.stack(&native);
    let outermost = EndReason::Complete.id();
    let python = frames.iter().rev().fold(outermost, |parent, &(code, instruction)| {
        r.python_node(parent, code + 1, 2 * instruction, true)
    });
    r.merged(native, python)
}
