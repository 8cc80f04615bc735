//! The allocation interface: every entry point is recorded with the size that was asked for, and keeps its promises.

use e2e::{Program, Report, Run, Target, report};

#[test]
fn basic() {
    let run = Run::of(&Program::c("basic"));
    run.assert_unfreed(&[("leak_basic", 3, 30_006)]);
    assert!(run.report.total("allocations") >= 1033, "every freed block is counted too");
    assert_eq!(run.report.processes().len(), 1);
}

#[test]
fn every_entry_point() {
    let run = Run::of(&Program::c("api"));
    run.assert_unfreed(&[
        ("by_malloc", 1, 10_001),
        ("by_calloc", 1, 101 * 102),
        ("by_realloc", 1, 10_003),
        ("by_realloc_null", 1, 10_004),
        ("by_reallocarray", 1, 103 * 105),
        ("by_memalign", 1, 10_006),
        ("by_posix_memalign", 1, 10_007),
        ("by_aligned_alloc", 1, 10_048),
        ("by_valloc", 1, 10_009),
        ("by_pvalloc", 1, 10_010),
        ("by_strdup", 1, 10),
        ("by_strndup", 1, 12),
        ("freed", 0, 0),
        ("list_a_directory", 0, 0),
    ]);
    // How much these take is the C library's own affair.
    for function in ["by_asprintf", "by_getline", "by_getcwd", "by_realpath", "by_memstream", "by_fopen"] {
        assert_eq!(run.report.unfreed_in(function).blocks, 1, "unfreed in {function}");
    }
}

#[test]
fn errors_are_those_of_the_plain_run() {
    Run::of(&Program::c("api_errors")).assert_unfreed(&[("survivor", 1, 10_001)]);
}

#[test]
fn operator_new() {
    let run = Run::of(&Program::new(Target::new("cpp/new_delete.cpp").build()));
    run.assert_unfreed(&[
        ("by_new", 1, 10_001),
        ("by_new_array", 1, 10_002),
        ("by_nothrow", 1, 10_003),
        ("by_aligned", 1, 10_048),
        ("by_class", 1, 10_005),
        ("by_string", 2, 10_007 + 32),
        ("freed", 0, 0),
    ]);
}

/// A container of the standard library allocates for the function that fills it.
#[test]
fn containers_are_those_of_their_users() {
    let run = Run::of(&Program::new(Target::new("cpp/containers.cpp").build()));
    let by = |key: &str| Report::with(run.directory(), &["--by", key]);
    let functions = by("function");
    let added: Vec<_> = functions.sites().iter().filter(|site| site["name"] == "Cache::add(int)").collect();
    assert_eq!(added.len(), 1, "{}", functions.json());
    assert_eq!(report::number(added[0], "unfreed_blocks"), 200);
    let name = |site: &serde_json::Value| site["name"].as_str().unwrap_or_default().to_string();
    let in_add = by("line").sites().iter().filter(|site| name(site).contains("containers.cpp:")).count();
    assert_eq!(in_add, 4, "two lines of add and two of main");
    let headlines =
        run.report.sites().iter().filter(|site| site["headline"]["function"] == "Cache::add(int)");
    assert_eq!(headlines.map(|site| report::number(site, "unfreed_blocks")).sum::<u64>(), 200);
}

#[test]
fn a_rust_program() {
    let run = Run::of(&Program::new(Target::new("rust/program.rs").build()));
    let in_threads = (0..8).map(|i| 10_100 + i).sum();
    run.assert_unfreed(&[
        ("leak_box", 1, 10_001),
        ("leak_vec", 1, 10_002),
        ("leak_in_thread", 8, in_threads),
    ]);
    // Two counters, the bytes and the cell, rounded up to their alignment.
    run.assert_unfreed(&[("leak_cycle", 1, 16 + 16 + 10_000)]);
}
