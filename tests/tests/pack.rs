//! `unfreed pack`: a recording in one file says the same as the recording did where it was made, also where nothing of the
//! program is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use e2e::{Program, Report, Scratch, Target, Unfreed, artifacts, process, python};
use serde_json::Value;

/// Far above what any program takes to end; only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(60);

/// A machine on which `packed` and its library are in a directory of their own.
struct Machine {
    scratch: Scratch,
}

impl Machine {
    fn new(purpose: &str) -> Machine {
        let scratch = Scratch::new(purpose);
        fs::create_dir(scratch.path().join("app")).expect("a directory");
        let library = Target::new("c/plugin.c").named("packed.so").shared().flag("-DPLUGIN=leak_in_library");
        let machine = Machine { scratch };
        fs::copy(library.build(), machine.app("packed.so")).expect("a copy");
        fs::copy(Target::new("c/packed.c").build(), machine.app("packed")).expect("a copy");
        machine
    }

    fn app(&self, name: &str) -> PathBuf {
        self.scratch.path().join("app").join(name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn program(&self) -> Program {
        Program::new(self.app("packed")).arg(self.app("packed.so"))
    }

    fn record(&self) -> PathBuf {
        let recording = self.path("recording");
        let outcome = self.program().recorded_to(&recording).run();
        assert!(outcome.status.success(), "{}", outcome.stderr_text());
        recording
    }
}

fn unfreed(arguments: &[&str], paths: &[&Path]) -> Output {
    let mut command = artifacts::unfreed_command();
    command.args(arguments).args(paths).output().expect("unfreed starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Packs it, and returns what was said.
fn pack(recording: &Path, options: &[&str], output: &Path) -> String {
    let done = unfreed(&[&["pack"], options, &["-o"]].concat(), &[output, recording]);
    assert!(done.status.success(), "{}", said(&done));
    said(&done)
}

/// A report but for the path that it was made of.
fn report(recording: &Path) -> Value {
    without_path(Report::of(recording).json().clone())
}

fn without_path(mut report: Value) -> Value {
    report["recording"]["path"] = Value::Null;
    report
}

fn unfreed_in(recording: &Path, function: &str) -> Unfreed {
    Report::of(recording).unfreed_in(function)
}

const OWN: Unfreed = Unfreed { blocks: 7, bytes: 70_007 };
const LIBRARY: Unfreed = Unfreed { blocks: 5, bytes: 100_010 };

/// Runs `unfreed` in a directory as its root, in which there is nothing but it, what it needs, and the pack. `None` where that
/// is not possible.
fn elsewhere(pack: &Path, arguments: &[&str]) -> Option<Output> {
    let root = Scratch::new("elsewhere");
    ["private", "tmp"].iter().for_each(|name| fs::create_dir(root.path().join(name)).expect("a directory"));
    let needed = Command::new("ldd").arg(artifacts::unfreed()).output().ok()?;
    let text = String::from_utf8_lossy(&needed.stdout).into_owned();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new);
    let private = |path: &Path| Path::new("private").join(path.file_name().expect("a name"));
    let mut loader = None;
    for library in libraries.chain([artifacts::unfreed()]) {
        fs::copy(library, root.path().join(private(library))).expect("a copy");
        if private(library).to_string_lossy().contains("ld-linux") {
            loader = Some(private(library));
        }
    }
    fs::copy(pack, root.path().join("pack")).expect("a copy");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--root"]).arg(root.path());
    command.arg(Path::new("/").join(loader?)).args(["--library-path", "/private", "/private/unfreed"]);
    let output = command.args(arguments).arg("/pack").env("TMPDIR", "/tmp").output().ok()?;
    if said(&output).starts_with("unshare") {
        println!("skipped: another root is not possible here: {}", said(&output));
        return None;
    }
    assert_eq!(
        fs::read_dir(root.path().join("tmp")).expect("a directory").count(),
        0,
        "what was unpacked is gone"
    );
    Some(output)
}

fn report_elsewhere(pack: &Path, options: &[&str]) -> Option<Value> {
    let output = elsewhere(pack, &[&["report", "--format", "json"], options].concat())?;
    assert!(output.status.success(), "{}", said(&output));
    Some(without_path(serde_json::from_slice(&output.stdout).expect("the report is JSON")))
}

#[test]
fn the_same_report_without_the_program_and_its_library() {
    let machine = Machine::new("pack");
    let (recording, pack_path) = (machine.record(), machine.path("a.unfreed-pack"));
    let expected = report(&recording);
    let told = pack(&recording, &[], &pack_path);
    assert!(told.contains("1 process, ") && told.lines().count() == 1, "{told}");
    pack(&recording, &[], &machine.path("b.unfreed-pack"));
    let bytes = |name| fs::read(machine.path(name)).expect("a pack");
    assert!(bytes("a.unfreed-pack") == bytes("b.unfreed-pack"), "two packs of one recording are the same");
    assert_eq!(report(&pack_path), expected);

    fs::remove_dir_all(machine.app("")).expect("removed");
    fs::remove_dir_all(&recording).expect("removed");
    assert_eq!(report(&pack_path), expected);
    // Its name says nothing.
    let renamed = machine.path("recording.unfreed");
    fs::rename(&pack_path, &renamed).expect("renamed");
    assert_eq!(report(&renamed), expected);
    assert_eq!((unfreed_in(&renamed, "leak_here"), unfreed_in(&renamed, "leak_in_library")), (OWN, LIBRARY));
    // Another program where it was.
    fs::create_dir(machine.app("")).expect("a directory");
    for name in ["packed", "packed.so"] {
        fs::copy(Target::new("c/basic.c").build(), machine.app(name)).expect("a copy");
    }
    assert_eq!(report(&renamed), expected);
    if let Some(there) = report_elsewhere(&renamed, &[]) {
        assert_eq!(there, expected);
    }
    for verb in [&["diff", "--format", "csv"][..], &["inspect", "--modules"]] {
        let paths: &[&Path] = if verb[0] == "diff" { &[&renamed, &renamed] } else { &[&renamed] };
        let output = unfreed(verb, paths);
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!text.contains("/tmp/unfreed-") || text.contains(&*renamed.to_string_lossy()), "{text}");
    }
}

#[test]
fn the_same_report_of_a_python_program() {
    let Some(interpreter) = python::newest() else { return };
    let scratch = Scratch::new("pack-python");
    let (recording, pack_path) = (scratch.path().join("recording"), scratch.path().join("pack"));
    let outcome = interpreter.program("held.py").arg("exit").recorded_to(&recording).run();
    assert_eq!(outcome.status.code(), Some(3), "{}", outcome.stderr_text());
    let options = ["--by", "line"];
    let expected = without_path(Report::with(&recording, &options).json().clone());
    pack(&recording, &[], &pack_path);
    assert_eq!(without_path(Report::with(&pack_path, &options).json().clone()), expected);
    if let Some(there) = report_elsewhere(&pack_path, &options) {
        assert_eq!(there, expected);
    }
    let small = scratch.path().join("small");
    pack(&recording, &["--no-debug", "--level", "19"], &small);
    let size = |path: &Path| fs::metadata(path).expect("a pack").len();
    assert!(size(&small) < size(&pack_path), "{} of {}", size(&small), size(&pack_path));
    let line = artifacts::line_with(&artifacts::sources().join("python/held.py"), "# held");
    let named = format!("held.py:{line}");
    if let Some(there) = report_elsewhere(&small, &options) {
        let site = there["sites"]
            .as_array()
            .expect("sites")
            .iter()
            .find(|site| site["name"].as_str().is_some_and(|name| name.ends_with(&named)));
        assert_eq!(site.map(|site| site["unfreed_blocks"].clone()), Some(Value::from(100)), "{named}");
    }
}

/// A program that runs until it is ended.
struct Running {
    child: Child,
    _stdout: BufReader<ChildStdout>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a pipe can be read");
        assert_eq!(line, "ready\n");
        Running { child, _stdout: stdout }
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        let status = process::wait(self.child, LIMIT).expect("it ends");
        assert!(status.success(), "{status}");
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs");
        process::wait(self.child, LIMIT).expect("it ends");
    }
}

fn state(report: &Value) -> &str {
    report["recording"]["processes"][0]["state"].as_str().expect("a state")
}

/// Packs a program while it runs, with a log of this size.
fn packed_while_it_runs(how: &str, log: &str) {
    let machine = Machine::new("pack-running");
    let recording = machine.path("recording");
    let program = machine.program().arg(how).recorded_to(&recording).env("UNFREED_MAX_LOG", log);
    let running = Running::start(program.command());
    let packs: Vec<PathBuf> = (0..3).map(|number| machine.path(&format!("{number}"))).collect();
    packs.iter().for_each(|path| _ = pack(&recording, &[], path));
    let before: Vec<Value> = packs.iter().map(|path| report(path)).collect();
    running.end();
    for (path, before) in packs.iter().zip(&before) {
        assert_eq!(state(before), "running");
        Report::of(path).assert_sound();
        assert_eq!((unfreed_in(path, "leak_here"), unfreed_in(path, "leak_in_library")), (OWN, LIBRARY));
        // At most what each of the threads had at that moment.
        assert!(unfreed_in(path, "churn").blocks <= 4, "{:?}", unfreed_in(path, "churn"));
        assert_eq!(before["recording"]["processes"][0]["unreadable"], Value::Array(Vec::new()));
        // Nothing is asked of this machine.
        assert_eq!(report(path), *before);
    }
    if let Some(there) = report_elsewhere(&packs[2], &[]) {
        assert_eq!(there, before[2]);
    }
    // A pack is packed as a recording is.
    let again = machine.path("again");
    pack(&packs[0], &[], &again);
    assert_eq!(report(&again), before[0]);
}

#[test]
fn a_running_program_is_packed_as_it_is() {
    packed_while_it_runs("serve", "unlimited");
}

#[test]
fn a_program_that_allocates_at_full_speed() {
    packed_while_it_runs("storm", "1M");
    packed_while_it_runs("storm", "0");
}

#[test]
fn a_killed_program_stays_killed() {
    let machine = Machine::new("pack-killed");
    let recording = machine.path("recording");
    let running = Running::start(machine.program().arg("serve").recorded_to(&recording).command());
    running.kill();
    let (expected, pack_path) = (report(&recording), machine.path("pack"));
    assert_eq!(state(&expected), "killed");
    pack(&recording, &[], &pack_path);
    assert_eq!(report(&pack_path), expected);
    let live = fs::read_dir(recording.join("live")).expect("live").map(|entry| entry.expect("a file").path());
    let is_process = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "unfreed");
    let file = live.into_iter().find(is_process).expect("the file of a process");
    let one = machine.path("one");
    pack(&file, &[], &one);
    assert_eq!(report(&one), report(&file));
}

