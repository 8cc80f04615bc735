//! Recordings that were compressed: they say what they said, take less, and are survived where they are cut or scribbled on. A file that
//! somebody may write is left as it is.
mod synthetic;

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;

use analyzer::aggregate::{Selection, report};
use analyzer::compress::compress;
use analyzer::reader::Recording;
use analyzer::{output, replay};
use recording::layout::{self, CHUNK};
use synthetic::{Recorder, Scratch};

/// A process and its child, which is in its file: several writers with several chunks, live tables, counts, and a chunk that was never begun.
fn sample() -> Vec<u8> {
    let fill = |r: &mut Recorder, size: u64| {
        r.keep_table();
        r.module(0, 1, "/usr/bin/app", 0x5000_0000, 0x10_0000);
        let stacks: Vec<_> = (0..40).map(|i| r.stack(&[0x5000_1000 + i, 0x5000_2000 + size])).collect();
        let writers = [r.writer(), r.writer()];
        for i in 0..40_000 {
            let address = 0x7000_0000 + (size << 32) + 64 * (i * i % 40_009);
            r.alloc(writers[i as usize % 2], address, size + i % 7, stacks[i as usize % 40]);
            if i % 100 != 7 {
                r.free(writers[i as usize / 3 % 2], address);
            }
        }
    };
    let mut first = Recorder::new(1);
    fill(&mut first, 40);
    let mut child = first.fork(2);
    fill(&mut child, 60);
    let mut bytes = first.bytes_with(&[&child]);
    bytes.resize(bytes.len() + CHUNK, 0);
    let chunks = (bytes.len() / CHUNK) as u64;
    bytes[layout::NEXT_CHUNK..][..8].copy_from_slice(&chunks.to_le_bytes());
    bytes
}

/// What is said of it, out of events and out of the table.
fn said(scratch: &Scratch) -> [String; 2] {
    [replay::Source::Events, replay::Source::Table].map(|from| {
        let selection = Selection { from, ..Selection::default() };
        let report = report(&scratch.0, &selection).expect("a recording");
        assert!(report.processes.iter().all(|process| process.losses.is_empty()));
        let mut bytes = Vec::new();
        output::report_json(&report, usize::MAX, true, &mut bytes).expect("written");
        String::from_utf8(bytes).expect("text")
    })
}

#[test]
fn a_compressed_file_says_what_it_said_and_takes_less() {
    let scratch = Scratch::new("compressed");
    let path = scratch.write("1.unfreed", &sample());
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("its owner may");
    let (before, len) = (said(&scratch), fs::metadata(&path).expect("it is there").len());
    compress(&scratch.0).expect("it can be");
    let compressed = fs::metadata(&path).expect("it is there");
    assert!(2 * compressed.len() < len, "{} of {len} bytes", compressed.len());
    assert_eq!(compressed.permissions().mode() & 0o777, 0o640);
    assert_eq!(said(&scratch), before);
    assert_eq!(fs::read_dir(&scratch.0).expect("a directory").count(), 1, "nothing else is left there");
    let bytes = fs::read(&path).expect("it is there");
    compress(&scratch.0).expect("there is nothing to do");
    assert!(fs::read(&path).expect("it is there") == bytes, "compressed once");
}

#[test]
fn a_file_that_may_be_written_is_left_as_it_is() {
    let scratch = Scratch::new("written");
    let path = scratch.write("1.unfreed", &sample());
    let bytes = fs::read(&path).expect("it is there");
    let writer = OpenOptions::new().write(true).open(&path).expect("a writer");
    compress(&scratch.0).expect("it is left alone");
    assert!(fs::read(&path).expect("it is there") == bytes);
    drop(writer);
    compress(&scratch.0).expect("it can be");
    assert!(fs::read(&path).expect("it is there") != bytes);
}

#[test]
fn of_a_running_process_or_an_older_version_or_damaged_it_is_left_as_it_is() {
    let scratch = Scratch::new("older");
    let mut bytes = sample();
    bytes[3 * CHUNK] ^= 1;
    let damaged = scratch.write("3.unfreed", &bytes);
    bytes[3 * CHUNK] ^= 1;
    fs::create_dir(scratch.0.join("live")).expect("a directory");
    let live = scratch.write("live/1.unfreed", &bytes);
    bytes[layout::AT_VERSION] = layout::VERSION as u8 - 1;
    let older = scratch.write("2.unfreed", &bytes);
    compress(&scratch.0).expect("they are left alone");
    assert_eq!(fs::read(&damaged).expect("it is there").len(), bytes.len());
    assert_eq!(fs::read(&live).expect("it is there").len(), bytes.len());
    assert!(fs::read(&older).expect("it is there") == bytes);
}

#[test]
fn cut_or_scribbled_on_it_is_read_as_far_as_it_goes() {
    let scratch = Scratch::new("compressed-cut");
    let path = scratch.write("1.unfreed", &sample());
    compress(&scratch.0).expect("it can be");
    let whole = fs::read(&path).expect("it is there");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("written");
        let recordings = Recording::open_all(&path).ok()?;
        let replay = |recording| replay::replay(recording, replay::Options::default(), &|_| {});
        let replayed: Vec<_> = recordings.iter().map(replay).collect();
        let losses = replayed.iter().map(|replayed| replayed.losses.len()).sum::<usize>();
        Some((replayed.iter().map(|replayed| replayed.events).sum::<u64>(), losses))
    };
    let (all, none) = read(&whole).expect("a recording");
    assert!(all > 150_000 && none == 0, "{all} events, {none} losses");
    let mut most = 0;
    for cut in (layout::INHERITED_STAMPS..whole.len()).step_by(9_973) {
        let (events, losses) = read(&whole[..cut]).expect("its header is there");
        assert!(events <= all && losses > 0, "cut at {cut}: {events} events, {losses} losses");
        most = most.max(events);
    }
    assert!(most > all / 2, "what lies before the cut is read: {most} of {all}");
    let mut bytes = whole.clone();
    for at in (0..whole.len()).step_by(4_999) {
        bytes[at] ^= 0x5a;
        let found = read(&bytes);
        assert!(found.is_none_or(|(events, _)| events <= 2 * all), "changed at {at}");
        bytes[at] = whole[at];
    }
}
