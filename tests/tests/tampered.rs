//! What others do to a recording while its program runs: the program goes on, and what it was given is recorded.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use e2e::steps::{Steps, kept, kept_by_child};
use e2e::{Program, Report, Scratch, replay};

const NOBODY: u32 = 65534;

/// The recordings of processes.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "unfreed")).collect()
}

/// That this many steps and children are in a directory or file.
fn check(recording: &Path, [stepped, forked]: [u64; 2]) -> Report {
    let report = Report::of(recording);
    report.assert_sound();
    assert_eq!(report.unfreed_in("leak_step"), kept(100 * stepped));
    assert_eq!(report.unfreed_in("leak_child"), kept_by_child(7 * forked));
    let directory = if recording.is_dir() { recording } else { recording.parent().expect("a directory") };
    for file in replay::read_directory(directory) {
        assert_eq!(file.impossible, Vec::<String>::new(), "{}", file.path.display());
    }
    report
}

/// A program between whose two steps `tamper` does something to its recording, of which another process has ended.
fn tampered(tamper: impl Fn(&Path)) -> (Scratch, PathBuf) {
    let scratch = Scratch::new("tampered");
    let directory = scratch.path().join("recording");
    assert!(Program::c("steps").recorded_to(&directory).run().status.success(), "the directory is made");
    let mut steps = Steps::start(&directory);
    steps.step("work");
    tamper(&directory);
    steps.step("work");
    steps.step("fork");
    steps.end();
    (scratch, directory)
}

#[test]
fn truncated_as_logs_are() {
    let (_scratch, directory) = tampered(|directory| {
        let files = files(directory);
        assert_eq!(files.len(), 1, "the file of the process that has ended");
        files.iter().for_each(|file| drop(fs::File::create(file).expect("it can be truncated")));
    });
    let report = check(&directory, [2, 1]);
    let unreadable = report.json()["recording"]["unreadable"].to_string();
    assert!(unreadable.contains("the file is empty"), "{unreadable}");
}

#[test]
fn files_removed() {
    let (_scratch, directory) = tampered(|directory| {
        let files = [files(directory), files(&directory.join("live"))].concat();
        files.iter().for_each(|file| fs::remove_file(file).expect("it can be removed"));
    });
    check(&directory, [0, 1]);
}

/// What begins afterwards makes it again.
#[test]
fn directory_removed() {
    let (_scratch, directory) =
        tampered(|directory| fs::remove_dir_all(directory).expect("it can be removed"));
    check(&directory, [0, 1]);
}

#[test]
fn directory_moved() {
    let (_scratch, directory) = tampered(|directory| {
        fs::rename(directory, directory.with_extension("moved")).expect("it can be moved");
    });
    check(&directory.with_extension("moved"), [2, 0]);
    check(&directory, [0, 1]);
}

#[test]
fn something_else_in_place_of_the_live_files() {
    let (_scratch, directory) = tampered(|directory| {
        let live = directory.join("live");
        fs::rename(&live, directory.join("dead")).expect("it can be moved");
        fs::write(live, "").expect("a file");
    });
    check(&directory.join("dead"), [2, 0]);
    check(&directory, [0, 1]);
}

/// Wherever its file lies, a process is in the report once.
#[test]
fn running_exited_and_killed() {
    let scratch = Scratch::new("places");
    let directory = scratch.path().join("recording");
    let live = directory.join("live");
    let state = |report: &Report| report.processes()[0]["state"].as_str().map(str::to_owned);
    let mut running = Steps::start(&directory);
    running.step("work");
    let file = files(&live).pop().expect("it is mapped");
    for place in [&directory, &live, &file] {
        assert_eq!(state(&check(place, [1, 0])).as_deref(), Some("running"), "{}", place.display());
    }
    running.end();
    assert_eq!(files(&live), Vec::<PathBuf>::new());
    // As somebody who listed the files before would ask.
    for place in [&directory, &file] {
        assert_eq!(state(&check(place, [1, 0])).as_deref(), Some("exited"), "{}", place.display());
    }
    let mut killed = Steps::start(&directory);
    killed.step("work");
    killed.kill();
    assert_eq!((files(&directory).len(), files(&live).len()), (1, 1));
    check(&directory, [2, 0]);
    // A copy without the process's last move.
    let copy = directory.join(files(&live)[0].file_name().expect("a name"));
    fs::copy(&files(&live)[0], copy).expect("a copy");
    check(&directory, [2, 0]);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

#[test]
fn who_may_read_it() {
    for (asked, of_directory, of_file) in [(None, 0o700, 0o600), (Some("644"), 0o755, 0o644)] {
        let scratch = Scratch::new("private");
        let directory = scratch.path().join("recording");
        let program = Program::c("steps").recorded_to(&directory);
        let program = asked.into_iter().fold(program, |program, mode| program.env("UNFREED_MODE", mode));
        let mut running = Steps::of(&program);
        running.step("fork");
        let live = directory.join("live");
        assert_eq!((mode(&directory), mode(&live)), (of_directory, of_directory));
        let files = [files(&directory), files(&live)].concat();
        assert_eq!(files.iter().map(|file| mode(file)).collect::<Vec<_>>(), [of_file, of_file]);
        running.end();
    }
}

/// A relative path is one from where the program was started.
#[test]
fn a_relative_directory() {
    let scratch = Scratch::new("relative");
    let mut command = Program::c("steps").recorded_to(Path::new("./recording")).command();
    let status = command.current_dir(scratch.path()).stdin(Stdio::null()).status();
    assert!(status.expect("it starts").success());
    assert_eq!(files(&scratch.path().join("recording")).len(), 1);
}

/// A service begins as root and goes on as the user to whom the directory belongs.
#[test]
fn a_child_of_another_user() {
    // SAFETY: takes no argument and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return eprintln!("skipped: another user needs root");
    }
    for (owner, mode) in [(NOBODY, 0o700), (0, 0o1777)] {
        let scratch = Scratch::new("dropped");
        let directory = scratch.path().join("recording");
        fs::create_dir(&directory).expect("a directory");
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).expect("its mode");
        chown(&directory, Some(owner), Some(owner)).expect("its owner");
        let mut running = Steps::start(&directory);
        running.step("drop");
        running.step("work");
        let live = fs::metadata(directory.join("live")).expect("it is there");
        assert_eq!((live.uid(), live.gid(), live.mode() & 0o7777), (owner, owner, mode));
        running.end();
        let users: Vec<_> =
            files(&directory).iter().map(|file| fs::metadata(file).expect("a file").uid()).collect();
        assert!(users.len() == 2 && users.contains(&0) && users.contains(&NOBODY), "{users:?}");
        check(&directory, [1, 1]);
    }
}
