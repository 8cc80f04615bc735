//! Verdicts for people, 80 columns where names allow it.
use std::io::{self, Write};

use super::GrowthView;
use super::descriptors::{self, beside, has_row};
use super::words::{BLOCKS, DESCRIPTORS, Words, named, per, rate, site, through, why, without_function};
use crate::aggregate::cut;
use crate::growth::Verdict;
use crate::output::frames;
use crate::output::header::{held, problems, symbols};
use crate::output::style::{COLUMNS, Style};
use crate::output::units::{Number, Size, counted, duration, signed_number, signed_size};
use crate::verdicts::{Forecast, Judged, Unit, Verdicts};

/// What is not asked for is shown up to so many sites of a verdict.
const FEW: usize = 5;
/// What stands before the name of a row.
const ROW: usize = 53;
/// How far what belongs to a row is indented.
const INDENT: usize = 4;

/// Prints them.
pub fn text(view: &GrowthView, style: Style, out: &mut dyn Write) -> io::Result<()> {
    header(view, style, out)?;
    let shown = shown(view);
    let opened = opened(view, &shown);
    if growing(view) == 0 && !opened.iter().any(|judged| is_growing(judged)) {
        writeln!(out, "\n{}", style.bold("nothing grows"))?;
    }
    if !shown.is_empty() || !opened.is_empty() {
        let heading = format!(
            "{:<9} {:>10} {:>10} {:>5} {:>13}  where",
            "verdict", "unfreed", "blocks", "freed", "rate"
        );
        writeln!(out, "\n{}", style.bold(&heading))?;
    }
    let (growing, others): (Vec<&Judged>, Vec<&Judged>) = shown.iter().partition(|judged| is_growing(judged));
    growing.into_iter().try_for_each(|judged| row(view, judged, style, out))?;
    opened.into_iter().try_for_each(|judged| opened_row(view, judged, style, out))?;
    others.into_iter().try_for_each(|judged| row(view, judged, style, out))?;
    rest(view, &shown, out)?;
    if let Some(forecast) = view.forecast {
        writeln!(out)?;
        self::forecast(view, forecast, style, out)?;
    }
    Ok(())
}

fn is_growing(judged: &Judged) -> bool {
    judged.judgement.verdict == Verdict::Growing
}

fn growing(view: &GrowthView) -> usize {
    view.verdicts.sites.iter().filter(|judged| is_growing(judged)).count()
}

/// The sites whose descriptors have a row of their own: those that grow where memory does not, or is not shown.
fn opened<'a>(view: &GrowthView<'a>, shown: &[&Judged]) -> Vec<&'a Judged> {
    let Some(opened) = &view.verdicts.descriptors else { return Vec::new() };
    let sites = &opened.verdicts.sites;
    sites.iter().filter(|judged| has_row(view, judged, shown)).take(view.limit).collect()
}

/// The sites to print: those that grow by more than a little, and the largest of the others.
fn shown<'a>(view: &GrowthView<'a>) -> Vec<&'a Judged> {
    let all = &view.verdicts.sites;
    let growing = all.iter().filter(|judged| judged.judgement.verdict == Verdict::Growing);
    let grown: f64 = growing.map(|judged| judged.judgement.bytes.value).sum();
    let mut counts = [0; 5];
    let is_shown = |judged: &&Judged| {
        let verdict = judged.judgement.verdict;
        let count = &mut counts[verdict as usize];
        *count += 1;
        let is_little = judged.judgement.bytes.value < grown * LITTLE;
        match verdict {
            _ if view.all => true,
            Verdict::Growing => !is_little || is_own(view, judged),
            Verdict::GcOnly => *count <= FEW && judged.judgement.born.bytes >= MUCH_COLLECTED,
            Verdict::Plateau | Verdict::Resident => *count <= FEW && judged.unfreed.bytes > 0,
            Verdict::Temporary => false,
        }
    };
    all.iter().filter(is_shown).take(view.limit).collect()
}

/// Whether it is of the user's own code.
fn is_own(view: &GrowthView, judged: &Judged) -> bool {
    let report = &view.verdicts.report;
    named(view.verdicts, judged).is_some_and(|frame| report.own.owns(frame))
}

/// What grows in libraries by less than this part of all growth is summed up: Python hands on freed lists and dicts, so that
/// some of what the user's code keeps was allocated there.
const LITTLE: f64 = 0.01;
/// Bytes for the collector that are worth a line.
const MUCH_COLLECTED: u64 = 64 << 10;

