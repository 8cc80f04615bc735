//! Moments as they are typed: the name of a mark, `+10m` since the run began, `17:20:31` by the clock, or `peak`.
use recording::run::OFF;

use crate::cli::{At, BornRange, SelectArgs, duration};
use crate::error::Failure;
use crate::output::{self, utc};
use crate::reader::{self, Mark, ProcessState, Run};
use crate::replay::{Born, Edge, Moment};
use crate::subject::Subject;
use crate::wall_clock;

/// Marks that are named where one is unknown.
const NAMED: usize = 8;

/// The moment to report of a subject.
pub fn moment(subject: &Subject, run: &Run, select: &SelectArgs) -> Result<Moment, Failure> {
    let at = if select.peak { Some(&At::Peak) } else { select.at.as_ref() };
    Ok(match (&subject.moment, at) {
        (Some(_), Some(At::End)) => {
            let why = "a process that began to exit before the moment counts as of before that";
            return Err(Failure::new(&subject.shown, why, "leave out --at end"));
        }
        (Some(_), Some(At::Peak | At::Named(_))) => {
            let advice = if select.peak { "leave out --peak" } else { "leave out --at" };
            return Err(Failure::new(&subject.shown, "that is a moment already", advice));
        }
        (Some(text), _) | (None, Some(At::Named(text))) => named(text, subject, run)?,
        (None, Some(At::End)) => Moment::End,
        (None, Some(At::Peak)) => Moment::Peak,
        (None, Some(At::BeforeExit) | None) => Moment::BeforeExit,
    })
}

/// The moment with which a window ends.
pub fn until(subject: &Subject, run: &Run) -> Result<Moment, Failure> {
    let moment =
        subject.moment.as_deref().map_or(Ok(Moment::BeforeExit), |text| named(text, subject, run))?;
    match moment {
        Moment::Peak => {
            let why = "the peak of each process is a moment of its own";
            Err(Failure::new(&subject.shown, why, "end the window with a mark or a time"))
        }
        moment => Ok(moment),
    }
}

/// A mark is called as it likes.
fn named(text: &str, subject: &Subject, run: &Run) -> Result<Moment, Failure> {
    if text == "peak" && !run.words.marks.iter().any(|mark| mark.name == text) {
        return Ok(Moment::Peak);
    }
    Ok(match edge(text, subject, run)? {
        Edge::Epoch(epoch) => Moment::Epoch(epoch),
        Edge::Time(ms) => Moment::Time(ms),
    })
}

/// A moment that was named, in words: `mark warm, 2026-11-21T17:20:31Z, 3m 12s after the run began`.
pub fn spoken(run: &Run, moment: Moment) -> Option<String> {
    let since = |ns: u64| {
        let since = ns.saturating_sub(begun_ms(run).saturating_mul(1_000_000));
        format!("{} after the run began", output::duration(since))
    };
    match moment {
        Moment::End | Moment::BeforeExit => None,
        Moment::Time(ms) => {
            let ns = ms.saturating_mul(1_000_000);
            let clock = realtime_ns(run, ns).map_or_else(String::new, |ns| format!("{}, ", utc(ns)));
            Some(format!("{clock}{}", since(ns)))
        }
        Moment::Epoch(epoch) => {
            let Mark { name, realtime_ns, monotonic_ns, .. } =
                run.words.marks.iter().find(|mark| mark.epoch == epoch)?;
            Some(format!("mark {name}, {}, {}", utc(*realtime_ns), since(*monotonic_ns)))
        }
        Moment::Peak => Some("the peak".to_string()),
    }
}

/// When a moment was, ns: what began later had not begun. It is not for the order of events.
pub fn monotonic_ns(run: &Run, moment: Moment) -> u64 {
    match moment {
        Moment::End | Moment::BeforeExit | Moment::Peak => u64::MAX,
        Moment::Time(ms) => ms.saturating_mul(1_000_000),
        // The clock of a mark was read after its epoch had begun.
        Moment::Epoch(epoch) => {
            let mark = run.words.marks.iter().find(|mark| mark.epoch == epoch);
            mark.map_or(u64::MAX, |mark| mark.monotonic_ns)
        }
    }
}

/// The window of `--born`.
pub fn born(range: Option<&BornRange>, subject: &Subject, run: &Run) -> Result<Born, Failure> {
    let Some(BornRange { from, to }) = range else { return Ok(Born::default()) };
    let find = |text: &Option<String>| text.as_deref().map(|text| edge(text, subject, run)).transpose();
    let born = Born { from: find(from)?, to: find(to)? };
    if let (Some(first), Some(last)) = (born.from, born.to)
        && time(run, first) > time(run, last)
    {
        let (from, to) = (from.as_deref().unwrap_or_default(), to.as_deref().unwrap_or_default());
        return Err(Failure::new("--born", format_args!("{from} came after {to}"), "turn them round"));
    }
    Ok(born)
}

