//! Several processes in one file: each is read as if it had a file of its own.
mod synthetic;

use analyzer::aggregate::{Report, Selection, report};
use analyzer::output;
use analyzer::reader::{self, Recording};
use recording::layout::{self, CHUNK};
use synthetic::{Recorder, Scratch};

/// A process, its child, and that one's child; each has several chunks, frees inherited blocks, and leaves some of its own.
fn family() -> [Recorder; 3] {
    let fill = |r: &mut Recorder, size: u64| {
        r.module(0, 1, "/usr/bin/app", 0x5000_0000, 0x10_0000);
        let stack = r.stack(&[0x5000_1000 + size, 0x5000_2000]);
        let writers = [r.writer(), r.writer()];
        for i in 0..30_000 {
            let address = 0x7000_0000 + (size << 32) + 48 * i;
            r.alloc(writers[i as usize % 2], address, size, stack);
            if i % 100 != 7 {
                r.free(writers[i as usize / 3 % 2], address);
            }
        }
        writers[0]
    };
    let mut first = Recorder::new(1);
    fill(&mut first, 11);
    let mut child = first.fork(2);
    let writer = fill(&mut child, 22);
    child.free(writer, 0x7000_0000 + (11 << 32) + 48 * 7);
    let mut grandchild = child.fork(3);
    let writer = fill(&mut grandchild, 33);
    grandchild.free(writer, 0x7000_0000 + (22 << 32) + 48 * 7);
    grandchild.free(writer, 0x7000_0000 + (11 << 32) + 48 * 107);
    [first, child, grandchild]
}

fn read(scratch: &Scratch) -> Report {
    report(&scratch.0, &Selection::default()).expect("a recording")
}

/// What a report says of processes and sites, as if all of it were in the first file.
fn said(report: &Report) -> String {
    let mut bytes = Vec::new();
    output::report_json(report, usize::MAX, true, &mut bytes).expect("written");
    let text = String::from_utf8(bytes).expect("text");
    let (_, processes) = text.split_once("\"processes\"").expect("what comes after the path");
    assert!(processes.len() > 1000, "{processes}");
    ["2.unfreed", "3.unfreed"].iter().fold(processes.to_owned(), |text, name| text.replace(name, "1.unfreed"))
}

#[test]
fn processes_in_one_file_are_those_of_several_files() {
    let [first, child, grandchild] = family();
    let (apart, together) = (Scratch::new("apart"), Scratch::new("together"));
    for recorder in [&first, &child, &grandchild] {
        recorder.write(&apart.0);
    }
    let path = together.write("1.unfreed", &first.bytes_with(&[&child, &grandchild]));
    let (expected, found) = (read(&apart), read(&together));
    assert_eq!(expected.processes.len(), 3);
    assert_eq!(found.totals.counts.unfreed_blocks, expected.totals.counts.unfreed_blocks);
    assert_eq!(said(&found), said(&expected));
    assert!(found.processes.iter().all(|p| p.losses.is_empty()), "a part of the file is not read");
    let of_one_file = report(&path, &Selection::default()).expect("a recording");
    assert_eq!(said(&of_one_file), said(&expected));
}

#[test]
fn a_copy_of_a_file_with_several_processes_is_told_once() {
    let [first, child, grandchild] = family();
    let scratch = Scratch::new("further-copy");
    let bytes = first.bytes_with(&[&child, &grandchild]);
    scratch.write("1.unfreed", &bytes);
    scratch.write("2.unfreed", &bytes);
    let report = read(&scratch);
    assert_eq!(report.processes.len(), 3);
    assert_eq!(report.unreadable.len(), 1, "{:?}", report.unreadable);
}

