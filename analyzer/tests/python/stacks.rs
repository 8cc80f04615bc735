//! Reports of recordings with Python frames: what the stacks are, what makes a group, and what is said of what could not
//! be known.
use analyzer::aggregate::By;
use analyzer::aggregate::{Frame, Kind, PythonStacks, Report, Selection};
use recording::{CodeLines, CodeObject, EndReason, EvalLoop, Interpreter, StackId};

use super::synthetic::{Recorder, Scratch};

const PYTHON: u64 = 0x5000_0000;
const LIBRARY: u64 = 0x7000_0000;
/// Offsets in the interpreter.
const EVALUATES: u64 = 0x1100;
const ALLOCATES: u64 = 0x2010;
const CALLS: u64 = 0x2020;
const MAIN: u64 = 0x2030;

/// A location table: for each pair so many code units whose line is so much greater than the one before.
fn location_table(entries: &[(u8, u8)]) -> Vec<u8> {
    entries.iter().flat_map(|&(units, lines)| [0x80 | 13 << 3 | (units - 1), lines << 1]).collect()
}

/// One instruction a line, the first in the line after `first`.
fn code_object(r: &mut Recorder, number: u32, file: &str, name: &str, first_line: i32) {
    let lines = location_table(&[(1, 1); 20]);
    let code = CodeObject {
        number,
        interpreter: 1,
        first_line,
        lines_size: lines.len() as u32,
        file: file.as_bytes(),
        name: name.as_bytes(),
        lines: &lines,
    };
    r.long(|out| code.write(out));
}

/// A process of Python 3.11; `bias` is where the interpreter is, `first` the number of its first code object.
struct Process {
    r: Recorder,
    writer: usize,
    bias: u64,
    first: u32,
    blocks: u64,
}

impl Process {
    fn new(pid: u32, bias: u64, first: u32) -> Process {
        let mut r = Recorder::new(pid);
        let writer = r.writer();
        r.module(0, 1, "/usr/bin/python3.11", bias, 0x10_0000);
        r.module(1, 1, "/usr/lib/libsqlite3.so.0", LIBRARY, 0x10_0000);
        let text = b"3.11.7 (main)\n[GCC]";
        let interpreter = Interpreter { number: 1, version: 0x030B07F0, walked: true, objects: true, text };
        r.long(|out| interpreter.write(out));
        let code = EvalLoop { interpreter: 1, begin: bias + 0x1000, end: bias + 0x2000 };
        r.long(|out| code.write(out));
        code_object(&mut r, first, "/srv/shop/app.py", "_get_foo", 10);
        code_object(&mut r, first + 1, "/venv/lib/python3.11/site-packages/flask/app.py", "Flask.run", 100);
        code_object(&mut r, first + 2, "/usr/lib/python3.11/json/decoder.py", "decode", 300);
        code_object(&mut r, first + 3, "/srv/shop/app.py", "<module>", 0);
        Process { r, writer, bias, first, blocks: 0 }
    }

    /// Native frames at these offsets of the interpreter, innermost first; those of the library are said in full.
    fn native(&mut self, offsets: &[u64]) -> StackId {
        let address = |&offset: &u64| if offset < LIBRARY { self.bias + offset + 1 } else { offset + 1 };
        let pcs: Vec<u64> = offsets.iter().map(address).collect();
        self.r.stack(&pcs)
    }

    /// Python frames (code object from 0, instruction, entry), innermost first.
    fn python(&mut self, frames: &[(u32, i32, bool)]) -> StackId {
        let first = self.first;
        let frames = frames.iter().rev();
        frames.fold(EndReason::Complete.id(), |parent, &(code, instruction, entry)| {
            self.r.python_node(parent, first + code, instruction, entry)
        })
    }

    fn allocate(&mut self, size: u64, native: StackId, python: StackId) {
        let stack = self.r.merged(native, python);
        self.blocks += 1;
        self.r.alloc(self.writer, self.blocks << 16, size, stack);
    }

