//! What a recording held, by the names of its sites, as it is kept in a file and compared with a later one.
//!
//! The file is JSON, with a line for each site in the order of their names, so that a version control system shows what
//! changed. It says how sites were made and selected: another selection is not comparable.
use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::limits::{Rate, Rates};
use super::names::Names;
use crate::aggregate::Report;
use crate::growth::Estimate;
use crate::verdicts::Unit;

/// The version that is written, and the only one that is read.
const SCHEMA: &str = "unfreed.baseline/1";

/// Bytes and blocks, or those for each unit of growth.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Amount {
    /// Bytes.
    pub bytes: f64,
    /// Blocks.
    pub blocks: f64,
}

impl Amount {
    /// The sum.
    pub fn plus(self, other: Amount) -> Amount {
        Amount { bytes: self.bytes + other.bytes, blocks: self.blocks + other.blocks }
    }

    /// The difference.
    pub fn minus(self, other: Amount) -> Amount {
        Amount { bytes: self.bytes - other.bytes, blocks: self.blocks - other.blocks }
    }

    /// The best guess of a rate.
    pub fn of_rate(rate: &Rate) -> Amount {
        Amount { bytes: rate.bytes.value, blocks: rate.blocks.value }
    }
}

/// What one site holds.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct HeldBySite {
    /// What is unfreed.
    pub unfreed: Amount,
    /// How it grows, if it does.
    pub growth: Option<Rate>,
    /// The site that holds most of it, by its place in [`Report::sites`]; of a baseline 0.
    pub site: usize,
}

/// What each site holds, by name.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Held {
    /// The sites.
    pub sites: BTreeMap<String, HeldBySite>,
}

impl Held {
    /// Of a report and what of it grows.
    pub fn of(report: &Report, names: &Names, rates: Option<&Rates>) -> Held {
        let mut sites: BTreeMap<String, HeldBySite> = BTreeMap::new();
        for (place, site) in report.sites.iter().enumerate() {
            let growth = rates.and_then(|rates| rates.sites.get(&site.hash)).copied();
            if site.counts.unfreed_blocks == 0 && growth.is_none() {
                continue;
            }
            let (bytes, blocks) = (site.counts.unfreed_bytes as f64, site.counts.unfreed_blocks as f64);
            // Sites are in order: the first one of a name holds most.
            let held =
                sites.entry(names.of(site)).or_insert(HeldBySite { site: place, ..HeldBySite::default() });
            held.unfreed = held.unfreed.plus(Amount { bytes, blocks });
            held.growth = match (held.growth, growth) {
                (Some(a), Some(b)) => {
                    Some(Rate { bytes: a.bytes.plus(b.bytes), blocks: a.blocks.plus(b.blocks) })
                }
                (a, b) => a.or(b),
            };
        }
        Held { sites }
    }
}

/// A baseline.
#[derive(Clone, PartialEq, Debug)]
pub struct Baseline {
    /// What makes a site.
    pub by: String,
    /// The options that selected what was counted.
    pub selection: Vec<String>,
    /// In what growth is counted, and how much of it there was; `None`: growth is not known.
    pub unit: Option<(Unit, f64)>,
    held: Held,
}

/// Why a file is no baseline.
#[derive(PartialEq, Eq, Debug)]
pub enum BadBaseline {
    /// It is none, or it is damaged.
    NoBaseline(String),
    /// Another version of unfreed wrote it.
    Version(String),
}

impl fmt::Display for BadBaseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadBaseline::NoBaseline(why) => write!(f, "not a baseline: {why}"),
            BadBaseline::Version(schema) => {
                write!(f, "a baseline of version {schema}, this unfreed reads {SCHEMA}")
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct BaselineJson {
    schema: String,
    by: String,
    #[serde(default)]
    selection: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    units: Option<f64>,
    sites: Vec<SiteJson>,
}

#[derive(Serialize, Deserialize)]
struct SiteJson {
    name: String,
    bytes: u64,
    blocks: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    growth: Option<RateJson>,
}

/// Each the best guess, and the interval in which it is.
#[derive(Serialize, Deserialize)]
struct RateJson {
    bytes: [f64; 3],
    blocks: [f64; 3],
}

impl Baseline {
    /// Of what a recording holds.
    pub fn new(by: String, selection: Vec<String>, held: Held, rates: Option<&Rates>) -> Baseline {
        Baseline { by, selection, unit: rates.map(|rates| (rates.unit, rates.units)), held }
    }

    /// What it holds.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// How many sites.
    pub fn len(&self) -> usize {
        self.held.sites.len()
    }

    /// Whether nothing is unfreed in it.
    pub fn is_empty(&self) -> bool {
        self.held.sites.is_empty()
    }

    /// Out of a file's text.
    pub fn parse(text: &str) -> Result<Baseline, BadBaseline> {
        let no_baseline = |why: serde_json::Error| BadBaseline::NoBaseline(why.to_string());
        let value: serde_json::Value = serde_json::from_str(text).map_err(no_baseline)?;
        match value.get("schema").and_then(|schema| schema.as_str()) {
            Some(SCHEMA) => {}
            Some(other) if other.starts_with("unfreed.baseline/") => {
                return Err(BadBaseline::Version(other.to_string()));
            }
            _ => {
                return Err(BadBaseline::NoBaseline(
                    "'unfreed check --write-baseline' makes one".to_string(),
                ));
            }
        }
        let json: BaselineJson = serde_json::from_value(value).map_err(no_baseline)?;
        let unit = match &json.per {
            None => None,
            Some(per) => {
                let unknown = || BadBaseline::NoBaseline(format!("it is per {per}"));
                let unit = Unit::ALL.into_iter().find(|unit| unit.name() == per).ok_or_else(unknown)?;
                Some((unit, json.units.unwrap_or(0.0)))
            }
        };
        let sites = json.sites.into_iter().map(|site| {
            let unfreed = Amount { bytes: site.bytes as f64, blocks: site.blocks as f64 };
            let growth =
                site.growth.map(|rate| Rate { bytes: estimate(rate.bytes), blocks: estimate(rate.blocks) });
            (site.name, HeldBySite { unfreed, growth, site: 0 })
        });
        let held = Held { sites: sites.collect() };
        Ok(Baseline { by: json.by, selection: json.selection, unit, held })
    }

    /// As it is written to a file.
    pub fn to_text(&self) -> String {
        let sites = self.held.sites.iter().map(|(name, held)| SiteJson {
            name: name.clone(),
            bytes: held.unfreed.bytes as u64,
            blocks: held.unfreed.blocks as u64,
            growth: held
                .growth
                .map(|rate| RateJson { bytes: numbers(rate.bytes), blocks: numbers(rate.blocks) }),
        });
        let head = BaselineJson {
            schema: SCHEMA.to_string(),
            by: self.by.clone(),
            selection: self.selection.clone(),
            per: self.unit.map(|(unit, _)| unit.name().to_string()),
            units: self.unit.map(|(_, units)| rounded(units)),
            sites: Vec::new(),
        };
        let head = serde_json::to_string(&head).unwrap_or_default();
        let mut text = head.strip_suffix("]}").unwrap_or_default().to_string();
        for (index, site) in sites.enumerate() {
            let separator = if index == 0 { "\n" } else { ",\n" };
            let _ = write!(text, "{separator}{}", serde_json::to_string(&site).unwrap_or_default());
        }
        text + "\n]}\n"
    }
}

fn estimate([value, low, high]: [f64; 3]) -> Estimate {
    Estimate { value, low, high }
}

fn numbers(Estimate { value, low, high }: Estimate) -> [f64; 3] {
    [value, low, high].map(rounded)
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
