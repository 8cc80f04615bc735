//! Files that were cut, scribbled on, or are no recordings: what can be read is read, what cannot is said, and nothing
//! panics.
mod synthetic;

use std::path::Path;

use analyzer::aggregate::{Report, Selection};
use analyzer::reader::{self, Recording};
use analyzer::replay;
use recording::layout::{self, CHUNK};
use synthetic::{Recorder, Scratch};

/// Three threads, frees across them, reallocs, modules and stacks: five chunks of events, one of definitions.
fn sample() -> Recorder {
    let mut r = Recorder::new(1);
    r.module(0, 1, "/usr/bin/app", 0x5000_0000, 0x10_0000);
    let stacks: Vec<_> = (0..40).map(|i| r.stack(&[0x5000_1000 + i, 0x5000_2000, 0x5000_3000 + i])).collect();
    let writers = [r.writer(), r.writer(), r.writer()];
    let mut state = 1u64;
    let mut held = Vec::new();
    for i in 0..60_000u64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (writer, random) = (writers[(state >> 40) as usize % 3], state >> 33);
        let address = 0x7000_0000 + 48 * i;
        match random % 5 {
            0..3 => {
                r.alloc(writer, address, random % 5000, stacks[random as usize % 40]);
                held.push(address);
            }
            3 if !held.is_empty() => {
                r.free(writer, held.swap_remove(random as usize % held.len()));
            }
            4 if !held.is_empty() => {
                r.realloc_begin(writer, held.swap_remove(random as usize % held.len()));
                r.realloc_end(writer, address, 77, stacks[7]);
                held.push(address);
            }
            _ => r.clock(writer, 1_000 + i / 100),
        }
    }
    r
}

fn report(path: &Path) -> Result<Report, reader::ReadError> {
    let selection = Selection::default();
    analyzer::aggregate::report(path, &selection)
}

