//! `unfreed mark`, `on` and `off` on the words of a run, and what they refuse.
mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use recording::run::{self, Mark, Switch};
use support::{Scratch, is_root, output, stderr, stdout};

/// A run as processes begin it, at epoch 7.
fn begun(scratch: &Scratch) -> PathBuf {
    let path = scratch.join("rec/live/run");
    fs::create_dir_all(path.with_file_name("")).expect("a directory");
    let mut head = vec![0; run::HEAD];
    head[..8].copy_from_slice(&run::MAGIC);
    head[run::AT_VERSION..][..4].copy_from_slice(&run::VERSION.to_le_bytes());
    head[run::CONTROL..][..8].copy_from_slice(&7u64.to_le_bytes());
    fs::write(&path, head).expect("written");
    OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(run::SIZE as u64))
        .expect("sparse");
    path
}

fn word(path: &PathBuf, at: usize) -> u64 {
    let mut bytes = [0; 8];
    fs::File::open(path).and_then(|file| file.read_exact_at(&mut bytes, at as u64)).expect("a word");
    u64::from_le_bytes(bytes)
}

/// Standard error of a command that is refused with status 2.
fn refused(scratch: &Scratch, arguments: &[&str]) -> String {
    let output = output(&mut scratch.unfreed(arguments));
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    assert_eq!(stdout(&output), "", "{arguments:?}");
    stderr(&output)
}

