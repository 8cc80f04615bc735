//! Every help text as a golden file. `UNFREED_BLESS=1 cargo test -p analyzer --test help` rewrites them.
use std::path::Path;
use std::process::{Command, Output};

fn unfreed(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_unfreed"))
        .args(arguments)
        .env("COLUMNS", "100")
        .output()
        .expect("unfreed starts")
}

#[test]
fn help_texts() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut wrong = Vec::new();
    for verb in [
        "", "run", "install", "report", "diff", "growth", "check", "rss", "top", "pack", "mark", "marks",
        "on", "off", "inspect",
    ] {
        for (flag, kind) in [("-h", "short"), ("--help", "long")] {
            let arguments: Vec<&str> = [verb, flag].into_iter().filter(|word| !word.is_empty()).collect();
            let output = unfreed(&arguments);
            assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}");
            let text = String::from_utf8(output.stdout).expect("help is UTF-8");
            assert!(text.contains("Examples:\n"), "{arguments:?} has examples");
            let file = golden.join(format!(
                "help-{}{kind}.txt",
                if verb.is_empty() { String::new() } else { format!("{verb}-") }
            ));
            if std::env::var_os("UNFREED_BLESS").is_some() {
                std::fs::create_dir_all(&golden)
                    .and_then(|()| std::fs::write(&file, &text))
                    .expect("golden file");
            } else if std::fs::read_to_string(&file).unwrap_or_default() != text {
                wrong.push(format!("{}:\n{text}", file.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "help differs from its golden file (UNFREED_BLESS=1 rewrites it):\n{}",
        wrong.join("\n")
    );
}

#[test]
fn usage_errors_are_one_line_with_status_2() {
    for (arguments, expected) in [
        (
            &["reprot", "x"][..],
            "unrecognized subcommand 'reprot'; a similar subcommand exists: 'report'; see 'unfreed --help'",
        ),
        (
            &["./server", "--port", "1"],
            "unrecognized subcommand './server'; to record a command: 'unfreed run ./server'",
        ),
        (
            &["report", "x", "--focus", "("],
            "invalid value '(' for '--focus <RE>': unclosed group; see 'unfreed report --help'",
        ),
        (
            &["report", "x", "--older", "10"],
            "invalid value '10' for '--older <DURATION>': expected a number and a unit, such as 500ms, 90s, 10m, 1h30m or 2d; see 'unfreed report --help'",
        ),
        (
            &["report", "x", "-n", "-1"],
            "invalid value '-1' for '--limit <N>': expected a number of sites; 0 is all; see 'unfreed report --help'",
        ),
        (
            &["report", "x", "--by", "lines"],
            "invalid value 'lines' for '--by <KEY>' [possible values: stack, function, line, module, thread, process, size, age]; a similar value exists: 'line'; see 'unfreed report --help'",
        ),
        (
            &["diff", "x"],
            "the following required arguments were not provided: <NEW>; see 'unfreed diff --help'",
        ),
        (&["run"], "the following required arguments were not provided: <CMD>...; see 'unfreed run --help'"),
        (
            &["run", "--forse", "-o", "d", "true"],
            "unexpected argument '--forse' found; a similar argument exists: '--force'; see 'unfreed run --help'",
        ),
    ] {
        let output = unfreed(arguments);
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            format!("unfreed: {expected}\n"),
            "{arguments:?}"
        );
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn no_verb_shows_the_help() {
    let output = unfreed(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("unfreed run -o rec"));
}

#[test]
fn a_full_output_is_an_error_and_a_closed_one_is_not() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let output = Command::new(env!("CARGO_BIN_EXE_unfreed"))
        .arg("--help")
        .stdout(full)
        .output()
        .expect("unfreed starts");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "unfreed: standard output: No space left on device; the output is not complete\n"
    );
    let (reader, writer) = std::io::pipe().expect("pipe");
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_unfreed"))
        .arg("--help")
        .stdout(writer)
        .output()
        .expect("unfreed starts");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}