    /// An object that `_get_foo`, called by flask, called by the module, has made; with one loop for the last two.
    fn allocate_in_foo(&mut self, size: u64) {
        let native = self.native(&[ALLOCATES, EVALUATES, CALLS, EVALUATES, MAIN]);
        let python = self.python(&[(0, 2, true), (1, 4, false), (3, 8, true)]);
        self.allocate(size, native, python);
    }

    fn report(&self, by: By) -> Report {
        report(&[self], by)
    }
}

fn report(processes: &[&Process], by: By) -> Report {
    let scratch = Scratch::new("python");
    processes.iter().for_each(|process| _ = process.r.write(&scratch.0));
    let selection = Selection { by, ..Selection::default() };
    analyzer::aggregate::report(&scratch.0, &selection).expect("a recording")
}

fn names(report: &Report) -> Vec<(&str, u64)> {
    report.sites.iter().map(|site| (site.name.as_deref().unwrap_or(""), site.counts.unfreed_bytes)).collect()
}

/// Of the first process, but for the phases.
fn python_stacks(report: &Report) -> PythonStacks {
    PythonStacks { phases: Default::default(), ..report.processes[0].python.clone() }
}

/// The frames of the largest site, as people read them.
fn stack(report: &Report) -> Vec<String> {
    let text = |frame: &Frame| match frame.kind {
        Kind::Python => format!("{} {}", frame.label(), frame.place().unwrap_or_default()),
        Kind::Native => frame.label(),
    };
    report.paths.frames(report.sites[0].path).map(text).collect()
}

#[test]
fn python_frames_are_in_the_stack_between_the_native_ones() {
    let mut process = Process::new(1, PYTHON, 1);
    process.allocate_in_foo(1000);
    let report = process.report(By::Stack);
    let expected = [
        "python3.11+0x2010",
        "_get_foo /srv/shop/app.py:12",
        "python3.11+0x2020",
        "Flask.run /venv/lib/python3.11/site-packages/flask/app.py:103",
        "<module> /srv/shop/app.py:5",
        "python3.11+0x2030",
    ];
    assert_eq!(stack(&report), expected);
    assert_eq!(report.paths.incomplete(report.sites[0].path), None);
    let interpreter: Vec<bool> =
        report.paths.frames(report.sites[0].path).map(|frame| frame.interpreter).collect();
    assert_eq!(interpreter, [true, false, true, false, false, true]);
    let expected = PythonStacks { versions: vec!["3.11.7".into()], allocations: 1, ..Default::default() };
    assert_eq!(python_stacks(&report), expected);
}

#[test]
fn stacks_that_share_callers_are_each_whole() {
    let mut process = Process::new(1, PYTHON, 1);
    let outer = [CALLS, EVALUATES, MAIN];
    let callers = process.python(&[(1, 4, false), (3, 8, true)]);
    for size in 1..=3 {
        let native = process.native(&[&[ALLOCATES, EVALUATES][..], &outer].concat());
        let number = process.first;
        let python = process.r.python_node(callers, number, 2 * size as i32, true);
        process.allocate(size * 100, native, python);
    }
    // The same callers, with a shorter native way there.
    let native = process.native(&[ALLOCATES, EVALUATES, MAIN]);
    process.allocate(1000, native, callers);
    let report = process.report(By::Stack);
    let foo = |line| {
        let foo = format!("_get_foo /srv/shop/app.py:{line}");
        vec!["python3.11+0x2010".to_string(), foo, "python3.11+0x2020".to_string()]
    };
    let callers =
        ["Flask.run /venv/lib/python3.11/site-packages/flask/app.py:103", "<module> /srv/shop/app.py:5"];
    let whole = |inner: Vec<String>| {
        let outer = callers.iter().copied().chain(["python3.11+0x2030"]).map(str::to_string);
        inner.into_iter().chain(outer).collect::<Vec<_>>()
    };
    let expected: Vec<Vec<String>> =
        [vec!["python3.11+0x2010".to_string()], foo(14), foo(13), foo(12)].map(whole).to_vec();
    let text = |frame: &Frame| match frame.kind {
        Kind::Python => format!("{} {}", frame.label(), frame.place().unwrap_or_default()),
        Kind::Native => frame.label(),
    };
    let stacks: Vec<Vec<String>> =
        report.sites.iter().map(|site| report.paths.frames(site.path).map(text).collect()).collect();
    assert_eq!(stacks, expected);
}

