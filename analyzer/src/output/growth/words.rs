//! Verdicts in words.
use crate::aggregate::{Frame, Kind};
use crate::growth::{Confidence, Doubt, Estimate, Reason, Verdict};
use crate::output::frames::place;
use crate::output::units::{Number, Size, counted, duration};
use crate::verdicts::{Judged, Unit, Verdicts};

/// Processes that are named one by one.
const PIDS: usize = 4;

/// How one speaks of what is judged.
pub(super) struct Words {
    allocated: &'static str,
    freed: &'static str,
    unfreed: &'static str,
    amount: fn(f64) -> String,
}

/// Of memory.
pub(super) const BLOCKS: Words = Words {
    allocated: "allocated",
    freed: "freed",
    unfreed: "unfreed",
    amount: |bytes| Size(bytes.round() as u64).to_string(),
};

/// Of descriptors.
pub(super) const DESCRIPTORS: Words = Words {
    allocated: "opened",
    freed: "closed",
    unfreed: "open",
    amount: |count| match count {
        count if count < 9.995 => {
            let digits = format!("{count:.2}");
            digits.trim_end_matches('0').trim_end_matches('.').to_string()
        }
        count => Number(count.round() as u64).to_string(),
    },
};

/// Why a site has its verdict.
pub(super) fn why(words: &Words, verdicts: &Verdicts, judged: &Judged) -> String {
    let mut parts = vec![reason(words, judged)];
    if let Some(rate) = judged.rate.filter(|rate| rate.unit == Unit::Request) {
        let (units, of) = (rate.units.round() as u64, rate.of.round() as u64);
        if units < of {
            parts.push(format!("in {} of {}", Number(units), counted(of, "request")));
        }
        parts.extend(between(words, rate.bytes));
    } else if let Some(rate) = judged.rate {
        parts.extend(between(words, rate.bytes));
    }
    parts.extend(pids(verdicts, judged));
    if let Confidence::Low(doubt) = judged.judgement.confidence {
        parts.push(format!("not sure: {}", self::doubt(doubt)));
    }
    parts.join("; ")
}

fn reason(words: &Words, judged: &Judged) -> String {
    let Words { allocated, freed: gone, unfreed, .. } = words;
    let percent = |freed: f64| (freed * 100.0).floor() as u64;
    let ago = |ms: f64| duration((ms * 1e6) as u64);
    match judged.judgement.reason {
        Reason::NeverFreed { .. } => format!("never {gone}"),
        Reason::SomeNeverFreed { freed, .. } => format!("{} % is never {gone}", 100 - percent(freed)),
        Reason::Enlarged { steps, bytes } => {
            let times = counted(steps, "time");
            format!("one block, replaced by a larger one {times}, {} at the end", Size(bytes))
        }
        Reason::Collected { sawtooth_ms, .. } => {
            let Judged { judgement, collected, .. } = judged;
            let freed = judgement.born.blocks.saturating_sub(judgement.unfreed.blocks);
            let part = (*collected as f64 / freed.max(1) as f64 * 100.0) as u64;
            let every = sawtooth_ms.map(|ms| format!(", each {}", ago(ms))).unwrap_or_default();
            let collector = format!("{gone} by Python's cyclic collector alone{every}");
            match part {
                1..90 => format!("{part} % is {collector}; the rest sooner"),
                _ => collector,
            }
        }
        Reason::Bounded { flat_ms, .. } if flat_ms <= 0.0 => {
            format!("bounded: as much is {gone} as is {allocated}")
        }
        Reason::Bounded { flat_ms, .. } => {
            format!("bounded for {}: as much is {gone} as is {allocated}", ago(flat_ms))
        }
        Reason::Stopped { flat_ms } => format!("has not grown in the last {}", ago(flat_ms)),
        Reason::Once { steps: 1, flat_ms } => format!("{allocated} once, {} before the end", ago(flat_ms)),
        Reason::Once { steps, flat_ms } => {
            format!(
                "a few that stay {unfreed}: {}, the last {} before the end",
                counted(steps, "time"),
                ago(flat_ms)
            )
        }
        Reason::Outrun { .. } => format!("more is {allocated} than is {gone}"),
        Reason::Slowing => "it grows ever more slowly".to_string(),
        Reason::Uneven => "it may grow, but too unevenly to be told from none".to_string(),
        Reason::StartUp => format!("{allocated} at start-up"),
        Reason::Before => "there when the window began".to_string(),
        Reason::Freed { .. } => format!("{gone} again"),
        Reason::Young => format!("what is {unfreed} is too young to say more"),
    }
}

/// Why a verdict is not sure.
pub(super) fn doubt(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::FewSteps => "it grew in few steps only",
        Doubt::ShortWindow => "too little happened in the window",
        Doubt::HandedOn => {
            "what stays may be lists and dicts that other code took over: CPython hands them on"
        }
        Doubt::OnlyUnfreed => "events are not held, and a bounded store that turns over looks the same",
        Doubt::Fluctuates => "it goes up and down by more than it grows",
        Doubt::Slowing => "it grows ever more slowly",
    }
}

