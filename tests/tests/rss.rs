//! `unfreed rss` of programs that say by their own ledger how large they are, and why.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::{Program, Scratch, artifacts, libcs, process, python};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// A program that waits for the end of its input.
struct Waiting {
    child: Child,
    /// The words of its first line.
    said: Vec<String>,
}

impl Waiting {
    fn start(program: &Program) -> Waiting {
        let mut command = program.command();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("the program says something");
        let said = line.split_whitespace().map(str::to_string).collect();
        Waiting { child, said }
    }

    /// A number that it said.
    fn number(&self, place: usize) -> u64 {
        self.said.get(place).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{:?}", self.said))
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        let status = process::wait(self.child, LIMIT).expect("the program ends");
        assert!(status.success(), "{status}");
    }
}

fn rss(recording: &str, options: &[&str]) -> Value {
    let mut command = artifacts::unfreed_command();
    let output = command.args(["rss", recording, "--format", "json"]).args(options).output();
    let output = output.expect("unfreed starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(value["schema"], "unfreed.rss/1");
    value
}

fn text(recording: &str) -> String {
    let output = artifacts::unfreed_command().args(["rss", recording]).output().expect("unfreed starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it is text");
    for line in text.lines().filter(|line| !line.contains('/')) {
        assert!(line.chars().count() <= 80, "80 columns: {line}");
    }
    text
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} is a number: {value}"))
}

fn row(process: &Value, kind: &str) -> u64 {
    let rows = process["rows"].as_array().expect("there are rows");
    let row = rows.iter().find(|row| row["kind"] == kind).unwrap_or_else(|| panic!("there is a row {kind}"));
    number(row, "rss_bytes")
}

/// What the kernel says, asked by the test itself.
fn vm_rss(pid: u64) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// The rows of a process that is at rest are its pages: they sum to the kernel's figure, which is inexact by some pages for
/// each processor.
fn assert_sum(process: &Value) {
    assert_eq!(
        (&process["running"], &process["exact"]),
        (&Value::Bool(true), &Value::Bool(true)),
        "{process}"
    );
    let kinds = process["rows"].as_array().expect("there are rows").iter();
    let sum: u64 = kinds.map(|row| number(row, "rss_bytes")).sum();
    assert_eq!(sum, number(process, "rss_bytes"));
    let kernel = vm_rss(number(process, "pid"));
    assert!(sum.abs_diff(kernel) <= kernel * 3 / 100, "{sum} is not {kernel}: {process:#}");
    assert!(sum.abs_diff(number(process, "vm_rss_bytes")) <= kernel * 3 / 100);
}

fn close(found: u64, expected: u64, what: &str) {
    assert!(found.abs_diff(expected) <= expected / 50 + 128 * 1024, "{what}: {found} is not {expected}");
}

fn is_glibc() -> bool {
    let is = libcs::of_environment().is_none();
    if !is {
        println!("skipped: the ledger is glibc's");
    }
    is
}

fn one(found: &Value) -> &Value {
    let processes = found["processes"].as_array().expect("there are processes");
    let [process] = &processes[..] else { panic!("one process: {found:#}") };
    process
}

fn advices(process: &Value) -> Vec<&str> {
    let advice = process["advice"].as_array().expect("a list").iter();
    advice.map(|advice| advice["id"].as_str().expect("a word")).collect()
}

/// Of 1 KiB of small blocks all but two were freed: the memory is there, and the blocks that are left hold it.
fn fragments(mib: u64) {
    let directory = Scratch::new("fragments");
    let program = Program::c("memory").arg("fragments").arg(mib.to_string()).recorded_to(directory.path());
    let program = Waiting::start(&program);
    let pid = program.child.id().to_string();
    let found = rss(&pid, &[]);
    let process = one(&found);
    assert_sum(process);
    let (arena, free) = (program.number(2), program.number(3));
    close(row(process, "free-pages") + row(process, "free-space"), free, "what is free");
    let in_use = row(process, "unfreed") + row(process, "overhead");
    close(in_use + row(process, "free-pages") + row(process, "free-space"), arena, "the heap");
    let kept = mib * MIB / 64 / 500;
    assert!(number(process, "unfreed_blocks") >= kept);
    let first = &found["held_by"][0];
    assert_eq!(first["stack"][0]["function"], "leak_fragment", "{first:#}");
    assert_eq!(number(first, "blocks"), kept);
    assert!(number(first, "held_bytes") >= free / 100 * 98, "{first:#}");
    assert_eq!(process["top"]["site"], first["id"], "the topmost block is the last one that was kept");
    assert!(advices(process).contains(&"trim"), "{process:#}");
    let text = text(&pid);
    assert!(text.contains("freed, and kept by glibc as whole pages"), "{text}");
    assert!(text.contains(&format!("held by {} blocks of", thousands(kept))), "{text}");
    program.end();
    // What is left of a process that has ended.
    let found = rss(&directory.path().display().to_string(), &[]);
    let process = one(&found);
    assert_eq!((&process["running"], &process["vm_rss_bytes"]), (&Value::Bool(false), &Value::Null));
    assert!(row(process, "unfreed") >= kept * 64 && row(process, "free-space") > kept * 3000, "{process:#}");
    assert_eq!(found["held_by"][0]["stack"][0]["function"], "leak_fragment");
}

