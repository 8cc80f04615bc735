//! Our stacks against libgcc's, frame by frame, at every allocation of real programs: a million of them.
//!
//! `tests/unwind_check` does the comparison inside the programs; its header says how.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use e2e::artifacts::{kept_directory, locked, repository, sources, target_directory};
use e2e::{Program, Scratch, Target};
use serde_json::Value;

/// Builds the checker and returns its path. Optimised, as what it checks is.
fn checker() -> PathBuf {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--release", "-p", "unwind_check"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    cargo.arg("--target-dir").arg(target_directory()).current_dir(repository());
    let output = cargo.stderr(std::process::Stdio::inherit()).output().expect("cargo starts");
    assert!(output.status.success(), "building unwind_check failed");
    let text = String::from_utf8(output.stdout).expect("cargo prints JSON");
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let files = messages.filter_map(|message| message["filenames"][0].as_str().map(PathBuf::from));
    let mut found = files.filter(|path| path.ends_with("libunwind_check.so"));
    found.next_back().expect("cargo names the library")
}

/// A program, what must not be less, and the reasons for which its stacks may differ from libgcc's.
struct Case {
    name: String,
    program: Program,
    captures: u64,
    /// The deepest stack, at least.
    depth: u64,
    /// Modules that are unloaded, exactly.
    unloads: u64,
    /// It has code without unwind information, of which we follow the frame pointers.
    frame_pointers: bool,
}

impl Case {
    fn new(name: impl Into<String>, program: Program, captures: u64, depth: u64) -> Case {
        Case { name: name.into(), program, captures, depth, unloads: 0, frame_pointers: false }
    }

    /// Runs it and checks what the checker counted; returns how many stacks were compared.
    fn check(&self, checker: &Path) -> u64 {
        let begun = std::time::Instant::now();
        let scratch = Scratch::new("unwind");
        let counts = scratch.path().join("counts");
        let program = self.program.clone().env("LD_PRELOAD", checker).env("UNWIND_CHECK_OUT", &counts);
        let outcome = program.env("UNWIND_CHECK_VERBOSE", "1").run();
        assert!(outcome.status.success(), "{}: {}\n{}", self.name, outcome.status, outcome.stderr_text());
        let text = fs::read_to_string(&counts).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let processes: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let sum = |name: &str| processes.iter().map(|counts| counts[name].as_u64().expect(name)).sum::<u64>();
        for difference in ["suffix_differs", "oracle_differs", "oracle_longer", "oracle_shorter"] {
            assert_eq!(sum(difference), 0, "{}: {difference}\n{text}{}", self.name, outcome.stderr_text());
        }
        // Ends that unwind information does not explain: none of these programs has any.
        for end in ["end_bad_frame", "end_unsupported", "end_outside", "nested"] {
            assert_eq!(sum(end), 0, "{}: {end}\n{text}", self.name);
        }
        assert_eq!(sum("frame_pointer") > 0, self.frame_pointers, "{}\n{text}", self.name);
        // Constructors are called from the loader's entry, which has no unwind information.
        assert!(self.frame_pointers || sum("end_no_info") <= 20, "{}\n{text}", self.name);
        assert_eq!(sum("unloads"), self.unloads, "{}\n{text}", self.name);
        let depth = processes.iter().filter_map(|counts| counts["max_depth"].as_u64()).max();
        assert!(depth >= Some(self.depth), "{}: depth {depth:?}", self.name);
        let captures = sum("captures");
        assert!(captures >= self.captures, "{}: {captures} captures", self.name);
        println!(
            "{}: {captures} stacks, {} frames, depth {depth:?}, {:?}",
            self.name,
            sum("frames"),
            begun.elapsed()
        );
        captures
    }
}

fn own_programs() -> Vec<Case> {
    let cpp = |name: &str| Target::new(&format!("cpp/{name}.cpp")).flag("-O2").flag("-fomit-frame-pointer");
    let torture = Program::new(cpp("unwind_torture").build());
    let native = Program::new(cpp("unwind_torture").named("unwind_native").flag("-march=native").build());
    let library = |name: &str, frame: &str| cpp("unwind_layout").named(name).flag(frame).shared().build();
    let reload = Program::new(cpp("unwind_reload").build());
    let reload =
        reload.arg(library("unwind_small", "-DFRAME=512")).arg(library("unwind_large", "-DFRAME=1024"));
    vec![
        Case::new("torture", torture.clone().arg("2000"), 200_000, 70),
        Case::new("torture, signal stack", native.arg("800").arg("alternate"), 80_000, 70),
        Case::new("rbp", Program::new(cpp("unwind_rbp").build()), 60_000, 7),
        Case::new("deep", Program::new(cpp("unwind_deep").build()), 3_000, 1024),
        Case { unloads: 1500, ..Case::new("reload", reload, 9_000, 8) },
    ]
}

