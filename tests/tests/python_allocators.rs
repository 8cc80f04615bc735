//! What Python's own allocators hand out: each object is one block, whatever is behind them, and nothing is counted
//! twice.

use std::collections::BTreeMap;

use e2e::{Interpreter, Outcome, ProcessFile, Program, Scratch, Target, python, replay};
use recording::{EndReason, StackId};

/// The versions with these allocators.
const ALL: std::ops::RangeInclusive<python::Version> = (3, 6)..=(3, 14);

/// Runs a program plain and recorded and checks what holds for every program.
fn record(program: &Program) -> (Outcome, Vec<ProcessFile>) {
    let plain = program.run();
    let directory = Scratch::new("allocators");
    let outcome = program.clone().recorded_to(directory.path()).run();
    assert_eq!(plain.stdout_text(), outcome.stdout_text(), "standard output of {program}");
    assert_eq!(plain.stderr_text(), outcome.stderr_text(), "standard error of {program}");
    assert_eq!(plain.status, outcome.status, "status of {program}");
    let files = replay::read_directory(directory.path());
    for file in &files {
        let place = format!("{program}: {}", file.path.display());
        let impossible = &file.impossible;
        assert!(impossible.is_empty(), "{place}: {} as {}", impossible.len(), impossible[0]);
        assert!(file.header.lost.iter().all(|&lost| lost == 0), "{place}: {:?}", file.header.lost);
        if file.header.parent_file_id == 0 {
            assert_eq!(file.unknown_frees, 0, "{place}");
        }
    }
    (outcome, files)
}

/// As [`record`], for a program of one process.
fn record_one(program: &Program) -> (Outcome, ProcessFile) {
    let (outcome, mut files) = record(program);
    assert_eq!(files.len(), 1, "{program} is one process");
    (outcome, files.remove(0))
}

/// The numbers that a program printed.
fn sizes(outcome: &Outcome) -> Vec<u64> {
    let words = outcome.stdout_text();
    words.split_whitespace().map(|word| word.parse().expect("a number")).collect()
}

/// Live blocks of each size, without arenas.
fn by_size(file: &ProcessFile) -> BTreeMap<u64, i64> {
    let mut sizes = BTreeMap::new();
    for block in file.live.values().filter(|block| block.stack != StackId::ARENA) {
        *sizes.entry(block.size).or_default() += 1;
    }
    sizes
}

/// How many more of each size `later` has. Small blocks are left out: texts of the environment, and of paths.
fn difference(earlier: &BTreeMap<u64, i64>, later: &BTreeMap<u64, i64>) -> BTreeMap<u64, i64> {
    let mut more = later.clone();
    for (&size, count) in earlier {
        *more.entry(size).or_default() -= count;
    }
    more.retain(|&size, count| *count != 0 && size >= 200);
    more
}

/// The blocks that 100 rounds of `blocks.py` keep are in the recording, and no others.
fn assert_exact(interpreter: &Interpreter, mode: impl Fn(Program) -> Program) {
    let run = |rounds: &str| {
        let (outcome, file) = record_one(&mode(interpreter.program("blocks.py").arg(rounds)));
        (sizes(&outcome), by_size(&file))
    };
    let ((set, few), (_, many)) = (run("100"), run("200"));
    let mut expected: BTreeMap<u64, i64> = BTreeMap::new();
    for size in [300, 500, 10_001].into_iter().chain(set) {
        *expected.entry(size).or_default() += 100;
    }
    assert_eq!(difference(&few, &many), expected, "{interpreter}");
}

#[test]
fn each_object_is_one_block() {
    python::on_each_of(ALL, |interpreter| assert_exact(interpreter, |program| program));
}

