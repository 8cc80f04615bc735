//! Small real programs, built in a directory of their own, and what other tools say about them.
use analyzer::symbols::{Frame, ModuleFile, Options, Query, Symbolized, symbolize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Inlined templates, lambdas, static functions, a cold part, an exception.
pub const CPP: &str = r#"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>
namespace shop {
struct Item { std::string name; std::vector<int> sizes; };
static inline void *raw(size_t n) { return malloc(n); }
template <typename T> T *make(size_t n) { return static_cast<T *>(raw(n * sizeof(T))); }
class Cart {
  std::map<std::string, Item> items;
public:
  __attribute__((noinline)) void add(const std::string &name, int n) {
    auto fill = [n](Item &item) { for (int i = 0; i < n; i++) item.sizes.push_back(i); };
    Item item{name, {}};
    fill(item);
    items[name] = item;
  }
  __attribute__((noinline)) int *total(int n) const {
    if (__builtin_expect(n < 0, 0)) throw std::runtime_error("negative " + std::to_string(n));
    int *sums = make<int>(items.size() + n);
    for (auto &entry : items) sums[0] += entry.second.sizes.size();
    return sums;
  }
};
}
__attribute__((noinline)) static int fail(int n) { if (n > 100) { puts("big"); abort(); } return n; }
int main(int argc, char **) {
  shop::Cart cart;
  auto owned = std::make_unique<std::vector<std::string>>();
  for (int i = 0; i < argc + 3; i++) { cart.add("item" + std::to_string(i), i); owned->push_back("x"); }
  std::sort(owned->begin(), owned->end());
  printf("%d\n", cart.total(fail(argc))[0]);
}
"#;

/// A library whose functions are partly exported.
pub const C: &str = r#"
#include <stdlib.h>
__attribute__((noinline)) static void *hidden(int n) { void *p = malloc(n); return p ? p : abort(), p; }
void *exported(int n) { void *p = hidden(n + 1); return p ? p : hidden(1); }
"#;

/// A directory for one test, removed at its end.
pub struct Place(PathBuf);

impl Place {
    pub fn new(test: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("symbols-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    /// Builds `source` (named by its suffix) into `out` with the given compiler and flags.
    pub fn compile(&self, command: &str, source: (&str, &str), out: &str) -> PathBuf {
        self.write(source.0, source.1.as_bytes());
        self.run(&format!("{command} {} -o {out}", source.0));
        self.path(out)
    }

    /// `g++ -O2 -g FLAGS` of [`CPP`].
    pub fn cpp(&self, flags: &str, out: &str) -> PathBuf {
        self.compile(&format!("g++ -O2 -g {flags}"), ("shop.cc", CPP), out)
    }

    /// Runs words separated by blanks; all have to succeed.
    pub fn run(&self, command: &str) {
        assert!(self.try_run(command), "failed: {command}");
    }

    pub fn try_run(&self, command: &str) -> bool {
        let mut words = command.split_whitespace();
        let status = Command::new(words.next().unwrap()).args(words).current_dir(&self.0).status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program is installed; says so if it is not.
pub fn installed(program: &str) -> bool {
    let found = output(Command::new(program).arg("--version")).is_some();
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// The lookup addresses (return address - 1) of all calls in a file.
pub fn calls(file: &Path) -> Vec<u64> {
    let text =
        output(Command::new("objdump").args(["-d", "--section=.text"]).arg(file)).expect("objdump runs");
    let addresses: Vec<u64> = text.lines().filter_map(call).collect();
    assert!(!addresses.is_empty(), "no calls in {}", file.display());
    addresses
}

/// `  401136:\te8 e5 fe ff ff       \tcall   401020 <malloc@plt>`
fn call(line: &str) -> Option<u64> {
    let mut columns = line.split('\t');
    let address = u64::from_str_radix(columns.next()?.trim().strip_suffix(':')?, 16).ok()?;
    let bytes = columns.next()?.split_whitespace().count() as u64;
    columns.next()?.starts_with("call").then_some(address + bytes - 1)
}

/// Functions by name, with addresses from `nm`.
pub fn functions(file: &Path, flags: &[&str]) -> BTreeMap<String, u64> {
    let text = output(Command::new("nm").args(flags).arg(file)).expect("nm runs");
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let kind = words.next()?;
            let name = words.next()?.split('@').next()?.to_owned();
            ["t", "T", "W", "i"].contains(&kind).then_some((name, address))
        })
        .collect()
}

/// The name as binutils demangles it.
pub fn cxxfilt(name: &str) -> String {
    output(Command::new("c++filt").arg(name)).expect("c++filt runs").trim_end().to_owned()
}

/// The build-id, by `readelf`; empty if there is none.
pub fn build_id(file: &Path) -> Vec<u8> {
    let text = output(Command::new("readelf").arg("-n").arg(file)).expect("readelf runs");
    let Some(hex) = text.lines().find_map(|line| line.trim().strip_prefix("Build ID: ")) else {
        return Vec::new();
    };
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn module(path: &Path, build_id: Vec<u8>) -> ModuleFile {
    ModuleFile { path: path.to_owned(), build_id }
}

/// Looks up addresses of one module.
pub fn look_up(module: ModuleFile, addresses: &[u64], options: &Options) -> Vec<Symbolized> {
    let query = Query { module, addresses: addresses.to_vec() };
    let mut found = symbolize(&[query], options, &|_| {});
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].len(), addresses.len());
    found.remove(0)
}

/// Looks up addresses of a file as it is, without other places.
pub fn look_up_file(path: &Path, addresses: &[u64]) -> Vec<Symbolized> {
    look_up(module(path, build_id(path)), addresses, &Options::default())
}

/// One frame as the tools spell it: function, `file name:line`.
pub type Chain = Vec<(String, String)>;

pub fn chain(frames: &[Frame]) -> Chain {
    frames
        .iter()
        .map(|frame| {
            let file = frame.file.as_deref().map_or("??", |file| file.rsplit('/').next().unwrap());
            let line = frame.line.map_or("0".to_owned(), |line| line.to_string());
            (frame.function.clone().unwrap_or("??".to_owned()), format!("{file}:{line}"))
        })
        .collect()
}

/// What another symbolizer says, if it is installed.
pub fn others(tool: &str, file: &Path, addresses: &[u64]) -> Option<Vec<Chain>> {
    let mut command = Command::new(tool);
    match tool {
        "addr2line" => command.args(["-a", "-f", "-i", "-C", "-e"]).arg(file),
        _ => command.args(["--output-style=GNU", "--inlines", "--demangle", "--addresses", "-e"]).arg(file),
    };
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = spawned else {
        eprintln!("skipped: {tool} is not installed");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input: String = addresses.iter().map(|address| format!("{address:#x}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut chains: Vec<Chain> = Vec::new();
    let mut lines = text.lines().filter(|line| !line.is_empty());
    while let Some(line) = lines.next() {
        if line.starts_with("0x") {
            chains.push(Chain::new());
            continue;
        }
        let place = lines.next().unwrap().split(" (discriminator").next().unwrap();
        let place = place.rsplit('/').next().unwrap().replace(":?", ":0");
        chains.last_mut().unwrap().push((line.to_owned(), place));
    }
    assert_eq!(chains.len(), addresses.len(), "{tool} answers every address");
    Some(chains)
}
