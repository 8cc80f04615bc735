//! Descriptors that were opened and not closed are those that the program has, by number and kind; and nothing of it is seen
//! where that is not asked for.

use std::collections::BTreeMap;
use std::path::Path;

use e2e::libcs::{self, Libc};
use e2e::{Outcome, ProcessFile, Program, Scratch, Target, artifacts, python, replay};
use recording::Event;
use recording::resource::{Descriptor, Resource};
use serde_json::Value;

/// What is open after these events: numbers and kinds.
fn open_files(file: &ProcessFile) -> BTreeMap<u32, u64> {
    let mut open = BTreeMap::new();
    for event in &file.resources {
        match *event {
            Event::Alloc { address, size, .. } => {
                let Some(Resource::Descriptor(number)) = Resource::of(address) else { continue };
                assert!(Descriptor::from_number(size).is_some(), "{event:x?}");
                open.insert(number, size);
            }
            Event::Free { address, .. } => {
                if let Some(Resource::Descriptor(number)) = Resource::of(address) {
                    open.remove(&number);
                }
            }
            _ => {}
        }
    }
    open
}

/// What the program says that it has kept; `in_child`: what its child has.
fn kept(outcome: &Outcome, in_child: bool) -> BTreeMap<u32, u64> {
    let text = outcome.stdout_text();
    let lines = text.lines().filter_map(|line| {
        let mut words = line.splitn(3, ' ');
        let (number, kind) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (words.next()?.eq("child") == in_child).then_some((number, kind))
    });
    lines.collect()
}

fn run(program: &Program) -> (Outcome, Vec<ProcessFile>) {
    let directory = Scratch::new("open-files");
    let work = Scratch::new("open-files-work");
    let plain = program.clone().arg(work.path()).run();
    let work = Scratch::new("open-files-work");
    let recorded = program.clone().arg(work.path()).recorded_to(directory.path()).run();
    // Threads take numbers in any order.
    let lines = |outcome: &Outcome| {
        let text = outcome.stdout_text();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&plain), lines(&recorded), "{program}");
    assert_eq!((plain.status, plain.stderr_text()), (recorded.status, recorded.stderr_text()), "{program}");
    let files = replay::read_directory(directory.path());
    for file in &files {
        assert_eq!(file.impossible, Vec::<String>::new(), "{}", file.path.display());
        assert!(file.header.lost.iter().all(|lost| *lost == 0), "{:?}", file.header.lost);
    }
    (recorded, files)
}

fn program(path: &Path) -> Program {
    Program::new(path).env("UNFREED_FDS", "1")
}

fn check(program: &Program) {
    let (outcome, files) = run(program);
    // The others are shells that it executes.
    let child = files.iter().find(|file| file.header.parent_file_id != 0).expect("a child");
    let parent = files.iter().find(|file| file.header.file_id == child.header.parent_file_id);
    let parent = parent.expect("its parent");
    assert_eq!(open_files(parent), kept(&outcome, false), "{program}");
    assert_eq!(open_files(child), kept(&outcome, true), "{program}: its child");
    for file in &files {
        file.assert_table();
    }
}

#[test]
fn all_ways_to_open() {
    check(&program(Program::c("openers").path()));
}

#[test]
fn all_ways_to_open_with_other_c_libraries() {
    for libc in libcs::present() {
        let named = |libc: &Libc| format!("openers-{}", libc.name());
        check(&program(&Target::new("c/openers.c").named(&named(&libc)).for_libc(&libc).build()));
    }
}

#[test]
fn not_asked_for() {
    let (_, files) = run(&Program::c("openers"));
    assert!(files.iter().all(|file| file.resources.is_empty()));
}

/// What is recorded must not depend on what the events are kept for.
#[test]
fn without_events() {
    let (_, files) = run(&program(Program::c("openers").path()).env("UNFREED_MAX_LOG", "0"));
    assert!(files.iter().all(|file| file.resources.is_empty() && file.events == 0));
}

/// What `unfreed report` says with these options of a recorded run of this program.
fn report(program: &Program, options: &[&str]) -> Value {
    let directory = Scratch::new("open-files");
    program.clone().recorded_to(directory.path()).run();
    let report = Program::unfreed("report").arg(directory.path()).arg("--format").arg("json");
    let outcome = options.iter().fold(report, |report, option| report.arg(option)).run();
    serde_json::from_str(&outcome.stdout_text()).unwrap_or_else(|_| panic!("{}", outcome.stderr_text()))
}

#[test]
fn anonymous_mappings() {
    let program = Program::c("maps").env("UNFREED_MMAP", "1");
    let said = report(&program, &["--mmap", "--by", "function"]);
    let totals = |name: &str| said["totals"][name].as_u64().expect("a number");
    assert_eq!((totals("held"), totals("held_bytes")), (6, 4352 << 10), "{said}");
    assert_eq!(said["processes"][0]["complete"], true);
    let ordinary = report(&program, &[]);
    let unfreed = ordinary["totals"]["unfreed_bytes"].as_u64().expect("a number");
    assert!((1 << 20..2 << 20).contains(&unfreed), "no mapping is a block: {unfreed}");
}

/// Each is named by the program's own line, whatever library has opened it for it.
#[test]
fn unclosed_files_of_python() {
    python::on_each(|interpreter| {
        let work = Scratch::new("open-files-work");
        let program = interpreter.program("unclosed.py").arg(work.path()).env("UNFREED_FDS", "1");
        let said = report(&program, &["--fds", "--by", "line"]);
        let source = artifacts::sources().join("python/unclosed.py");
        let expected = [
            ("# a file", 30, "file"),
            ("# a socket", 10, "socket"),
            ("# a connection", 15, "accepted socket"),
            ("# a server", 1, "socket"),
            ("# a pipe", 5, "pipe end"),
        ];
        let of_line = |mark: &str| {
            let name = format!("{}:{}", source.display(), artifacts::line_with(&source, mark));
            let sites = said["sites"].as_array().expect("sites");
            let site = sites.iter().find(|site| site["name"] == name.as_str());
            site.unwrap_or_else(|| panic!("{interpreter}: {mark} in {said:#}")).clone()
        };
        for (mark, count, kind) in expected {
            let site = of_line(mark);
            assert_eq!(site["held"], count, "{interpreter}: {mark}");
            assert_eq!(site["kinds"][kind], count, "{interpreter}: {mark}");
        }
        // When a database's file is opened is the version's matter.
        let open = said["totals"]["held"].as_u64().expect("a number");
        let databases: u64 = 20;
        assert_eq!(
            open - expected.iter().map(|(_, count, _)| count).sum::<u64>(),
            databases,
            "{interpreter}"
        );
    });
}
