//! What the values of options are read from: one line says what is wrong with one.
use std::ffi::OsStr;
use std::fmt;
use std::time::Duration;

use clap::builder::{EnumValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Command, ValueEnum};
use recording::run::MARK_NAME;
use regex::Regex;

use super::{At, Per};
use crate::aggregate::By;
use crate::check::Noise;
use crate::wall_clock;

/// A moment, see [`At`].
pub(super) fn moment(text: &str) -> Result<At, String> {
    match text {
        "before-exit" => Ok(At::BeforeExit),
        "end" => Ok(At::End),
        "peak" => Ok(At::Peak),
        "" => Err("expected before-exit, end, peak, a mark, +10m or 17:20:31".to_string()),
        _ => Ok(At::Named(text.to_string())),
    }
}

/// What makes one site, or a class of blocks.
#[derive(Clone)]
pub(super) struct ByParser;

impl ByParser {
    const CLASSES: [(By, &str, &str); 2] = [
        (By::Size, "size", "How large blocks are, in classes up to powers of two"),
        (By::Age, "age", "How old they are at the moment of which the report speaks"),
    ];
}

impl TypedValueParser for ByParser {
    type Value = By;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<By, clap::Error> {
        let class = Self::CLASSES.into_iter().find(|(_, name, _)| value == *name);
        let known = PossibleValuesParser::new(self.possible_values().into_iter().flatten());
        let name = known.parse_ref(command, arg, value)?;
        match class {
            Some((by, ..)) => Ok(by),
            None => EnumValueParser::<By>::new().parse_ref(command, arg, OsStr::new(&name)),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let sites = By::value_variants().iter().filter_map(By::to_possible_value);
        let classes = Self::CLASSES.into_iter().map(|(_, name, help)| PossibleValue::new(name).help(help));
        Some(Box::new(sites.chain(classes)))
    }
}

pub(super) fn regular_expression(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| {
        // The crate draws several lines for a syntax error; the last one says what is wrong.
        let drawn = error.to_string();
        let reason = drawn.lines().last().unwrap_or_default().trim();
        reason.strip_prefix("error: ").unwrap_or(reason).to_string()
    })
}

pub(super) fn limit(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected a number of sites; 0 is all".to_string())
}

/// Permissions of files, in octal.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| digits);
    mode.filter(|mode| mode & !0o066 == 0o600).ok_or_else(|| {
        "expected octal digits such as 640: 6 for yourself, and 0, 4 or 6 for the others".to_string()
    })
}

/// How large the log may grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MaxLog {
    /// Bytes, a multiple of 1,024.
    Bytes(u64),
    /// As it goes.
    Unlimited,
}

/// As the interposer reads it.
impl fmt::Display for MaxLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaxLog::Bytes(0) => f.write_str("0"),
            MaxLog::Bytes(bytes) => {
                let (unit, shift) = [("G", 30), ("M", 20)]
                    .into_iter()
                    .find(|(_, shift)| bytes.trailing_zeros() >= *shift)
                    .unwrap_or(("K", 10));
                write!(f, "{}{unit}", bytes >> shift)
            }
            MaxLog::Unlimited => f.write_str("unlimited"),
        }
    }
}

/// A size with a unit of 1,024; `KiB` and `K` are the same.
pub(super) fn max_log(text: &str) -> Result<MaxLog, String> {
    if text == "unlimited" {
        return Ok(MaxLog::Unlimited);
    }
    let expected = || "expected a size such as 64M or 2G, 0 for no events, or unlimited".to_string();
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..unit].parse().map_err(|_| expected())?;
    let shift = match text[unit..].to_ascii_lowercase().as_str() {
        "" if number == 0 => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err(expected()),
    };
    number.checked_mul(1 << shift).map(MaxLog::Bytes).ok_or_else(|| "too large".to_string())
}

/// A size with a unit of 1,024, bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    match max_log(text) {
        Ok(MaxLog::Bytes(bytes)) if bytes > 0 => Ok(bytes),
        Err(why) if why == "too large" => Err(why),
        _ => Err("expected a size such as 512M or 2G".to_string()),
    }
}