#[test]
fn a_program_that_only_its_container_has() {
    let machine = Machine::new("pack-container");
    let (inside, recording) = (machine.path("inside"), machine.path("recording"));
    fs::create_dir(&inside).expect("a directory");
    let script =
        r#"mount -t tmpfs none "$1" && cp "$2" "$3" "$1" && rm "$2" "$3" && shift 3 && exec env "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(&inside);
    command.args([machine.app("packed"), machine.app("packed.so")]);
    command.arg(format!("LD_PRELOAD={}", artifacts::library().display()));
    command.arg(format!("UNFREED_DIR={}", recording.display()));
    command.args([inside.join("packed"), inside.join("packed.so")]).arg("serve");
    let possible = Command::new("unshare").args(["--map-root-user", "--mount", "true"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        return println!("skipped: a mount namespace is not possible here");
    }
    let running = Running::start(command);
    let pack_path = machine.path("pack");
    pack(&recording, &[], &pack_path);
    // Only here, and not in the recording.
    assert_eq!(unfreed_in(&recording, "leak_here"), Unfreed::default());
    running.end();
    assert_eq!(
        (unfreed_in(&pack_path, "leak_here"), unfreed_in(&pack_path, "leak_in_library")),
        (OWN, LIBRARY)
    );
}

#[test]
fn a_program_that_was_removed_while_it_runs() {
    if fs::read_dir("/proc/self/map_files").map_or(true, |mut files| {
        files.next().is_none_or(|file| fs::File::open(file.expect("an entry").path()).is_err())
    }) {
        return println!("skipped: what a process has mapped may not be opened here");
    }
    let machine = Machine::new("pack-removed");
    let (recording, pack_path) = (machine.path("recording"), machine.path("pack"));
    let running = Running::start(machine.program().arg("serve").recorded_to(&recording).command());
    fs::remove_file(machine.app("packed")).expect("removed");
    fs::remove_file(machine.app("packed.so")).expect("removed");
    fs::copy(Target::new("c/basic.c").build(), machine.app("packed.so")).expect("an upgrade");
    let told = pack(&recording, &[], &pack_path);
    assert!(!told.contains("not in the pack"), "{told}");
    running.end();
    assert_eq!(
        (unfreed_in(&pack_path, "leak_here"), unfreed_in(&pack_path, "leak_in_library")),
        (OWN, LIBRARY)
    );
}

/// Debug information that is not in the program: flags of the compiler, and what is done with the program then.
const ELSEWHERE: [(&str, &str); 6] = [
    ("-gsplit-dwarf -gdwarf-5", ""),
    ("-gsplit-dwarf -gdwarf-4", ""),
    ("-gsplit-dwarf", "llvm-dwp -e $f -o $f.dwp && rm *.dwo"),
    ("", "dwz -m shared.debug $f packed.so"),
    ("", "objcopy --only-keep-debug $f $f.debug && strip $f && objcopy --add-gnu-debuglink=$f.debug $f"),
    (
        "-Wl,--build-id=none",
        "objcopy --only-keep-debug $f $f.debug && strip $f && objcopy --add-gnu-debuglink=$f.debug $f",
    ),
];

#[test]
fn debug_information_in_other_files() {
    for (flags, then) in ELSEWHERE {
        let machine = Machine::new("pack-debug");
        let script = format!(
            "set -e; cd \"$1\"; f=packed; gcc -std=gnu17 -g -O1 {flags} -I\"$2\" -o $f \"$2/packed.c\" -ldl -pthread; {then}"
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "sh"]).arg(machine.app("")).arg(artifacts::sources().join("c"));
        let made = shell.output().expect("sh runs");
        let tool = then.split(' ').next().filter(|tool| !tool.is_empty() && !artifacts::in_path(tool));
        if let Some(tool) = tool {
            println!("skipped: no {tool}");
            continue;
        }
        assert!(made.status.success(), "{flags} {then}: {}", said(&made));
        let (recording, pack_path) = (machine.record(), machine.path("pack"));
        let expected = report(&recording);
        pack(&recording, &[], &pack_path);
        fs::remove_dir_all(machine.app("")).expect("removed");
        assert_eq!(report(&pack_path), expected, "{flags} {then}");
        let has_line = Report::of(&pack_path).sites_with("leak_here").any(|site| {
            site["stack"]
                .as_array()
                .expect("a stack")
                .iter()
                .any(|frame| frame["line"].is_u64() && frame["function"] == "main")
        });
        assert!(has_line, "{flags} {then}");
    }
}

