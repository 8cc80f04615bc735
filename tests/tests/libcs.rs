//! The same `libunfreed.so` under other C libraries: those that `scripts/libcs` has fetched; the others are named.
//!
//! Any test of C or C++ programs runs under one of them with `UNFREED_TEST_LIBC`, see `e2e::libcs`.

use std::collections::BTreeSet;

use e2e::libcs::{self, Kind};
use e2e::{Libc, Program, Run, Target};
use recording::EndReason;

fn c(libc: &Libc, name: &str) -> Target {
    Target::new(&format!("c/{name}.c")).named(&format!("{name}-{}", libc.name())).for_libc(libc)
}

/// The program of all that C libraries do in their own ways, with its plugin.
fn program(libc: &Libc) -> Program {
    let plugin = c(libc, "plugin").named("libc_plugin.so").shared().flag("-DPLUGIN=leak_in_plugin");
    Program::new(c(libc, "libc").build()).arg(plugin.build())
}

/// What is unfreed, by functions of the program: those that allocate, and those that are on the stack only if it goes on
/// outward of the C library's own.
const UNFREED: [(&str, u64, u64); 13] = [
    ("leak_in_main", 1, 10_001),
    ("by_strdup", 1, 11),
    ("by_qsort", 1, 10_002),
    ("leak_in_callback", 1, 10_002),
    ("interrupted", 1, 10_003),
    ("leak_in_handler", 1, 10_003),
    ("leak_in_thread", 8, 80_032),
    ("thread", 8, 80_032),
    ("leak_in_plugin", 3, 30_015),
    ("leak_in_child", 1, 10_006),
    ("processes", 1, 10_006),
    ("leak_in_exit", 1, 10_007),
    ("at_end", 1, 10_007),
];

#[test]
fn programs() {
    let libcs = libcs::present();
    for libc in &libcs {
        let run = Run::of(&program(libc));
        println!("{} {}: {} events", libc.name(), libc.version, run.files[0].events);
        run.assert_unfreed(&UNFREED);
        assert_eq!(run.files.len(), 2, "{}: a process and its child", libc.name());
        // How much these take is the C library's own affair.
        for function in ["by_getline", "by_asprintf"] {
            assert_eq!(run.report.unfreed_in(function).blocks, 1, "unfreed in {function} of {}", libc.name());
        }
    }
}

/// To the first function of the program or of the thread, through whatever of the C library is on the way: of musl,
/// which has no unwind information, too.
#[test]
fn stacks_are_whole() {
    for libc in libcs::present() {
        let run = Run::recorded(&program(&libc));
        let ends = |size| -> BTreeSet<_> {
            let blocks = run.files.iter().flat_map(|file| {
                file.live_of_size(size).into_iter().map(|block| file.depth_and_end(block.stack).1)
            });
            blocks.collect()
        };
        for size in [10_001, 11, 10_002, 10_003, 10_004, 10_005, 10_006, 10_007] {
            assert_eq!(ends(size), BTreeSet::from([Some(EndReason::Complete)]), "{}: {size}", libc.name());
        }
    }
}

#[test]
fn cpp_programs() {
    for libc in libcs::present() {
        let target = |name: &str| {
            let target = Target::new(&format!("cpp/{name}.cpp")).named(&format!("{name}-{}", libc.name()));
            Program::new(target.for_libc(&libc).build())
        };
        Run::of(&target("new_delete")).assert_unfreed(&[
            ("by_new", 1, 10_001),
            ("by_new_array", 1, 10_002),
            ("by_nothrow", 1, 10_003),
            ("by_aligned", 1, 10_048),
            ("by_class", 1, 10_005),
            ("by_string", 2, 10_007 + 32),
            ("freed", 0, 0),
        ]);
        let run = Run::of(&target("thread_local"));
        run.assert_unfreed(&[("leak_in_destructor", 20, 20 * 10_001)]);
    }
}

/// The library comes through the environment, whatever loader the next program names.
#[test]
fn a_tree_of_processes_of_several_libcs() {
    let libcs = libcs::present();
    for (libc, other) in libcs.iter().zip(libcs.iter().rev()) {
        if libc.kind == Kind::Glibc && other.kind == Kind::Glibc {
            continue;
        }
        let inner = Program::new(c(other, "basic").build());
        let run = Run::of(&program(libc).arg(inner.path()));
        run.assert_unfreed(&UNFREED);
        run.assert_unfreed(&[("leak_basic", 3, 30_006)]);
        assert_eq!(run.files.len(), 3, "{} and {}", libc.name(), other.name());
    }
}