/// An interpreter that is initialised sets its allocators anew, and our hooks come in front again. Those for debugging
/// take some bytes more from malloc than they are asked for.
#[test]
fn whatever_allocator_is_behind() {
    python::on_each_of(ALL, |interpreter| {
        let modes = ["pymalloc", "malloc", "pymalloc_debug", "malloc_debug", "debug"];
        let modes = modes.map(|mode| ("PYTHONMALLOC", mode));
        for (name, value) in modes.into_iter().chain([("PYTHONDEVMODE", "1")]) {
            let program = interpreter.program("blocks.py").arg("100").env(name, value);
            let (_, file) = record_one(&program);
            let live = by_size(&file);
            let large: Vec<_> = live.range(10_001..10_100).map(|(&size, &count)| (size, count)).collect();
            assert_eq!(large, [(10_001, 100)], "{name}={value}, {interpreter}");
            for size in [300, 500] {
                assert!(
                    (100..110).contains(&live[&size]),
                    "{size}: {}, {name}={value}, {interpreter}",
                    live[&size]
                );
            }
        }
    });
}

/// tracemalloc puts itself in front of our hooks, and in front of what is behind them: it takes away and gives back
/// while they run.
#[test]
fn with_tracemalloc() {
    python::on_each_of(ALL, |interpreter| {
        let traced = |rounds| {
            let program = interpreter.program("blocks.py").arg(rounds).env("PYTHONTRACEMALLOC", "1");
            by_size(&record_one(&program).1)
        };
        let (few, many) = (traced("100"), traced("200"));
        for size in [300, 500, 10_001] {
            assert_eq!(many[&size] - few[&size], 100, "{size} bytes, {interpreter}");
        }
    });
}

/// Every function of both domains, with sizes of 0 and beyond all memory.
#[test]
fn every_function() {
    for mode in ["pymalloc", "debug"] {
        python::on_each_of(ALL, |interpreter| {
            let (outcome, file) = record_one(&interpreter.program("reallocs.py").env("PYTHONMALLOC", mode));
            let live = by_size(&file);
            for size in sizes(&outcome) {
                assert_eq!(live.get(&size), Some(&1), "{size} bytes, {mode}, {interpreter}");
            }
            for size in [20_000, 20_008, 20_009, 40_018, 21_008, 21_009, 42_018] {
                assert_eq!(live.get(&size), None, "{size} bytes, {mode}, {interpreter}");
            }
        });
    }
}

/// What is not wanted passes by: large objects are blocks of malloc, with the interpreter's function as its caller.
#[test]
fn objects_are_left_out_if_so_said() {
    python::on_each_of(ALL, |interpreter| {
        let left_out = |program: Program| program.env("UNFREED_PYTHON_OBJECTS", "off");
        let (_, file) = record_one(&left_out(interpreter.program("blocks.py").arg("200")));
        let live = by_size(&file);
        assert!(live.get(&300).is_none_or(|&count| count < 50), "{interpreter}");
        assert_eq!(live.get(&10_001), Some(&200), "{interpreter}");
        assert!(file.live.values().all(|block| block.stack != StackId::ARENA), "{interpreter}");
        let large = file.live_of_size(10_001)[0];
        assert_eq!(file.depth_and_end(large.stack).1, Some(EndReason::Complete), "{interpreter}");
    });
}

/// Arenas are told from other memory that the interpreter maps: from 3.11 on threads keep their frames in chunks of
/// 16 KiB and more.
#[test]
fn arenas_and_the_frames_of_threads() {
    python::on_each(|interpreter| {
        let (_, file) = record_one(&interpreter.program("parked.py").arg("20"));
        let arena = if interpreter.version < (3, 10) { 256 << 10 } else { 1 << 20 };
        let arenas: Vec<_> = file.live.values().filter(|block| block.size == arena).collect();
        assert!(
            !arenas.is_empty() && arenas.iter().all(|block| block.stack == StackId::ARENA),
            "{interpreter}"
        );
        let chunks = by_size(&file).get(&(16 << 10)).copied().unwrap_or(0);
        if interpreter.version < (3, 11) {
            assert!(chunks < 20, "{chunks} chunks in {interpreter}");
        } else {
            assert!(chunks >= 21, "{chunks} chunks in {interpreter}");
        }
    });
}

