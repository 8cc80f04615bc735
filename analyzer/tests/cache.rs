//! Reports are the same with what was looked up before, without it, and whatever became of it.
mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use support::{Scratch, is_root, output, stderr, stdout};

const SOURCE: &str = "#include <stdlib.h>\n\
    static inline void *inner(void) { return malloc(1234); }\n\
    __attribute__((noinline)) void *leak(void) { return inner(); }\n\
    int main(void) { return !leak(); }\n";

/// A recording `rec` of a program with debug information.
fn recorded() -> Scratch {
    let scratch = Scratch::new();
    let program = scratch.compile("program", SOURCE, &["-g", "-O1", "-Wl,--build-id=sha1"]);
    let run =
        output(&mut scratch.unfreed(&["run".as_ref(), "-o".as_ref(), "rec".as_ref(), program.as_os_str()]));
    assert!(run.status.success(), "{}", stderr(&run));
    scratch
}

/// The report that is made with this cache.
fn report(scratch: &Scratch, cache: &str) -> String {
    let mut command = scratch.unfreed(&["report", "rec", "--all-frames"]);
    let output = output(command.env("UNFREED_CACHE", cache));
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
    stdout(&output)
}

/// The file of the program, which is the only one whose answers name its function.
fn of_program(scratch: &Scratch) -> PathBuf {
    let names = scratch.names("cache");
    let mut paths = names.iter().map(|name| scratch.join("cache").join(name));
    let names_leak = |bytes: &[u8]| bytes.windows(4).any(|window| window == b"leak");
    paths.find(|path| fs::read(path).is_ok_and(|bytes| names_leak(&bytes))).expect("it was kept")
}

fn tool(scratch: &Scratch, words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).current_dir(&**scratch).output().expect("binutils");
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
}

#[test]
fn what_was_kept_is_used_and_for_its_user_alone() {
    let scratch = recorded();
    let off = report(&scratch, "");
    assert!(off.contains("program.c:2") && off.contains("leak"), "{off}");
    assert_eq!(report(&scratch, "cache"), off, "cold");
    let mode = |path: PathBuf| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(scratch.join("cache")), mode(of_program(&scratch))), (0o700, 0o600));
    let inode = || of_program(&scratch).metadata().expect("it is there").ino();
    let first = inode();
    // The debug information is not read again: without it, in a file that seems the same, the answer is as it was.
    let program = scratch.join("program");
    let bytes = fs::read(&program).expect("read");
    let modified = program.metadata().and_then(|metadata| metadata.modified()).expect("it is known");
    tool(&scratch, &["objcopy", "--strip-debug", "program", "stripped"]);
    let mut without = fs::read(scratch.join("stripped")).expect("read");
    without.resize(bytes.len(), 0);
    let overwrite = |bytes: &[u8], modified| {
        fs::write(&program, bytes).expect("written");
        let file = File::options().write(true).open(&program).expect("opened");
        file.set_modified(modified).expect("the time is set");
    };
    overwrite(&without, modified);
    assert_eq!((report(&scratch, "cache"), inode()), (off.clone(), first), "warm");
    // One that was changed since is another.
    overwrite(&without, modified + Duration::from_nanos(1));
    let changed = report(&scratch, "");
    assert!(!changed.contains("program.c:2") && changed.contains("leak"), "{changed}");
    assert_eq!(report(&scratch, "cache"), changed, "changed");
    overwrite(&bytes, modified);
    assert_eq!(report(&scratch, "cache"), off, "as it was");
}

