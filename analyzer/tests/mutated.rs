//! Recordings whose bytes were changed at random: whatever they say, `unfreed` ends by itself, without a panic, and in
//! memory and time that go with the size of the files.
//!
//! A round is made from its number alone, so a failing one is repeated by it: its files are kept, and named.
mod mutation;
mod synthetic;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use std::{env, fs};

use mutation::{Random, mutate};
use synthetic::{Recorder, Scratch};

/// What is asked of a directory of recordings, by turns; `OTHER` is a second one.
const QUESTIONS: [&[&str]; 14] = [
    &["report"],
    &["report", "--format", "json", "-n", "100000", "--all-frames"],
    &["report", "--by", "line", "--at", "end"],
    &["report", "--by", "thread", "--older", "1s", "--phase", "run"],
    &["report", "--by", "process", "--focus", "a", "--ignore", "b"],
    &["report", "--by", "module", "--format", "csv"],
    &["report", "--from", "table"],
    &["report", "--from", "table", "--format", "json", "--older", "1s", "--at", "end"],
    &["report", "--from", "table", "--born", "+1s..", "--by", "process"],
    &["report", "--from", "events", "--born", "..+2s"],
    &["marks"],
    &["inspect"],
    &["diff", "OTHER"],
    &["diff", "--by", "function", "--format", "json", "OTHER"],
];
/// Memory that one may take: so much, and a multiple of the recording's size. What is unfreed takes some 50 bytes a
/// block, of which the format may hold one in two bytes.
const MEMORY_KIB: u64 = 96 << 10;
const MEMORY_BY_SIZE: u64 = 64;
/// Processor time: of an unoptimised build on a machine at work.
const SECONDS: &str = "60";

/// The names and bytes of a directory's recordings, and of what they share.
type Files = Vec<(String, Vec<u8>)>;

/// What the processes of a run share.
const RUN: &str = "live/run";

fn read(directory: &Path) -> Files {
    let mut files = Files::new();
    for folder in [directory.to_owned(), directory.join("live")] {
        let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path());
        for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "unfreed")) {
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            files.push((name, fs::read(&path).expect("a recording is read")));
        }
    }
    files.extend(fs::read(directory.join(RUN)).ok().map(|bytes| (RUN.to_string(), bytes)));
    files.sort();
    assert!(!files.is_empty(), "{} holds no recording", directory.display());
    files
}

/// A program in C, and a server in Python with its child.
fn samples() -> Vec<Files> {
    let scratch = Scratch::new("mutated-samples");
    let (native, python) = (scratch.0.join("native"), scratch.0.join("python"));
    [&native, &python].into_iter().for_each(|folder| fs::create_dir(folder).expect("a folder"));
    let mut r = Recorder::new(1);
    r.keep_table();
    r.module(0, 1, "/usr/bin/app", 0x5000_0000, 0x10_0000);
    let stacks: Vec<_> = (0..40).map(|i| r.stack(&[0x5000_1000 + i, 0x5000_2000, 0x5000_3000 + i])).collect();
    let writers = [r.writer(), r.writer()];
    for i in 0..12_000u64 {
        let (writer, address) = (writers[i as usize % 2], 0x7000_0000 + 48 * i);
        r.alloc(writer, address, i * 7 % 5000, stacks[i as usize % 40]);
        match i % 7 {
            0 => r.free(writers[0], address),
            1 => {
                r.realloc_begin(writer, address);
                r.realloc_end(writer, address + 16, i, stacks[3]);
            }
            2 => r.clock(writer, 1_000 + i / 100),
            3 if i % 50 == 0 => r.begin_epoch(writer, i as u32 / 1_000),
            _ => {}
        }
    }
    r.write(&native);
    synthetic::flask::record_with(&python, 200, Recorder::keep_table);
    for folder in [&native, &python] {
        let mut words =
            synthetic::run::words(1, &[(1, 1_000), (2, 1_500), (9, 3_000)], &[("warm", 2, 1_500, 1)]);
        words.truncate(recording::run::EPOCH_TIMES + 4096);
        fs::create_dir(folder.join("live")).expect("a folder");
        fs::write(folder.join(RUN), words).expect("a file is written");
    }
    vec![read(&native), read(&python)]
}

