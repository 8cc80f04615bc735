//! `unfreed top` on programs as they run: on terminals, as lines, and to their end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use e2e::{Program, Scratch, Steps, Terminal};

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 50)];

fn top(subject: impl AsRef<std::ffi::OsStr>) -> Program {
    Program::unfreed("top").arg(subject).arg("0.1")
}

/// The first row of the table, if it is of the function that keeps what it allocates, and grows.
fn has_the_leak_first(lines: &[String]) -> bool {
    lines.get(4).is_some_and(|row| row.contains("leak_step") && row.contains('+'))
}

#[test]
fn the_leaking_line_comes_first() {
    for size in SIZES {
        let directory = Scratch::new("top");
        let mut steps = Steps::start(directory.path());
        steps.step("work");
        let mut terminal = Terminal::start(&top(directory.path()), size);
        let lines = terminal.wait_while("the leak", has_the_leak_first, || steps.step("keep"));
        assert!(lines[0].starts_with("unfreed top ") && lines[0].contains(", 1 process "), "{}", lines[0]);
        assert!(lines[1].starts_with("unfreed ") && lines[1].contains(", RSS "), "{}", lines[1]);
        assert!(lines[2].contains("lost 0"), "{}", lines[2]);
        assert!(lines[4].contains("steps.c:"), "its line: {}", lines[4]);
        assert_eq!(lines.len(), usize::from(size.1));
        assert!(terminal.has_colours(), "what grows is red");
        terminal.press("\r");
        terminal
            .wait_for("its stack", |lines| lines.iter().any(|line| line.trim_start().starts_with("main ")));
        terminal.press("q\t");
        let pid = steps.pid().to_string();
        terminal.wait_for("the process", |lines| lines[4].contains(&format!(" {pid} running")));
        terminal.press("q");
        assert!(terminal.end().success());
        steps.end();
    }
}

#[test]
fn the_screen_follows_the_terminal() {
    let directory = Scratch::new("top");
    let mut steps = Steps::start(directory.path());
    steps.step("work");
    let mut terminal = Terminal::start(&top(directory.path()), (80, 24));
    terminal.wait_for("the site", |lines| lines.iter().any(|line| line.contains("leak_step")));
    for size in [(120, 30), (12, 3), (1, 1), (80, 24)] {
        terminal.resize(size);
    }
    terminal.wait_for("the site again", |lines| lines.iter().any(|line| line.contains("leak_step")));
    terminal.press("q");
    assert!(terminal.end().success());
    let mut plain = Terminal::start(&top(directory.path()).env("NO_COLOR", "1"), (80, 24));
    plain.wait_while("the leak", has_the_leak_first, || steps.step("keep"));
    assert!(!plain.has_colours());
    plain.press("\x03");
    assert!(plain.end().success());
    steps.end();
}

#[test]
fn signals_give_the_terminal_back() {
    let directory = Scratch::new("top");
    let mut steps = Steps::start(directory.path());
    steps.step("work");
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let mut terminal = Terminal::start(&top(steps.pid().to_string()), (80, 24));
        terminal.wait_for("the screen", |lines| lines[0].starts_with("unfreed top "));
        terminal.signal(signal);
        assert_eq!(terminal.end().code(), Some(128 + signal));
    }
    steps.end();
}