#[test]
fn a_damaged_cache_is_not_used_and_mended() {
    let scratch = recorded();
    let off = report(&scratch, "");
    assert_eq!(report(&scratch, "cache"), off);
    let path = of_program(&scratch);
    let whole = fs::read(&path).expect("read");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for bytes in
        [&[][..], &whole[..20], &whole[..whole.len() - 1], &flipped, b"something else", &[0xff; 4096]]
    {
        fs::write(&path, bytes).expect("written");
        assert_eq!(report(&scratch, "cache"), off, "{} bytes", bytes.len());
        assert_eq!(fs::read(&path).expect("read"), whole);
    }
    // What is in the way of it.
    let elsewhere = scratch.join("elsewhere");
    fs::write(&elsewhere, "kept").expect("written");
    fs::remove_file(&path).expect("removed");
    symlink(&elsewhere, &path).expect("linked");
    assert_eq!(report(&scratch, "cache"), off, "a link");
    assert_eq!(
        (fs::read(&path).expect("read"), fs::read(&elsewhere).expect("read")),
        (whole, b"kept".to_vec())
    );
    fs::remove_file(&path).expect("removed");
    tool(&scratch, &["mkfifo".as_ref(), path.as_os_str()].map(|word: &OsStr| word.to_str().expect("text")));
    assert_eq!(report(&scratch, "cache"), off, "a pipe");
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    assert_eq!(report(&scratch, "cache"), off, "a directory");
}

#[test]
fn a_debug_file_that_comes_or_goes_is_seen() {
    let scratch = recorded();
    tool(&scratch, &["objcopy", "--only-keep-debug", "program", "program.debug"]);
    tool(&scratch, &["strip", "program"]);
    tool(&scratch, &["objcopy", "--add-gnu-debuglink=program.debug", "program"]);
    let with = report(&scratch, "");
    assert_eq!(report(&scratch, "cache"), with);
    fs::rename(scratch.join("program.debug"), scratch.join("away")).expect("renamed");
    let without = report(&scratch, "");
    assert!(with.contains("program.c:2") && !without.contains("program.c:2"), "{with}\n{without}");
    for _ in 0..2 {
        assert_eq!(report(&scratch, "cache"), without, "gone");
    }
    fs::rename(scratch.join("away"), scratch.join("program.debug")).expect("renamed");
    assert_eq!(report(&scratch, "cache"), with, "there again");
}

#[test]
fn where_it_cannot_be_kept_nothing_is_said() {
    let scratch = recorded();
    let off = report(&scratch, "");
    let file = scratch.join("file");
    fs::write(&file, "").expect("written");
    assert_eq!(report(&scratch, "file"), off, "a file");
    assert_eq!(report(&scratch, "file/below"), off, "below a file");
    assert_eq!(report(&scratch, "/proc/self/no"), off, "where nothing can be made");
    let mut limited = Command::new("sh");
    limited.args([
        "-c",
        "ulimit -f 0; exec \"$0\" report rec --all-frames | cat",
        env!("CARGO_BIN_EXE_unfreed"),
    ]);
    limited.current_dir(&*scratch).env("LC_ALL", "C.UTF-8").env("UNFREED_CACHE", "limited");
    assert_eq!(stdout(&output(&mut limited)), off, "where no file may be written");
    let shared = scratch.join("cache");
    fs::create_dir(&shared).expect("made");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).expect("set");
    assert_eq!(
        (report(&scratch, "cache"), scratch.names("cache").len()),
        (off.clone(), 0),
        "others may write"
    );
    if is_root("a directory of another user") {
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o700)).expect("set");
        std::os::unix::fs::chown(&shared, Some(1), None).expect("changed");
        for cache in ["cache", "cache/below"] {
            assert_eq!(
                (report(&scratch, cache), scratch.names("cache").len()),
                (off.clone(), 0),
                "of another user"
            );
        }
    }
}

#[test]
fn it_is_where_caches_are() {
    let scratch = recorded();
    let kept = |environment: &[(&str, &OsStr)], place: &str| {
        let mut command = scratch.unfreed(&["report", "rec"]);
        command.env_remove("UNFREED_CACHE").env_remove("XDG_CACHE_HOME").env_remove("HOME");
        let output = output(command.envs(environment.iter().copied()));
        assert!(output.status.success(), "{}", stderr(&output));
        !scratch.names(place).is_empty()
    };
    let (home, caches) = (scratch.join("home"), scratch.join("caches"));
    fs::create_dir(&home).expect("made");
    assert!(kept(&[("HOME", home.as_os_str())], "home/.cache/unfreed/symbols"));
    assert!(kept(
        &[("HOME", home.as_os_str()), ("XDG_CACHE_HOME", caches.as_os_str())],
        "caches/unfreed/symbols"
    ));
    assert!(!kept(&[("HOME", "there".as_ref()), ("XDG_CACHE_HOME", "".as_ref())], "there"));
    assert!(!kept(&[], ".cache"));
    kept(&[("HOME", scratch.join("gone").as_os_str())], "gone");
    assert!(!scratch.join("gone").exists());
}

