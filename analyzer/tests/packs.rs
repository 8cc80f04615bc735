//! Packs that were cut, damaged or made with malice: `unfreed` says so in one line or reads what is there, in memory that
//! goes with the size of the pack; and what it unpacked is gone when it is, whatever ends it.
mod mutation;
mod synthetic;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use mutation::{Random, mutate};
use serde_json::{Value, json};
use synthetic::{Recorder, Scratch};

/// What is asked of a pack, by turns.
const QUESTIONS: [&[&str]; 4] = [
    &["report", "--format", "json", "--all-frames"],
    &["report", "--by", "line", "--at", "end"],
    &["inspect", "--modules"],
    &["pack", "--no-debug", "-fo"],
];
/// What one may take: so much, and a multiple of the pack's size.
const MEMORY_KIB: u64 = 160 << 10;
const MEMORY_BY_SIZE: u64 = 64;

const SOURCE: &str =
    "#include <stdlib.h>\nvoid *leak(void) { return malloc(10); }\nint main(void) { return !leak(); }\n";

/// A recording, a module with symbols, and the pack of both.
struct Packed {
    scratch: Scratch,
    pack: PathBuf,
}

impl Packed {
    fn new() -> Packed {
        let scratch = Scratch::new("packs");
        let program = scratch.0.join("program");
        let source = scratch.write("program.c", SOURCE.as_bytes());
        let mut compiler = Command::new("cc");
        compiler.args(["-g", "-O1", "-Wl,--build-id=0x01020304", "-o"]).arg(&program).arg(source);
        assert!(compiler.status().expect("a C compiler").success());
        let mut r = Recorder::new(1);
        r.module(0, 1, &program.to_string_lossy(), 0x5000_0000, 0x10_0000);
        let stacks: Vec<_> = (0..40).map(|i| r.stack(&[0x5000_1130 + i, 0x5000_1140])).collect();
        let writer = r.writer();
        for i in 0..12_000u64 {
            r.alloc(writer, 0x7000_0000 + 48 * i, i * 7 % 5000, stacks[i as usize % 40]);
        }
        let recording = scratch.0.join("recording");
        fs::create_dir(&recording).expect("a directory");
        r.write(&recording);
        fs::create_dir(scratch.0.join("tmp")).expect("a directory");
        let packed = Packed { pack: scratch.0.join("pack"), scratch };
        let output = packed.unfreed(&["pack", "-o"], &[&packed.pack, &recording], u64::MAX);
        assert!(output.status.success(), "{}", said(&output));
        packed
    }

    /// Asks, within limits of memory and processor time, and checks that nothing is left.
    fn unfreed(&self, arguments: &[&str], paths: &[&Path], size: u64) -> Output {
        let memory = MEMORY_KIB.saturating_add(MEMORY_BY_SIZE.saturating_mul(size / 1024)).min(1 << 40);
        let limited = r#"ulimit -d "$0"; ulimit -t 60; ulimit -c 0; exec timeout -s KILL 600 "$@""#;
        let mut command = Command::new("sh");
        command.args(["-c", limited, &memory.to_string(), env!("CARGO_BIN_EXE_unfreed")]);
        command.args(arguments).args(paths).env("TMPDIR", self.temporary()).env("UNFREED_CACHE", "");
        let output = command.output().expect("sh runs");
        let is_right = matches!(output.status.code(), Some(0..=2)) && !said(&output).contains("panicked");
        assert!(is_right, "{arguments:?} {paths:?}: {:?}: {}", output.status, said(&output));
        self.assert_tidy();
        output
    }

    /// Asks a question of a pack.
    fn ask(&self, question: &[&str], pack: &Path) -> Output {
        let size = fs::metadata(pack).map_or(0, |metadata| metadata.len().min(1 << 20));
        let again = self.scratch.0.join("again");
        let paths = if question[0] == "pack" { vec![again.as_path(), pack] } else { vec![pack] };
        self.unfreed(question, &paths, size)
    }

    fn temporary(&self) -> PathBuf {
        self.scratch.0.join("tmp")
    }

