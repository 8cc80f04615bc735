//! Python frames in stacks: what the interpreter itself says they are, wherever Python code is called from, with the
//! native frames in between.

use std::collections::BTreeMap;

use e2e::{Interpreter, Run, python};
use serde_json::Value;

/// Function, file and line, innermost first.
type Frames = Vec<(String, String, u64)>;

/// Smaller blocks are not the target's, but those of lists that grow.
const SMALLEST: u64 = 1_000_000;

/// Bytes of each stack.
fn said(output: &str) -> BTreeMap<Frames, u64> {
    let blocks: Vec<(u64, Frames)> = serde_json::from_str(output).expect("the target prints its stacks");
    let mut sums = BTreeMap::new();
    blocks.into_iter().for_each(|(bytes, frames)| *sums.entry(frames).or_default() += bytes);
    sums
}

fn text(frame: &Value, key: &str) -> String {
    frame[key].as_str().unwrap_or("?").to_owned()
}

fn python_frames(site: &Value) -> Frames {
    let frames = site["stack"].as_array().expect("a site has a stack").iter();
    let frames = frames.filter(|frame| frame["kind"] == "python");
    frames
        .map(|frame| (text(frame, "function"), text(frame, "file"), frame["line"].as_u64().unwrap_or(0)))
        .collect()
}

fn bytes(site: &Value) -> u64 {
    site["unfreed_bytes"].as_u64().expect("a site has numbers")
}

#[test]
fn stacks_are_those_that_the_interpreter_says_with_the_native_frames_between() {
    python::on_each(|interpreter| {
        // The sites of the target's blocks alone.
        let options = ["--focus", "^leak$", "--all-frames"];
        let run = Run::recorded_with(&interpreter.program("frames.py"), &options);
        assert!(run.outcome.status.success(), "{}", run.outcome.stderr_text());
        run.assert_sound();
        let expected = said(&run.outcome.stdout_text());
        assert!(expected.len() > 70, "{interpreter}: {} stacks", expected.len());
        let mut found = BTreeMap::new();
        for site in run.report.sites().iter().filter(|site| bytes(site) >= SMALLEST) {
            *found.entry(python_frames(site)).or_default() += bytes(site);
        }
        for (frames, bytes) in &expected {
            assert_eq!(found.get(frames), Some(bytes), "{interpreter}: {frames:#?}");
        }
        for (frames, bytes) in found {
            assert!(expected.contains_key(&frames), "{interpreter}: {bytes} bytes in {frames:#?}");
        }
        let process = &run.report.processes()[0];
        for count in ["merge_mismatches", "python_more_loops", "python_bad_frames"] {
            assert_eq!(process[count], 0, "{interpreter}: {count}");
        }
        native_frames_are_between(interpreter, &run);
    });
}

/// Those of C that Python has called and that has called Python.
fn native_frames_are_between(interpreter: &Interpreter, run: &Run) {
    let called = |frame: &Value, name: &str| {
        let function = text(frame, "function");
        frame["kind"] == "python" && function.rsplit('.').next() == Some(name)
    };
    let mut found = 0;
    for site in run.report.sites().iter().filter(|site| bytes(site) >= SMALLEST) {
        let stack = site["stack"].as_array().expect("a site has a stack");
        let Some(caller) = stack.iter().position(|frame| called(frame, "from_c")) else { continue };
        let callback = stack.iter().position(|frame| called(frame, "<lambda>")).expect("a callback");
        let between = &stack[callback + 1..caller];
        assert!(between.iter().all(|frame| frame["kind"] == "native"), "{interpreter}: {between:#?}");
        let modules: Vec<String> = between.iter().map(|frame| text(frame, "module")).collect();
        let has = |name: &str| modules.iter().any(|module| module.contains(name));
        assert!(has("libc") && modules.len() > 4, "{interpreter}: {modules:#?}");
        found += 1;
    }
    assert!(found > 0, "{interpreter}: the callback of qsort is on a stack");
}
