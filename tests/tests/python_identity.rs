//! Code objects are where others were before: never a line or a name of an earlier one.

use std::collections::HashSet;

use e2e::{Interpreter, Program, Run, python, report};

/// `sys.getsizeof(b"")`.
const BYTES_HEADER: u64 = 33;

/// Runs a variant and checks that every allocation is where its size says.
fn churn(program: &Program, number: u64, variant: &str, file_and_line: impl Fn(u64) -> (String, u64)) {
    let run = Run::of_with(&program.clone().arg(number.to_string()).arg(variant), python::BY_LINE);
    let mut found = HashSet::new();
    let mut wrong = Vec::new();
    for site in run.report.sites() {
        let Some(frame) = site["stack"].get(0).filter(|frame| frame["kind"] == "python") else { continue };
        let Some(i) = frame["function"].as_str().and_then(|name| name.strip_prefix('f')?.parse::<u64>().ok())
        else {
            continue;
        };
        let place =
            (frame["file"].as_str().unwrap_or_default().to_owned(), frame["line"].as_u64().unwrap_or(0));
        let allocated = ["allocations", "allocated_bytes"].map(|name| report::number(site, name));
        if place != file_and_line(i) || allocated != [1, 1000 + i + BYTES_HEADER] || !found.insert(i) {
            wrong.push(format!("{i}: {place:?} {allocated:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "{program} {variant}");
    assert_eq!(found.len() as u64, number, "{program} {variant}: functions found");
}

/// So many functions of each kind.
fn churns(python: &Interpreter, number: u64) {
    let program = python.program("churn.py");
    churn(&program, number, "same-file", |i| ("<churn>".into(), 2 * i + 2));
    churn(&program, number, "other-files", |i| (format!("<churn {i}>"), i % 23 + 2));
    churn(&program, number, "marshal", |i| ("<churn>".into(), 2 * i + 2));
    churn(&program, number, "held", |i| ("<churn>".into(), 2 * i + 2));
}

#[test]
fn no_wrong_line() {
    python::on_each(|python| churns(python, 750));
}

#[test]
#[ignore = "takes minutes; the same with fewer functions is above"]
fn no_wrong_line_of_thirty_thousand() {
    python::on_each(|python| churns(python, 7_500));
}
