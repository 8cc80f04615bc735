//! What `unfreed report --format json` says of a recording.

use std::path::Path;

use serde_json::Value;

use crate::{Unfreed, artifacts};

/// A report, schema `unfreed.report/1`.
pub struct Report(Value);

impl Report {
    /// The report of a run directory or of one process file.
    pub fn of(recording: &Path) -> Report {
        Report::with(recording, &[])
    }

    /// The same with options.
    pub fn with(recording: &Path, options: &[&str]) -> Report {
        let mut command = artifacts::unfreed_command();
        command.arg("report").arg(recording).args(["--format", "json"]).args(options);
        let output = command.output().expect("unfreed starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "unfreed report {}: {} {said}", recording.display(), output.status);
        let value: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
        assert_eq!(value["schema"], "unfreed.report/1");
        Report(value)
    }

    /// The JSON itself.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// A number of `totals`.
    pub fn total(&self, name: &str) -> u64 {
        self.0["totals"][name].as_u64().unwrap_or_else(|| panic!("totals.{name} is a number"))
    }

    /// Events that were lost.
    pub fn lost(&self) -> u64 {
        self.total("lost")
    }

    /// The processes.
    pub fn processes(&self) -> &[Value] {
        self.0["recording"]["processes"].as_array().expect("recording.processes is a list")
    }

    /// Nothing lost, and nothing in it that cannot be.
    pub fn assert_sound(&self) {
        assert_eq!(self.lost(), 0, "events lost");
        for process in self.processes() {
            assert_eq!(process["impossible"], 0, "impossible sequences: {process}");
        }
    }

    /// The allocation sites.
    pub fn sites(&self) -> &[Value] {
        self.0["sites"].as_array().expect("sites is a list")
    }

    /// Sites that have `function` on their stack.
    pub fn sites_with(&self, function: &str) -> impl Iterator<Item = &Value> {
        self.sites().iter().filter(move |site| functions(site).any(|name| is_named(name, function)))
    }

    /// What is unfreed and has `function` anywhere on its stack.
    pub fn unfreed_in(&self, function: &str) -> Unfreed {
        self.sites_with(function).fold(Unfreed::default(), |sum, site| Unfreed {
            blocks: sum.blocks + number(site, "unfreed_blocks"),
            bytes: sum.bytes + number(site, "unfreed_bytes"),
        })
    }
}

/// A number of a site.
pub fn number(site: &Value, name: &str) -> u64 {
    site[name].as_u64().unwrap_or_else(|| panic!("a site has {name}: {site}"))
}

/// The Python frames on a site's stack, innermost first.
pub fn python_frames(site: &Value) -> impl Iterator<Item = &Value> {
    site["stack"].as_array().expect("a site has a stack").iter().filter(|frame| frame["kind"] == "python")
}

/// The functions on a site's stack, innermost first, as far as known.
pub fn functions(site: &Value) -> impl Iterator<Item = &str> {
    site["stack"]
        .as_array()
        .expect("a site has a stack")
        .iter()
        .filter_map(|frame| frame["function"].as_str())
}

/// Whether a demangled name is that of `function`: without parameters, and with or without its module.
fn is_named(name: &str, function: &str) -> bool {
    let bare = name.split('(').next().unwrap_or(name);
    bare == function || bare.strip_suffix(function).is_some_and(|before| before.ends_with("::"))
}
