//! What is built once and used by every test: `unfreed`, `libunfreed.so` and the targets.
//!
//! Test binaries run in parallel processes, so whatever is made here is made under another name and renamed, or
//! under a file lock. Targets are kept by a hash of their source and command: an unchanged one is not rebuilt.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::OnceLock;
use std::{env, str};

use crate::libcs::{self, Libc};

/// The target directory that this test binary was built into.
pub fn target_directory() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let exe = env::current_exe().expect("the test binary has a path");
        // Not by its CACHEDIR.TAG, which cargo does not write into a directory that it has not made itself.
        let found = exe.ancestors().find(|path| path.join(".rustc_info.json").exists());
        found.expect("the test binary lies in cargo's target directory").to_owned()
    })
}

/// Where the harness keeps what it makes.
pub fn kept_directory() -> PathBuf {
    let path = target_directory().join("e2e");
    fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

/// The sources of the targets.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("targets")
}

/// The number of the line of `source` that ends with `mark`, a comment.
pub fn line_with(source: &Path, mark: &str) -> u64 {
    let text = fs::read_to_string(source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    let line = text.lines().position(|line| line.ends_with(mark));
    line.unwrap_or_else(|| panic!("no line of {} ends with {mark}", source.display())) as u64 + 1
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

/// Holds an exclusive lock against other test processes while `make` runs.
pub fn locked<T>(name: &str, make: impl FnOnce() -> T) -> T {
    let path = kept_directory().join(format!("{name}.lock"));
    let file = File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // SAFETY: the descriptor is open for as long as `file` lives; flock touches no memory.
    let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) };
    assert_eq!(result, 0, "{} can be locked", path.display());
    make()
}

/// The binary `unfreed`, built with the profile of the tests.
pub fn unfreed() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["build", "--quiet", "--locked", "-p", "analyzer", "--bin", "unfreed"]);
        cargo.args(["--message-format", "json-render-diagnostics"]);
        cargo.arg("--target-dir").arg(target_directory()).current_dir(repository());
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let output = cargo.stderr(process::Stdio::inherit()).output().expect("cargo starts");
        assert!(output.status.success(), "building unfreed failed");
        executable_of(str::from_utf8(&output.stdout).expect("cargo prints JSON"))
    })
}

/// It as a command, which keeps nothing that it looks up in the cache of whoever runs the tests.
pub fn unfreed_command() -> Command {
    let mut command = Command::new(unfreed());
    command.env("UNFREED_CACHE", "");
    command
}

/// The path in cargo's message about the finished binary.
fn executable_of(messages: &str) -> PathBuf {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut paths = parsed.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    paths.next_back().expect("cargo names the binary")
}

/// `libunfreed.so`, as `unfreed install` writes it.
pub fn library() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let made = kept_directory().join(format!("library-{}", process::id()));
        let output = Command::new(unfreed()).arg("install").arg(&made).output().expect("unfreed starts");
        assert!(output.status.success(), "unfreed install: {}", String::from_utf8_lossy(&output.stderr));
        let library = made.join("libunfreed.so");
        let kept = kept_directory().join(format!("libunfreed-{:016x}.so", hash_of_file(&library)));
        fs::rename(&library, &kept).expect("the library can be renamed");
        fs::remove_dir_all(&made).expect("the directory can be removed");
        kept
    })
}

fn hash_of_file(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).hash(&mut hasher);
    hasher.finish()
}

/// Whether a program is found in PATH.
pub fn in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// A program to compile.
#[derive(Clone, Debug)]
pub struct Target {
    source: PathBuf,
    name: String,
    flags: Vec<String>,
    trailing: Vec<String>,
    libc: Option<Libc>,
}

impl Target {
    /// The target `language/file` of `tests/targets`.
    pub fn new(source: &str) -> Target {
        let source = sources().join(source);
        let name = source.file_stem().and_then(OsStr::to_str).expect("a target has a name").to_owned();
        let libc = libcs::of_environment().cloned();
        Target { source, name, flags: Vec::new(), trailing: Vec::new(), libc }
    }

    /// Builds it for another C library than this machine's. Rust programs stay as they are.
    pub fn for_libc(mut self, libc: &Libc) -> Target {
        self.libc = Some(libc.clone());
        self
    }

    /// The same under another name, when one source makes several.
    pub fn named(mut self, name: &str) -> Target {
        self.name = name.to_owned();
        self
    }

    /// Adds a compiler flag before the source.
    pub fn flag(mut self, flag: &str) -> Target {
        self.flags.push(flag.to_owned());
        self
    }

    /// Adds a linker flag behind the source.
    pub fn link(mut self, flag: &str) -> Target {
        self.trailing.push(flag.to_owned());
        self
    }

    /// Builds a shared library.
    pub fn shared(self) -> Target {
        self.flag("-shared").flag("-fPIC")
    }

    /// Compiles it if that was not done before; a target that does not compile fails the test.
    pub fn build(&self) -> PathBuf {
        self.try_build().unwrap_or_else(|message| panic!("{}: {message}", self.source.display()))
    }

    /// Compiles it, or says why that failed: for what needs a library that may be absent.
    pub fn try_build(&self) -> Result<PathBuf, String> {
        let mut hasher = DefaultHasher::new();
        self.command(Path::new("")).get_args().for_each(|argument| argument.hash(&mut hasher));
        for file in [&self.source, &sources().join("c/target.h")] {
            hash_of_file(file).hash(&mut hasher);
        }
        let built = kept_directory().join(format!("{}-{:016x}", self.name, hasher.finish()));
        if built.exists() {
            return Ok(built);
        }
        locked(&self.name, || self.compile(&built)).map(|()| built)
    }

    fn compile(&self, built: &Path) -> Result<(), String> {
        if built.exists() {
            return Ok(());
        }
        // Compiled in a directory of its own: rustc leaves more than one file.
        let making = built.with_extension(format!("making-{}", process::id()));
        fs::create_dir_all(&making).map_err(|error| error.to_string())?;
        let unfinished = making.join(&self.name);
        let output = self.command(&unfinished).output().map_err(|error| format!("no compiler: {error}"))?;
        if output.status.success() {
            fs::rename(&unfinished, built).map_err(|error| error.to_string())?;
        }
        fs::remove_dir_all(&making).map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn command(&self, built: &Path) -> Command {
        let extension = self.source.extension().and_then(OsStr::to_str).unwrap_or_default();
        // g++ would link this machine's C++ library too.
        let cpp_compiler = if self.libc.is_some() { "gcc" } else { "g++" };
        let (compiler, flags): (_, &[&str]) = match extension {
            "rs" => ("rustc", &["--edition=2021", "-g", "-Copt-level=1"]),
            "cpp" => (cpp_compiler, &["-std=c++17", "-O1", "-g", "-pthread", "-fno-optimize-sibling-calls"]),
            _ => ("gcc", &["-std=gnu17", "-O1", "-g", "-pthread", "-fno-optimize-sibling-calls"]),
        };
        let mut command = Command::new(compiler);
        if extension == "rs" {
            command.args(flags).args(&self.flags).arg("-o").arg(built).arg(&self.source);
            return command;
        }
        let is_shared = self.flags.iter().any(|flag| flag == "-shared");
        let libc = self.libc.as_ref().map(|libc| libc.flags(extension == "cpp", is_shared));
        let [before, behind] = libc.unwrap_or_default();
        command.args(flags).args(&before).args(&self.flags).arg("-o").arg(built).arg(&self.source);
        command.arg("-I").arg(sources().join("c")).args(&self.trailing).arg("-ldl").args(behind);
        command
    }
}
