//! Which programs of a run are recorded: `UNFREED_ONLY` and `UNFREED_EXCLUDE`, which each image reads for itself.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use e2e::{Program, Scratch, replay};
use recording::layout;

/// Arguments of the recorded processes, of those that a shell runs one after the other with this environment.
fn recorded(environment: &[(&str, &str)]) -> BTreeSet<String> {
    let scratch = Scratch::new("selection");
    let basic = Program::c("basic").path().to_owned();
    let script = scratch.path().join("a-script");
    fs::write(&script, "#!/bin/sh\n: $(echo)\n").expect("a script is written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it can be executed");
    let commands = format!("'{}' one; '{}' two; :", basic.display(), script.display());
    let mut shell = Program::new("/bin/sh").arg("-c").arg(commands);
    for (name, value) in environment {
        shell = shell.env(name, value);
    }
    let directory = scratch.path().join("recording");
    let outcome = shell.recorded_to(&directory).run();
    assert!(outcome.status.success(), "{}", outcome.stderr_text());
    if !directory.exists() {
        return BTreeSet::new();
    }
    let files = replay::read_directory(&directory);
    let argument = |file: &replay::ProcessFile| {
        let mut header = [0; layout::STRINGS_END];
        File::open(&file.path)
            .and_then(|mut file| file.read_exact(&mut header))
            .expect("a recording is read");
        let mut strings = layout::FileHeader::strings(&header);
        let command = strings.find(|(tag, _)| *tag == layout::STRING_COMMAND);
        let (_, command) = command.expect("a recording has a command line");
        let last = command.split(|&byte| byte == 0).rfind(|argument| !argument.is_empty());
        String::from_utf8_lossy(last.expect("a command has arguments")).into_owned()
    };
    files.iter().map(argument).map(|last| if last.ends_with(':') { "shell".into() } else { last }).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn all_are_recorded_if_nothing_is_said() {
    assert_eq!(recorded(&[]), set(&["shell", "one", "two"]));
    assert_eq!(recorded(&[("UNFREED_ONLY", ""), ("UNFREED_EXCLUDE", "")]), set(&["shell", "one", "two"]));
}

#[test]
fn only_what_is_listed_is_recorded() {
    assert_eq!(recorded(&[("UNFREED_ONLY", "basic-*:nothing")]), set(&["one"]));
    assert_eq!(recorded(&[("UNFREED_ONLY", "nothing")]), set(&[]), "not even a directory is made");
}

#[test]
fn what_is_excluded_is_not_recorded() {
    assert_eq!(recorded(&[("UNFREED_EXCLUDE", "/nowhere/sh:*/basic-*")]), set(&["shell", "two"]));
    assert_eq!(recorded(&[("UNFREED_ONLY", "*"), ("UNFREED_EXCLUDE", "*")]), set(&[]));
}

/// A script is known by its own name, which is not that of what executes it.
#[test]
fn scripts_have_names() {
    assert_eq!(recorded(&[("UNFREED_ONLY", "a-script")]), set(&["two"]));
    assert_eq!(recorded(&[("UNFREED_EXCLUDE", "a-script")]), set(&["shell", "one"]));
}
