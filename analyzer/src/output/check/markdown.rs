//! As markdown of GitHub's kind, for a comment on a pull request: the outcome, a table, and the stacks folded away.
use std::io::{self, Write};

use super::{columns, of, rows, title, words};
use crate::check::{Check, Measure, Row, Verdict};
use crate::output::frames;
use crate::output::style::Style;
use crate::output::units::counted;

/// Prints it with its first `limit` sites.
pub fn markdown(check: &Check, limit: usize, all_frames: bool, out: &mut dyn Write) -> io::Result<()> {
    let verdict = match check.verdict() {
        Verdict::Over => "over the limit",
        Verdict::Within => "within limits",
        Verdict::Incomplete => "incomplete",
    };
    writeln!(out, "### unfreed: {verdict}\n")?;
    for outcome in &check.outcomes {
        let (bound, found) = words(outcome);
        let state = if outcome.is_exceeded { "**over**" } else { "within" };
        writeln!(out, "* {state} {}: {found}", code(&bound))?;
    }
    for reason in &check.incomplete {
        writeln!(out, "* incomplete: {}", escaped(reason))?;
    }
    for measure in [Measure::Growth, Measure::Unfreed] {
        table(check, measure, limit, out)?;
    }
    let over: Vec<&Row> = check.rows.iter().filter(|row| row.is_over).take(limit).collect();
    if over.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n<details><summary>Stacks</summary>")?;
    for row in over {
        stack(check, row, all_frames, out)?;
    }
    writeln!(out, "\n</details>")
}

fn table(check: &Check, measure: Measure, limit: usize, out: &mut dyn Write) -> io::Result<()> {
    let (rows, same) = rows(check, measure);
    if !rows.is_empty() && (check.is_compared || check.is_over()) {
        let title = title(check, measure);
        if let Some(of) = of(check, measure) {
            writeln!(out, "\n{of}")?;
        }
        match check.is_compared {
            true => {
                writeln!(out, "\n| {title}: old | new | change | % | site |\n|---:|---:|---:|---:|:---|")?
            }
            false => writeln!(out, "\n| {title} | site |\n|---:|:---|")?,
        }
        for row in rows.iter().take(limit) {
            let [old, new, change, percent] = columns(row);
            let name = cell(&row.name);
            match check.is_compared {
                true if row.is_over => {
                    writeln!(out, "| {old} | **{new}** | **{change}** | {percent} | {name} |")?
                }
                true => writeln!(out, "| {old} | {new} | {change} | {percent} | {name} |")?,
                false => writeln!(out, "| {new} | {name} |")?,
            }
        }
    }
    let more = rows.len().saturating_sub(limit) as u64;
    if more > 0 {
        writeln!(out, "\n{}", counted(more, "more site"))?;
    }
    match same {
        0 => Ok(()),
        same => writeln!(out, "\n{} as before", counted(same as u64, "site")),
    }
}

fn stack(check: &Check, row: &Row, all_frames: bool, out: &mut dyn Write) -> io::Result<()> {
    let Some(site) = row.site.map(|site| &check.report.sites[site]) else { return Ok(()) };
    let mut lines = Vec::new();
    frames::lines(&check.report, site.largest, Style { all_frames, ..Style::default() }, &mut lines)?;
    let lines = String::from_utf8_lossy(&lines).into_owned();
    // A fence that is in no name.
    let fence = if lines.contains("```") { "~~~~" } else { "```" };
    writeln!(out, "\n{} `{}`\n{fence}text\n{lines}{fence}", code(&row.name), site.id())
}

/// Text between backticks, however many are in it.
fn code(text: &str) -> String {
    match text.contains('`') {
        true => format!("`` {text} ``"),
        false => format!("`{text}`"),
    }
}

/// The same in a cell of a table.
fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '<' | '[' | '|') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
