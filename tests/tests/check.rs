//! `unfreed check` of real programs: its exit status, baselines of one run for another, and suppressions, which leave out what
//! LeakSanitizer leaves out by the same file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Outcome, Program, Scratch, Target, python};

fn recorded(scratch: &Scratch, name: &str, program: Program) -> PathBuf {
    let directory = scratch.path().join(name);
    fs::create_dir(&directory).expect("a directory");
    let outcome = program.recorded_to(&directory).run();
    assert!(outcome.status.success(), "{}", outcome.stderr_text());
    directory
}

fn check(recording: &Path, options: &[&str]) -> Outcome {
    options.iter().fold(Program::unfreed("check").arg(recording), |program, option| program.arg(option)).run()
}

fn status(recording: &Path, options: &[&str]) -> i32 {
    let outcome = check(recording, options);
    outcome.status.code().unwrap_or_else(|| panic!("{}", outcome.stderr_text()))
}

#[test]
fn a_c_program_and_its_baseline() {
    let scratch = Scratch::new("check");
    let program = |sessions: &str| Program::c("suppressed").arg(sessions);
    let first = recorded(&scratch, "first", program("10"));
    let again = recorded(&scratch, "again", program("10"));
    let more = recorded(&scratch, "more", program("30"));
    let base = scratch.path().join("base.json");
    let base = base.to_str().expect("UTF-8");
    assert_eq!(status(&first, &["--write-baseline", base]), 0);
    assert_eq!(status(&again, &["--baseline", base, "--noise", "0"]), 0);
    let over = check(&more, &["--baseline", base]);
    assert_eq!(over.status.code(), Some(1));
    let text = over.stdout_text();
    assert!(text.contains("1 site holds more, +19.5 KiB\n"), "{text}");
    assert!(text.contains("  +200%\n      session_open [suppressed"), "{text}");
    // 10 * 1000 + 3 * 77 + 4 * 501 bytes in 17 blocks.
    for (options, expected) in [
        (["--max-unfreed", "12235"], 0),
        (["--max-unfreed", "12234"], 1),
        (["--max-blocks", "17"], 0),
        (["--max-blocks", "16"], 1),
        (["--max-blocks", "many"], 2),
    ] {
        assert_eq!(status(&first, &options), expected, "{options:?}");
    }
    assert_eq!(status(&scratch.path().join("none"), &["--max-blocks", "1"]), 2);
    fs::write(first.join("odd.unfreed"), "no recording").expect("a file");
    assert_eq!(status(&first, &["--max-blocks", "17"]), 3);
    assert_eq!(status(&first, &["--max-blocks", "17", "--allow-incomplete"]), 0);
    assert_eq!(status(&first, &["--max-blocks", "16"]), 3);
    assert_eq!(status(&first, &["--max-blocks", "16", "--allow-incomplete"]), 1);
}

/// Of the oldest and the newest interpreter: the baseline of one run holds for another, and names the function that leaks.
#[test]
fn a_python_program_and_its_baseline() {
    for interpreter in python::oldest_and_newest() {
        let scratch = Scratch::new("check");
        let program = |keeps: &str| interpreter.program("checked.py").arg("200").arg(keeps);
        let base = scratch.path().join("base.json");
        let base = base.to_str().expect("UTF-8");
        let options = ["--phase", "run"];
        let first = recorded(&scratch, "first", program("0"));
        assert_eq!(status(&first, &[&options[..], &["--write-baseline", base]].concat()), 0, "{interpreter}");
        let compared = [&options[..], &["--baseline", base]].concat();
        let again = recorded(&scratch, "again", program("0"));
        assert_eq!(status(&again, &compared), 0, "{interpreter}: {}", check(&again, &compared).stdout_text());
        let leaks = check(&recorded(&scratch, "leaks", program("1")), &compared);
        assert_eq!(leaks.status.code(), Some(1), "{interpreter}");
        let text = leaks.stdout_text();
        assert!(text.contains(" new  handle (python/checked.py)\n"), "{interpreter}: {text}");
        assert!(text.contains("python/checked.py:11"), "{interpreter}: {text}");
    }
}

/// The table of used suppressions, and what is left in the last line.
fn told(text: &str) -> (Vec<String>, Option<String>) {
    let behind = text.split_once("Suppressions used:\n").map_or("", |(_, behind)| behind);
    let table = behind.lines().skip(1).take_while(|line| !line.starts_with('-')).map(str::to_string);
    let left = text.lines().find(|line| line.starts_with("SUMMARY: LeakSanitizer: "));
    (table.collect(), left.map(str::to_string))
}

