//! On a program where both are exact, the unfreed bytes and blocks of every stack are those that heaptrack reports.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, str};

use e2e::{Program, Run, Scratch, Target, Unfreed, artifacts, report};

/// Functions from the allocating one to `main`.
type Stacks = BTreeMap<Vec<String>, Unfreed>;

fn add(stacks: &mut Stacks, stack: Vec<String>, unfreed: Unfreed) {
    let sum = stacks.entry(stack).or_insert(Unfreed { blocks: 0, bytes: 0 });
    sum.blocks += unfreed.blocks;
    sum.bytes += unfreed.bytes;
}

/// Cuts at `main`: above it the tools differ in how far they follow the C library's start code.
fn up_to_main<'a>(functions: impl Iterator<Item = &'a str>) -> Option<Vec<String>> {
    let mut stack = Vec::new();
    for function in functions {
        stack.push(function.to_owned());
        if function == "main" {
            return Some(stack);
        }
    }
    None
}

fn by_unfreed(run: &Run) -> Stacks {
    let mut stacks = Stacks::new();
    for site in run.report.sites() {
        let number = |name: &str| site[name].as_u64().expect("a site has numbers");
        let unfreed = Unfreed { blocks: number("unfreed_blocks"), bytes: number("unfreed_bytes") };
        if let (Some(stack), true) = (up_to_main(report::functions(site)), unfreed.blocks > 0) {
            add(&mut stacks, stack, unfreed);
        }
    }
    stacks
}

fn record_by_heaptrack(program: &Path, directory: &Path) -> PathBuf {
    let mut command = Command::new("heaptrack");
    command.arg("-o").arg(directory.join("heaptrack")).arg(program);
    let output = command.stdin(Stdio::null()).output().expect("heaptrack starts");
    assert!(output.status.success(), "heaptrack: {}", String::from_utf8_lossy(&output.stderr));
    let mut files = fs::read_dir(directory).expect("the directory is there");
    files.next().expect("heaptrack wrote a file").expect("an entry").path()
}

fn heaptrack_print(recording: &Path, options: &[&str]) -> String {
    let mut command = Command::new("heaptrack_print");
    command
        .arg("-f")
        .arg(recording)
        .args(["-p0", "-a0", "-T0", "-m0", "-n", "10000", "-s", "10000"])
        .args(options);
    let output = command.output().expect("heaptrack_print starts");
    assert!(output.status.success(), "heaptrack_print: {}", String::from_utf8_lossy(&output.stderr));
    str::from_utf8(&output.stdout).expect("heaptrack_print prints text").to_owned()
}

/// Blocks come from the list of leaks, where bytes are rounded; bytes from the flame graph's input, which has no blocks.
fn by_heaptrack(program: &Path) -> Stacks {
    let scratch = Scratch::new("heaptrack");
    let recording = record_by_heaptrack(program, scratch.path());
    let folded = scratch.path().join("folded");
    let mut stacks = Stacks::new();
    let leaks = heaptrack_print(&recording, &["-l1"]);
    let leaks = leaks.split_once("MEMORY LEAKS").expect("heaptrack lists leaks").1;
    for paragraph in leaks.split("\n\n") {
        let mut lines = paragraph.trim_start().lines();
        let Some((_, calls)) = lines.next().and_then(|line| line.split_once(" leaked over ")) else {
            continue;
        };
        let blocks = calls.split(' ').next().and_then(|word| word.parse().ok()).expect("a number of calls");
        let functions =
            lines.filter(|line| line.starts_with("  ") && !line.starts_with("    ")).map(str::trim);
        if let Some(stack) = up_to_main(functions) {
            add(&mut stacks, stack, Unfreed { blocks, bytes: 0 });
        }
    }
    heaptrack_print(&recording, &["--flamegraph-cost-type", "leaked", "-F", &folded.display().to_string()]);
    for line in fs::read_to_string(&folded).expect("heaptrack_print wrote the stacks").lines() {
        let (frames, bytes) = line.rsplit_once(' ').expect("stack and cost");
        let bytes = bytes.parse().expect("a number of bytes");
        let functions = frames.rsplit(';').filter(|frame| !frame.is_empty());
        let functions = functions.map(|frame| frame.split(" (").next().unwrap_or(frame));
        if let (Some(stack), true) = (up_to_main(functions), bytes > 0) {
            add(&mut stacks, stack, Unfreed { blocks: 0, bytes });
        }
    }
    stacks
}

#[test]
fn the_same_stacks() {
    if !artifacts::in_path("heaptrack") || !artifacts::in_path("heaptrack_print") {
        return eprintln!("skipped: heaptrack is not installed");
    }
    let program = Target::new("c/sites.c").build();
    let theirs = by_heaptrack(&program);
    let ours = by_unfreed(&Run::of(&Program::new(program)));
    // So that two empty lists are not called equal.
    assert!(theirs.len() >= 10 && theirs.values().all(|unfreed| unfreed.blocks > 0 && unfreed.bytes > 0));
    assert_eq!(ours, theirs);
}