#[test]
fn a_file_cut_anywhere_is_read_as_far_as_it_goes() {
    let scratch = Scratch::new("cut");
    let whole = sample().bytes();
    let path = scratch.write("1.unfreed", &whole);
    let all = report(&path).expect("the whole file").totals.events.expect("all are known");
    assert!(whole.len() > 5 * CHUNK && all > 50_000, "{} bytes, {all} events", whole.len());
    // Every 97th byte of what is special, and every 9,973rd of the rest, prime so that all places in a record are met.
    let cuts = (0..3000).step_by(97).chain((3000..whole.len()).step_by(9_973)).chain([whole.len() - 1]);
    for cut in cuts {
        std::fs::write(&path, &whole[..cut]).expect("a file is written");
        match Recording::open(&path) {
            Ok(recording) => {
                let replayed = replay::replay(&recording, replay::Options::default(), &|_| {});
                assert!(replayed.events <= all);
                assert!(!replayed.losses.is_empty(), "cut at {cut} is not told");
            }
            Err(error) => {
                assert!(cut < layout::INHERITED_STAMPS, "cut at {cut}: {error}");
                assert!(
                    error.to_string().contains("empty") || error.to_string().contains("cut within"),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn every_byte_of_garbage_is_survived() {
    let scratch = Scratch::new("garbage");
    let whole = sample().bytes();
    let mut state = 7u64;
    for round in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..1 << (round % 12) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Behind the fixed part of the header, else it is no recording at all.
            let at = layout::NEXT_CHUNK + (state >> 20) as usize % (bytes.len() - layout::NEXT_CHUNK);
            bytes[at] = (state >> 11) as u8;
        }
        let path = scratch.write("1.unfreed", &bytes);
        let report = report(&path).expect("its header is whole");
        let mut out = Vec::new();
        analyzer::output::report_json(&report, usize::MAX, true, &mut out).expect("it can be printed");
        analyzer::output::report_text(&report, 20, Default::default(), &mut out).expect("it can be printed");
    }
}

#[test]
fn a_damaged_chunk_costs_its_own_rest_only() {
    let scratch = Scratch::new("chunk");
    let recorder = sample();
    let mut bytes = recorder.bytes();
    let path = scratch.write("1.unfreed", &bytes);
    let before = report(&path).expect("the whole file");
    let recording = Recording::open(&path).expect("it is a recording");
    let second = recording.writers[&0][1].number as usize;
    let middle = second * CHUNK + CHUNK / 2;
    bytes[middle..middle + 400].fill(0x0f);
    scratch.write("1.unfreed", &bytes);
    let after = report(&path).expect("the damaged file");
    let events = |report: &Report| report.totals.events.expect("all are known");
    let lost = events(&before) - events(&after);
    assert!(lost > 1000 && lost < 20_000, "{lost} of {} events are gone", events(&before));
    let process = &after.processes[0];
    assert_eq!(process.losses.len(), 1, "{:?}", process.losses);
    assert!(process.losses[0].to_string().contains("offset"), "{}", process.losses[0]);
    assert!(process.anomalies.gaps.missing > 1000, "{:?}", process.anomalies);
}

#[test]
fn what_is_no_recording_is_told_in_one_line() {
    let scratch = Scratch::new("bad");
    let told = |path: &Path| match reader::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => {
            let line = error.to_string();
            assert!(line.starts_with(&path.display().to_string()), "{line} names the file");
            assert!(!line.contains('\n'));
            line
        }
    };
    assert!(told(&scratch.0).contains("no recording in this directory"));
    assert!(told(&scratch.0.join("nothing")).contains("No such file"));
    assert!(told(&scratch.write("text", b"hello, this is a text")).contains("not a recording"));
    assert!(told(&scratch.write("empty", b"")).contains("empty"));
    let whole = sample().bytes();
    let mut newer = whole.clone();
    newer[layout::AT_VERSION] = 9;
    let up_to = format!("format version 9, this unfreed reads up to {}", layout::VERSION);
    assert!(told(&scratch.write("newer", &newer)).contains(&up_to));
    let mut other = whole.clone();
    other[layout::AT_MACHINE] = 183;
    assert!(told(&scratch.write("other", &other)).contains("aarch64"));
    assert!(told(&scratch.write("zero", &[0; 4096])).contains("killed as it began the file"));
    assert!(told(Path::new("/dev/null")).contains("neither a file nor a directory"));
}

#[test]
fn a_directory_with_one_bad_file_is_reported_without_it() {
    let scratch = Scratch::new("mixed");
    sample().write(&scratch.0);
    scratch.write("2.unfreed", b"not one");
    let report = report(&scratch.0).expect("one file is good");
    assert_eq!(report.processes.len(), 1);
    assert_eq!(report.unreadable.len(), 1);
    assert!(report.unreadable[0].contains("2.unfreed: not a recording"), "{:?}", report.unreadable);
}

#[test]
fn a_copy_or_link_of_a_file_is_not_counted_again() {
    let scratch = Scratch::new("copies");
    let path = scratch.write("1.unfreed", &sample().bytes());
    let once = report(&scratch.0).expect("one file").totals;
    std::fs::copy(&path, scratch.0.join("2.unfreed")).expect("a copy");
    std::os::unix::fs::symlink(&path, scratch.0.join("3.unfreed")).expect("a link");
    let report = report(&scratch.0).expect("three files");
    assert_eq!(report.processes.len(), 1);
    assert_eq!(report.totals.events, once.events);
    assert_eq!(report.unreadable.len(), 2);
    assert!(report.unreadable.iter().all(|told| told.contains("a copy of")), "{:?}", report.unreadable);
}

#[test]
fn files_of_running_processes_that_cannot_be_listed_are_not_left_out() {
    let scratch = Scratch::new("loop");
    scratch.write("1.unfreed", &sample().bytes());
    std::os::unix::fs::symlink("live", scratch.0.join("live")).expect("a link to itself");
    let why = report(&scratch.0).err().expect("nobody knows what is in it").to_string();
    assert!(why.contains("/live: Too many levels of symbolic links"), "{why}");
}

#[test]
fn a_named_pipe_is_not_waited_for() {
    let scratch = Scratch::new("pipe");
    scratch.write("1.unfreed", &sample().bytes());
    let pipe = scratch.0.join("2.unfreed");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    assert!(report(&pipe).is_err_and(|error| error.to_string().contains("neither a file nor a directory")));
    assert_eq!(report(&scratch.0).expect("the file beside it").unreadable.len(), 1);
}

#[test]
fn a_number_of_chunks_beyond_reason_takes_no_time() {
    let scratch = Scratch::new("huge");
    let mut bytes = sample().bytes();
    let path = scratch.write("1.unfreed", &bytes);
    let all = report(&path).expect("the whole file").totals.events;
    bytes[layout::NEXT_CHUNK..][..8].copy_from_slice(&(1u64 << 60).to_le_bytes());
    let path = scratch.write("1.unfreed", &bytes);
    // 8 TiB: of every chunk a header would be read, 130 million.
    std::fs::File::options()
        .write(true)
        .open(&path)
        .expect("the file")
        .set_len(8 << 40)
        .expect("a sparse file");
    let report = report(&path).expect("a recording");
    assert_eq!(report.totals.events, all);
    assert!(!report.processes[0].losses.is_empty(), "chunks are missing and it is not told");
}

#[test]
fn children_that_were_not_recorded_are_told() {
    let scratch = Scratch::new("children");
    let mut bytes = sample().bytes();
    let place = layout::LOST + 8 * recording::LostKind::Children as usize;
    bytes[place] = 3;
    let path = scratch.write("1.unfreed", &bytes);
    let report = report(&path).expect("a recording");
    assert_eq!(report.processes[0].notes, ["3 forked children could not be recorded"]);
}

#[test]
fn stacks_that_go_in_circles_end() {
    let mut r = Recorder::new(1);
    let writer = r.writer();
    let own = r.node(recording::StackId(0), 0x1000);
    let circle = r.node(recording::StackId(own.0 + 1), 0x2000);
    assert_eq!(circle.0, own.0 + 1, "its parent is itself");
    r.alloc(writer, 0x10000, 1, circle);
    r.alloc(writer, 0x20000, 1, recording::StackId(4_000_000_000));
    r.alloc(writer, 0x30000, 1, recording::StackId(6));
    let scratch = Scratch::new("circle");
    let report = report(&r.write(&scratch.0)).expect("it is a recording");
    assert_eq!(report.totals.counts.unfreed_blocks, 3);
    let ends: Vec<_> = report.sites.iter().filter_map(|site| report.paths.incomplete(site.path)).collect();
    assert_eq!(ends.len(), 3, "{ends:?}");
}