fn thousands(number: u64) -> String {
    format!("{},{:03}", number / 1000, number % 1000)
}

#[test]
fn a_fragmented_heap() {
    if is_glibc() {
        fragments(64);
    }
}

#[test]
#[ignore = "a GiB, of which the recording is another: for scripts/soak"]
fn a_large_fragmented_heap() {
    if is_glibc() {
        fragments(1024);
    }
}

#[test]
fn arenas_and_stacks_of_threads() {
    if !is_glibc() {
        return;
    }
    let directory = Scratch::new("arenas");
    let program =
        Program::c("memory").arg("arenas").arg("8").env("GLIBC_TUNABLES", "glibc.malloc.arena_max=64");
    let program = Waiting::start(&program.recorded_to(directory.path()));
    let found = rss(&program.child.id().to_string(), &[]);
    let process = one(&found);
    assert_sum(process);
    close(row(process, "free-pages") + row(process, "free-space"), program.number(3), "what is free");
    let heaps = process["heaps"].as_array().expect("there are heaps");
    assert_eq!(heaps.iter().filter(|heap| heap["main"] == false).count(), 8, "{process:#}");
    assert_eq!((number(process, "threads"), number(process, "stacks")), (9, 8));
    let stacks = row(process, "stacks");
    assert!((4 * MIB..5 * MIB).contains(&stacks), "half a MiB of each stack: {stacks}");
    assert!(advices(process).contains(&"arena-max"), "{process:#}");
    assert_eq!(found["held_by"][0]["stack"][0]["function"], "leak_in_arena");
    program.end();
}

#[test]
fn files_and_shared_and_anonymous_memory() {
    let directory = Scratch::new("maps");
    let program = Program::c("memory").arg("maps").recorded_to(directory.path());
    let program = Waiting::start(&program);
    let found = rss(&program.child.id().to_string(), &[]);
    let process = one(&found);
    assert_sum(process);
    for (kind, mib) in
        [("unfreed", 21 + 4), ("anonymous", 7), ("files", 9), ("written-files", 5), ("shared", 3)]
    {
        close(row(process, kind), mib * MIB, kind);
    }
    assert!(number(process, "unfreed_bytes") >= 37 * MIB);
    assert_eq!(advices(process), [""; 0]);
    assert!(text(&program.child.id().to_string()).contains("no setting is known"));
    program.end();
}

#[test]
fn what_a_program_maps_itself() {
    let directory = Scratch::new("mapped");
    let program = Program::c("memory").arg("maps").env("UNFREED_MMAP", "1").recorded_to(directory.path());
    let program = Waiting::start(&program);
    let found = rss(&program.child.id().to_string(), &["--by", "function"]);
    let process = one(&found);
    assert_sum(process);
    close(row(process, "mapped"), 7 * MIB, "mapped");
    close(row(process, "unfreed"), 25 * MIB, "unfreed");
    assert!(row(process, "anonymous") < MIB, "{process:#}");
    let [first, ..] = &found["mapped_by"].as_array().expect("it is recorded")[..] else {
        panic!("somebody maps memory: {found:#}")
    };
    assert_eq!((&first["name"], number(first, "rss_bytes")), (&Value::from("map"), 7 * MIB), "{first}");
    program.end();
}

/// A child has its parent's blocks, but for those that it has freed: none of them are free memory of its own.
#[test]
fn forked_processes() {
    let directory = Scratch::new("forked");
    let program = Program::c("memory").arg("fork").recorded_to(directory.path());
    let program = Waiting::start(&program);
    let child = program.number(1);
    let found = rss(&directory.path().display().to_string(), &[]);
    let processes = found["processes"].as_array().expect("there are processes");
    assert_eq!(processes.len(), 2);
    processes.iter().for_each(assert_sum);
    let rss_bytes: u64 = processes.iter().map(|process| number(process, "rss_bytes")).sum();
    assert_eq!(number(&found["totals"], "rss_bytes"), rss_bytes);
    // The child's half and the code are shared.
    assert!(number(&found["totals"], "pss_bytes") + MIB < rss_bytes, "{:#}", found["totals"]);
    let of_child = processes.iter().find(|process| number(process, "pid") == child).expect("the child");
    // Asked for alone, it is the same.
    let alone = rss(&child.to_string(), &[]);
    for process in [of_child, one(&alone)] {
        close(row(process, "unfreed"), 5000 * 1200 + 1000 * 5000, "of parent and child");
        if libcs::of_environment().is_none() {
            close(row(process, "free-pages") + row(process, "free-space"), program.number(3), "what is free");
        }
    }
    program.end();
}