/// The compiler proper on a preprocessed file: a large program that never frees.
fn compiler() -> Option<Case> {
    let named = Command::new("g++").arg("-print-prog-name=cc1plus").output().ok()?;
    let compiler = PathBuf::from(String::from_utf8(named.stdout).ok()?.trim());
    let preprocessed = kept_directory().join("unwind_compiled.ii");
    let source = sources().join("cpp/unwind_compiled.cpp");
    let mut preprocessor = Command::new("g++");
    preprocessor.args(["-std=c++17", "-E", "-o"]).arg(&preprocessed).arg(source);
    let status = locked("unwind_compiled", || preprocessor.status());
    if !compiler.is_absolute() || !status.is_ok_and(|status| status.success()) {
        return None;
    }
    let program = Program::new(compiler).arg("-quiet").arg("-O0").arg("-std=c++17").arg(preprocessed);
    Some(Case::new("cc1plus", program.arg("-o").arg("/dev/null"), 200_000, 60))
}

const PYTHON: &str = r#"
import json, re

class Node:
    def __init__(self, depth):
        self.children = [Node(depth - 1) for _ in range(3)] if depth else []
        self.name = 'n%d' % depth
    def dump(self):
        return {'name': self.name, 'children': [child.dump() for child in self.children]}

number = re.compile(r'"(\w+)":\s*(\d+)')
for i in range(6):
    text = json.dumps(Node(4).dump())
    json.loads(text)
    ''.join(json.JSONEncoder(indent=1).iterencode(json.loads(text)))
    number.sub(lambda found: found.group(2) * 2, text)
    sorted({'k%d' % j: bytes(600 + j) for j in range(2000)}.items(), key=lambda item: (len(item[1]), item[0]))
    try:
        json.loads('{"a":' * 30)
    except ValueError as error:
        str(error)
"#;

/// The system's Python and two that were built differently.
fn pythons() -> Vec<Case> {
    let system = Path::new("/usr/bin/python3");
    let built = Path::new(&env::var_os("HOME").unwrap_or_default()).join(".pyenv/versions");
    let built =
        fs::read_dir(built).into_iter().flatten().flatten().map(|entry| entry.path().join("bin/python3"));
    let version = |path: &PathBuf, wanted| path.to_str().is_some_and(|path| path.contains(wanted));
    let mut built: Vec<PathBuf> = built.filter(|path| path.exists()).collect();
    built.retain(|path| version(path, "/3.11") || version(path, "/3.13"));
    built.sort();
    let found: Vec<PathBuf> =
        std::iter::once(system.to_owned()).filter(|path| path.exists()).chain(built).collect();
    let case = |path: PathBuf| {
        let name = path.display().to_string();
        let program = Program::new(path).arg("-c").arg(PYTHON).env("PYTHONMALLOC", "malloc");
        Case::new(name, program, 100_000, 60)
    };
    found.into_iter().map(case).collect()
}

const SCRIPT: &str = "
let sum = 0;
function descend(depth) {
    if (depth == 0) return JSON.parse('{\"a\":[1,2,3],\"b\":\"' + 'x'.repeat(50) + '\"}').b.length;
    return descend(depth - 1) + Buffer.alloc(9000 + depth).length;
}
for (let i = 0; i < 600; i++) {
    sum += descend(20);
    new RegExp('a' + i + '(b|c)*').test('aaabc');
}
console.log(sum);
";

/// Code made at run time has no unwind information: there libgcc ends and we go on by frame pointers.
fn node() -> Option<Case> {
    let path = env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join("node"))
        .find(|path| path.exists())?;
    let program = Program::new(path).arg("-e").arg(SCRIPT);
    Some(Case { frame_pointers: true, ..Case::new("node", program, 100_000, 30) })
}

#[test]
fn a_million_stacks_agree_with_libgcc() {
    let checker = checker();
    let mut cases = own_programs();
    let found = [
        ("cc1plus", compiler().into_iter().collect()),
        ("python3", pythons()),
        ("node", node().into_iter().collect()),
    ];
    for (name, found) in found {
        if Vec::is_empty(&found) {
            println!("{name} is not here: skipped");
        }
        cases.extend(found);
    }
    let complete = cases.len() >= 8;
    let waiting = Mutex::new(cases);
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || std::iter::from_fn(next).map(|case| case.check(&checker)).sum::<u64>();
    let compared: u64 = std::thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.into_iter().map(|worker| worker.join().expect("no difference")).sum()
    });
    println!("{compared} stacks compared");
    assert!(compared >= 1_000_000 || !complete, "{compared} stacks");
}