#[test]
fn a_process_whose_header_is_damaged_is_told_and_costs_the_others_nothing() {
    let [first, child, grandchild] = family();
    let mut bytes = first.bytes_with(&[&child, &grandchild]);
    let header = (1..bytes.len() / CHUNK).find(|&n| bytes[n * CHUNK..].starts_with(&layout::MAGIC));
    bytes[header.expect("a further header") * CHUNK] ^= 1;
    let scratch = Scratch::new("further-damaged");
    let path = scratch.write("1.unfreed", &bytes);
    let processes = Recording::open_all(&path).expect("a recording");
    assert_eq!(processes.iter().map(|p| p.header.pid).collect::<Vec<_>>(), [1, 3]);
    let chunks = child.bytes().len() / CHUNK - 1;
    assert_eq!(processes[0].losses.len(), chunks, "each chunk of the child: {:?}", processes[0].losses);
    assert!(processes[0].losses.iter().all(|loss| loss.to_string().contains("header")));
    assert!(processes[1].losses.is_empty());
    let run = reader::open(&scratch.0).expect("a run");
    assert_eq!(run.recordings.len(), 2);
}

#[test]
fn files_of_older_versions_are_read_and_have_one_process() {
    let [first, ..] = family();
    let mut bytes = first.bytes();
    let scratch = Scratch::new("versions");
    scratch.write("1.unfreed", &bytes);
    let expected = said(&read(&scratch));
    for version in 1..layout::VERSION {
        bytes[layout::AT_VERSION] = version as u8;
        scratch.write("1.unfreed", &bytes);
        assert_eq!(said(&read(&scratch)), expected, "version {version}");
    }
    // What a newer writer would say in this place is no header in these versions.
    bytes[CHUNK..CHUNK + 8].copy_from_slice(&layout::MAGIC);
    let processes = Recording::open_all(&scratch.write("1.unfreed", &bytes)).expect("a recording");
    assert_eq!(processes.len(), 1);
    assert!(!processes[0].losses.is_empty());
}

#[test]
fn a_parent_is_known_by_its_recording_or_within_its_pid_namespace() {
    let scratch = Scratch::new("parents");
    let began = |mut r: Recorder, pid: u32, parent_pid: u32, namespace: u64, ms: u64| {
        r.header.pid = pid;
        r.header.parent_pid = parent_pid;
        r.header.pid_namespace = namespace;
        r.header.monotonic_ns = ms;
        r
    };
    // Two containers, in each a first process that forks the fifth, which becomes another program.
    for container in 1..=2u32 {
        let first = began(Recorder::new(10 * container), 1, 0, container.into(), 1000 + u64::from(container));
        // The clock of a child may have been read less exactly.
        let child = began(first.fork(10 * container + 1), 5, 1, container.into(), 900);
        let program = began(Recorder::new(10 * container + 2), 6, 5, container.into(), 2000);
        for (name, r) in [("first", &first), ("child", &child), ("program", &program)] {
            scratch.write(&format!("{name}{container}.unfreed"), &r.bytes());
        }
    }
    let report = read(&scratch);
    let parent = |file: &str| {
        let process = report.processes.iter().find(|process| process.file == file).expect("it is there");
        process.parent.map(|parent| report.processes[parent].file.as_str())
    };
    for container in 1..=2 {
        assert_eq!(parent(&format!("first{container}.unfreed")), None);
        assert_eq!(parent(&format!("child{container}.unfreed")), Some(&*format!("first{container}.unfreed")));
        assert_eq!(
            parent(&format!("program{container}.unfreed")),
            Some(&*format!("child{container}.unfreed"))
        );
    }
}

#[test]
fn recordings_that_name_each_other_as_parents_are_all_told() {
    let scratch = Scratch::new("circle-of-parents");
    let (mut one, mut two) = (Recorder::new(1), Recorder::new(2));
    one.header.parent_file_id = two.header.file_id;
    two.header.parent_file_id = one.header.file_id;
    one.write(&scratch.0);
    two.write(&scratch.0);
    let mut text = Vec::new();
    let report = read(&scratch);
    output::report_text(&report, 10, output::Style::default(), &mut text).expect("written");
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("pid 1 ") && text.contains("pid 2 "), "{text}");
}
