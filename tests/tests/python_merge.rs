//! One stack out of the native and the Python one: the frames of both, in the order in which they called each other.

use std::collections::BTreeMap;

use e2e::{Interpreter, Run, python, report};
use serde_json::Value;

/// `sys.getsizeof(b"")`.
const BYTES_HEADER: u64 = 33;

/// Runs so many rounds; every stack's evaluation loops and Python frames must belong together.
fn interleave(python: &Interpreter, rounds: u64, least: u64) {
    let run = Run::of_with(&python.program("interleave.py").arg(rounds.to_string()), python::BY_LINE);
    for process in run.report.processes() {
        let count =
            |name: &str| process[name].as_u64().unwrap_or_else(|| panic!("{python}: {name} of {process}"));
        let apart = ["python_bad_frames", "merge_mismatches", "python_more_loops"].map(count);
        let captured = count("python_events");
        eprintln!("{python}: {captured} stacks with Python frames");
        // 3.9 itself ends its chain of frames where throw() passes through `yield from`: what is outward of that stays
        // native. Once a round, with three allocations.
        let cut = if python.version == (3, 9) { 3 * rounds } else { 0 };
        assert_eq!(apart, [0, 0, cut], "{python}: stacks not walked, with more entries, with more loops");
        assert!(captured >= least, "{python}: {captured} stacks with Python frames");
    }
}

#[test]
fn loops_and_frames_match() {
    python::on_each(|python| interleave(python, 10, 50_000));
}

/// A million stacks of each version: minutes.
#[test]
#[ignore = "takes minutes; the same with fewer rounds is above"]
fn loops_and_frames_match_a_million_times() {
    python::on_each(|python| interleave(python, 450, 1_000_000));
}

/// Native functions that must lie between two Python functions: (point, inner, outer, one of).
const BETWEEN: [(&str, &str, &str, &[&str]); 7] = [
    ("sort key", "key", "sort_key", &["list_sort", "list_sort_impl", "builtin_sorted"]),
    ("sort key", "in_match", "sub", &["pattern_subx"]),
    (
        "comparison",
        "__lt__",
        "comparison",
        &["list_sort_impl", "list_sort", "binarysort", "slot_tp_richcompare"],
    ),
    ("ctypes callback", "compare", "ctypes_callback", &["qsort", "qsort_r", "msort_with_tmp"]),
    ("nested maps", "<lambda>", "<lambda>", &["map_next", "list_extend", "list___init___impl"]),
    ("destructor", "__del__", "destructor", &["slot_tp_finalize", "subtype_dealloc"]),
    ("collection", "__del__", "collection", &["gc_collect", "gc_collect_main", "gc_collect_impl", "collect"]),
];

/// The last part of a qualified name.
fn last(name: &Value) -> &str {
    name.as_str().and_then(|name| name.rsplit('.').next()).unwrap_or_default()
}

fn check_between(python: &Interpreter, point: &str, stack: &[Value]) {
    for (_, inner, outer, names) in BETWEEN.iter().filter(|(of, ..)| *of == point) {
        let is = |frame: &Value, name: &str| frame["kind"] == "python" && last(&frame["function"]) == name;
        let begin = stack.iter().position(|frame| is(frame, inner)).expect("the inner function") + 1;
        let end =
            begin + stack[begin..].iter().position(|frame| is(frame, outer)).expect("the outer function");
        let between: Vec<_> = stack[begin..end].iter().map(|frame| frame["function"].as_str()).collect();
        assert!(!between.is_empty(), "{python}: {point}: native frames between {inner} and {outer}");
        assert!(stack[begin..end].iter().all(|frame| frame["kind"] == "native"), "{python}: {between:?}");
        // A distribution's interpreter has the names of what it exports and no others.
        let known = between.iter().flatten().any(|name| names.contains(name));
        let unknown = between.iter().any(Option::is_none);
        assert!(known || unknown, "{python}: {point}: one of {names:?} in {between:?}");
    }
}

/// Every point's Python frames are those which Python itself named then, and C lies where it called.
fn in_order(python: &Interpreter) {
    let run = Run::of_with(&python.program("order.py"), &["--focus", r"(^|\.)here$", "--all-frames"]);
    let points: BTreeMap<String, Value> =
        serde_json::from_slice(&run.outcome.stdout).expect("the program prints JSON");
    assert_eq!(points.len(), 28, "{python}");
    for (point, said) in points {
        let size = said["size"].as_u64().expect("a size") + BYTES_HEADER;
        let is_here = |site: &&Value| {
            report::number(site, "unfreed_bytes") == size
                && report::python_frames(site).next().is_some_and(|frame| last(&frame["function"]) == "here")
        };
        let sites: Vec<_> = run.report.sites().iter().filter(is_here).collect();
        let [site] = sites[..] else { panic!("{python}: {point}: {} sites", sites.len()) };
        let key = |frame: &Value| {
            Value::from(vec![frame["function"].clone(), frame["file"].clone(), frame["line"].clone()])
        };
        let found: Vec<_> = report::python_frames(site).map(key).collect();
        assert_eq!(Value::from(found), said["stack"], "{python}: {point}");
        check_between(python, &point, site["stack"].as_array().expect("a stack"));
    }
}

#[test]
fn frames_are_in_order() {
    python::on_each(in_order);
}
