//! A line for each site.
use std::io::{self, Write};

use super::GrowthView;
use super::words::{BLOCKS, site, why};
use crate::growth::Confidence;
use crate::output::csv::quoted;

/// Prints them. Numbers are bytes, blocks and descriptors; those that are not known are empty.
pub fn csv(view: &GrowthView, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(
        b"id,name,verdict,confidence,unfreed_bytes,unfreed_blocks,delta_bytes,delta_blocks,freed_share,per,rate_bytes,rate_blocks,units,of,where,why,delta_descriptors\r\n",
    )?;
    let verdicts = view.verdicts;
    for judged in verdicts.sites.iter().take(view.limit) {
        let found = &verdicts.report.sites[judged.site];
        let confidence = match judged.judgement.confidence {
            Confidence::High => "high",
            Confidence::Low(_) => "low",
        };
        let number = |number: Option<f64>| number.map_or_else(String::new, |number| format!("{number:.3}"));
        write!(
            out,
            "{},{},{},{confidence},{},{},{},{},{},{},",
            found.id(),
            quoted(found.name.as_deref().unwrap_or("")),
            judged.judgement.verdict.name(),
            judged.unfreed.bytes,
            judged.unfreed.blocks,
            judged.change.1,
            judged.change.0,
            number(judged.freed),
            judged.rate.map_or("", |rate| rate.unit.name()),
        )?;
        let rate = judged.rate;
        let numbers = [rate.map(|rate| rate.bytes.value), rate.map(|rate| rate.blocks.value)];
        let numbers = numbers.into_iter().chain([rate.map(|rate| rate.units), rate.map(|rate| rate.of)]);
        numbers.map(number).try_for_each(|number| write!(out, "{number},"))?;
        write!(
            out,
            "{},{},{}\r\n",
            quoted(&site(verdicts, judged, usize::MAX)),
            quoted(&why(&BLOCKS, verdicts, judged)),
            view.opened(judged).map_or_else(String::new, |opened| opened.change.0.to_string()),
        )?;
    }
    Ok(())
}