/// A number that orders moments, as far as both are known.
fn time(run: &Run, edge: Edge) -> Option<u64> {
    match edge {
        Edge::Epoch(epoch) => run.words.time_of(epoch),
        Edge::Time(ms) => Some(ms),
    }
}

/// The moment that a window begins with, and the same on the monotonic clock, ms.
pub fn since(text: &str, subject: &Subject, run: &Run) -> Result<(Edge, u64), Failure> {
    let edge = edge(text, subject, run)?;
    let mark = || run.words.marks.iter().find(|mark| mark.name == text);
    // The clock of a mark was read after its epoch had begun; that of an epoch may be of an instant before.
    let ms = time(run, edge).or_else(|| Some(mark()?.monotonic_ns / 1_000_000));
    Ok((edge, ms.unwrap_or_else(|| begun_ms(run))))
}

fn edge(text: &str, subject: &Subject, run: &Run) -> Result<Edge, Failure> {
    let marks = &run.words.marks;
    if let Some(mark) = marks.iter().find(|mark| mark.name == text) {
        return Ok(Edge::Epoch(mark.epoch));
    }
    let fail = |why: String, advice: String| Failure::new(path(subject), why, advice);
    let begun = begun_ms(run);
    let since = match (text.strip_prefix('+'), wall_clock::parse(text)) {
        (Some(since), _) => {
            let since = duration(since).map_err(|why| fail(format!("'{text}' is no moment"), why))?;
            since.as_millis() as u64
        }
        (None, Some(time)) => {
            let began = realtime_ns(run, begun.saturating_mul(1_000_000)).unwrap_or(0) / 1_000_000;
            match time.ms_after(began) {
                Some(since) => since,
                None => {
                    let advice = format!("the run began at {}", utc(began.saturating_mul(1_000_000)));
                    return Err(fail(format!("'{text}' is earlier than it"), advice));
                }
            }
        }
        (None, None) => return Err(fail(format!("there is no mark '{text}'"), which(subject, marks))),
    };
    match lasted_ms(run, begun) {
        Some(lasted) if since > lasted => {
            let begun = begun.saturating_mul(1_000_000);
            let began =
                realtime_ns(run, begun).map_or_else(String::new, |ns| format!(" from {} on", utc(ns)));
            let began = if text.starts_with('+') { String::new() } else { began };
            let lasted = output::duration(lasted.saturating_mul(1_000_000));
            Err(fail(format!("'{text}' is later than its end"), format!("the run lasted {lasted}{began}")))
        }
        _ => Ok(Edge::Time(begun.saturating_add(since))),
    }
}

/// The wall clock at a monotonic time, both ns, as the run's first process saw it.
fn realtime_ns(run: &Run, monotonic_ns: u64) -> Option<u64> {
    let first = run.recordings.iter().chain(&run.others).min_by_key(|process| process.header.monotonic_ns)?;
    let begun = i128::from(first.header.realtime_ns) - i128::from(first.header.monotonic_ns);
    u64::try_from(begun + i128::from(monotonic_ns)).ok()
}

/// What there is in place of an unknown mark.
fn which(subject: &Subject, marks: &[Mark]) -> String {
    if marks.is_empty() {
        return format!("no mark was set; 'unfreed mark {} NAME' sets one", path(subject));
    }
    let names: Vec<&str> = marks.iter().take(NAMED).map(|mark| mark.name.as_str()).collect();
    let more = if marks.len() > NAMED { " and more: see 'unfreed marks'" } else { "" };
    format!("its marks are {}{more}", names.join(", "))
}

/// What was typed, without the moment.
pub fn path(subject: &Subject) -> &str {
    let moment = subject.moment.as_deref().unwrap_or_default();
    let path = subject.shown.strip_suffix(moment).and_then(|path| path.strip_suffix('@'));
    path.filter(|_| subject.moment.is_some()).unwrap_or(&subject.shown)
}

/// When the run began, monotonic ms.
pub fn begun_ms(run: &Run) -> u64 {
    let first = || run.recordings.iter().chain(&run.others).map(|process| process.header.monotonic_ns).min();
    match run.words.begun_ms {
        0 => first().unwrap_or(0) / 1_000_000,
        begun => begun,
    }
}

/// How long the run has lasted, ms, as far as it is known: nobody noted when a process was killed.
fn lasted_ms(run: &Run, begun_ms: u64) -> Option<u64> {
    let ends = run.recordings.iter().chain(&run.others).map(|process| match &process.state {
        ProcessState::Running => Some(reader::monotonic_ns()),
        _ => Some(process.header.end_monotonic_ns).filter(|end| *end != 0),
    });
    let last = ends.collect::<Option<Vec<u64>>>()?.into_iter().max()?;
    (last / 1_000_000).checked_sub(begun_ms)
}

/// Whether processes of the run that are not switched by themselves record nothing.
pub fn is_off(control: u64) -> bool {
    control & OFF != 0
}