fn done(scratch: &Scratch, arguments: &[&str]) -> String {
    let output = output(&mut scratch.unfreed(arguments));
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn a_mark_is_a_new_epoch_with_a_name() {
    let scratch = Scratch::new();
    let path = begun(&scratch);
    for (name, next) in [("warm", "rec@warm rec"), ("höchst voll", "rec@warm 'rec@höchst voll'")] {
        let output = output(&mut scratch.unfreed(&["mark", "rec", name]));
        assert!(stdout(&output).starts_with(&format!("{name}: ")), "{}", stdout(&output));
        assert_eq!(
            stderr(&output),
            format!(
                "unfreed: rec: no process of it runs and records: the mark is at its end\nunfreed diff {next}\n"
            )
        );
        assert!(output.status.success());
    }
    assert_eq!(word(&path, run::CONTROL), 9);
    let head = fs::read(&path).expect("readable");
    let marks: Vec<Mark> = (0..run::MARK_COUNT).filter_map(|index| Mark::read(&head, index)).collect();
    let [warm, full] = &marks[..] else { panic!("{marks:?}") };
    assert_eq!((warm.epoch, warm.name, warm.count), (8, "warm".as_bytes(), 1));
    assert_eq!((full.epoch, full.name), (9, "höchst voll".as_bytes()));
    assert!(warm.monotonic_ns > 0 && warm.monotonic_ns < full.monotonic_ns);
    assert!(warm.realtime_ns > 0 && warm.realtime_ns < full.realtime_ns);
    assert_eq!(word(&path, run::EPOCH_TIMES + 8 * 9), full.monotonic_ns / 1_000_000);
}

#[test]
fn names_are_taken_once_and_there_are_so_many() {
    let scratch = Scratch::new();
    let path = begun(&scratch);
    for number in 0..run::MARK_COUNT {
        done(&scratch, &["mark", "rec", &format!("mark {number}")]);
    }
    assert_eq!(
        refused(&scratch, &["mark", "rec", "mark 3"]),
        "unfreed: rec: has a mark 'mark 3' already; choose another name\n"
    );
    assert_eq!(
        refused(&scratch, &["mark", "rec", "one more"]),
        "unfreed: rec: has 256 marks, and no place for more; begin a new recording\n"
    );
    assert_eq!(word(&path, run::CONTROL), 7 + run::MARK_COUNT as u64, "what is refused is no mark");
}

#[test]
fn names_that_are_none() {
    let scratch = Scratch::new();
    for (name, why) in [
        ("", "expected a name"),
        (&"x".repeat(81), "longer than 80 bytes"),
        ("a@b", "a name has no @, / and .."),
        ("a..b", "a name has no @, / and .."),
        ("+10m", "+ begins a time since the run began, and no name"),
        ("a\nb", "expected one line of text"),
    ] {
        let told = refused(&scratch, &["mark", "rec", name]);
        assert!(told.ends_with(&format!("{why}; see 'unfreed mark --help'\n")), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn a_run_is_switched() {
    let scratch = Scratch::new();
    let path = begun(&scratch);
    let changes = |path| (word(path, run::CONTROL) & !run::OFF) / run::CHANGE;
    done(&scratch, &["off", "rec"]);
    assert_eq!((word(&path, run::CONTROL) & run::OFF, changes(&path)), (run::OFF, 1));
    done(&scratch, &["on", "rec"]);
    assert_eq!((word(&path, run::CONTROL) & run::OFF, changes(&path)), (0, 2));
    assert_eq!(run::epoch(word(&path, run::CONTROL)), 7, "no mark");
}

/// Processes are switched by themselves; those that are gone make room for others, and a run for all.
#[test]
fn processes_are_switched() {
    let scratch = Scratch::new();
    let path = begun(&scratch);
    let control = analyzer::control::Control::open(&scratch.join("rec")).expect("it is a run");
    let switch = |pid, on| Switch { namespace: 5, pid, on, start_ticks: 70 + u64::from(pid) };
    let known = || {
        let head = fs::read(&path).expect("readable");
        (0..run::SWITCH_COUNT).filter_map(|index| Switch::read(&head, index)).collect::<Vec<_>>()
    };
    let all: Vec<Switch> = (1..=run::SWITCH_COUNT as u32).map(|pid| switch(pid, true)).collect();
    control.switch(&all, |_| false).expect("there is room");
    control.switch(&[switch(3, false)], |_| false).expect("it is known");
    let why = control.switch(&[switch(100, true)], |_| false).expect_err("all are taken").to_string();
    assert!(why.ends_with("; switch the whole recording"), "{why}");
    control.switch(&[switch(100, true)], |known| known.pid == 9).expect("one is gone");
    let expected: Vec<Switch> = all
        .iter()
        .map(|known| match known.pid {
            3 => switch(3, false),
            9 => switch(100, true),
            _ => *known,
        })
        .collect();
    assert_eq!(known(), expected);
    control.switch_all(true).expect("it can be");
    assert_eq!(known(), []);
}

#[test]
fn what_is_no_run() {
    let scratch = Scratch::new();
    let path = begun(&scratch);
    fs::create_dir(scratch.join("empty")).expect("a directory");
    fs::write(scratch.join("text"), "x").expect("written");
    let this = std::process::id().to_string();
    for (rec, why) in [
        ("none", "none: No such file or directory"),
        (
            "empty",
            "empty: nothing has been recorded there, or by an older unfreed; name the directory of 'unfreed run -o', or UNFREED_DIR",
        ),
        ("text", "text: is not the directory of a recording"),
        ("rec@warm", "rec@warm: is a moment of a recording; name rec itself"),
        (
            "4294967295",
            "process 4294967295: there is none; of one that has ended name the recording's directory",
        ),
        (
            &this,
            &format!(
                "process {this}: is not recorded; start it by 'unfreed run', or with what 'unfreed install' prints"
            ),
        ),
    ] {
        for command in [&["mark", rec, "x"][..], &["on", rec], &["off", rec]] {
            assert_eq!(refused(&scratch, command), format!("unfreed: {why}\n"));
        }
    }
    fs::write(&path, vec![0; run::SIZE]).expect("written");
    assert_eq!(
        refused(&scratch, &["mark", "rec", "x"]),
        "unfreed: rec: its live/run is of another version of unfreed, or damaged\n"
    );
    fs::write(&path, "x").expect("written");
    assert_eq!(refused(&scratch, &["mark", "rec", "x"]), "unfreed: rec: its live/run is cut\n");
}

#[test]
fn who_may_not_write_may_not_mark() {
    if !is_root("another user") {
        return;
    }
    let scratch = Scratch::new();
    let path = begun(&scratch);
    for (file, directory) in [(0o600, 0o755), (0o666, 0o700)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(file)).expect("set");
        fs::set_permissions(scratch.join("rec"), fs::Permissions::from_mode(directory)).expect("set");
        let output = output(scratch.unfreed(&["mark", "rec", "x"]).uid(65_534).gid(65_534));
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stderr(&output), "unfreed: rec: Permission denied; it is of user 0, who may change it\n");
    }
    for command in [
        &["report", "rec"][..],
        &["diff", "rec", "rec"],
        &["inspect", "rec"],
        &["pack", "rec", "-o", "x"],
        &["marks", "rec"],
    ] {
        let output = output(scratch.unfreed(command).uid(65_534).gid(65_534));
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        let told = stderr(&output);
        let advice =
            "Permission denied; it is of user 0: ask as that user or as root, or record with --mode 640";
        assert!(told.starts_with("unfreed: rec") && told.contains(advice), "{command:?}: {told}");
    }
}