#[test]
fn half_empty_arenas_of_python() {
    for python in python::oldest_and_newest() {
        let directory = Scratch::new("half-empty");
        let program = Waiting::start(&python.program("half_empty.py").recorded_to(directory.path()));
        let found = rss(&program.child.id().to_string(), &["--by", "line"]);
        let process = one(&found);
        assert_sum(process);
        let arenas = &process["python"];
        let (resident, filled) = (number(arenas, "resident_bytes"), number(arenas, "filled_bytes"));
        // 400,000 objects of 93 bytes in places of 96 bytes.
        assert!(resident > 36 * MIB && filled < resident / 5, "{python}: {arenas}");
        assert!(number(arenas, "half_empty_arenas") > number(arenas, "arenas") / 2, "{python}: {arenas}");
        assert!(row(process, "python-free") > 30 * MIB, "{python}: {process:#}");
        let line = artifacts::line_with(&artifacts::sources().join("python/half_empty.py"), "# the objects");
        let first = &found["held_by"][0];
        assert!(first["name"].as_str().is_some_and(|name| name.ends_with(&format!("half_empty.py:{line}"))));
        assert!(number(first, "python_arena_bytes") > 30 * MIB, "{python}: {first}");
        assert!(advices(process).contains(&"python-arenas"), "{python}: {process:#}");
        program.end();
    }
}

#[test]
fn what_cannot_be_told_is_one_line() {
    let refused = |recording: &str| {
        let output = artifacts::unfreed_command().args(["rss", recording]).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).expect("it is text");
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    };
    let directory = Scratch::new("moment");
    let program = Program::c("memory").arg("fork").recorded_to(directory.path());
    let program = Waiting::start(&program);
    let named = format!("{}@+1s", directory.path().display());
    assert!(refused(&named).contains("as it is now"));
    program.end();
    assert!(!Path::new("/proc/4194305").exists());
    assert!(refused("4194305").contains("there is none"));
}

/// From outside of a container its processes are seen as they are, by other numbers.
#[test]
fn a_process_of_another_namespace() {
    let unshare = || {
        let options = ["--map-root-user", "--pid", "--fork", "--mount-proc"];
        options.iter().fold(Program::new("/usr/bin/unshare"), |program, option| program.arg(option))
    };
    if !Path::new("/usr/bin/unshare").exists() || !unshare().arg("true").run().status.success() {
        println!("skipped: unshare is not possible here");
        return;
    }
    let directory = Scratch::new("container");
    let variables = [
        format!("LD_PRELOAD={}", artifacts::library().display()),
        format!("UNFREED_DIR={}", directory.path().display()),
    ];
    let program = variables.iter().fold(unshare().arg("/usr/bin/env"), Program::arg);
    let program = Waiting::start(&program.arg(Program::c("memory").path()).arg("maps"));
    assert_eq!(program.said[1], "1", "its number inside");
    let found = rss(&directory.path().display().to_string(), &[]);
    let process = one(&found);
    assert_eq!((&process["running"], number(process, "pid")), (&Value::Bool(true), 1));
    let (rss_bytes, kernel) = (number(process, "rss_bytes"), number(process, "vm_rss_bytes"));
    assert!(rss_bytes.abs_diff(kernel) <= kernel * 3 / 100, "{process:#}");
    close(row(process, "unfreed"), 25 * MIB, "unfreed");
    program.end();
}

/// Who may read the recording may not know of the process.
#[test]
fn a_process_of_another_user() {
    // SAFETY: takes no argument and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: only root can be another user");
        return;
    }
    let directory = Scratch::new("another-user");
    let recording = directory.path().join("recording");
    let unfreed = directory.path().join("unfreed");
    fs::copy(artifacts::unfreed(), &unfreed).expect("it can be copied");
    let program = Program::c("memory").arg("maps").env("UNFREED_MODE", "644").recorded_to(&recording);
    let program = Waiting::start(&program);
    for of in [program.child.id().to_string(), recording.display().to_string()] {
        let output = Command::new(&unfreed).args(["rss", &of]).uid(65534).gid(65534).output();
        let output = output.expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains("it is of user 0") && said.contains("as root"), "{said}");
    }
    program.end();
}
