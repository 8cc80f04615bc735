//! What `unfreed growth --format json` says of a recording.

use std::path::Path;

use serde_json::Value;

use crate::{Program, artifacts};

/// Verdicts by line, schema `unfreed.growth/1`.
pub struct Growth(Value);

impl Growth {
    /// Verdicts on a run directory, with options.
    pub fn of(recording: &Path, options: &[&str]) -> Growth {
        let program = Program::unfreed("growth").arg(recording).arg("--format").arg("json");
        let outcome = options.iter().fold(program, |program, option| program.arg(option)).run();
        assert!(outcome.status.success(), "unfreed growth: {}", outcome.stderr_text());
        let value: Value = serde_json::from_slice(&outcome.stdout).expect("the verdicts are JSON");
        assert_eq!(value["schema"], "unfreed.growth/1");
        Growth(value)
    }

    /// How many requests were told apart.
    pub fn requests(&self) -> u64 {
        self.0["requests"]["count"].as_u64().expect("requests were counted")
    }

    /// The site of the line of `source` that ends with `mark`.
    pub fn at(&self, source: &Path, mark: &str) -> &Value {
        let line = artifacts::line_with(source, mark);
        let is_there = |site: &&Value| {
            let file = site["headline"]["file"].as_str();
            file.is_some_and(|file| Path::new(file).file_name() == source.file_name())
                && site["headline"]["line"] == line
        };
        let found: Vec<_> = self.sites().iter().filter(is_there).collect();
        let [site] = found[..] else { panic!("{} sites at {mark}, line {line}", found.len()) };
        site
    }

    /// What is said of the descriptors that such a line opened.
    pub fn opened(&self, source: &Path, mark: &str) -> &Value {
        let line = artifacts::line_with(source, mark);
        let sites = self.0["descriptors"]["sites"].as_array().expect("descriptors were recorded");
        let file = source.display().to_string();
        let site = sites.iter().find(|site| site["file"] == file.as_str() && site["line"] == line);
        site.unwrap_or_else(|| panic!("nothing was opened at {mark}, line {line}"))
    }

    /// The verdict on such a line.
    pub fn verdict(&self, source: &Path, mark: &str) -> &str {
        self.at(source, mark)["verdict"].as_str().expect("a site has a verdict")
    }

    /// Bytes a request, mark or minute that such a line grows by; of the requests that allocate there.
    pub fn rate(&self, source: &Path, mark: &str) -> f64 {
        let site = self.at(source, mark);
        site["rate"]["bytes"]["value"].as_f64().unwrap_or_else(|| panic!("no rate at {mark}: {site}"))
    }

    /// The lines that grow, but for those of `source` that end with one of `expected`, and for what is within a
    /// fiftieth of what these grow by together: CPython hands freed dictionaries, lists and numbers on, so that what one
    /// line keeps may be in memory that another has allocated.
    pub fn others(&self, source: &Path, expected: &[&str]) -> Vec<String> {
        let expected: Vec<_> = expected.iter().map(|mark| self.at(source, mark)).collect();
        let bytes = |site: &Value| site["delta_bytes"].as_f64().expect("a site has a difference");
        let large = expected.iter().map(|site| bytes(site)).sum::<f64>() / 50.0;
        let others = self.growing().filter(|site| expected.iter().all(|known| known["id"] != site["id"]));
        let others = others.filter(|site| bytes(site) > large);
        others.map(|site| format!("{}: {} B, {}", site["name"], site["delta_bytes"], site["why"])).collect()
    }

    fn growing(&self) -> impl Iterator<Item = &Value> {
        self.sites().iter().filter(|site| site["verdict"] == "GROWING")
    }

    fn sites(&self) -> &[Value] {
        self.0["sites"].as_array().expect("sites is a list")
    }
}

/// Fails unless a rate is within a share of what is kept by the program's own count.
pub fn assert_near(rate: f64, kept: f64, share: f64) {
    assert!((rate - kept).abs() <= share * kept, "{rate} bytes a request; the program counted {kept}");
}
