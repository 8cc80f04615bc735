//! Programs that no library can be loaded into, or whose allocator is their own: they run as without the recorder, what is
//! around them is recorded, and it is said that they are not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use e2e::{Program, Run, Scratch, Target, artifacts};

/// A shell that runs `program` and then one that can be recorded. The loader may complain about the first on standard
/// error, which is not the recorder's doing.
fn beside_a_recorded_one(script: &str, program: &Path) {
    let basic = Program::c("basic");
    let shell = Program::new("/bin/sh").arg("-c").arg(format!("{script}; echo $?; \"$1\""));
    let shell = shell.arg(program).arg(basic.path());
    let (plain, run) = (shell.run(), Run::recorded(&shell));
    assert_eq!(plain.stdout_text(), run.outcome.stdout_text(), "{}", program.display());
    assert_eq!(plain.status, run.outcome.status, "{}", program.display());
    run.assert_sound();
    run.assert_unfreed(&[("leak_basic", 3, 30_006)]);
}

fn built(target: &Target) -> Option<PathBuf> {
    target
        .try_build()
        .map_err(|reason| eprintln!("skipped: {}", reason.lines().next().unwrap_or_default()))
        .ok()
}

/// What `unfreed run` says of a program that it does not start.
fn refusal(program: &Path) -> String {
    let scratch = Scratch::new("refused");
    let mut command = artifacts::unfreed_command();
    command.arg("run").arg("-o").arg(scratch.path().join("recording")).arg("--").arg(program);
    let output = command.output().expect("unfreed starts");
    assert_eq!(output.status.code(), Some(2), "{}", program.display());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn static_program() {
    let Some(program) = built(&Target::new("c/basic.c").named("basic_static").flag("-static")) else {
        return;
    };
    beside_a_recorded_one("\"$0\"", &program);
    let said = refusal(&program);
    assert!(said.contains("is statically linked"), "{said}");
}

#[test]
fn program_of_32_bits() {
    let Some(program) = built(&Target::new("c/basic.c").named("basic_32").flag("-m32")) else { return };
    beside_a_recorded_one("\"$0\"", &program);
    let said = refusal(&program);
    assert!(said.contains("32"), "{said}");
}

/// By another user than the one whose rights it takes.
#[test]
fn setuid_program() {
    // SAFETY: only asks.
    if unsafe { libc::geteuid() } != 0 {
        return eprintln!("skipped: only root can make a file that is another user's");
    }
    let scratch = Scratch::new("setuid");
    let program = scratch.path().join("setuid");
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    fs::copy(Program::c("basic").path(), &program).expect("a program can be copied");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).expect("a mode can be set");
    beside_a_recorded_one("setpriv --reuid=65534 --clear-groups \"$0\"", &program);
}

#[test]
fn clean_environment() {
    beside_a_recorded_one("env -i \"$0\"; LD_PRELOAD= \"$0\"", Program::c("basic").path());
}

/// Its own definition of malloc comes before every other.
#[test]
fn own_allocator() {
    let program = Target::new("c/own_allocator.c").flag("-rdynamic").flag("-fno-builtin").build();
    let run = Run::of(&Program::new(program));
    run.assert_unfreed(&[("leak_unseen", 0, 0)]);
    let notes = run.report.processes()[0]["notes"].to_string();
    assert!(notes.contains("defines malloc itself"), "{notes}");
}
