//! What `unfreed run` leaves when nobody writes any more: compressed files, which say what they said.

use std::fs;
use std::os::unix::fs::MetadataExt;

use e2e::{Program, Report, Scratch, Unfreed, replay};

/// One program exits, one is killed, and their shell exits.
const PROGRAMS: &str = "\"$1\"; sh -c 'kill -9 $$'; true";

#[test]
fn files_of_a_run() {
    let (scratch, basic) = (Scratch::new("compressed"), Program::c("basic"));
    let directory = scratch.path().join("recording");
    let run = Program::unfreed("run").arg("-o").arg(&directory).arg("--").arg("sh").arg("-c").arg(PROGRAMS);
    let outcome = run.arg("sh").arg(basic.path()).run();
    assert!(outcome.status.success(), "{}", outcome.stderr_text());
    let files = replay::read_directory(&directory);
    assert!(files.len() >= 3, "{} processes", files.len());
    for file in &files {
        let metadata = fs::metadata(&file.path).expect("it is there");
        assert_eq!(file.header.compressed, metadata.len(), "{}", file.path.display());
        assert!(metadata.len() < 32 << 10, "{} bytes", metadata.len());
        assert_eq!(metadata.mode() & 0o777, 0o600);
        assert_eq!(file.impossible, Vec::<String>::new());
        file.assert_table();
    }
    let report = Report::of(&directory);
    report.assert_sound();
    assert_eq!(report.unfreed_in("leak_basic"), Unfreed { blocks: 3, bytes: 30_006 });
    assert_eq!(report.total("events"), files.iter().map(|file| file.events).sum::<u64>());
}
