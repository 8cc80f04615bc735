//! `unfreed run` is not noticed by the command: status, signals, environment, descriptors. And what it refuses.
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use support::{Scratch, is_root, output, stderr, stdout};

#[test]
fn the_status_is_the_commands() {
    let scratch = Scratch::new();
    for (script, status) in
        [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137), ("kill -15 $$", 143)]
    {
        let output = output(&mut scratch.unfreed(&["run", "sh", "-c", script]));
        assert_eq!(output.status.code(), Some(status), "{script}: {}", stderr(&output));
    }
}

#[test]
fn signals_sent_to_us_reach_the_program_once() {
    let scratch = Scratch::new();
    let program = scratch.compile("signals", include_str!("programs/signals.c"), &[]);
    let mut child = scratch
        .unfreed(&["run".as_ref(), program.as_os_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("unfreed starts");
    let mut lines =
        BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
    assert_eq!(lines.next().as_deref(), Some("ready"));
    let last = libc::SIGUSR1;
    for signal in [
        libc::SIGTERM,
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGUSR2,
        libc::SIGWINCH,
        libc::SIGTSTP,
        libc::SIGALRM,
        libc::SIGRTMIN() + 3,
        last,
    ] {
        // SAFETY: the process is our child and not yet waited for.
        unsafe { libc::kill(child.id() as i32, signal) };
        assert_eq!(lines.next(), Some(signal.to_string()));
    }
    assert_eq!(lines.next(), None);
    assert_eq!(child.wait().expect("waited").code(), Some(9));
}

/// Runs the signal printer on a terminal of its own, presses Ctrl-C, ends it with SIGUSR1; what the terminal showed.
fn interrupted(scratch: &Scratch, prefix: &str) -> Option<String> {
    let program = scratch.compile("signals", include_str!("programs/signals.c"), &[]);
    let unfreed = env!("CARGO_BIN_EXE_unfreed");
    let command = format!("echo $$ >pid; exec '{unfreed}' run {prefix} '{}'", program.display());
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(&**scratch)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut keys = child.stdin.take().expect("piped");
    let mut screen = child.stdout.take().expect("piped");
    let mut shown = String::new();
    let mut wait_for = |text: &str| {
        let mut byte = [0];
        while !shown.ends_with(text) && screen.read(&mut byte).expect("readable") == 1 {
            shown.push(byte[0] as char);
        }
    };
    wait_for("ready");
    keys.write_all(&[3]).expect("typed");
    wait_for("^C"); // shown after the signal was sent
    let pid = fs::read_to_string(scratch.join("pid")).expect("written before ready");
    // SAFETY: no memory is involved; the process is still there: only SIGUSR1 ends it.
    unsafe { libc::kill(pid.trim().parse().expect("a number"), libc::SIGUSR1) };
    wait_for("10\r\n");
    assert_eq!(child.wait().expect("waited").code(), Some(9));
    let numbers = shown.replace("^C", " ").replace("ready", " ");
    Some(numbers.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn the_terminals_interrupt_reaches_the_program_and_is_not_passed_on() {
    let scratch = Scratch::new();
    let Some(shown) = interrupted(&scratch, "") else { return eprintln!("skipped: needs script(1)") };
    assert_eq!(shown, "2 10");
    // In a session of its own the terminal does not reach the program, and so we must not either.
    assert_eq!(interrupted(&scratch, "setsid").as_deref(), Some("10"));
}

#[test]
fn whether_python_objects_are_recorded_is_a_variable_if_said() {
    let scratch = Scratch::new();
    let said = |options: &[&str]| {
        let arguments = [&["run", "--force", "-o", "rec"], options, &["printenv", "UNFREED_PYTHON_OBJECTS"]];
        let mut command = scratch.unfreed(&arguments.concat());
        let output = output(command.env("UNFREED_PYTHON_OBJECTS", "inherited"));
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(said(&[]), "inherited\n");
    assert_eq!(said(&["--python-objects", "on"]), "on\n");
    assert_eq!(said(&["--python-objects=off"]), "off\n");
}

#[test]
fn the_environment_is_the_same_but_for_two_variables() {
    let scratch = Scratch::new();
    let plain = output(
        Command::new("env")
            .arg("-0")
            .current_dir(&*scratch)
            .env("LC_ALL", "C.UTF-8")
            .env("UNFREED_CACHE", "")
            .env_remove("LD_PRELOAD")
            .env_remove("UNFREED_DIR"),
    );
    let recorded = output(&mut scratch.unfreed(&["run", "env", "-0"]));
    let recorded = stdout(&recorded);
    let (ours, others): (Vec<_>, Vec<_>) = recorded
        .split('\0')
        .partition(|entry| entry.starts_with("LD_PRELOAD=") || entry.starts_with("UNFREED_DIR="));
    assert_eq!(others.join("\0"), stdout(&plain));
    let directory = scratch.join("unfreed.env.1");
    assert_eq!(ours.len(), 2);
    assert!(ours[0].starts_with(&format!("LD_PRELOAD={}/libunfreed-", directory.display())), "{ours:?}");
    assert_eq!(ours[1], format!("UNFREED_DIR={}", directory.display()));
}

#[test]
fn another_preload_comes_after_ours() {
    let scratch = Scratch::new();
    let other = scratch.compile("other.so", "int other;", &["-shared", "-fPIC"]);
    let output = output(scratch.unfreed(&["run", "printenv", "LD_PRELOAD"]).env("LD_PRELOAD", &other));
    let value = stdout(&output);
    assert!(
        value.contains("/libunfreed-") && value.trim().ends_with(&format!(".so:{}", other.display())),
        "{value}"
    );
}

#[test]
fn descriptors_masks_and_dispositions_are_inherited() {
    let scratch = Scratch::new();
    let unfreed = env!("CARGO_BIN_EXE_unfreed");
    let shell = |command: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&*scratch).env("UNFREED", unfreed).stdin(Stdio::null());
        stdout(&output(&mut shell))
    };
    for (setting, look) in [
        ("trap '' PIPE CHLD HUP;", "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status"),
        ("", "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status"),
        ("exec 0<&- 5</dev/null;", "sh -c 'cd /proc/$$/fd; ls'"),
        ("umask 027; ulimit -n 77;", "sh -c 'umask; ulimit -n; pwd'"),
    ] {
        let plain = shell(&format!("{setting} exec {look}"));
        let recorded = shell(&format!("{setting} exec $UNFREED run -- {look}"));
        assert!(!plain.is_empty());
        assert_eq!(plain, recorded, "{setting} {look}");
    }
}

#[test]
fn a_pipe_closes_when_the_program_closes_it() {
    let scratch = Scratch::new();
    // The program closes its output and goes on until its input ends, which ends when we have seen the close.
    let mut child = scratch
        .unfreed(&["run", "sh", "-c", "exec 1>&-; read line; exit 6"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("unfreed starts");
    let mut all = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut all).expect("ends");
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("waited").code(), Some(6));
}

#[test]
fn scripts_run_and_are_followed() {
    let scratch = Scratch::new();
    scratch.executable("plain", "echo plain $1");
    scratch.executable("sh", "#! /bin/sh -e\necho sh $1");
    scratch.executable("env", "#!/usr/bin/env -S A=1 sh\necho env $1");
    scratch.executable("twice", format!("#!{}/sh\n", scratch.display()));
    for name in ["plain", "sh", "env"] {
        let output = output(&mut scratch.unfreed(&["run", "--", &format!("./{name}"), "x"]));
        assert_eq!(
            (stdout(&output), output.status.code()),
            (format!("{name} x\n"), Some(0)),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(output(&mut scratch.unfreed(&["run", "./twice"])).status.code(), Some(0));
    let still = scratch.compile("still", "int main(void) { return 0; }", &["-static"]);
    scratch.executable("behind", format!("#!{}\n", still.display()));
    let refused = output(&mut scratch.unfreed(&["run", "./behind"]));
    let expected =
        format!("unfreed: {}: is statically linked, so no library can be loaded into it;", still.display());
    assert!(stderr(&refused).starts_with(&expected), "{}", stderr(&refused));
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn what_cannot_be_recorded_is_refused_before_it_runs() {
    let scratch = Scratch::new();
    let main = "int main(void) { return 0; }";
    let elf = fs::read(scratch.compile("good", main, &[])).expect("compiled");
    let patched = |at: usize, bytes: &[u8]| {
        let mut elf = elf.clone();
        elf[at..at + bytes.len()].copy_from_slice(bytes);
        elf
    };
    scratch.compile("static", main, &["-static"]);
    scratch.compile("static-pie", main, &["-static-pie"]);
    scratch.compile("loaderless", main, &["-Wl,--dynamic-linker=/nowhere/ld.so"]);
    scratch.executable("i386", patched(4, &[1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 3]));
    scratch.executable("arm", patched(18, &[183, 0]));
    scratch.executable("cut", &elf[..80]);
    scratch.executable("broken", "#!/nowhere/python\n");
    fs::write(scratch.join("data"), "x").expect("written");
    for (command, status, expected) in [
        ("nosuch-command", 127, "nosuch-command: command not found; give its path, or check PATH"),
        ("./nosuch", 127, "./nosuch: command not found; check its path"),
        ("", 127, ": command not found; give its path, or check PATH"),
        ("./data", 126, "./data: is not executable; chmod +x it, or name its interpreter first"),
        (".", 127, ""),
        ("./", 126, "./: is a directory; name a program in it"),
        ("./static", 2, "./static: is statically linked, "),
        ("./static-pie", 2, "./static-pie: is statically linked, "),
        ("./i386", 2, "./i386: is a 32-bit x86 program; this unfreed records 64-bit x86_64 programs"),
        ("./arm", 2, "./arm: is an ARM64 program; this unfreed records 64-bit x86_64 programs"),
        ("./cut", 2, "./cut: is "),
        ("./broken", 127, "./broken: its interpreter /nowhere/python does not exist; mend its first line"),
        ("./loaderless", 127, "./loaderless: its loader /nowhere/ld.so does not exist; "),
    ] {
        let output = output(&mut scratch.unfreed(&["run", command]));
        let told = stderr(&output);
        assert!(
            told.starts_with(&format!("unfreed: {expected}")) && told.lines().count() == 1,
            "{command}: {told}"
        );
        assert_eq!(output.status.code(), Some(status), "{command}");
    }
    assert!(!scratch.names("").iter().any(|name| name.starts_with("unfreed.")), "no directory is left");
}

#[test]
fn privileged_programs_are_refused() {
    if !is_root("a program of another user") {
        return;
    }
    let scratch = Scratch::new();
    let program = scratch.compile("privileged", "int main(void) { return 0; }", &[]);
    for (mode, what) in [(0o4755, "setuid"), (0o2755, "setgid")] {
        std::os::unix::fs::chown(&program, Some(65534), Some(65534)).expect("chown");
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).expect("chmod");
        let output = output(&mut scratch.unfreed(&["run", "./privileged"]));
        assert!(
            stderr(&output).contains(&format!("is {what}, so the loader ignores LD_PRELOAD; ")),
            "{}",
            stderr(&output)
        );
        assert_eq!(output.status.code(), Some(2));
    }
    std::os::unix::fs::chown(&program, Some(0), Some(0)).expect("chown");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).expect("chmod");
    let own = output(&mut scratch.unfreed(&["run", "./privileged"]));
    assert_eq!(own.status.code(), Some(0), "setuid to oneself gains nothing: {}", stderr(&own));
}

#[test]
fn directories_are_new_numbered_and_private() {
    let scratch = Scratch::new();
    for number in 1..=2 {
        assert!(output(&mut scratch.unfreed(&["run", "true"])).status.success());
        let mode =
            fs::metadata(scratch.join(format!("unfreed.true.{number}"))).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    assert!(output(&mut scratch.unfreed(&["run", "-o", "a/b", "true"])).status.success());
    assert!(scratch.join("a/b").is_dir());
}

#[test]
fn others_may_read_and_write_what_was_asked_for() {
    let scratch = Scratch::new();
    for (mode, directory, file) in [("640", 0o750, 0o640), ("666", 0o1777, 0o666), ("600", 0o700, 0o600)] {
        // The mask is the program's, and would take away everything of others.
        let script =
            format!("umask 077; exec \"$UNFREED\" run -o {mode} --mode {mode} -- sh -c 'kill -9 $$'");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(&*scratch).env("UNFREED", env!("CARGO_BIN_EXE_unfreed"));
        assert_eq!(output(&mut shell).status.code(), Some(137));
        let mode_of =
            |path: &str| fs::metadata(scratch.join(path)).expect("made").permissions().mode() & 0o7777;
        assert_eq!(mode_of(mode), directory, "{mode}");
        let files = |name: &String| name.ends_with(".unfreed");
        let names: Vec<_> = scratch.names(mode).into_iter().filter(files).collect();
        assert_eq!(names.len(), 1);
        for name in names {
            assert_eq!(mode_of(&format!("{mode}/{name}")), file, "{mode}: {name}");
        }
    }
    let wrong = output(&mut scratch.unfreed(&["run", "--mode", "755", "true"]));
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(stderr(&wrong).lines().count(), 1, "{}", stderr(&wrong));
}

#[test]
fn a_directory_in_use_is_replaced_only_by_force() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.join("rec")).expect("made");
    assert!(
        output(&mut scratch.unfreed(&["run", "-o", "rec", "true"])).status.success(),
        "an empty one will do"
    );
    fs::write(scratch.join("rec/old.unfreed"), "").expect("written");
    fs::write(scratch.join("rec/notes.txt"), "").expect("written");
    let refused = output(&mut scratch.unfreed(&["run", "-o", "rec", "true"]));
    let expected =
        "unfreed: rec: is not empty; choose another directory, or add --force to replace its recording\n";
    assert_eq!((stderr(&refused).as_str(), refused.status.code()), (expected, Some(2)));
    assert!(output(&mut scratch.unfreed(&["run", "-o", "rec", "--force", "true"])).status.success());
    let names = scratch.names("rec");
    assert!(
        names.contains(&"notes.txt".to_string()) && !names.contains(&"old.unfreed".to_string()),
        "{names:?}"
    );
    let file = output(&mut scratch.unfreed(&["run", "-o", "rec/notes.txt", "true"]));
    assert_eq!(stderr(&file), "unfreed: rec/notes.txt: is not a directory; choose another with -o\n");
}

#[test]
fn a_name_that_the_loader_splits_holds_the_recording_but_not_the_library() {
    let scratch = Scratch::new();
    let elsewhere = scratch.join("runtime");
    for name in ["my rec", "a:b", "$LIB"] {
        let mut command = scratch.unfreed(&["run", "-o", name, "printenv", "UNFREED_DIR", "LD_PRELOAD"]);
        let output = output(command.env("XDG_RUNTIME_DIR", &elsewhere));
        let told = stdout(&output);
        let mut values = told.lines();
        assert_eq!(
            values.next(),
            Some(scratch.join(name).display().to_string().as_str()),
            "{}",
            stderr(&output)
        );
        assert!(
            values
                .next()
                .expect("a second line")
                .starts_with(&format!("{}/unfreed/lib", elsewhere.display()))
        );
    }
}

#[test]
fn a_noexec_or_read_only_directory() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.join("mnt")).expect("made");
    let in_namespace = |mount: &str| {
        let script = format!("{mount} && exec \"$UNFREED\" run -o mnt/rec printenv LD_PRELOAD");
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script]).current_dir(&*scratch);
        output(
            command
                .env("UNFREED", env!("CARGO_BIN_EXE_unfreed"))
                .env_remove("LD_PRELOAD")
                .env("XDG_RUNTIME_DIR", scratch.join("run")),
        )
    };
    let noexec = in_namespace("mount -t tmpfs -o noexec none mnt");
    if stderr(&noexec).contains("unshare") || stderr(&noexec).contains("mount:") {
        return eprintln!("skipped: needs the right to mount: {}", stderr(&noexec));
    }
    let expected = format!("{}/run/unfreed/libunfreed-", scratch.display());
    assert!(stdout(&noexec).starts_with(&expected), "{}{}", stdout(&noexec), stderr(&noexec));
    let read_only = in_namespace("mount -t tmpfs -o ro none mnt");
    assert_eq!(
        stderr(&read_only),
        "unfreed: mnt/rec: Read-only file system; choose another directory with -o\n"
    );
    assert_eq!(read_only.status.code(), Some(2));
    let full = in_namespace("mount -t tmpfs -o size=4k none mnt && mkdir mnt/rec");
    let expected = format!(
        "unfreed: {}/mnt/rec: cannot be recorded into: No space left on device; choose",
        scratch.display()
    );
    assert!(stderr(&full).starts_with(&expected) || full.status.success(), "{}", stderr(&full));
}

