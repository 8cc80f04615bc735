//! Line tables: every instruction has the line that the interpreter itself says, for the whole standard library of
//! each interpreter that is installed, and for `lines-*.txt`, which `lines.py --sample` has printed.
use std::path::{Path, PathBuf};
use std::process::Command;

use analyzer::python::lines::{Stretch, line, stretches};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python")
}

/// What was compared.
#[derive(Default, PartialEq, Eq, Debug)]
struct Compared {
    codes: usize,
    offsets: usize,
    mismatches: Vec<String>,
}

impl Compared {
    /// One code object of the output of `lines.py`.
    fn add(&mut self, version: u32, code: &str) {
        let mut fields = code.split(' ');
        let mut field = || fields.next().expect("a field");
        let first: i32 = field().parse().expect("the first line");
        let size: u32 = field().parse().expect("bytes of code");
        let table = bytes(field());
        let mut expected = vec![None; size as usize];
        for stretch in fields {
            let mut parts = stretch.split(':');
            let mut part = || parts.next().expect("a part");
            let mut offset = || part().parse::<usize>().expect("an offset");
            let (begin, end) = (offset(), offset());
            expected[begin..end].fill(part().parse::<u32>().ok());
        }
        let mut decoded = vec![None; size as usize];
        for Stretch { begin, end, line } in stretches(version, first, &table) {
            decoded[begin.min(size) as usize..end.min(size) as usize].fill(line);
        }
        self.codes += 1;
        for at in (0..size).step_by(2) {
            let (said, decoded) = (expected[at as usize], decoded[at as usize]);
            // Of long code one offset alone is asked for now and then, since each reads the table from its start.
            let alone =
                if size < 500 || at % 256 == 0 { line(version, first, &table, at as i32) } else { decoded };
            self.offsets += 1;
            if said != decoded || said != alone {
                self.mismatches.push(format!("{first}+{at}: {decoded:?} {alone:?}, not {said:?}"));
            }
        }
    }

    /// The output of `lines.py`.
    fn of(text: &str) -> Compared {
        let mut compared = Compared::default();
        let (version, codes) = text.split_once('\n').expect("a version");
        let version = version.parse().expect("a number");
        codes.lines().for_each(|code| compared.add(version, code));
        compared
    }
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.trim_matches('-').as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).expect("digits"), 16).expect("hexadecimal");
    digits.map(byte).collect()
}

/// Interpreters of known versions: those of pyenv, and `python3`.
fn interpreters() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let versions = std::fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin/python3")).collect();
    found.extend(["/usr/bin/python3".into(), "/usr/local/bin/python3".into()]);
    found.retain(|path| {
        let supported = "import sys; sys.exit(not (3, 8) <= sys.version_info < (3, 15))";
        Command::new(path).args(["-c", supported]).status().is_ok_and(|status| status.success())
    });
    found.sort();
    found
}

#[test]
fn lines_are_those_of_each_interpreter_that_is_here() {
    let interpreters = interpreters();
    if interpreters.is_empty() {
        println!("skipped: no Python 3.8 to 3.14 is installed");
    }
    std::thread::scope(|scope| interpreters.iter().for_each(|path| _ = scope.spawn(|| agrees(path))));
}

fn agrees(interpreter: &Path) {
    let output = Command::new(interpreter).arg(folder().join("lines.py")).output().expect("it runs");
    let path = interpreter.display();
    assert!(output.status.success(), "{path}: {output:?}");
    let compared = Compared::of(&String::from_utf8(output.stdout).expect("text"));
    let Compared { codes, offsets, mismatches } = &compared;
    println!("{path}: {codes} code objects, {offsets} offsets, {} mismatches", mismatches.len());
    assert!(mismatches.is_empty(), "{path}: {:?}", mismatches.first());
    assert!(*codes > 1_000, "{path}: {codes} code objects");
}

#[test]
fn lines_are_those_that_each_version_has_said() {
    let mut versions = 0;
    for entry in std::fs::read_dir(folder()).expect("the folder of this test") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let compared = Compared::of(&std::fs::read_to_string(&path).expect("text"));
            assert_eq!(compared.mismatches, Vec::<String>::new(), "{}", path.display());
            assert!(compared.codes > 5, "{}: {} code objects", path.display(), compared.codes);
            versions += 1;
        }
    }
    assert!(versions >= 7, "{versions} versions");
}

#[test]
fn before_the_first_instruction_it_is_the_first_line() {
    for version in [0x030812F0, 0x030A0DF0, 0x030B07F0] {
        assert_eq!(line(version, 17, &[], -1), Some(17));
    }
    assert_eq!(line(0x030A0DF0, -1, &[], -1), None);
}

#[test]
fn any_bytes_have_an_end() {
    let mut state = 1u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for len in (0..2_000).map(|round| round % 97) {
        let table: Vec<u8> = (0..len).map(|_| byte()).collect();
        for version in [0x030812F0, 0x030A0DF0, 0x030B07F0, 0x030E00F0] {
            let all: Vec<Stretch> = stretches(version, i32::MAX, &table).collect();
            assert!(all.len() <= table.len() + 1, "{version:#x} {table:?}");
            assert!(all.windows(2).all(|pair| pair[0].end == pair[1].begin), "{version:#x} {table:?}");
            let _ = line(version, i32::MIN, &table, i32::MAX);
        }
    }
    // Numbers that do not end, or are longer than a line can be.
    for fill in [0xFF, 0x7F, 0x40, 0xF0] {
        for version in [0x030812F0, 0x030A0DF0, 0x030B07F0] {
            assert!(stretches(version, 1, &[fill; 1 << 16]).count() <= (1 << 16) + 1);
        }
    }
}