fn header(view: &GrowthView, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let verdicts = view.verdicts;
    let report = &verdicts.report;
    writeln!(out, "{}", style.bold(&report.recording))?;
    let window = verdicts.window_ms.1.saturating_sub(verdicts.window_ms.0).saturating_mul(1_000_000);
    let left_out =
        if window == 0 { ": too short to tell what grows" } else { ", its youngest tenth left out" };
    let since = view.since.map_or_else(String::new, |since| format!(" since {since}"));
    let lost = match report.totals.lost {
        0 => "lost 0".to_string(),
        lost => style.paint("31", &format!("lost {}", Number(lost))),
    };
    let events =
        report.totals.events.map_or_else(String::new, |events| format!("{}, ", counted(events, "event")));
    writeln!(out, "  window {}{since}{left_out}", duration(window))?;
    writeln!(out, "  {}, {events}{lost}", counted(report.processes.len() as u64, "process"))?;
    if let Some(moment) = &report.moment {
        writeln!(out, "  up to {moment}")?;
    }
    let known = only_unfreed(view).into_iter().chain(descriptors::unknown(view));
    for line in requests(view).into_iter().chain(held(&report.processes)).chain(known) {
        writeln!(out, "  {line}")?;
    }
    for problem in report.processes.iter().flat_map(problems).chain(symbols(report)) {
        writeln!(out, "  {}", style.paint("33", &problem))?;
    }
    Ok(())
}

fn requests(view: &GrowthView) -> Option<String> {
    let verdicts = view.verdicts;
    match (verdicts.unit, verdicts.named_requests) {
        (Unit::Request, Some(count)) => Some(format!("{}, as --requests says", counted(count, "request"))),
        (Unit::Request, None) => {
            let of = verdicts.requests.servers.join(", ");
            Some(format!("{} ({of})", counted(verdicts.requests.count(), "request")))
        }
        (Unit::Mark, _) => Some(counted(verdicts.marks as u64, "mark")),
        (Unit::Minute, _) => None,
    }
}

/// Of which processes the unfreed blocks are all that is known.
fn only_unfreed(view: &GrowthView) -> Option<String> {
    let count = view.verdicts.only_unfreed.iter().filter(|only| **only).count();
    (count > 0)
        .then(|| "judged by the age of what is unfreed: what was freed is not known any more".to_string())
}

fn row(view: &GrowthView, judged: &Judged, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let verdicts = view.verdicts;
    let verdict = judged.judgement.verdict;
    let changes = matches!(verdict, Verdict::Growing | Verdict::GcOnly | Verdict::Temporary);
    let columns = match changes {
        true => [signed_size(judged.change.1), signed_number(judged.change.0)],
        false => [Size(judged.unfreed.bytes).to_string(), Number(judged.unfreed.blocks).to_string()],
    };
    line(&BLOCKS, verdicts, judged, columns, style, out)?;
    if let Some(beside) = beside(view, judged) {
        wrapped(&beside, style, out)?;
    }
    stack(verdicts, judged, style, out)
}

/// The row of a site's descriptors.
fn opened_row(view: &GrowthView, judged: &Judged, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let Some(opened) = &view.verdicts.descriptors else { return Ok(()) };
    let count = match is_growing(judged) {
        true => signed_number(judged.change.0),
        false => Number(judged.unfreed.blocks).to_string(),
    };
    line(&DESCRIPTORS, &opened.verdicts, judged, [count, "open files".to_string()], style, out)?;
    stack(&opened.verdicts, judged, style, out)
}

/// The first line of a row, and why it is there.
fn line(
    words: &Words,
    verdicts: &Verdicts,
    judged: &Judged,
    [held, blocks]: [String; 2],
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let verdict = judged.judgement.verdict;
    let freed = judged.freed.filter(|_| verdict != Verdict::Resident);
    let freed = freed.map_or_else(|| "-".to_string(), |freed| format!("{}%", (freed * 100.0).floor() as u64));
    let name = [2, 1, 0].map(|directories| site(verdicts, judged, directories));
    let fits = |name: &&String| ROW + name.chars().count() <= COLUMNS;
    let fitting = name.iter().find(fits);
    let short = fitting.cloned().unwrap_or_else(|| cut(&without_function(verdicts, judged), COLUMNS - ROW));
    let painted = match verdict {
        Verdict::Growing => style.paint("1;31", &format!("{:<9}", verdict.name())),
        Verdict::GcOnly => style.paint("33", &format!("{:<9}", verdict.name())),
        _ => format!("{:<9}", verdict.name()),
    };
    writeln!(
        out,
        "{painted} {held:>10} {blocks:>10} {freed:>5} {:>13}  {}",
        rate(words, judged),
        style.bold(&short)
    )?;
    if fitting.is_none() {
        wrapped(&name[0], style, out)?;
    }
    let through = through(verdicts, judged);
    if !through.is_empty() {
        wrapped(&format!("in {}", through.join(", ")), style, out)?;
    }
    wrapped(&why(words, verdicts, judged), style, out)
}

/// The frames of a site that is a stack.
fn stack(verdicts: &Verdicts, judged: &Judged, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let report = &verdicts.report;
    let found = &report.sites[judged.site];
    if found.name.is_none() {
        frames::lines(report, found.path, style, out)?;
    }
    Ok(())
}

