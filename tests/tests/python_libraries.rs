//! What C libraries allocate beneath Python: one stack has the library's functions and the line of Python that entered.

use e2e::{Interpreter, Run, Unfreed, artifacts, python, report};
use serde_json::Value;

/// How often each line of the program is executed.
const TIMES: u64 = 10;

/// A recording of `tests/targets/python/libraries.py`.
struct Libraries {
    run: Run,
}

impl Libraries {
    fn new(python: &Interpreter, ways: &[&str]) -> Libraries {
        let program = ways.iter().fold(python.program("libraries.py"), |program, way| program.arg(way));
        let run = Run::of_with(&program, &["--focus", "/libraries\\.py"]);
        for process in run.report.processes() {
            assert_eq!(process["merge_mismatches"], 0, "{python}: {process}");
            assert_eq!(process["python_bad_frames"], 0, "{python}: {process}");
        }
        Libraries { run }
    }

    /// The line that ends with the comment `# MARK`.
    fn line(&self, mark: &str) -> u64 {
        artifacts::line_with(&artifacts::sources().join("python/libraries.py"), &format!("# {mark}"))
    }

    /// The stacks of unfreed blocks whose innermost frame in the program is the line with this mark, down to it.
    fn beneath(&self, mark: &str) -> Vec<(&Value, &[Value])> {
        let line = self.line(mark);
        let all = self.run.report.sites().iter().filter(|site| report::number(site, "unfreed_blocks") > 0);
        let down_to_line = all.filter_map(|site| {
            let stack = site["stack"].as_array().expect("a site has a stack");
            let own =
                |frame: &Value| frame["file"].as_str().is_some_and(|file| file.ends_with("/libraries.py"));
            let at = stack.iter().position(own).filter(|&at| stack[at]["line"] == line)?;
            Some((site, &stack[..=at]))
        });
        down_to_line.collect()
    }

    /// What is unfreed beneath the line on stacks with such frames.
    fn unfreed(&self, mark: &str, is_wanted: impl Fn(&Value, &[Value]) -> bool) -> Unfreed {
        let mut sum = Unfreed { blocks: 0, bytes: 0 };
        for (site, stack) in self.beneath(mark) {
            if is_wanted(site, stack) {
                sum.blocks += report::number(site, "unfreed_blocks");
                sum.bytes += report::number(site, "unfreed_bytes");
            }
        }
        sum
    }

    /// As many blocks of `size` bytes as the line is executed, all of them on stacks with such frames beneath the line.
    fn assert_blocks_of(&self, mark: &str, size: u64, is_wanted: impl Fn(&[Value]) -> bool) {
        let found = self.unfreed(mark, |site, stack| {
            report::number(site, "unfreed_bytes") == size * report::number(site, "unfreed_blocks")
                && is_wanted(stack)
        });
        assert_eq!(
            found,
            Unfreed { blocks: TIMES, bytes: TIMES * size },
            "{mark}: {:#?}",
            self.beneath(mark)
        );
    }
}

fn in_module(frame: &Value, name: &str) -> bool {
    frame["kind"] == "native" && frame["module"].as_str().is_some_and(|path| path.contains(name))
}

fn function(frame: &Value) -> &str {
    frame["function"].as_str().unwrap_or_default()
}

/// Native frames of these modules in this order, others between them or not.
fn passes_through(stack: &[Value], modules: &[&str]) -> bool {
    let mut frames = stack.iter();
    modules.iter().all(|module| frames.any(|frame| in_module(frame, module)))
}

/// The lines of `ctypes_malloc`.
fn ctypes(libraries: &Libraries) {
    libraries.assert_blocks_of("ctypes", 20_011, |stack| {
        stack[..stack.len() - 1].iter().all(|frame| frame["kind"] == "native")
            && passes_through(stack, &["/_ctypes."])
    });
}

/// Python, in a callback of a C function, that Python called.
fn callback(libraries: &Libraries) {
    const BYTES_HEADER: u64 = 33;
    let qsort = libraries.line("qsort");
    let stacks = libraries.beneath("compare");
    let in_order = stacks.iter().filter(|(site, stack)| {
        let rest = &site["stack"].as_array().expect("a stack")[stack.len()..];
        let caller = rest.iter().position(|frame| frame["kind"] == "python").expect("Python called");
        let [blocks, bytes] = ["unfreed_blocks", "unfreed_bytes"].map(|name| report::number(site, name));
        bytes == (20_012 + BYTES_HEADER) * blocks
            && rest[..caller].iter().any(|frame| function(frame).starts_with("qsort"))
            && (rest[caller]["line"].as_u64(), function(&rest[caller])) == (Some(qsort), "ctypes_callback")
    });
    let blocks: u64 = in_order.map(|(site, _)| report::number(site, "unfreed_blocks")).sum();
    assert_eq!(blocks, TIMES, "{stacks:#?}");
}

fn sqlite3(libraries: &Libraries) {
    for mark in ["connection", "statement"] {
        let found = libraries.unfreed(mark, |_, stack| {
            let entered = stack.iter().position(|frame| in_module(frame, "/_sqlite3."));
            entered.is_some_and(|at| stack[..at].iter().any(|frame| function(frame).starts_with("sqlite3")))
        });
        assert!(found.blocks >= 3 * TIMES, "{mark}: {found:?}");
    }
}

fn ssl(libraries: &Libraries) {
    let found = libraries.unfreed("context", |_, stack| {
        function(&stack[0]).starts_with("CRYPTO_")
            && stack.iter().any(|frame| function(frame).starts_with("SSL_CTX_new"))
    });
    assert!(found.blocks >= 10 * TIMES, "{found:?}");
}

#[test]
fn of_the_standard_library() {
    python::on_each(|python| {
        let ways =
            ["ctypes_malloc", "ctypes_callback", "sqlite3_connections", "sqlite3_statements", "ssl_contexts"];
        let libraries = Libraries::new(python, &ways);
        ctypes(&libraries);
        callback(&libraries);
        sqlite3(&libraries);
        ssl(&libraries);
    });
}

#[test]
fn of_packages() {
    let mut walked = python::interpreters().iter().filter(|python| python::WALKED.contains(&python.version));
    let Some(newest) = walked.next_back() else { return eprintln!("skipped: no Python") };
    match newest.with(&["cffi", "numpy"]) {
        Ok(python) => {
            let libraries = Libraries::new(&python, &["cffi_malloc", "numpy_arrays"]);
            libraries.assert_blocks_of("cffi", 20_013, |stack| passes_through(stack, &["/_cffi_backend."]));
            libraries.assert_blocks_of("array", 8 * 2_501, |stack| {
                passes_through(stack, &["/_multiarray_umath."])
            });
        }
        Err(reason) => eprintln!("skipped: no cffi and numpy for {newest}: {reason}"),
    }
}