#[test]
fn reports_at_once_do_not_disturb_each_other() {
    let scratch = recorded();
    let off = report(&scratch, "");
    let start = |_| {
        let mut command = scratch.unfreed(&["report", "rec", "--all-frames"]);
        command.env("UNFREED_CACHE", "cache").stdout(Stdio::piped()).spawn().expect("unfreed starts")
    };
    let started: Vec<_> = (0..8).map(start).collect();
    for child in started {
        assert_eq!(stdout(&child.wait_with_output().expect("waited")), off);
    }
    let names = scratch.names("cache");
    assert!(!names.is_empty() && names.iter().all(|name| name.ends_with(".symbols")), "{names:?}");
    assert_eq!(report(&scratch, "cache"), off);
}

#[test]
fn the_oldest_are_removed_where_there_is_too_much() {
    let scratch = recorded();
    let off = report(&scratch, "");
    assert_eq!(report(&scratch, "cache"), off);
    let made = of_program(&scratch);
    fs::remove_file(&made).expect("removed");
    let year = SystemTime::now() - Duration::from_secs(365 * 24 * 3600);
    for (name, age, length) in
        [("old.symbols", 0, 200 << 20), ("newer.symbols", 9, 100 << 20), ("other", 0, 300 << 20)]
    {
        let file = File::create(scratch.join("cache").join(name)).expect("made");
        file.set_len(length).expect("its length is set, without bytes");
        file.set_modified(year + Duration::from_secs(age)).expect("its time is set");
    }
    assert_eq!(report(&scratch, "cache"), off);
    let names = scratch.names("cache");
    let there = |name: &str| names.iter().any(|found| found == name);
    assert!(!there("old.symbols") && there("newer.symbols") && there("other") && made.exists(), "{names:?}");
}

#[test]
fn what_is_in_split_debug_files_is_not_kept() {
    let scratch = Scratch::new();
    // In the directory itself, where the compiler puts the other file.
    fs::write(scratch.join("program.c"), SOURCE).expect("written");
    tool(&scratch, &["cc", "-g", "-O1", "-gsplit-dwarf", "-Wl,--build-id=sha1", "-c", "program.c"]);
    tool(&scratch, &["cc", "-Wl,--build-id=sha1", "program.o", "-o", "program"]);
    let run = output(&mut scratch.unfreed(&["run", "-o", "rec", "./program"]));
    assert!(run.status.success(), "{}", stderr(&run));
    let with = report(&scratch, "");
    assert_eq!(report(&scratch, "cache"), with);
    fs::rename(scratch.join("program.dwo"), scratch.join("away")).expect("renamed");
    let without = report(&scratch, "");
    assert_ne!(with, without);
    assert_eq!(report(&scratch, "cache"), without);
    fs::rename(scratch.join("away"), scratch.join("program.dwo")).expect("renamed");
    assert_eq!(report(&scratch, "cache"), with);
}

#[test]
fn what_came_in_a_pack_is_not_kept() {
    let scratch = recorded();
    let packed = |arguments: &[&str]| {
        let packed = output(&mut scratch.unfreed(arguments));
        assert!(packed.status.success(), "{}", stderr(&packed));
        let mut command = scratch.unfreed(&["report", "pack"]);
        let there = output(command.env("UNFREED_CACHE", "cache"));
        assert!(stdout(&there).contains("program.c:2"), "{}", stdout(&there));
        scratch.names("cache").len()
    };
    assert_eq!(packed(&["pack", "-o", "pack", "rec"]), 0);
    // Then it is looked up in the files of this machine.
    assert_ne!(packed(&["pack", "--no-modules", "-f", "-o", "pack", "rec"]), 0);
}
