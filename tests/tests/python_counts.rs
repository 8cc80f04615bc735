//! What a script holds, by line: as many blocks as it made objects of, and exactly what tracemalloc says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use e2e::{Interpreter, Report, Run, Unfreed, artifacts, python, report};

/// What each line of a source holds.
type Lines = BTreeMap<u64, Unfreed>;

/// What tracemalloc says: it runs from the start of the interpreter, as the recorder does.
fn traced(output: &str) -> Lines {
    let lines: BTreeMap<u64, [u64; 2]> = serde_json::from_str(output).expect("the program prints JSON");
    lines.into_iter().map(|(line, [blocks, bytes])| (line, Unfreed { blocks, bytes })).collect()
}

/// What the report by line says of the source.
fn reported(report: &Report, source: &Path) -> Lines {
    let mut lines = Lines::new();
    for site in report.sites().iter().filter(|site| report::number(site, "unfreed_blocks") > 0) {
        let Some(frame) = site["stack"].get(0).filter(|frame| frame["kind"] == "python") else { continue };
        if frame["file"].as_str().is_some_and(|file| Path::new(file) == source) {
            let sum = lines.entry(frame["line"].as_u64().expect("a line")).or_default();
            sum.blocks += report::number(site, "unfreed_blocks");
            sum.bytes += report::number(site, "unfreed_bytes");
        }
    }
    lines
}

/// What the source itself says in its comments.
fn said(source: &str) -> impl Iterator<Item = (u64, u64)> {
    let marked =
        source.lines().zip(1..).filter_map(|(text, line)| Some((text.split_once("# blocks: ")?.1, line)));
    marked.map(|(blocks, line)| (line, blocks.parse().expect("a number of blocks")))
}

/// Lines on which two disagree, with the text of the line.
fn differences(found: &Lines, expected: &Lines, source: &str) -> Vec<String> {
    let all = found.keys().chain(expected.keys());
    let mut differing: Vec<_> = all.filter(|line| found.get(line) != expected.get(line)).collect();
    differing.sort();
    differing.dedup();
    let text = |line: &u64| source.lines().nth(*line as usize - 1).unwrap_or_default().trim();
    let describe =
        |line| format!("{line}: {}: {:?}, not {:?}", text(line), found.get(line), expected.get(line));
    differing.into_iter().map(describe).collect()
}

fn agree(python: &Interpreter) {
    let path = artifacts::sources().join("python/counted.py");
    let source = fs::read_to_string(&path).expect("the source can be read");
    let plain = python.program("counts.py").arg("tracemalloc").env("PYTHONTRACEMALLOC", "1");
    let expected = traced(&plain.run().stdout_text());
    for (line, blocks) in said(&source) {
        assert_eq!(
            expected.get(&line).map(|found| found.blocks),
            Some(blocks),
            "{python}: line {line}, tracemalloc"
        );
    }
    let run = Run::of_with(&python.program("counts.py"), python::BY_LINE);
    let found = reported(&run.report, &path);
    assert_eq!(differences(&found, &expected, &source), Vec::<String>::new(), "{python}");
}

#[test]
fn as_tracemalloc_counts() {
    python::on_each(agree);
}

/// tracemalloc puts itself before the recorder and says what it says without: with the oldest and the newest.
#[test]
fn together_with_tracemalloc() {
    for python in python::oldest_and_newest() {
        let program = python.program("counts.py").arg("tracemalloc").env("PYTHONTRACEMALLOC", "1");
        Run::of_with(&program, python::BY_LINE);
    }
}