/// Bytes: `4096`, `64KiB`, `1.5M`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let expected = || "expected a size such as 64KiB, 1.5MiB or 0".to_string();
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..unit].parse().map_err(|_| expected())?;
    let shift = match text[unit..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err(expected()),
    };
    let bytes = number * (1u64 << shift) as f64;
    if bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err("too large".to_string()) }
}

/// Bytes for each unit of growth: `64KiB/request`.
pub(super) fn growth(text: &str) -> Result<(u64, Per), String> {
    let expected = || "expected a size and a unit, such as 64KiB/request, 1MiB/minute or 0/mark".to_string();
    let (size, unit) = text.split_once('/').ok_or_else(expected)?;
    let unit = Per::from_str(unit, false).map_err(|_| expected())?;
    Ok((bytes(size).map_err(|_| expected())?, unit))
}

/// What is no difference: `5%`, `16KiB`, or both; the other one is 0.
pub(super) fn noise(text: &str) -> Result<Noise, String> {
    let expected = || "expected a percentage, a size, or both, such as 5%,4KiB".to_string();
    let mut noise = Noise { percent: 0.0, bytes: 0 };
    for part in text.split(',') {
        match part.strip_suffix('%') {
            Some(percent) => {
                let known =
                    percent.parse().ok().filter(|percent: &f64| percent.is_finite() && *percent >= 0.0);
                noise.percent = known.ok_or_else(expected)?;
            }
            None => noise.bytes = bytes(part).map_err(|_| expected())?,
        }
    }
    Ok(noise)
}

/// The name of a mark, which must be told from a path, a duration and a range of marks.
pub(super) fn mark_name(text: &str) -> Result<String, String> {
    match text {
        "" => Err("expected a name".to_string()),
        _ if text.len() > MARK_NAME => Err(format!("longer than {MARK_NAME} bytes")),
        _ if text.starts_with('+') => Err("+ begins a time since the run began, and no name".to_string()),
        _ if wall_clock::parse(text).is_some() => Err("that is a time of day, and no name".to_string()),
        _ if text.contains(['@', '/']) || text.contains("..") => Err("a name has no @, / and ..".to_string()),
        _ if text.contains(char::is_control) => Err("expected one line of text".to_string()),
        _ => Ok(text.to_string()),
    }
}

/// A window in which blocks were allocated: each end a mark or a time, or open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BornRange {
    /// From this moment on.
    pub from: Option<String>,
    /// Up to this one.
    pub to: Option<String>,
}

/// Of a window `FROM..TO`, either of which may be left out.
pub(super) fn born(text: &str) -> Result<BornRange, String> {
    let expected = "expected FROM..TO, each a mark or a time such as +10m: warm..end, warm.., ..+10m";
    let (from, to) =
        text.split_once("..").filter(|(from, to)| !from.is_empty() || !to.is_empty()).ok_or(expected)?;
    let known = |end: &str| (!end.is_empty()).then(|| end.to_string());
    Ok(BornRange { from: known(from), to: known(to) })
}

/// The name or path of an executable, in which `*` stands for anything.
pub(super) fn executable(text: &str) -> Result<String, String> {
    match text {
        "" => Err("expected the name of a program's file, or its path".to_string()),
        _ if text.contains(':') => Err("a name with ':' cannot be told from two".to_string()),
        _ => Ok(text.to_string()),
    }
}

/// A length of time.
pub fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number and a unit, such as 500ms, 90s, 10m, 1h30m or 2d".to_string();
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() || text.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
        let number: u64 = rest[..digits].parse().map_err(|_| expected())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit_ms: u64 = match &rest[..unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(expected()),
        };
        rest = &rest[unit..];
        let part = number.checked_mul(unit_ms).map(Duration::from_millis);
        total = part.and_then(|part| total.checked_add(part)).ok_or("too long")?;
    }
    Ok(total)
}