/// When an interpreter began to finalize is in the recording, of each process that did.
#[test]
fn ends() {
    python::on_each(|interpreter| {
        // A warning about forks in programs with threads has the process id in it.
        let end =
            |way: &str| record(&interpreter.program("ends.py").arg(way).env("PYTHONWARNINGS", "ignore")).1;
        for (way, finalized) in
            [("return", 1), ("error", 1), ("daemons", 1), ("exit", 0), ("fork", 1), ("both", 2)]
        {
            let files = end(way);
            let processes = if matches!(way, "fork" | "both") { 2 } else { 1 };
            assert_eq!(files.len(), processes, "{way}, {interpreter}");
            let begun = files.iter().filter(|file| file.header.finalizing_monotonic_ns != 0);
            assert_eq!(begun.count(), finalized, "{way}, {interpreter}");
            for file in files.iter().filter(|file| file.header.parent_file_id != 0) {
                let kept = by_size(file).get(&10_002).copied();
                assert_eq!(kept, (way == "fork").then_some(10), "{way}, {interpreter}");
            }
        }
    });
}

/// A program that loads `interpreter`'s library when it runs and executes some code; `None` where there is no library.
fn embedding(interpreter: &Interpreter, times: &str) -> Option<Program> {
    const ASK: &str = "import sys, sysconfig as s, os
print(os.path.join(s.get_config_var('LIBDIR'), s.get_config_var('INSTSONAME')), sys.base_prefix, sep='\\n')";
    const KEEP: &str = "kept = [bytes(n - 33) for n in (300, 10001) for _ in range(100)]";
    let said = interpreter.bare().arg("-c").arg(ASK).run().stdout_text();
    let (library, prefix) = said.trim_end().split_once('\n').expect("two lines");
    if !library.contains(".so") || !std::path::Path::new(library).exists() {
        eprintln!("skipped: no library of {interpreter}");
        return None;
    }
    Some(Program::c("embed").arg(library).arg(KEEP).arg(times).env("PYTHONHOME", prefix))
}

/// The library is loaded by the running program, and interpreters end and begin in it.
#[test]
fn embedded_and_initialised_again() {
    python::on_each(|interpreter| {
        let Some(program) = embedding(interpreter, "2") else { return };
        let (_, file) = record_one(&program.env("PYTHONMALLOC", "debug"));
        let live = by_size(&file);
        let large: Vec<_> = live.range(10_001..10_100).collect();
        assert_eq!(large, [(&10_001, &100)], "{interpreter}");
        assert!((100..110).contains(&live[&300]), "{}, {interpreter}", live[&300]);
        let arena = if interpreter.version < (3, 10) { 256 << 10 } else { 1 << 20 };
        assert_eq!(live.get(&arena), None, "an arena as a block, {interpreter}");
        assert_eq!(file.header.finalizing_monotonic_ns, 0, "the last one did not finalize, {interpreter}");
    });
}

/// The program has an allocator of its own for objects, and a signal handler that allocates interrupts it.
#[test]
fn a_programs_own_allocator() {
    let handler = Target::new("c/handler.c").shared().build();
    python::on_each(|interpreter| {
        let Some(program) = embedding(interpreter, "1") else { return };
        let (outcome, file) = record_one(&program.arg(&handler));
        let live = by_size(&file);
        let large: Vec<_> = live.range(10_001..10_100).collect();
        assert_eq!(large, [(&10_001, &100)], "{interpreter}");
        let calls = sizes(&outcome)[0];
        assert!(calls > 10, "{calls} signals, {interpreter}");
        assert_eq!(live.get(&20_003), Some(&(calls as i64)), "{interpreter}");
        for block in file.live_of_size(20_003) {
            assert_eq!(file.depth_and_end(block.stack).1, Some(EndReason::Complete), "{interpreter}");
        }
    });
}
