//! What `unfreed run` says at the end, and what it leaves on disk.
mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use support::{Scratch, output, stderr, stdout};

/// Sizes of the recording files in a directory, and how much of each was used.
fn files(scratch: &Scratch, directory: &str) -> Vec<(PathBuf, u64, u64)> {
    let names = scratch.names(directory).into_iter().filter(|name| name.ends_with(".unfreed"));
    names
        .map(|name| {
            let path = scratch.join(directory).join(name);
            let content = fs::File::open(&path).expect("readable");
            let mut head = [0; recording::layout::INHERITED_STAMPS];
            std::os::unix::fs::FileExt::read_exact_at(&content, &mut head, 0).expect("a header");
            let used = recording::layout::FileHeader::decode(&head).expect("a header").used_bytes();
            (path.clone(), content.metadata().expect("a file").len(), used)
        })
        .collect()
}

const LEAK: &str = "
#include <stdlib.h>
int main(void) {
    for (int i = 0; i < 1500; i++) {
        char *volatile block = malloc(10001);
        if (i % 3) free(block);
    }
    return 4;
}";

#[test]
fn one_line_of_numbers_and_the_next_command() {
    let scratch = Scratch::new();
    scratch.compile("leak", LEAK, &["-O0"]);
    let output = output(&mut scratch.unfreed(&["run", "-o", "my rec", "./leak"]));
    assert_eq!(output.status.code(), Some(4));
    let told = stderr(&output);
    let (summary, next) = told.trim_end().split_once('\n').expect("two lines");
    // Nothing but the program allocates here: 1500 blocks, 1000 freed, 500 * 10001 bytes left.
    assert!(
        summary.starts_with("unfreed: 1 process, 2,500 events, lost 0; unfreed 4883 KiB in 500 blocks; log "),
        "{told}"
    );
    assert_eq!(next, "unfreed report 'my rec'");
    let files = files(&scratch, "my rec");
    assert!(
        files.iter().all(|(_, len, used)| len == used && *used > 0),
        "unused space is cut off: {files:?}"
    );
}

#[test]
fn the_program_that_a_signal_ended() {
    let scratch = Scratch::new();
    let told = stderr(&output(&mut scratch.unfreed(&["run", "sh", "-c", "kill -9 $$"])));
    assert!(told.starts_with("unfreed: the program was ended by signal 9\nunfreed: 1 process, "), "{told}");
    let names = scratch.names("unfreed.sh.1");
    assert!(names.iter().any(|name| name.ends_with(".unfreed")), "it was moved out of live/: {names:?}");
    assert_eq!(scratch.names("unfreed.sh.1/live"), ["run"], "the words of the run stay");
}

#[test]
fn a_program_that_did_not_load_the_library() {
    let scratch = Scratch::new();
    let program = scratch.compile("free", "int main(void) { return 3; }", &[]);
    // `sh` is recorded as soon as it allocates; a library that records nothing stands for a refused one.
    let other = scratch.compile("other.so", "int other;", &["-shared", "-fPIC"]);
    let arguments = ["run".as_ref(), "--lib".as_ref(), other.as_os_str(), program.as_os_str()];
    let output = output(&mut scratch.unfreed(&arguments));
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).starts_with("unfreed: unfreed.free.1: nothing was recorded; "),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_file_that_is_still_written_is_left_alone() {
    let scratch = Scratch::new();
    // The second process outlives the first and reads from a pipe that nobody writes to.
    let fifo = scratch.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let script = "cat <>fifo >/dev/null 2>&1 & echo $!
        until grep -q bin/cat /proc/$!/maps && grep -q '[.]unfreed$' /proc/$!/maps; do :; done";
    let run = output(&mut scratch.unfreed(&["run", "-o", "rec", "sh", "-c", script]));
    let told = stderr(&run);
    let pid: i32 = stdout(&run).trim().parse().expect("its process id");
    let refused = output(&mut scratch.unfreed(&["run", "-o", "rec", "--force", "true"]));
    let (sizes, written) = (files(&scratch, "rec"), files(&scratch, "rec/live"));
    // SAFETY: no memory is involved; the process is the one that the script started.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    assert!(told.contains(" (1 still running), "), "{told}");
    assert!(written.iter().any(|(_, len, used)| len > used), "{written:?}");
    assert!(!sizes.is_empty() && sizes.iter().all(|(_, len, used)| len == used), "{sizes:?}");
    let why =
        format!(": process {pid} still records into it; end it first, or choose another directory with -o\n");
    assert!(stderr(&refused).ends_with(&why), "{}", stderr(&refused));
    assert_eq!(refused.status.code(), Some(2));
}

/// Out of its live table: its events are too many to be read for that.
#[test]
fn a_long_recording_is_summed_up() {
    let scratch = Scratch::new();
    let many = LEAK.replace("1500", "6000000").replace("i % 3", "i % 100000").replace("10001", "i % 999 * 7");
    scratch.compile("many", &many, &["-O0"]);
    let told = stderr(&output(&mut scratch.unfreed(&["run", "-o", "rec", "./many"])));
    let (summary, next) = told.trim_end().split_once('\n').expect("two lines");
    let expected = "unfreed: 1 process, 11,999,940 events, lost 0; unfreed 186 KiB in 60 blocks; log ";
    assert!(summary.starts_with(expected), "{told}");
    assert_eq!(next, "unfreed report rec");
}