/// A length of time between two looks: seconds, or as [`duration`].
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let expected = || "expected seconds, such as 2 or 0.5, or a duration such as 500ms or 2m".to_string();
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| expected())?,
        Err(_) => duration(text).map_err(|_| expected())?,
    };
    if seconds < Duration::from_millis(100) { Err("shorter than 100ms".to_string()) } else { Ok(seconds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        assert_eq!(mode("640"), Ok(0o640));
        assert_eq!(mode("0666"), Ok(0o666));
        for wrong in ["", "040", "755", "1640", "rw", "+640", "-1"] {
            assert!(mode(wrong).is_err_and(|why| why.contains("640")), "{wrong}");
        }
    }

    #[test]
    fn windows() {
        let range = |from: &str, to: &str| {
            let end = |text: &str| (!text.is_empty()).then(|| text.to_string());
            Ok(BornRange { from: end(from), to: end(to) })
        };
        assert_eq!(born("warm..end"), range("warm", "end"));
        assert_eq!(born("+1m..+1h30m"), range("+1m", "+1h30m"));
        assert_eq!((born("warm.."), born("..v1.2")), (range("warm", ""), range("", "v1.2")));
        for wrong in ["", "..", "warm", "warm-end"] {
            assert!(born(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_of_logs() {
        for (text, size) in [
            ("0", MaxLog::Bytes(0)),
            ("64m", MaxLog::Bytes(64 << 20)),
            ("512KiB", MaxLog::Bytes(512 << 10)),
            ("2G", MaxLog::Bytes(2 << 30)),
            ("unlimited", MaxLog::Unlimited),
        ] {
            assert_eq!(max_log(text), Ok(size), "{text}");
            assert_eq!(max_log(&size.to_string()), Ok(size), "{text} passed on");
        }
        for wrong in ["", "M", "-1", "1.5G", "64", "64 M", "64MB", "99999999999T", "99999999999999999999K"] {
            assert!(max_log(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        for (text, size) in [
            ("0", 0),
            ("4096", 4096),
            ("10B", 10),
            ("64KiB", 65_536),
            ("1.5m", 3 << 19),
            ("2G", 2 << 30),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for wrong in ["", "KiB", "-1", "1 KiB", "1MB", "1.2.3", ".", "nan", "inf", "99999999999T"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn growths() {
        assert_eq!(growth("64KiB/request"), Ok((65_536, Per::Request)));
        assert_eq!(
            (growth("0/mark"), growth("1.5M/minute")),
            (Ok((0, Per::Mark)), Ok((3 << 19, Per::Minute)))
        );
        for wrong in ["", "64KiB", "/request", "64KiB/", "64KiB/hour", "1/2/mark"] {
            assert!(growth(wrong).is_err_and(|why| why.contains("64KiB/request")), "{wrong}");
        }
    }

    #[test]
    fn noises() {
        for (text, percent, bytes) in [
            ("5%,4KiB", 5.0, 4096),
            ("4KiB,5%", 5.0, 4096),
            ("0", 0.0, 0),
            ("2.5%", 2.5, 0),
            ("1M", 0.0, 1 << 20),
        ] {
            assert_eq!(noise(text), Ok(Noise { percent, bytes }), "{text}");
        }
        for wrong in ["", "%", "-5%", "5%,", "5 %", "x%", "inf%", "NaN%"] {
            assert!(noise(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in
            [("500ms", 500), ("90s", 90_000), ("10m", 600_000), ("1h30m", 5_400_000), ("2d", 172_800_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "10",
            "m",
            "-5s",
            "1.5h",
            "10 m",
            "5x",
            "10m5",
            "99999999999999999999s",
            "999999999999999999d",
        ] {
            assert!(duration(text).is_err(), "{text:?} is no duration");
        }
    }

    #[test]
    fn intervals() {
        for (text, ms) in [("2", 2_000), ("0.5", 500), ("250ms", 250), ("1m", 60_000)] {
            assert_eq!(interval(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for wrong in ["", "0", "-1", "nan", "inf", "fast", "1e300", "10ms"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bad_regular_expression_is_one_line() {
        assert_eq!(regular_expression("(").unwrap_err(), "unclosed group");
    }
}
