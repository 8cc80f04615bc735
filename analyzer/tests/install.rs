//! `unfreed install` writes a library that loads, and prints the environment for it.
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::{Scratch, output, stderr, stdout};

#[test]
fn the_library_and_its_environment() {
    let scratch = Scratch::new();
    for _ in 0..2 {
        let output = output(&mut scratch.unfreed(&["install", "opt/unfreed"]));
        assert!(output.status.success(), "{}", stderr(&output));
        let base = scratch.join("opt/unfreed").display().to_string();
        assert_eq!(
            stdout(&output),
            format!("LD_PRELOAD={base}/libunfreed.so\nUNFREED_DIR={base}/recordings\n")
        );
        assert!(stderr(&output).contains(&format!("unfreed report {base}/recordings")));
    }
    assert_eq!(scratch.names("opt/unfreed"), ["libunfreed.so", "recordings", "unfreed.h"]);
    let library = scratch.join("opt/unfreed/libunfreed.so");
    assert_eq!(fs::metadata(&library).expect("written").permissions().mode() & 0o777, 0o755);
    let loaded = output(
        Command::new("grep").args(["-c", "libunfreed.so", "/proc/self/maps"]).env("LD_PRELOAD", &library),
    );
    assert_ne!(stdout(&loaded).trim(), "0");
    assert_eq!(stderr(&loaded), "", "the loader has nothing to say");
}

#[test]
fn places_that_will_not_do() {
    let scratch = Scratch::new();
    fs::write(scratch.join("file"), "").expect("written");
    let file = output(&mut scratch.unfreed(&["install", "file"]));
    assert_eq!(stderr(&file), "unfreed: file: cannot install there: File exists; choose another directory\n");
    let space = output(&mut scratch.unfreed(&["install", "a b"]));
    assert_eq!(
        stderr(&space),
        "unfreed: a b: cannot install there: the loader cannot take ' ' in LD_PRELOAD; choose another directory\n"
    );
    assert!(!scratch.join("a b").exists());
    assert_eq!((file.status.code(), space.status.code()), (Some(2), Some(2)));
}

/// What `unfreed run` does by options is for a service in its environment.
#[test]
fn options_are_variables() {
    let scratch = Scratch::new();
    let options =
        ["--max-log", "2048M", "--off", "--only", "python3*", "--only", "/srv/x", "--exclude", "sh"];
    let expected =
        ["UNFREED_MAX_LOG=2G", "UNFREED_START=off", "UNFREED_ONLY=python3*:/srv/x", "UNFREED_EXCLUDE=sh"];
    let install = output(&mut scratch.unfreed(&[&["install", "opt"][..], &options].concat()));
    assert_eq!(stdout(&install).lines().skip(2).collect::<Vec<_>>(), expected);
    for variable in expected {
        assert!(stderr(&install).contains(&format!("\n             Environment={variable}\n")), "{variable}");
    }
    let run = output(&mut scratch.unfreed(&[&["run"][..], &options, &["env"]].concat()));
    let environment = stdout(&run);
    let long = output(&mut scratch.unfreed(&["run", "--only", &"x".repeat(2049), "true"]));
    assert_eq!(long.status.code(), Some(2));
    assert_eq!(
        stderr(&long),
        "unfreed: --only: its names are longer than 2048 bytes together; use * for what they have in common\n"
    );
    let told: Vec<_> =
        expected.iter().filter(|entry| environment.lines().any(|line| line == **entry)).collect();
    assert_eq!(told.len(), expected.len(), "{environment}");
}