/// Prints a line that belongs to a row, as several where it is long.
fn wrapped(text: &str, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut line = String::new();
    for word in text.split(' ').flat_map(|word| pieces(word, COLUMNS - INDENT)) {
        if !line.is_empty() && INDENT + line.chars().count() + 1 + word.chars().count() > COLUMNS {
            writeln!(out, "{:INDENT$}{}", "", style.dim(&line))?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(out, "{:INDENT$}{}", "", style.dim(&line))
}

/// A word, or as many parts of it as it takes to be on lines of so many characters.
fn pieces(word: &str, width: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(word);
    std::iter::from_fn(move || {
        let word = rest.take()?;
        match word.char_indices().nth(width) {
            Some((at, _)) => {
                rest = Some(&word[at..]);
                Some(&word[..at])
            }
            None => Some(word),
        }
    })
}

/// What of each verdict is not shown.
fn rest(view: &GrowthView, shown: &[&Judged], out: &mut dyn Write) -> io::Result<()> {
    let mut first = true;
    for verdict in
        [Verdict::Growing, Verdict::GcOnly, Verdict::Plateau, Verdict::Resident, Verdict::Temporary]
    {
        let of = |judged: &&Judged| judged.judgement.verdict == verdict;
        let all = view.verdicts.sites.iter().filter(of);
        let (mut count, mut bytes) = (0u64, 0u64);
        for judged in all {
            count += 1;
            bytes = bytes.saturating_add(judged.unfreed.bytes);
        }
        for judged in shown.iter().copied().filter(of) {
            count -= 1;
            bytes = bytes.saturating_sub(judged.unfreed.bytes);
        }
        if count == 0 {
            continue;
        }
        if std::mem::take(&mut first) {
            writeln!(out)?;
        }
        writeln!(out, "{:<9} {:>10}  in {}", verdict.name(), Size(bytes), counted(count, "more site"))?;
    }
    if !first {
        writeln!(out, "--all -n 0 lists them")?;
    }
    Ok(())
}

/// When the limit is reached.
fn forecast(view: &GrowthView, forecast: &Forecast, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let room = &forecast.room;
    let when = match forecast.minutes {
        minutes if minutes <= 0.0 => "is reached".to_string(),
        minutes => format!("is reached in about {}", about(minutes)),
    };
    writeln!(out, "{}", style.bold(&format!("limit {} {when}", Size(room.limit))))?;
    if let Some(path) = &room.cgroup {
        writeln!(out, "  of cgroup {path}")?;
    }
    let used = match room.is_measured {
        true => "used now, page cache left out",
        false => "unfreed at the end",
    };
    writeln!(out, "  {} {used};", Size(room.used))?;
    let rates = &view.verdicts.per_minute;
    let mut growing: Vec<usize> =
        room.processes.iter().copied().filter(|&process| rates[process] > 0.0).collect();
    growing.sort_by(|&a, &b| rates[b].total_cmp(&rates[a]));
    let each = growing.iter().take(FEW).map(|&process| {
        let pid = view.verdicts.report.processes[process].pid;
        format!("pid {pid} {}", signed_size(rates[process] as i128))
    });
    let each: Vec<String> = each.collect();
    let sum = signed_size(forecast.per_minute as i128);
    wrapped(
        &format!("if what is unfreed goes on growing by {sum} a {}: {}", per(Unit::Minute), each.join(", ")),
        Style { colour: false, ..style },
        out,
    )
}

/// `4 min`, `3 h`, `12 days`.
fn about(minutes: f64) -> String {
    match minutes {
        minutes if minutes < 1.0 => format!("{} s", (minutes * 60.0).ceil() as u64),
        minutes if minutes < 120.0 => format!("{} min", minutes.round() as u64),
        minutes if minutes < 48.0 * 60.0 => format!("{} h", (minutes / 60.0).round() as u64),
        minutes => format!("{} days", (minutes / 60.0 / 24.0).round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rough() {
        for (minutes, text) in
            [(0.2, "12 s"), (4.4, "4 min"), (119.0, "119 min"), (180.0, "3 h"), (14_400.0, "10 days")]
        {
            assert_eq!(about(minutes), text);
        }
    }

    #[test]
    fn long_lines_are_wrapped() {
        for (long, lines) in
            [("word ".repeat(30), 2), ("/path".repeat(30), 2), (format!("in {}", "é".repeat(76)), 2)]
        {
            let mut out = Vec::new();
            wrapped(long.trim(), Style::default(), &mut out).expect("memory");
            let text = String::from_utf8(out).expect("text");
            let fits = text.lines().all(|line| line.chars().count() <= COLUMNS);
            assert!(text.lines().count() == lines && fits, "{text}");
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(letters(&text), letters(&long));
        }
    }
}