#[test]
fn what_is_missing_is_said() {
    let machine = Machine::new("pack-missing");
    let recording = machine.record();
    let whole = report(&recording);
    let without = machine.path("without");
    let told = pack(&recording, &["--no-modules"], &without);
    assert!(told.contains("no modules"), "{told}");
    assert_eq!(report(&without), whole);
    fs::remove_file(machine.app("packed")).expect("removed");
    fs::copy(Target::new("c/basic.c").build(), machine.app("packed.so")).expect("a copy");
    let (expected, pack_path) = (report(&recording), machine.path("pack"));
    assert_eq!(report(&without), expected, "looked for where it is read");
    let told = pack(&recording, &[], &pack_path);
    let lines: Vec<_> = told.lines().filter(|line| line.contains("not in the pack")).collect();
    assert!(
        matches!(lines[..], [program, library] if program.ends_with("app/packed: file missing")
            && library.contains("app/packed.so: file found has build-id ")),
        "{told}"
    );
    fs::remove_dir_all(machine.app("")).expect("removed");
    assert_eq!(report(&pack_path), expected, "what was the case where it was packed");
    if let Some(there) = report_elsewhere(&pack_path, &[]) {
        assert_eq!(there, expected);
    }
}

/// One line on standard error, status 2, and nothing left in the directory beside `expected`.
fn fails(output: &Output, words: &str, directory: &Path, expected: usize) {
    assert_eq!(output.status.code(), Some(2), "{}", said(output));
    assert!(said(output).contains(words) && said(output).lines().count() == 1, "{}", said(output));
    let left: Vec<_> =
        fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("one").path()).collect();
    assert_eq!(left.len(), expected, "{left:?}");
}

