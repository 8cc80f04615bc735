//! Other C libraries, as `scripts/libcs` fetches them: targets built for one run under its loader on this machine.
//!
//! They are looked for where that script puts them, or in the directory that `UNFREED_TEST_LIBCS` names. With
//! `UNFREED_TEST_LIBC=glibc-bullseye` (or another name) every C and C++ target of any test is built for that one.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::artifacts::target_directory;

/// The releases that are looked for, and the version of each C library in them.
const RELEASES: [(&str, &str, &str); 4] = [
    ("bullseye", "2.31", "1.2.2"),
    ("bookworm", "2.36", "1.2.3"),
    ("trixie", "2.41", "1.2.5"),
    ("sid", "newer", "newer"),
];

/// Which C library.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// GNU's.
    Glibc,
    /// Alpine's.
    Musl,
}

/// A C library of a release of Debian.
#[derive(Clone, Debug)]
pub struct Libc {
    /// Which.
    pub kind: Kind,
    /// The version, for people.
    pub version: &'static str,
    release: &'static str,
    directory: PathBuf,
}

fn directory() -> PathBuf {
    env::var_os("UNFREED_TEST_LIBCS").map_or_else(|| target_directory().join("libcs"), PathBuf::from)
}

/// Those that are present. Of the others a line is printed.
pub fn present() -> Vec<Libc> {
    let kinds = [Kind::Glibc, Kind::Musl];
    let all = RELEASES.iter().flat_map(|release| kinds.map(|kind| Libc::new(kind, release)));
    let (present, absent): (Vec<_>, Vec<_>) = all.partition(|libc| libc.loader().exists());
    for libc in absent {
        println!("not there, not tested: {} {} (scripts/libcs fetches it)", libc.name(), libc.version);
    }
    present
}

/// The one that the environment names for all targets.
pub fn of_environment() -> Option<&'static Libc> {
    static CHOSEN: OnceLock<Option<Libc>> = OnceLock::new();
    let find = || {
        let name = env::var("UNFREED_TEST_LIBC").ok()?;
        let found = present().into_iter().find(|libc| libc.name() == name);
        Some(found.unwrap_or_else(|| panic!("UNFREED_TEST_LIBC={name}: there is none of that name")))
    };
    CHOSEN.get_or_init(find).as_ref()
}

impl Libc {
    fn new(kind: Kind, &(release, glibc, musl): &(&'static str, &'static str, &'static str)) -> Libc {
        let version = if kind == Kind::Glibc { glibc } else { musl };
        Libc { kind, version, release, directory: directory() }
    }

    /// As the environment names it.
    pub fn name(&self) -> String {
        let kind = if self.kind == Kind::Glibc { "glibc" } else { "musl" };
        format!("{kind}-{}", self.release)
    }

    /// Where its release is unpacked.
    pub fn root(&self) -> PathBuf {
        self.directory.join(self.release)
    }

    fn libraries(&self) -> PathBuf {
        let folder = if self.kind == Kind::Glibc { "x86_64-linux-gnu" } else { "x86_64-linux-musl" };
        self.root().join("usr/lib").join(folder)
    }

    /// Its dynamic loader.
    pub fn loader(&self) -> PathBuf {
        self.libraries().join(if self.kind == Kind::Glibc { "ld-linux-x86-64.so.2" } else { "libc.so" })
    }

    /// What gcc must be told, before the source and behind it, for a program or library of this C library. A program
    /// names its loader and its directory of libraries.
    pub fn flags(&self, is_cpp: bool, is_shared: bool) -> [Vec<String>; 2] {
        let libraries = self.libraries();
        let mut before = vec![format!("-L{}", libraries.display())];
        let loader = format!("-Wl,--dynamic-linker={}", self.loader().display());
        let mut behind = vec![loader, run_path(&libraries)];
        if is_cpp {
            before.push("-nostdinc++".into());
            before.extend(cpp_headers().iter().flat_map(|headers| system_headers(headers)));
        }
        match self.kind {
            Kind::Glibc => {
                before.push(format!("--sysroot={}", self.root().display()));
                before.push(format!("-B{}", libraries.display()));
                behind.extend(is_cpp.then(|| libraries.join("libstdc++.so.6").display().to_string()));
                behind.extend(["-lm".into(), "-lrt".into()]);
            }
            Kind::Musl => self.add_flags_of_musl(&mut before, &mut behind, is_cpp, is_shared),
        }
        [before, behind]
    }

    /// What `musl-gcc` adds. C++ is Alpine's library with this machine's headers, which expect two names of glibc.
    fn add_flags_of_musl(
        &self,
        before: &mut Vec<String>,
        behind: &mut Vec<String>,
        is_cpp: bool,
        is_shared: bool,
    ) {
        let part = |name: &str| self.libraries().join(name).display().to_string();
        before.extend(["-nostdinc".into(), "-nostdlib".into()]);
        before.extend(system_headers(&self.root().join("usr/include/x86_64-linux-musl")));
        before.extend(system_headers(&gcc_file("include")));
        before.extend((!is_shared).then(|| part("Scrt1.o")));
        before.extend([part("crti.o"), gcc_file("crtbeginS.o").display().to_string()]);
        if is_cpp {
            let alpine = self.directory.join("alpine");
            before.extend(["-D__GLIBC_PREREQ(a,b)=0".into(), "-D__locale_t=locale_t".into()]);
            let linked =
                ["libstdc++.so", "libgcc_s.so.1"].map(|name| alpine.join(name).display().to_string());
            behind.extend(linked);
            // Alpine's own name of musl is known to musl's loader only.
            behind.extend([run_path(&alpine), "-Wl,--allow-shlib-undefined".into()]);
        }
        behind.extend(["-lc".into(), "-lgcc".into()]);
        behind.extend([gcc_file("crtendS.o").display().to_string(), part("crtn.o")]);
    }
}

/// The old tag holds for the libraries of libraries too.
fn run_path(directory: &Path) -> String {
    format!("-Wl,--disable-new-dtags,-rpath,{}", directory.display())
}

fn system_headers(headers: &Path) -> [String; 2] {
    ["-isystem".into(), headers.display().to_string()]
}

fn gcc(arguments: &[&str]) -> String {
    let output = Command::new("gcc").args(arguments).output().expect("gcc starts");
    String::from_utf8(output.stdout).expect("gcc prints text").trim().to_owned()
}

fn gcc_file(name: &str) -> PathBuf {
    PathBuf::from(gcc(&[&format!("-print-file-name={name}")]))
}

/// This machine's C++ headers: with another root, gcc would look for them there.
fn cpp_headers() -> [PathBuf; 2] {
    let version = gcc(&["-dumpversion"]);
    let own = Path::new("/usr/include").join(gcc(&["-dumpmachine"])).join("c++").join(&version);
    [Path::new("/usr/include/c++").join(&version), own]
}