/// LeakSanitizer follows frame pointers otherwise, which code need not have.
const WHOLE_STACKS: &str = "fast_unwind_on_malloc=0";

#[test]
fn suppressions_leave_out_what_leak_sanitizer_does() {
    let build = Target::new("c/suppressed.c").named("suppressed-lsan").flag("-fsanitize=leak").try_build();
    let sanitized = match build {
        Ok(path) => path,
        Err(why) => return eprintln!("skipped: no LeakSanitizer: {why}"),
    };
    let scratch = Scratch::new("lsan");
    let recording = recorded(&scratch, "recording", Program::c("suppressed"));
    let file = scratch.path().join("known.supp");
    let mut compared = 0;
    for patterns in [
        "leak:session_open",
        "leak:^session",
        "leak:open$",
        "leak:^open",
        "leak:cache_put",
        "leak:cache_get",
        "leak:cache_*\n",
        "leak:c*_g*t\nleak:^cache_put$",
        "leak:cache_put\nleak:cache_get",
        "leak:suppressed.c",
        "leak:^suppressed.c",
        "leak:Session",
        "leak: session_open",
        "leak:session_open$ and more",
        "leak:ses^sion",
        "# all\n\n  leak:main  ",
        "leak:*",
        "leak:$",
    ] {
        fs::write(&file, patterns).expect("a file");
        let options = format!("{WHOLE_STACKS}:suppressions={}", file.display());
        let output = Command::new(&sanitized).env("LSAN_OPTIONS", &options).output().expect("it starts");
        let expected = String::from_utf8_lossy(&output.stderr).into_owned();
        if expected.contains("LeakSanitizer has encountered a fatal error") {
            return eprintln!("skipped: LeakSanitizer may not trace its own process here");
        }
        let suppressions = file.to_str().expect("UTF-8");
        let ours =
            check(&recording, &["--max-unfreed", "0", "--format", "lsan", "--suppressions", suppressions]);
        assert_eq!(told(&ours.stdout_text()), told(&expected), "{patterns}\n{expected}");
        assert_eq!(ours.status.code(), Some(i32::from(output.status.code() == Some(23))), "{patterns}");
        compared += 1;
    }
    assert_eq!(compared, 18);
    // And without any: the same blocks. Those of one function are one stack here, however often the compiler has inlined it.
    let output = Command::new(&sanitized).env("LSAN_OPTIONS", WHOLE_STACKS).output().expect("it starts");
    let ours = check(&recording, &["--max-unfreed", "0", "--format", "lsan"]).stdout_text();
    assert_eq!(told(&ours), told(&String::from_utf8_lossy(&output.stderr)));
    assert_eq!(ours.lines().filter(|line| line.starts_with("Direct leak of ")).count(), 3, "{ours}");
}

/// `    #1 0x11b9 in session_open /src/suppressed.c:12`: its address and function.
fn framed(line: &str) -> Option<(&str, &str)> {
    let (address, rest) = line.trim_start().strip_prefix('#')?.split_once(' ')?.1.split_once(' ')?;
    Some((address, rest.strip_prefix("in ")?.split(' ').next()?))
}

#[test]
fn addresses_are_those_of_the_file() {
    let scratch = Scratch::new("lsan-addresses");
    let recording = recorded(&scratch, "recording", Program::c("suppressed"));
    let ours = check(&recording, &["--max-unfreed", "0", "--format", "lsan"]).stdout_text();
    assert!(!ours.contains(" 0x0 "), "{ours}");
    let own = ours.lines().filter(|line| line.contains("suppressed.c:"));
    let own: Vec<(&str, &str)> = own.filter_map(framed).collect();
    assert!(own.len() >= 6, "a function and main for each of three leaks: {ours}");
    let program = Target::new("c/suppressed.c").build();
    for (address, function) in own {
        // What is inlined comes first.
        let told = Command::new("addr2line").args(["-f", "-i", "-e"]).arg(&program).arg(address).output();
        let told = told.expect("binutils, which the compiler needs");
        let told = String::from_utf8_lossy(&told.stdout);
        assert!(told.lines().any(|line| line == function), "{address} is in {function}: {told}\n{ours}");
    }
    for line in ours.lines().filter(|line| line.contains(" in ") && line.ends_with(')')) {
        let (address, _) = framed(line).expect("a frame");
        assert!(line.ends_with(&format!("+{address})")), "{line}");
    }
}