#[test]
fn errors_are_one_line() {
    let machine = Machine::new("pack-errors");
    let (recording, out) = (machine.record(), machine.path("out"));
    fs::create_dir(&out).expect("a directory");
    let pack_path = out.join("pack");
    pack(&recording, &[], &pack_path);
    let bytes = fs::read(&pack_path).expect("a pack");
    fails(&unfreed(&["pack", "-o"], &[&pack_path, &recording]), "exists; -f replaces it", &out, 1);
    assert_eq!(fs::read(&pack_path).expect("a pack"), bytes);
    fails(&unfreed(&["pack", "-fo"], &[&out, &recording]), "a directory", &out, 1);
    fails(&unfreed(&["pack", "-fo"], &[&pack_path, &machine.app("packed")]), "not a recording", &out, 1);
    fails(&unfreed(&["pack", "-fo"], &[&pack_path, &out.join("none")]), "No such file", &out, 1);
    assert!(unfreed(&["pack", "-fo"], &[&pack_path, &recording]).status.success());
    // It begins as a pack, and no more.
    fs::write(&pack_path, &bytes[..700]).expect("written");
    fails(&unfreed(&["report"], &[&pack_path]), "a damaged pack", &out, 1);
    // All but the modules, which are last.
    fs::write(&pack_path, &bytes[..bytes.len() / 2]).expect("written");
    let report = Report::of(&pack_path);
    assert_eq!(report.total("unfreed_blocks"), Report::of(&recording).total("unfreed_blocks"));
    let told = report.json()["recording"]["unreadable"].to_string();
    assert!(told.contains("not there or not whole"), "{told}");
}

#[test]
fn a_full_disk_is_one_line_and_leaves_nothing() {
    let machine = Machine::new("pack-full");
    let (recording, out) = (machine.record(), machine.path("out"));
    fs::create_dir(&out).expect("a directory");
    let script = r#"mount -t tmpfs -o size=8k none "$1" && "$2" pack -o "$1/pack" "$3"; status=$?; ls -A "$1"; exit $status"#;
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    let output = command.arg(&out).arg(artifacts::unfreed()).arg(&recording).output();
    match output {
        Ok(output) if !said(&output).contains("unshare") && !said(&output).contains("mount") => {
            fails(&output, "No space left on device; nothing was packed", &out, 0);
            assert_eq!(String::from_utf8_lossy(&output.stdout), "", "left behind");
        }
        _ => println!("skipped: a full disk is not possible here"),
    }
}
