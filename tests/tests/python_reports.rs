//! What the report makes of a Python program: the user's own line, the moment before its exit, and phases.

use e2e::report::number;
use e2e::{Report, Run, artifacts, python};
use serde_json::Value;

/// All that these tests look for are among the largest sites.
const LARGEST: &[&str] = &["-n", "500"];

fn source(file: &str) -> String {
    artifacts::sources().join("python").join(file).display().to_string()
}

/// The line of `file` that has this text.
fn line(file: &str, text: &str) -> u64 {
    let source = std::fs::read_to_string(source(file)).expect("a source");
    source.lines().position(|line| line.contains(text)).expect("the line is there") as u64 + 1
}

/// The sites named after this function and line: blocks, bytes and phases.
fn named(report: &Report, file: &str, function: &str, text: &str, size: u64) -> (u64, u64, Vec<String>) {
    let (file, line) = (source(file), line(file, text));
    let is_it = |site: &&Value| {
        let headline = &site["headline"];
        let place = (&headline["function"], &headline["file"], &headline["line"]);
        place == (&function.into(), &file.as_str().into(), &line.into())
            && number(site, "unfreed_blocks") > 0
            && number(site, "unfreed_bytes") / number(site, "unfreed_blocks") >= size
    };
    let found: Vec<&Value> = report.sites().iter().filter(is_it).collect();
    let sum = |name| found.iter().map(|site| number(site, name)).sum();
    let phases = found.iter().map(|site| site["phase"].as_str().unwrap_or("none").to_string()).collect();
    (sum("unfreed_blocks"), sum("unfreed_bytes"), phases)
}

#[test]
fn the_users_line_before_the_exit_and_its_phase() {
    python::on_each(|interpreter| {
        let run = Run::recorded_with(&interpreter.program("phases.py"), LARGEST);
        let report = &run.report;
        let once = |phase: &str| vec![phase.to_string()];
        let expected = (50, 50 * 10_001, once("run"));
        assert_eq!(
            named(report, "phases.py", "keep", "kept.append(bytes", 10_000),
            expected,
            "{interpreter}"
        );
        let expected = (7, 7 * 20_002, once("run"));
        assert_eq!(
            named(report, "phases.py", "keep_in_c", "malloc(20_002)", 20_000),
            expected,
            "{interpreter}"
        );
        let expected = (1, 30_003, once("import"));
        let imported = named(report, "phases_imported.py", "<module>", "kept = bytes", 30_000);
        assert_eq!(imported, expected, "{interpreter}");
        // The frame of the user's that called the library, whose own frames are further in.
        let (blocks, bytes, _) =
            named(report, "phases.py", decoder(interpreter.version), "super().decode", 40_000);
        assert!(blocks == 1 && bytes >= 40_000, "{interpreter}: {blocks} blocks, {bytes} bytes");

        let process = &report.processes()[0];
        assert_eq!((&process["at"], &process["state"]), (&"before-exit".into(), &"exited".into()));
        assert!(process["python_arenas"]["filled_bytes"].as_u64() > Some(0), "{interpreter}: {process}");
        let phases = &report.json()["recording"]["python_phases"];
        let unfreed = |phase: &str| phases[phase]["unfreed_bytes"].as_u64().expect("a number");
        let all = ["start-up", "import", "run"].map(unfreed);
        assert!(all.iter().all(|&bytes| bytes > 30_000), "{interpreter}: {all:?}");
        assert_eq!(all.iter().sum::<u64>(), report.total("unfreed_bytes"), "{interpreter}");

        let end = Report::with(run.directory(), &["--at", "end", "-n", "500"]);
        assert_eq!(end.processes()[0]["at"], "end");
        assert_eq!(named(&end, "phases.py", "keep", "kept.append(bytes", 10_000).0, 0, "{interpreter}");
        let in_c = named(&end, "phases.py", "keep_in_c", "malloc(20_002)", 20_000).0;
        assert_eq!(in_c, 7, "{interpreter}: nobody frees it");
    });
}

/// Qualified names are known from 3.11 on.
fn decoder(version: python::Version) -> &'static str {
    if version >= (3, 11) { "Decoder.decode" } else { "decode" }
}