    fn assert_tidy(&self) {
        let left: Vec<_> = fs::read_dir(self.temporary()).expect("a directory").collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// The index and all other members, without their compression.
    fn members(&self) -> (Value, Vec<Vec<u8>>) {
        let mut archive = tar::Archive::new(File::open(&self.pack).expect("the pack"));
        let decode = |entry: io::Result<tar::Entry<File>>| {
            zstd::decode_all(entry.expect("a member")).expect("its contents")
        };
        let mut members: Vec<_> = archive.entries().expect("a tar file").map(decode).collect();
        (serde_json::from_slice(&members.remove(0)).expect("JSON"), members)
    }

    /// A pack with this index.
    fn with_index(&self, index: &Value, members: &[Vec<u8>]) -> PathBuf {
        let path = self.scratch.0.join("tampered");
        let mut builder = tar::Builder::new(File::create(&path).expect("a file"));
        let json = serde_json::to_vec(index).expect("JSON");
        for (number, contents) in [&json].into_iter().chain(members).enumerate() {
            let contents = zstd::encode_all(&**contents, 1).expect("compressed");
            let name =
                if number == 0 { "unfreed-pack/index.json.zst".to_owned() } else { number.to_string() };
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            builder.append_data(&mut header, name, &*contents).expect("written");
        }
        builder.finish().expect("written");
        path
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_pack_that_was_changed_or_cut_does_no_harm() {
    let packed = Packed::new();
    let whole = packed.ask(QUESTIONS[0], &packed.pack);
    let report: Value = serde_json::from_slice(&whole.stdout).expect("JSON");
    assert_eq!(report["totals"]["unfreed_blocks"], 12_000);
    assert!(report.to_string().contains("\"function\":\"leak\""), "{report}");
    let bytes = fs::read(&packed.pack).expect("the pack");
    let changed = packed.scratch.0.join("changed");
    for number in 0..60 {
        mutate(&mut Random::new(number), bytes.clone(), &changed);
        packed.ask(QUESTIONS[number as usize % QUESTIONS.len()], &changed);
    }
    let mut read = 0;
    for part in 0..40 {
        fs::write(&changed, &bytes[..bytes.len() * part / 40]).expect("written");
        let output = packed.ask(QUESTIONS[0], &changed);
        let told = said(&output);
        if output.status.success() {
            read += 1;
            let mut part_of: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            part_of["recording"]["path"] = report["recording"]["path"].clone();
            let unreadable = part_of["recording"]["unreadable"].to_string();
            // The last blocks of a tar file say only that it ends.
            assert!(unreadable.contains("a damaged pack") || part_of == report, "{part}: {unreadable}");
        } else {
            assert!(told.lines().count() == 1 && told.contains("pack"), "{part}: {told}");
        }
    }
    assert!(read > 10, "{read} of 40 were read in part");
}

#[test]
fn an_index_that_lies_does_no_harm() {
    let packed = Packed::new();
    let (index, members) = packed.members();
    let unchanged = packed.ask(QUESTIONS[0], &packed.with_index(&index, &members));
    assert!(unchanged.status.success(), "{}", said(&unchanged));
    let huge = u64::MAX;
    let changes: Vec<(&str, Value)> = vec![
        ("/version", json!(2)),
        ("/version", json!("1")),
        ("/files", json!([])),
        ("/files", json!(7)),
        ("/only", json!("../../../etc/passwd")),
        ("/only", json!("")),
        ("/files/0/name", json!("../../outside")),
        ("/files/0/name", json!("/outside")),
        ("/files/0/name", json!("recording/../../outside")),
        ("/files/0/name", json!("recording")),
        ("/files/0/name", json!("recording/a\\x00b")),
        ("/files/1/name", json!("modules/../../outside")),
        ("/files/1/name", json!("recording/x/y/z.unfreed")),
        ("/files/0/size", json!(huge)),
        ("/files/0/size", json!(1u64 << 62)),
        ("/files/0/size", json!(0)),
        ("/files/1/size", json!(1u64 << 50)),
        ("/files/0/extents", json!([[0, huge]])),
        ("/files/0/extents", json!([[huge, huge]])),
        ("/files/0/extents", json!([[10, 5], [3, 5]])),
        ("/files/0/extents", json!([])),
        ("/modules/0/files/0", json!("modules/none")),
        ("/modules/0/build_id", json!("")),
        ("/modules/0/problem", json!({"why": "build-id-differs", "found": "0g"})),
        ("/processes", json!([{"id": "", "state": "flying"}])),
        (
            "/processes",
            json!([{"id": "0000000100000001", "state": "running", "noted": {"began_ms": huge, "done_ns": huge, "positions": [[[0, 7, 9]], []]}}]),
        ),
        ("/epoch", json!(u32::MAX)),
    ];
    for (pointer, value) in changes {
        let mut changed = index.clone();
        match changed.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => changed[&pointer[1..]] = value.clone(),
        }
        for question in QUESTIONS {
            let output = packed.ask(question, &packed.with_index(&changed, &members));
            assert!(said(&output).lines().count() <= 3, "{pointer} {value}: {}", said(&output));
        }
        assert!(!packed.scratch.0.join("outside").exists(), "{pointer} {value}");
    }
    // Ten million zeros take no place.
    let zeros = packed.with_index(&index, &[vec![0; 10_000_000], Vec::new()]);
    packed.ask(QUESTIONS[0], &zeros);
}

#[test]
fn a_pack_is_not_changed() {
    let packed = Packed::new();
    for (command, more) in [("mark", Some("x")), ("on", None), ("off", None)] {
        let pack = packed.pack.to_string_lossy();
        let arguments: Vec<&str> = [command, &pack].into_iter().chain(more).collect();
        let output = packed.unfreed(&arguments, &[], u64::MAX);
        assert_eq!(output.status.code(), Some(2));
        assert!(
            said(&output).contains("a pack cannot be marked or switched; name the recording"),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn a_signal_leaves_nothing() {
    let packed = Packed::new();
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unfreed"));
        command.env("UNFREED_CACHE", "");
        command.args(["inspect", "--events"]).arg(&packed.pack).env("TMPDIR", packed.temporary());
        // SAFETY: only async-signal-safe calls. Whoever runs this may ignore some of them, as nohup does.
        unsafe {
            command.pre_exec(move || {
                libc::signal(signal, libc::SIG_DFL);
                Ok(())
            })
        };
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        // Its output is longer than a pipe holds, so that it waits in the middle.
        let mut first = [0];
        child.stdout.as_mut().expect("a pipe").read_exact(&mut first).expect("output");
        assert_eq!(fs::read_dir(packed.temporary()).expect("a directory").count(), 1);
        // SAFETY: no memory is touched; the process was started here and is not yet waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
        let status = child.wait().expect("it ends");
        assert_eq!(status.signal(), Some(signal), "{status}");
        packed.assert_tidy();
    }
}