/// Of an estimate that is a rough one, where it lies.
fn between(words: &Words, bytes: Estimate) -> Option<String> {
    let size = |bytes: f64| (words.amount)(bytes.max(0.0));
    let is_rough = bytes.high - bytes.low > bytes.value.abs() * ROUGH;
    is_rough.then(|| format!("between {} and {}", size(bytes.low), size(bytes.high)))
}

/// An interval of less than this part of the value is not worth telling.
const ROUGH: f64 = 0.2;

/// In which processes it is so, if there are several.
fn pids(verdicts: &Verdicts, judged: &Judged) -> Option<String> {
    if verdicts.report.processes.len() < 2 || judged.judgement.verdict != Verdict::Growing {
        return None;
    }
    let each = judged.judgement.processes.iter().zip(&judged.processes);
    let growing = each.filter(|(one, _)| one.growth.is_some());
    let pids: Vec<u32> = growing.map(|(_, &process)| verdicts.report.processes[process].pid).collect();
    list(&pids)
}

/// `in pids 1415, 1416 and 3 more`.
fn list(pids: &[u32]) -> Option<String> {
    let named: Vec<String> = pids.iter().take(PIDS).map(u32::to_string).collect();
    Some(match pids.len() {
        0 => return None,
        1 => format!("in pid {}", named[0]),
        count if count > PIDS => format!("in pids {} and {} more", named.join(", "), count - PIDS),
        _ => format!("in pids {}", named.join(", ")),
    })
}

/// The unit behind a rate.
pub(super) fn per(unit: Unit) -> &'static str {
    match unit {
        Unit::Minute => "min",
        Unit::Mark => "mark",
        Unit::Request => "req",
    }
}

/// `312 KiB/req`.
pub(super) fn rate(words: &Words, judged: &Judged) -> String {
    match judged.rate {
        Some(rate) => format!("{}/{}", (words.amount)(rate.bytes.value.max(0.0)), per(rate.unit)),
        None if judged.judgement.verdict == Verdict::Growing => "?".to_string(),
        None => String::new(),
    }
}

/// The frame that a site is named after.
pub(super) fn named<'a>(verdicts: &'a Verdicts, judged: &Judged) -> Option<&'a Frame> {
    let report = &verdicts.report;
    let site = &report.sites[judged.site];
    match &site.name {
        None => report.headline(site).map(|frame| report.paths.frame_at(frame)),
        Some(_) => report.paths.frames(site.path).next(),
    }
}

/// `app.py:17 big`: where a site is, with so many directories of its file.
pub(super) fn site(verdicts: &Verdicts, judged: &Judged, directories: usize) -> String {
    match named(verdicts, judged) {
        Some(frame) => self::frame(frame, directories),
        None => verdicts.report.sites[judged.site].name.clone().unwrap_or_else(|| "?".to_string()),
    }
}

/// The same in few characters.
pub(super) fn without_function(verdicts: &Verdicts, judged: &Judged) -> String {
    match named(verdicts, judged).and_then(|frame| Some((frame.file.as_deref()?, frame.line))) {
        Some((file, line)) => place(file, line, 0),
        None => site(verdicts, judged, 0),
    }
}

pub(super) fn frame(frame: &Frame, directories: usize) -> String {
    let function = frame.function.as_deref().map(|function| short(frame, function));
    match (&frame.file, function, frame.module_name()) {
        (Some(file), Some(function), _) => format!("{} {function}", place(file, frame.line, directories)),
        (Some(file), None, _) => place(file, frame.line, directories),
        (None, Some(function), Some(module)) => format!("{function} [{module}]"),
        (None, None, Some(_)) if frame.kind == Kind::Python => frame.module.clone().unwrap_or_default(),
        _ => frame.label(),
    }
}

/// A function of C++ without its arguments.
fn short<'a>(frame: &Frame, function: &'a str) -> &'a str {
    match frame.kind {
        Kind::Native if !function.starts_with('(') => {
            function.split_once('(').map_or(function, |(name, _)| name.trim_end())
        }
        _ => function,
    }
}

/// What the site's code called that asked for the memory: the innermost Python frame, and a library's function.
pub(super) fn through(verdicts: &Verdicts, judged: &Judged) -> Vec<String> {
    let report = &verdicts.report;
    let Some(path) = judged.stack else { return Vec::new() };
    let named = named(verdicts, judged);
    let mut through = Vec::new();
    let python = report.paths.python_frame(path).map(|frame| report.paths.frame_at(frame));
    if let Some(python) = python.filter(|python| named.is_none_or(|named| named.place() != python.place())) {
        through.push(self::frame(python, 1));
    }
    let library =
        report.paths.frames(path).find(|frame| !frame.is_allocator() && !frame.is_standard_library());
    let library = library.filter(|frame| frame.kind == Kind::Native && !frame.interpreter);
    if let Some(library) =
        library.filter(|library| named.is_none_or(|named| named.label() != library.label()))
    {
        let module = library.module_name().map_or_else(String::new, |module| format!(" [{module}]"));
        through.push(match (library.function.as_deref(), library.module_name()) {
            (Some(function), _) => format!("{}{module}", short(library, function)),
            (None, Some(module)) => module.to_string(),
            (None, None) => library.label(),
        });
    }
    through
}
