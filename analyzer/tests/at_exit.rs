//! What a program frees as it ends, on made-up recordings: it would not have freed it otherwise, unless it had only waited for
//! Python's collector.
mod synthetic;

use serde_json::Value;
use synthetic::{Recorder, flask, growth};

/// Blocks of imports.
const IMPORTS: u64 = 100;

fn block(number: u64) -> u64 {
    0x7f00_0000_0000 + 0x10_0000 * number
}

fn imported(number: u64) -> u64 {
    0x7e00_0000_0000 + 0x10_0000 * number
}

/// The verdict of a site, and how many blocks of it are unfreed.
fn judged(recorder: &Recorder, is_it: impl Fn(&Value) -> bool) -> (String, u64) {
    let said = growth(recorder, &["--by", "stack"]);
    let site = said["sites"].as_array().expect("sites").iter().find(|site| is_it(site));
    let site = site.unwrap_or_else(|| panic!("not there: {said:#}"));
    (
        site["verdict"].as_str().expect("a verdict").to_string(),
        site["unfreed_blocks"].as_u64().expect("blocks"),
    )
}

/// A program in Python of which each request allocates a block of so many bytes. Of every so many, the collector soon frees all but
/// the last; 1: it frees none.
struct Program {
    requests: u64,
    size: u64,
    of: u64,
}

const PROGRAM: Program = Program { requests: 240, size: 400, of: 2 };

impl Program {
    /// Runs it, and then what it does in the end. The verdict.
    fn ends(&self, end: impl FnOnce(&mut Recorder, usize)) -> String {
        let mut r = Recorder::new(71);
        r.exe = "/opt/flask/bin/python3.11".into();
        flask::describe(&mut r);
        let import = flask::merged(&mut r, &[flask::ALLOCATES], &[(3, 5), (4, 2), (4, 2), (2, 3)]);
        let line = flask::merged(&mut r, &[flask::ALLOCATES], &[(0, 2), (1, 7), (1, 7), (2, 3)]);
        let writer = r.writer();
        (0..IMPORTS).for_each(|number| r.alloc(writer, imported(number), 60, import));
        for request in 0..self.requests {
            r.clock(writer, 2_000 + 10 * request);
            r.alloc(writer, block(request), self.size, line);
            if request % 24 == 23 {
                let done = request - 23..request + 1;
                collect(&mut r, writer, done.filter(|number| number % self.of + 1 < self.of));
            }
        }
        end(&mut r, writer);
        judged(&r, |site| site["line"] == 3).0
    }

    /// What the collector did not free before the end.
    fn left(&self) -> impl Iterator<Item = u64> + use<> {
        let of = self.of;
        (0..self.requests).filter(move |number| number % of + 1 == of)
    }
}

fn collect(r: &mut Recorder, writer: usize, blocks: impl Iterator<Item = u64>) {
    r.collector(writer, true);
    blocks.for_each(|number| r.free(writer, block(number)));
    r.collector(writer, false);
}

#[test]
fn what_the_last_collection_frees_had_waited_for_it() {
    let waited = PROGRAM.ends(|r, writer| {
        r.finalize();
        collect(r, writer, PROGRAM.left());
    });
    assert_eq!(waited, "GC-ONLY");
}

#[test]
fn what_is_freed_beside_the_last_collection_was_held() {
    // By the modules, when they are taken apart.
    let freed = PROGRAM.ends(|r, writer| {
        r.finalize();
        collect(r, writer, 0..0);
        PROGRAM.left().for_each(|number| r.free(writer, block(number)));
    });
    assert_eq!(freed, "GROWING");
    // By the collection that follows.
    let second = PROGRAM.ends(|r, writer| {
        r.finalize();
        r.collector(writer, true);
        r.free(writer, imported(0));
        r.collector(writer, false);
        r.free(writer, imported(1));
        collect(r, writer, PROGRAM.left());
    });
    assert_eq!(second, "GROWING");
    // And so is what is never freed.
    assert_eq!(PROGRAM.ends(|r, _| r.finalize()), "GROWING");
}

#[test]
fn a_collection_that_frees_imports_tells_nothing() {
    let ends = |freed: u64| {
        PROGRAM.ends(|r, writer| {
            r.finalize();
            r.collector(writer, true);
            (0..freed).for_each(|number| r.free(writer, imported(number)));
            PROGRAM.left().for_each(|number| r.free(writer, block(number)));
            r.collector(writer, false);
        })
    };
    assert_eq!([ends(5), ends(10)], ["GC-ONLY", "GROWING"]);
}

#[test]
fn a_server_that_is_garbage_in_the_end_had_held_what_it_held() {
    // The collector freed nothing of this line before.
    let program = Program { of: 1, ..PROGRAM };
    let end = |r: &mut Recorder, writer: usize| {
        r.finalize();
        collect(r, writer, program.left());
    };
    assert_eq!(program.ends(end), "GROWING");
}

#[test]
fn what_the_interpreter_keeps_for_the_next_objects_is_small_and_bounded() {
    let ends = |requests: u64, size: u64| {
        let program = Program { requests, size, of: 1 };
        program.ends(|r, writer| {
            r.finalize();
            collect(r, writer, program.left());
        })
    };
    assert_ne!(ends(300, 56), "GROWING");
    assert_ne!(ends(300, 208), "GROWING");
    assert_eq!(ends(300, 224), "GROWING", "no tuple that is kept is so large");
    assert_ne!(ends(2_200, 56), "GROWING");
    assert_eq!(ends(2_300, 56), "GROWING", "nor are so many kept");
}

/// A program that keeps what each of 200 rounds allocates, then frees it, and what it does then.
fn rounds(then: impl FnOnce(&mut Recorder, usize)) -> (String, u64) {
    let mut r = Recorder::new(72);
    let (line, other) = (r.stack(&[0x1000, 0x2000, 0x3000]), r.stack(&[0x1000, 0x3000]));
    let writer = r.writer();
    for round in 0..200 {
        r.clock(writer, 2_000 + 10 * round);
        r.alloc(writer, block(round), 400, line);
        r.alloc(writer, imported(0), 80, other);
        r.free(writer, imported(0));
    }
    (0..200).for_each(|round| r.free(writer, block(round)));
    then(&mut r, writer);
    judged(&r, |site| site["stack"].as_array().map(Vec::len) == Some(3))
}

#[test]
fn what_a_main_function_frees_when_it_returns_counts_as_kept() {
    assert_eq!(rounds(|_, _| {}), ("GROWING".into(), 200));
    // Functions that are called at exit allocate a little, too.
    let log = |r: &mut Recorder, writer: usize| {
        let stack = r.stack(&[0x4000]);
        for number in 0..20 {
            r.alloc(writer, imported(number), 30, stack);
            r.free(writer, imported(number));
        }
    };
    assert_eq!(rounds(log), ("GROWING".into(), 200));
}

#[test]
fn what_is_freed_before_the_work_goes_on_is_freed() {
    let goes_on = |r: &mut Recorder, writer: usize| {
        let stack = r.stack(&[0x1000, 0x3000]);
        for round in 0..220 {
            r.clock(writer, 4_000 + 10 * round);
            r.alloc(writer, imported(0), 80, stack);
            r.free(writer, imported(0));
        }
    };
    let (verdict, grown) = rounds(goes_on);
    assert_eq!((verdict.as_str(), grown), ("TEMPORARY", 0));
}