fn unfreed(arguments: &[&str], files: &Path, other: &Path, size: u64) -> Output {
    let memory = (MEMORY_KIB + MEMORY_BY_SIZE * size / 1024).to_string();
    let limited = r#"ulimit -d "$0"; ulimit -t "$1"; ulimit -c 0; shift; exec timeout -s KILL 600 "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", limited, &memory, SECONDS, env!("CARGO_BIN_EXE_unfreed")]).env("UNFREED_CACHE", "");
    for argument in arguments {
        if *argument == "OTHER" {
            command.arg(other);
        } else {
            command.arg(argument);
        }
    }
    command.arg(files).output().expect("sh runs")
}

/// Asks one question of a changed copy of `files`.
fn round(number: u64, files: &Files) {
    let scratch = Scratch::new("mutated");
    let mut random = Random::new(number);
    let (changed, whole) = (scratch.0.join("changed"), scratch.0.join("whole"));
    [&changed, &whole]
        .into_iter()
        .for_each(|folder| fs::create_dir_all(folder.join("live")).expect("a folder"));
    let mut size = 0;
    for (name, bytes) in files {
        fs::write(whole.join(name), bytes).expect("a file is written");
        let path = changed.join(name);
        mutate(&mut random, bytes.clone(), &path);
        size += bytes.len() as u64;
    }
    let question = QUESTIONS[random.below(QUESTIONS.len())];
    let output = unfreed(question, &changed, &whole, size);
    let told = String::from_utf8_lossy(&output.stderr);
    let is_right = matches!(output.status.code(), Some(0..=2)) && !told.contains("panicked");
    if !is_right {
        let kept = env::temp_dir().join(format!("unfreed-mutated-round-{number}"));
        let _ = fs::remove_dir_all(&kept);
        fs::rename(&scratch.0, &kept).expect("the files are kept");
        let status = (output.status, output.status.signal());
        panic!("round {number}, {question:?} of {}: {status:?}: {told}", kept.display());
    }
}

#[test]
fn a_mutated_recording_does_no_harm() {
    let samples = samples();
    for question in QUESTIONS {
        let scratch = Scratch::new("unchanged");
        fs::create_dir(scratch.0.join("live")).expect("a folder");
        samples[1].iter().for_each(|(name, bytes)| drop(scratch.write(name, bytes)));
        let output = unfreed(question, &scratch.0, &scratch.0, 0);
        assert!(output.status.success(), "{question:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for number in 0..90 {
        round(number, &samples[number as usize % samples.len()]);
    }
}

/// For `UNFREED_FUZZ_SECONDS` (60), from round `UNFREED_FUZZ_FIRST` (1,000) on, of the samples and of the recordings in the
/// directories `UNFREED_FUZZ_RECORDINGS`, which are separated by colons. `scripts/fuzz` gives it real ones.
#[test]
#[ignore = "takes as long as it is told to"]
fn mutated_recordings_do_no_harm_for_long() {
    let number_of = |name: &str, default: u64| {
        env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
    };
    let mut samples = samples();
    let given = env::var("UNFREED_FUZZ_RECORDINGS").unwrap_or_default();
    samples.extend(given.split(':').filter(|path| !path.is_empty()).map(|path| read(&PathBuf::from(path))));
    let (first, began) = (number_of("UNFREED_FUZZ_FIRST", 1_000), Instant::now());
    let end = Duration::from_secs(number_of("UNFREED_FUZZ_SECONDS", 60));
    let mut number = first;
    while began.elapsed() < end {
        round(number, &samples[number as usize % samples.len()]);
        number += 1;
    }
    println!("{} rounds from {first} on, of {} recordings", number - first, samples.len());
}