#[test]
fn processes_come_and_go() {
    let directory = Scratch::new("top");
    let mut steps = Steps::start(directory.path());
    steps.step("work");
    let mut terminal = Terminal::start(&top(steps.pid().to_string()), (80, 24));
    terminal.wait_for("one process", |lines| lines[0].contains(", 1 process "));
    steps.step("pair");
    steps.step("keep");
    terminal.wait_for("the child", |lines| lines[0].contains(", 2 processes "));
    terminal.wait_for("what it holds", |lines| lines.iter().any(|line| line.contains("leak_child")));
    steps.end();
    let ended = terminal.wait_for("the end", |lines| lines[2].contains("ended: what was held then"));
    assert!(ended.iter().any(|line| line.contains("leak_step")), "{ended:?}");
    terminal.press("q");
    assert!(terminal.end().success());
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_lines() {
    let directory = Scratch::new("top");
    let mut steps = Steps::start(directory.path());
    steps.step("work");
    let has_lines = |lines: &[String]| lines.iter().any(|line| line.ends_with("  line"));
    let mut once = Terminal::start(&top(directory.path()).arg("1"), (100, 40));
    once.wait_for("a block", has_lines);
    assert!(once.end().success());
    let mut dumb = Terminal::start(&top(directory.path()).env("TERM", "dumb"), (100, 40));
    dumb.wait_for("a block", has_lines);
    dumb.signal(libc::SIGTERM);
    assert_eq!(dumb.end().code(), None, "the signal ends it");
    steps.end();
}

#[test]
fn blocks_of_lines_have_one_layout() {
    let directory = Scratch::new("top");
    let mut steps = Steps::start(directory.path());
    steps.step("work");
    let outcome = top(directory.path()).arg("3").run();
    assert!(outcome.status.success(), "{}", outcome.stderr_text());
    let text = outcome.stdout_text();
    let blocks: Vec<Vec<&str>> = text.split("\n\n").map(|block| block.lines().collect()).collect();
    assert_eq!(blocks.len(), 4, "three and what is behind the last one: {text}");
    assert_eq!(blocks[3], Vec::<&str>::new());
    for block in &blocks[..3] {
        assert!(block[0].ends_with(", 1 process"), "{text}");
        assert!(block[1].starts_with("unfreed 293 KiB in 100 blocks"), "{text}");
        assert_eq!(block[3], "   unfreed      blocks  growth/min  line");
        let row: Vec<&str> = block[4].split_whitespace().collect();
        assert_eq!(row[..3], ["293", "KiB", "100"], "{text}");
        assert!(block[4].ends_with(" leak_step"), "{text}");
    }
    steps.end();
    // Without a count it ends with the processes.
    let last = top(directory.path()).run().stdout_text();
    assert!(last.contains("ended: what was held then") && last.contains(" leak_step"), "{last}");
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let directory = Scratch::new("top");
    let mut steps = Steps::start(directory.path());
    steps.step("work");
    let mut command: Command = top(directory.path()).command();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("unfreed starts");
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    output.read_line(&mut line).expect("a block comes while the program runs");
    assert!(line.contains(", 1 process"), "{line}");
    drop(output);
    let mut errors = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut errors).expect("it ends");
    assert!(child.wait().expect("it was started").success() && errors.is_empty(), "{errors}");
    steps.end();
}

#[test]
fn of_python_the_line_is_named() {
    let Some(python) = e2e::python::newest() else { return };
    let directory = Scratch::new("top");
    let script = directory.path().join("leak.py");
    let source = "import sys\nkept = []\ndef leak():\n    kept.append(bytes(3001))\nfor line in sys.stdin:\n    [leak() for _ in range(50)]\n    print(line, end='', flush=True)\n";
    std::fs::write(&script, source).expect("a script");
    let recording = directory.path().join("recording");
    std::fs::create_dir(&recording).expect("a directory");
    let program = python.bare().arg("-u").arg(&script).recorded_to(&recording);
    let mut steps = Steps::of(&program);
    steps.step("keep");
    let mut terminal = Terminal::start(&top(&recording), (80, 24));
    let leaks = |lines: &[String]| lines[4].contains("leak.py:4 leak") && lines[4].contains('+');
    terminal.wait_while("the leak", leaks, || steps.step("keep"));
    terminal.press("\r");
    terminal.wait_for("its stack", |lines| lines.iter().any(|line| line.trim_start().starts_with("leak ")));
    terminal.press("qq");
    assert!(terminal.end().success());
    steps.end();
}

#[test]
fn many_processes_that_do_the_same_are_one_site() {
    let directory = Scratch::new("top");
    let mut steps = Steps::start(directory.path());
    steps.step("work");
    for _ in 0..40 {
        steps.step("many");
    }
    let once = top(directory.path()).arg("1").run();
    let text = once.stdout_text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(once.status.success() && lines[0].ends_with(", 41 processes"), "{text}");
    let row = lines.iter().find(|line| line.ends_with(" leak_child")).unwrap_or_else(|| panic!("{text}"));
    let row: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(row[..3], ["195", "KiB", "40"], "{text}");
    assert!(!text.contains("not looked up yet"), "{text}");
    steps.end();
}
