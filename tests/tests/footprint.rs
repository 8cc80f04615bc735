//! What the recorder may take of the program: stack, thread-local storage, memory of threads, and no growth.
//!
//! `scripts/limits` prints the numbers, with the long forms, which are ignored here.

use std::fs;

use e2e::limits::hold;
use e2e::{Interpreter, Program, Run, Target, artifacts, python};

const KIB: u64 = 1024;
/// Stack of a hook, with all that it does.
const STACK: u64 = 2 * KIB;
/// Static thread-local storage, which is taken from each thread's stack.
const TLS: u64 = 512;
/// KiB that 1,500 threads may add.
const LIVE_THREADS: u64 = 64 * KIB;
/// KiB and mappings by which half of the rounds and all of them may differ. How many threads are there at once is the
/// kernel's affair: one that was joined may not be gone yet.
const GROWTH: (u64, u64) = (1024, 32);

fn plugin(name: &str) -> String {
    let target = Target::new("c/plugin.c").named(&format!("{name}.so")).shared();
    target.flag(&format!("-DPLUGIN={name}")).build().display().to_string()
}

/// The lines `NUMBER what` of a program.
fn measured(output: &str) -> impl Iterator<Item = (u64, &str)> {
    output.lines().map(|line| {
        let (number, what) = line.split_once(' ').unwrap_or((line, ""));
        (number.parse().unwrap_or_else(|_| panic!("{line:?} begins with a number")), what)
    })
}

/// The program's allocator takes next to no stack of its own.
#[test]
fn stack_of_hooks() {
    let allocator =
        Target::new("c/reentrant_allocator.c").named("allocator_bound").flag("-Wl,-z,now").shared();
    let program =
        Target::new("c/stack_use.c").flag("-Wl,-z,now").link(&allocator.build().display().to_string());
    let run = Run::recorded(&Program::new(program.build()).arg(plugin("leak_plugin")));
    assert!(run.outcome.status.success(), "{}", run.outcome.status);
    run.assert_sound();
    assert_eq!(run.files.len(), 2, "the program and its child");
    let output = run.outcome.stdout_text();
    assert_eq!(output.lines().count(), 13, "{output}");
    for (bytes, what) in measured(&output) {
        hold(&format!("stack, {what}"), bytes, STACK, "bytes");
    }
}

const STACK_OF_PYTHON: &str = "
import ctypes, sys
library = ctypes.PyDLL(sys.argv[1])
library.stack_of.restype = ctypes.c_long
def descend(depth):
    if depth:
        return descend(depth - 1)
    for name in ('PyObject_Malloc', 'PyMem_Malloc', 'PyMem_RawMalloc'):
        print(max(library.stack_of(getattr(ctypes.pythonapi, name), times) for times in (1, 1, 20000)), name)
descend(3)
descend(300)
";

fn stack_in_python(python: &Interpreter) {
    let library = Target::new("c/stack_use.c").named("stack_use.so").flag("-Wl,-z,now").shared().build();
    let program = python.bare().arg("-c").arg(STACK_OF_PYTHON).arg(library);
    let run = Run::recorded_with(&program, python::BY_LINE);
    assert!(run.outcome.status.success(), "{python}: {}", run.outcome.stderr_text());
    run.report.assert_sound();
    let output = run.outcome.stdout_text();
    assert_eq!(output.lines().count(), 6, "{output}");
    for (bytes, what) in measured(&output) {
        let (major, minor) = python.version;
        hold(&format!("stack, {what} of Python {major}.{minor}"), bytes, STACK, "bytes");
    }
}

#[test]
fn stack_of_hooks_in_python() {
    python::oldest_and_newest().for_each(stack_in_python);
}

/// The size in memory of the library's thread-local segment, as its program headers say it.
#[test]
fn thread_local_storage() {
    let bytes = fs::read(artifacts::library()).expect("the library can be read");
    let number = |at: usize, size: usize| {
        bytes[at..at + size].iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte))
    };
    let (first, size, count) = (number(32, 8) as usize, number(54, 2) as usize, number(56, 2) as usize);
    let headers = (0..count).map(|index| first + index * size);
    const PT_TLS: u64 = 7;
    let segments: Vec<u64> =
        headers.filter(|&at| number(at, 4) == PT_TLS).map(|at| number(at + 40, 8)).collect();
    assert_eq!(segments.len(), 1, "one thread-local segment");
    hold("static thread-local storage", segments[0], TLS, "bytes");
}

/// What `targets/c/footprint.c` prints, plain and recorded; nothing is lost.
fn footprints(way: &str, often: u32, arguments: &[String]) -> [Vec<Vec<u64>>; 2] {
    let program = Program::c("footprint").arg(way).arg(often.to_string());
    let program = arguments.iter().fold(program, |program, argument| program.arg(argument));
    let rows = |output: String| -> Vec<Vec<u64>> {
        let row = |line: &str| line.split(' ').map(|word| word.parse().expect("a number")).collect();
        output.lines().map(row).collect()
    };
    let run = Run::recorded(&program);
    assert!(run.outcome.status.success(), "{}", run.outcome.status);
    run.assert_sound();
    [rows(program.run().stdout_text()), rows(run.outcome.stdout_text())]
}

#[test]
fn live_threads() {
    let [plain, recorded] = footprints("live", 1500, &[]);
    for (column, what) in ["in memory", "its part of what is in memory"].iter().enumerate() {
        let added = recorded[0][column].saturating_sub(plain[0][column]);
        hold(&format!("1,500 live threads add, {what}"), added, LIVE_THREADS, "KiB");
    }
    hold("descriptors that a recorded process has more", recorded[0][4] - plain[0][4], 0, "descriptors");
}

fn no_growth(what: &str, [plain, recorded]: [Vec<Vec<u64>>; 2]) {
    let growth = |rows: &[Vec<u64>], column: usize| rows[1][column].saturating_sub(rows[0][column]);
    let more = |column| growth(&recorded, column).saturating_sub(growth(&plain, column));
    hold(&format!("{what}: growth of memory"), more(2), GROWTH.0, "KiB");
    hold(&format!("{what}: growth of mappings"), more(3), GROWTH.1, "mappings");
    hold(&format!("{what}: growth of descriptors"), more(4), 0, "descriptors");
}

#[test]
fn threads_that_end() {
    no_growth("20,000 threads", footprints("threads", 20_000, &[]));
}

fn libraries(rounds: u32) {
    let plugins = [plugin("leak_first"), plugin("leak_second")];
    no_growth(&format!("{rounds} libraries loaded and unloaded"), footprints("libraries", rounds, &plugins));
}

#[test]
fn libraries_that_go() {
    libraries(1000);
}

#[test]
#[ignore = "the long form, for scripts/limits"]
fn ten_thousand_libraries_that_go() {
    libraries(10_000);
}
