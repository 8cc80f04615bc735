//! The words that the processes of a run share: one file for all who can have it, and a recording for those who cannot;
//! interpreters in a process that is switched on later.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::process::{Child, Stdio};

use e2e::{Program, Scratch, Steps, python, replay};
use recording::layout::{FileHeader, flag};
use recording::run;

fn headers(directory: &Path) -> Vec<FileHeader> {
    replay::read_directory(directory).into_iter().map(|file| file.header).collect()
}

/// Those who begin at once have one file.
#[test]
fn made_once() {
    const PROCESSES: usize = 12;
    for _ in 0..30 {
        let scratch = Scratch::new("at-once");
        let directory = scratch.path().join("recording");
        let start = |_| -> Child {
            let mut command = Program::c("steps").recorded_to(&directory).command();
            command.stdin(Stdio::null()).spawn().expect("the program starts")
        };
        let children: Vec<Child> = (0..PROCESSES).map(start).collect();
        for mut child in children {
            assert!(child.wait().expect("it ends").success());
        }
        let headers = headers(&directory);
        assert_eq!(headers.len(), PROCESSES);
        assert!(headers.iter().all(|header| header.flags & flag::ALONE == 0), "none is alone");
        let entries = fs::read_dir(directory.join("live")).expect("it is there");
        let left: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(left, [run::RUN], "the others are removed");
        let words = fs::metadata(directory.join("live").join(run::RUN)).expect("it is there");
        assert!(words.blocks() * 512 <= 2 * run::HEAD as u64, "{} blocks: it is sparse", words.blocks());
    }
}

/// What others have put in its place is not used, not changed, and keeps nobody from recording.
#[test]
fn something_else_in_its_place() {
    let fake = |magic: &[u8], size: usize| {
        let mut bytes = magic.to_vec();
        bytes.resize(size, 0);
        bytes
    };
    let target = Scratch::new("elsewhere");
    let elsewhere = target.path().join("file");
    fs::write(&elsewhere, fake(&run::MAGIC, run::SIZE)).expect("a file is written");
    type Put<'a> = &'a dyn Fn(&Path);
    let puts: [Put; 6] = [
        &|path| fs::write(path, b"").expect("a file is written"),
        &|path| fs::write(path, fake(&run::MAGIC, run::SIZE - 1)).expect("a file is written"),
        &|path| fs::write(path, fake(b"something else", run::SIZE)).expect("a file is written"),
        &|path| fs::create_dir(path).expect("a directory is made"),
        &|path| symlink(&elsewhere, path).expect("a link is made"),
        &|path| {
            let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("no NUL");
            // SAFETY: the path ends with NUL.
            assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
        },
    ];
    for (number, put) in puts.into_iter().enumerate() {
        let scratch = Scratch::new("in-place");
        let words = scratch.path().join("live").join(run::RUN);
        fs::create_dir(scratch.path().join("live")).expect("a directory is made");
        put(&words);
        let before = fs::symlink_metadata(&words).expect("it is there");
        let mut steps = Steps::start(scratch.path());
        ["keep", "fork", "mark", "keep"].into_iter().for_each(|step| steps.step(step));
        steps.end();
        let after = fs::symlink_metadata(&words).expect("it is there");
        assert_eq!((before.ino(), before.len(), before.mtime()), (after.ino(), after.len(), after.mtime()));
        if !after.file_type().is_fifo() {
            let files = replay::read_directory(scratch.path());
            assert_eq!(files.len(), 2, "{number}");
            for file in &files {
                assert_eq!(file.header.flags & flag::ALONE, flag::ALONE, "{number}");
                assert_eq!(file.impossible, Vec::<String>::new(), "{number}");
            }
            let kept: usize = files.iter().map(|file| file.live_of_size(3001).len()).sum();
            assert_eq!(kept, 2, "{number}");
        }
    }
    assert!(fs::read(&elsewhere).expect("it is there")[8..].iter().all(|byte| *byte == 0));
}

/// An interpreter that sets its allocators before anything is recorded is seen all the same.
#[test]
fn python_is_switched_on_later() {
    const PROGRAM: &str = "
import os
held, taken = [], [bytearray(80_000) for _ in range(3)]
def keep():
    held.append(bytearray(70_000))
    held.append([bytes(457) for _ in range(50)])
while line := os.read(0, 5):
    keep() if line == b'keep\\n' else taken.pop()
    os.write(1, line)
";
    for python in python::oldest_and_newest() {
        for allocator in ["default", "debug", "malloc"] {
            let scratch = Scratch::new("python-later");
            let program = python.bare().arg("-c").arg(PROGRAM).env("PYTHONMALLOC", allocator);
            let program = program.env("UNFREED_START", "off").recorded_to(scratch.path());
            let mut steps = Steps::of(&program);
            steps.step("keep");
            let on = Program::unfreed("on").arg(scratch.path()).run();
            assert!(on.status.success(), "{}", on.stderr_text());
            ["keep", "give", "keep", "give", "keep"].into_iter().for_each(|step| steps.step(step));
            steps.kill();
            let files = replay::read_directory(scratch.path());
            let [file] = &files[..] else { panic!("{} files", files.len()) };
            let told = format!("{python} {allocator}");
            assert_eq!(file.impossible, Vec::<String>::new(), "{told}");
            assert_eq!(file.live_of_size(70_001).len(), 3, "{told}");
            let small = file.live_of_size(490).len();
            assert!((150..160).contains(&small), "{told}: {small} small objects");
            assert!(file.header.unknown_frees >= 2, "{told}: {} unknown", file.header.unknown_frees);
            file.assert_table();
        }
    }
}

/// Later processes find the run as it was left.
#[test]
fn left_switched_off() {
    let scratch = Scratch::new("late");
    let mut steps = Steps::of(&Program::c("steps").env("UNFREED_START", "off").recorded_to(scratch.path()));
    steps.step("keep");
    steps.kill();
    Steps::start(scratch.path()).end();
    assert!(headers(scratch.path()).is_empty(), "it was off all the time");
}