#[test]
fn groups_are_the_innermost_python_frame_or_the_library_beneath_it() {
    let mut process = Process::new(1, PYTHON, 1);
    process.allocate_in_foo(1000);
    // A library that Python code has called, and one call of the interpreter from there.
    let native = process.native(&[LIBRARY + 0x10, LIBRARY + 0x20, CALLS, EVALUATES, MAIN]);
    let python = process.python(&[(0, 6, false), (3, 8, true)]);
    process.allocate(200, native, python);
    let native = process.native(&[ALLOCATES, LIBRARY + 0x30, CALLS, EVALUATES, MAIN]);
    process.allocate(50, native, python);
    // Before any Python code runs.
    let native = process.native(&[ALLOCATES, MAIN]);
    process.r.alloc(process.writer, 0xFFF_0000, 7, native);

    assert_eq!(
        names(&process.report(By::Line)),
        [("/srv/shop/app.py:12", 1000), ("/srv/shop/app.py:14", 250), ("python3.11+0x2010", 7)]
    );
    assert_eq!(
        names(&process.report(By::Function)),
        [("_get_foo (/srv/shop/app.py)", 1250), ("python3.11+0x2010", 7)]
    );
    assert_eq!(
        names(&process.report(By::Module)),
        [("/srv/shop", 1050), ("/usr/lib/libsqlite3.so.0", 200), ("/usr/bin/python3.11", 7)]
    );
}

#[test]
fn packages_are_known_by_their_paths() {
    let mut process = Process::new(1, PYTHON, 1);
    for code in 0..4 {
        let native = process.native(&[ALLOCATES, EVALUATES, MAIN]);
        let python = process.python(&[(code, 0, true)]);
        process.allocate(100 + u64::from(code), native, python);
    }
    let expected = [("/srv/shop", 203), ("json", 102), ("flask", 101)];
    assert_eq!(names(&process.report(By::Module)), expected);
}

#[test]
fn sites_are_the_same_in_another_process() {
    let (mut one, mut other) = (Process::new(1, PYTHON, 1), Process::new(2, PYTHON + 0x1000_0000, 40));
    one.allocate_in_foo(1000);
    other.allocate_in_foo(500);
    let report = report(&[&one, &other], By::Stack);
    assert_eq!(names(&report), [("", 1500)]);
    assert_eq!(one.report(By::Stack).sites[0].id(), other.report(By::Stack).sites[0].id());
    assert_eq!(one.report(By::Line).sites[0].id(), other.report(By::Line).sites[0].id());
}

#[test]
fn stacks_that_do_not_fit_are_counted() {
    let mut process = Process::new(1, PYTHON, 1);
    process.allocate_in_foo(1000);
    let native = process.native(&[ALLOCATES, EVALUATES, MAIN]);
    process.allocate(100, native, EndReason::BadFrame.id());
    process.allocate(100, native, EndReason::BadFrame.id());
    let python = process.python(&[(0, 2, true), (3, 8, true)]);
    process.allocate(10, native, python);
    let native = process.native(&[ALLOCATES, EVALUATES, CALLS, EVALUATES, MAIN]);
    let python = process.python(&[(0, 4, true)]);
    process.allocate(1, native, python);
    let report = process.report(By::Stack);
    let expected = PythonStacks {
        versions: vec!["3.11.7".into()],
        allocations: 5,
        not_walked: 2,
        mismatched: 1,
        more_loops: 1,
        phases: Default::default(),
    };
    assert_eq!(python_stacks(&report), expected);
    assert_eq!(report.sites.len(), 4);
    let native: Vec<String> = report.paths.frames(report.sites[1].path).map(Frame::label).collect();
    assert_eq!(native, ["python3.11+0x2010", "python3.11+0x1100", "python3.11+0x2030"]);
}