#[test]
fn limits_that_leave_no_room() {
    let scratch = Scratch::new();
    for (limit, name) in [
        ("-f 1000", "file size limit (ulimit -f) is below 4"),
        ("-v 50000", "address space limit (ulimit -v) is below 64"),
    ] {
        let mut shell = Command::new("sh");
        let script = format!("ulimit {limit}; exec \"$UNFREED\" run -o rec true");
        shell.args(["-c", &script]).current_dir(&*scratch).env("UNFREED", env!("CARGO_BIN_EXE_unfreed"));
        let limited = output(shell.env_remove("LD_PRELOAD"));
        let place = scratch.join("rec");
        let expected =
            format!("unfreed: {}: cannot be recorded into: the {name} MiB; raise it\n", place.display());
        assert_eq!((stderr(&limited), limited.status.code()), (expected, Some(2)));
        assert!(!place.exists());
    }
}

#[test]
fn a_damaged_program_is_an_error_and_no_panic() {
    let scratch = Scratch::new();
    let elf = fs::read(scratch.compile("good", "int main(void) { return 0; }", &[])).expect("compiled");
    let headers = 64 + 56 * usize::from(u16::from_le_bytes([elf[56], elf[57]]));
    let (mut refused, mut found) = (0, 0);
    for at in 0..headers {
        for byte in [0, 0xff, elf[at] ^ 0x10] {
            let mut damaged = elf.clone();
            damaged[at] = byte;
            let path = scratch.executable("damaged", &damaged);
            match analyzer::target::find(path.as_os_str()) {
                Ok(_) => found += 1,
                Err(failure) => refused += usize::from(!failure.reason.is_empty()),
            }
        }
    }
    assert_eq!(refused + found, 3 * headers);
    assert!(refused > 10 && found > 10, "{refused} refused, {found} found");
}
