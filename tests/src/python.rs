//! The Python interpreters of this machine, and virtual environments for what tests need from PyPI.
//!
//! A machine may have one interpreter or one of each version. Tests run on all that are there, a few at a time, and
//! say which versions were not; nothing is downloaded but packages.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};
use std::{env, fmt, fs, thread};

use crate::{Program, artifacts};

/// Major and minor version.
pub type Version = (u32, u32);

/// The versions whose Python frames are recorded.
pub const WALKED: RangeInclusive<Version> = (3, 8)..=(3, 14);

/// Options of `unfreed report`: all sites by line, of which even a small program has thousands of stacks.
pub const BY_LINE: &[&str] = &["--by", "line"];

/// A real interpreter: an ELF file and no script that chooses one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Interpreter {
    /// Major and minor version.
    pub version: Version,
    /// The third number of the version.
    pub patch: u32,
    /// The executable; within a virtual environment, its link to the interpreter.
    pub path: PathBuf,
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (major, minor) = self.version;
        write!(f, "Python {major}.{minor}.{} ({})", self.patch, self.path.display())
    }
}

impl Interpreter {
    /// The interpreter that `command` is or starts; `None` when that is not CPython with its lock.
    fn behind(command: &Path) -> Option<Interpreter> {
        const ASK: &str = "import sys, sysconfig
if sys.implementation.name == 'cpython' and not sysconfig.get_config_var('Py_GIL_DISABLED'):
    print(*sys.version_info[:3], sys.executable)";
        let output = output_of(Command::new(command).args(["-c", ASK])).ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let mut words = text.trim_end().splitn(4, ' ');
        let mut number = || words.next()?.parse().ok();
        let (version, patch) = ((number()?, number()?), number()?);
        Some(Interpreter { version, patch, path: fs::canonicalize(words.next()?).ok()? })
    }

    /// The program `tests/targets/python/NAME`, run by this interpreter.
    pub fn program(&self, name: &str) -> Program {
        self.bare().arg(artifacts::sources().join("python").join(name))
    }

    /// This interpreter without arguments; hashes are the same in each run, and nothing is written beside sources.
    pub fn bare(&self) -> Program {
        Program::new(&self.path).env("PYTHONHASHSEED", "0").env("PYTHONDONTWRITEBYTECODE", "1")
    }

    /// This interpreter with `packages` of PyPI, in a virtual environment that is kept for the next time.
    ///
    /// # Errors
    ///
    /// One line that says why there is none: the interpreter has no `venv`, or pip failed.
    pub fn with(&self, packages: &[&str]) -> Result<Interpreter, String> {
        let place = self.path.display().to_string().replace('/', "-");
        let name = format!("venv{place}-{}.{}.{}", self.version.0, self.version.1, self.patch);
        let made = artifacts::kept_directory().join(&name);
        let inside = Interpreter { path: made.join("bin/python3"), ..self.clone() };
        // Made when pip has succeeded, so that what was interrupted is done again.
        let mark = |package: &str| made.join(format!("has-{package}"));
        let missing = || packages.iter().filter(|package| !mark(package).exists()).collect::<Vec<_>>();
        if missing().is_empty() {
            return Ok(inside);
        }
        artifacts::locked(&name, || {
            let missing = missing();
            if missing.is_empty() {
                return Ok(inside);
            }
            if output_of(Command::new(&inside.path).args(["-m", "pip", "--version"])).is_err() {
                output_of(Command::new(&self.path).args(["-m", "venv", "--clear"]).arg(&made))?;
            }
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"];
            output_of(Command::new(&inside.path).args(pip).args(&missing))?;
            for package in missing {
                fs::write(mark(package), "").map_err(|error| error.to_string())?;
            }
            Ok(inside)
        })
    }
}

/// The output of a command that succeeds, or the last line of what it said.
fn output_of(command: &mut Command) -> Result<Output, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output);
    }
    let said = [output.stderr, output.stdout].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let last = said.iter().find_map(|text| text.trim().lines().next_back());
    Err(last.map_or_else(|| output.status.to_string(), str::to_owned))
}

/// Every interpreter found, in the order of their versions: those of pyenv and uv, and each `python3` in PATH.
pub fn interpreters() -> &'static [Interpreter] {
    static FOUND: OnceLock<Vec<Interpreter>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let home = PathBuf::from(env::var_os("HOME").unwrap_or_default());
        let kept = [".pyenv/versions", ".local/share/uv/python"].map(|place| home.join(place));
        let kept = kept.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
        let kept = kept.map(|entry| entry.path().join("bin"));
        let path = env::var_os("PATH").unwrap_or_default();
        let commands = kept.chain(env::split_paths(&path)).map(|folder| folder.join("python3"));
        let commands: Vec<_> = commands.filter(|command| command.is_file()).collect();
        let found = in_parallel(&commands, |command| Interpreter::behind(command));
        let found: BTreeSet<_> = found.into_iter().flatten().collect();
        assert!(!found.is_empty(), "no python3 in PATH");
        found.into_iter().collect()
    })
}

/// The first and the last version of those whose Python frames are recorded, for what hardly depends on it.
pub fn oldest_and_newest() -> impl Iterator<Item = &'static Interpreter> {
    let mut walked = interpreters().iter().filter(|python| WALKED.contains(&python.version));
    [walked.next(), walked.next_back()].into_iter().flatten()
}

/// The newest interpreter whose Python frames are recorded, for what does not depend on the version.
pub fn newest() -> Option<&'static Interpreter> {
    let found = interpreters().iter().rfind(|found| WALKED.contains(&found.version));
    if found.is_none() {
        eprintln!("skipped: no Python whose frames are recorded");
    }
    found
}

/// Runs a test with every interpreter whose Python frames are recorded; see [`on_each_of`].
pub fn on_each(test: impl Fn(&Interpreter) + Sync) {
    on_each_of(WALKED, test);
}

/// Runs a test with every interpreter of these versions, a few at the same time, and says which versions are absent.
///
/// # Panics
///
/// When the test panicked with any; all others have run by then.
pub fn on_each_of(versions: RangeInclusive<Version>, test: impl Fn(&Interpreter) + Sync) {
    let wanted: Vec<_> = interpreters().iter().filter(|found| versions.contains(&found.version)).collect();
    for minor in versions.start().1..=versions.end().1 {
        if !wanted.iter().any(|found| found.version.1 == minor) {
            eprintln!("skipped: no Python 3.{minor}");
        }
    }
    let failed = in_parallel(&wanted, |interpreter| {
        let result = panic::catch_unwind(AssertUnwindSafe(|| test(interpreter)));
        result.err().map(|_| interpreter.to_string())
    });
    let failed: Vec<_> = failed.into_iter().flatten().collect();
    assert!(failed.is_empty(), "failed with {}", failed.join(", "));
}

/// Results of `work` for each item, in the order of the items; as many at a time as there are processors.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, done) = (Mutex::new(items.iter().enumerate()), Mutex::new(Vec::new()));
    let take = || next.lock().expect("no worker panics while it holds it").next();
    let worker = || {
        while let Some((at, item)) = take() {
            let result = work(item);
            done.lock().expect("no worker panics while it holds it").push((at, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(worker);
        }
    });
    let mut done = done.into_inner().expect("no worker panics while it holds it");
    done.sort_by_key(|&(at, _)| at);
    done.into_iter().map(|(_, result)| result).collect()
}
