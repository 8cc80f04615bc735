//! A program, recorded, changed, built anew and recorded again: the diff knows its sites by what they are.
mod synthetic;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use synthetic::Scratch;

/// A program that holds `blocks` blocks of 10,001 bytes, below `lead` lines that were not there before.
fn build(directory: &Path, lead: &str, blocks: u32) -> bool {
    let source = format!(
        "#include <stdlib.h>
#include <string.h>
{lead}
__attribute__((noinline)) void *kept(void) {{ return memset(malloc(10001), 1, 10001); }}
__attribute__((noinline)) void *passing(void) {{ return memset(malloc(5000), 1, 5000); }}
int main(void) {{
    for (int i = 0; i < {blocks}; i++) {{
        void *volatile held = kept();
        void *volatile block = passing();
        free(block);
        (void)held;
    }}
    return 0;
}}
"
    );
    std::fs::create_dir_all(directory).expect("a directory");
    std::fs::write(directory.join("program.c"), source).expect("a source file");
    let arguments = ["-g", "-O1", "-fno-optimize-sibling-calls", "-o", "program", "program.c"];
    match Command::new("cc").args(arguments).current_dir(directory).status() {
        Ok(status) => {
            assert!(status.success(), "the program is compiled");
            true
        }
        Err(error) => {
            eprintln!("skipped, cc: {error}");
            false
        }
    }
}

fn unfreed(scratch: &Scratch, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unfreed"));
    command.env("UNFREED_CACHE", "");
    let output = command.args(arguments).current_dir(&scratch.0).output().expect("unfreed starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn sites_are_matched_across_a_rebuild() {
    let scratch = Scratch::new("rebuild");
    for (name, lead, blocks) in
        [("old", "", 10), ("new", "\nstatic int added;\nint *more(void) { return &added; }\n", 60)]
    {
        // Each build stays where it was: the symbols of one that was overwritten are gone.
        let directory = format!("{name}-build");
        if !build(&scratch.0.join(&directory), lead, blocks) {
            return;
        }
        unfreed(&scratch, &["run", "-o", name, &format!("{directory}/program")]);
    }

    let diff: Value =
        serde_json::from_str(&unfreed(&scratch, &["diff", "old", "new", "--format", "json"])).expect("JSON");
    let site = &diff["sites"][0];
    let functions: Vec<_> =
        site["stack"].as_array().expect("a stack").iter().map(|frame| &frame["function"]).collect();
    assert_eq!(functions[..2], ["kept", "main"], "{site}");
    assert_eq!(
        (&site["old_blocks"], &site["new_blocks"], &site["delta_bytes"]),
        (&10.into(), &60.into(), &500_050.into())
    );
    assert_eq!(site["status"], "changed");

    let ids = |recording: &str| {
        let report = unfreed(&scratch, &["report", recording, "--format", "json"]);
        let report: Value = serde_json::from_str(&report).expect("JSON");
        let sites = report["sites"].as_array().expect("sites").iter();
        sites.map(|site| site["id"].as_str().expect("an id").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids("old"), ids("new"));
    assert!(ids("new").iter().any(|id| site["id"] == id.as_str()));

    let lines = unfreed(&scratch, &["diff", "old", "new", "--by", "line"]);
    let source = |name: &str| scratch.0.join(format!("{name}-build/program.c")).display().to_string();
    let (old, new) = (format!("{}:4", source("old")), format!("{}:7", source("new")));
    assert!(
        lines.contains(&format!("{new}: size=586 KiB (+586 KiB), count=60 (+60), average=10001 B\n")),
        "{lines}"
    );
    assert!(lines.contains(&format!("{old}: size=0 B (-97.7 KiB), count=0 (-10)\n")), "{lines}");

    let table = unfreed(&scratch, &["report", "new", "--by", "function", "--focus", "^(kept|passing)$"]);
    assert!(table.contains("   586 KiB        60     586 KiB          60    0%  kept\n"), "{table}");
    assert!(!table.contains("passing"), "it holds nothing: {table}");
}
