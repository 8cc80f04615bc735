//! What the tests of the command share: unique directories, compiled programs, and `unfreed` as a command.
#![allow(dead_code, missing_docs)] // each test binary uses its part
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, ops};

/// A new empty directory, removed at the end of the test.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("scratch-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path.canonicalize().expect("it is there"))
    }

    /// An executable file with this content.
    pub fn executable(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
        path
    }

    /// Compiles C.
    pub fn compile(&self, name: &str, source: &str, flags: &[&str]) -> PathBuf {
        let (program, file) = (self.join(name), self.join(format!("{name}.c")));
        fs::write(&file, source).expect("written");
        let output =
            Command::new("cc").arg(&file).args(flags).arg("-o").arg(&program).output().expect("a C compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        program
    }

    /// `unfreed`, to be run here.
    pub fn unfreed<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unfreed"));
        command.args(arguments).current_dir(&self.0).env_remove("LD_PRELOAD").env_remove("UNFREED_DIR");
        command.env("LC_ALL", "C.UTF-8").env("UNFREED_CACHE", "");
        command
    }

    /// The names in a directory below, sorted; none if it is not there.
    pub fn names(&self, below: &str) -> Vec<String> {
        let entries = fs::read_dir(self.join(below)).into_iter().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().display().to_string()).collect();
        names.sort();
        names
    }
}

impl ops::Deref for Scratch {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn output(command: &mut Command) -> Output {
    command.output().expect("it starts")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether the test runs as root; says that it is skipped if not.
pub fn is_root(what: &str) -> bool {
    // SAFETY: takes no argument and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        eprintln!("skipped: {what} needs root");
    }
    root
}