#[test]
fn what_is_not_known_of_a_frame_is_said() {
    let mut process = Process::new(1, PYTHON, 1);
    let lines = location_table(&[(1, 1); 3000]);
    let whole = CodeObject {
        number: 7,
        interpreter: 1,
        first_line: 10,
        lines_size: lines.len() as u32,
        file: b"long.py",
        name: b"long",
        lines: &lines[..1000],
    };
    process.r.long(|out| whole.write(out));
    let part = CodeLines { number: 7, offset: 1000, lines: &lines[1000..] };
    process.r.long(|out| part.write(out));
    let cut = CodeObject { number: 8, name: b"cut", ..whole };
    process.r.long(|out| cut.write(out));
    let part = CodeLines { number: 8, offset: 1100, lines: &lines[1100..] };
    process.r.long(|out| part.write(out));
    let foreign = CodeObject { number: 9, name: b"foreign", interpreter: 5, ..whole };
    process.r.long(|out| foreign.write(out));
    for (size, number) in [(400, 7), (300, 8), (200, 9), (100, 10)] {
        let native = process.native(&[ALLOCATES, EVALUATES, MAIN]);
        let python = process.python(&[(number - 1, 5998, true)]);
        process.allocate(size, native, python);
    }
    let report = process.report(By::Function);
    let said = |site: &analyzer::aggregate::Site| {
        let frame = report.paths.frames(site.path).next().expect("a frame");
        (frame.label(), frame.reason.clone())
    };
    let expected = ["long", "cut", "foreign", "?"].map(str::to_string);
    assert_eq!(report.sites.iter().map(|site| said(site).0).collect::<Vec<_>>(), expected);

    let report = process.report(By::Stack);
    let facts = |site: &analyzer::aggregate::Site| {
        let frame = report.paths.frames(site.path).nth(1).expect("a Python frame");
        (frame.line, frame.reason.clone())
    };
    let facts: Vec<_> = report.sites.iter().map(facts).collect();
    assert_eq!(facts[0], (Some(3010), None));
    for (fact, reason) in facts[1..].iter().zip(["its line table", "its interpreter", "its code"]) {
        assert_eq!(fact.0, None);
        assert!(fact.1.as_deref().is_some_and(|text| text.starts_with(reason)), "{fact:?}");
    }
}

#[test]
fn an_interpreter_that_is_not_known_is_said() {
    let mut process = Process::new(1, PYTHON, 1);
    let text = b"3.7.16 (default)";
    let old = Interpreter { number: 2, version: 0x030710F0, walked: false, objects: false, text };
    process.r.long(|out| old.write(out));
    let text = b"3.13.0 experimental free-threading build (main)";
    let other = Interpreter { number: 3, version: 0x030D00F0, text, ..old };
    process.r.long(|out| other.write(out));
    let report = process.report(By::Stack);
    let expected = ["3.11.7", "3.7.16", "3.13.0 experimental free-threading build"];
    assert_eq!(report.processes[0].python.versions, expected);
    let expected =
        [1, 2].map(|unknown| format!("Python {} is not known: native stacks only", expected[unknown]));
    assert_eq!(report.processes[0].notes, expected);
}

#[test]
fn damaged_definitions_give_what_they_can() {
    let mut process = Process::new(1, PYTHON, 1);
    (0..20).for_each(|size| process.allocate_in_foo(100 + size));
    let scratch = Scratch::new("python-damaged");
    let path = process.r.write(&scratch.0);
    let bytes = std::fs::read(&path).expect("written");
    let definitions = bytes.windows(4).rposition(|four| four == b"UFCK").expect("a chunk");
    let records = definitions + recording::layout::CHUNK_HEADER;
    let end = bytes.iter().rposition(|&byte| byte != 0).expect("records");
    let selection = Selection::default();
    let bytes_of = |report: &Report| report.totals.counts.unfreed_bytes;
    for at in (records..=end).step_by(3) {
        for value in [0x00, 0x7F, 0xFF, bytes[at] ^ 1] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            std::fs::write(&path, damaged).expect("written");
            let report = analyzer::aggregate::report(&scratch.0, &selection).expect("a recording");
            assert_eq!(bytes_of(&report), (100..120).sum::<u64>(), "byte {at} as {value:#x}");
        }
    }
}
