//! Numbers as people read them: KiB and MiB, thousands separators, durations.
use std::fmt;

/// Bytes: `512 B`, `18.3 MiB`, always powers of 1024, as tracemalloc writes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&size(self.0))
    }
}

fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 100.0 && unit != "B" {
            return format!("{value:.1} {unit}");
        }
        if value < 10.0 * 1024.0 {
            return format!("{value:.0} {unit}");
        }
        value /= 1024.0;
    }
    format!("{} TiB", Number(value as u64))
}

/// A change of bytes: `+15.3 MiB`, `-512 B`, `+0 B`.
pub fn signed_size(bytes: i128) -> String {
    let sign = if bytes < 0 { '-' } else { '+' };
    format!("{sign}{}", Size(u64::try_from(bytes.unsigned_abs()).unwrap_or(u64::MAX)))
}

/// A count with thousands separators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Number(pub u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// A change of a count.
pub fn signed_number(change: i128) -> String {
    let sign = if change < 0 { '-' } else { '+' };
    format!("{sign}{}", Number(u64::try_from(change.unsigned_abs()).unwrap_or(u64::MAX)))
}

/// `12 blocks`, `1 block`.
pub fn counted(count: u64, one: &str) -> String {
    format!(
        "{} {one}{}",
        Number(count),
        if count == 1 {
            ""
        } else if one.ends_with('s') {
            "es"
        } else {
            "s"
        }
    )
}

/// `850 ms`, `12.3 s`, `12m 03s`, `2h 05m`.
pub fn duration(ns: u64) -> String {
    let ms = ns / 1_000_000;
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{} s", seconds, ms % 1000 / 100),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A moment, ns since 1970, as `2026-11-21T17:20:31Z`.
pub fn utc(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (mut days, time) = (seconds / 86_400, seconds % 86_400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (bytes, text) in [
            (0, "0 B"),
            (512, "512 B"),
            (10_239, "10239 B"),
            (10_240, "10.0 KiB"),
            (154_624, "151 KiB"),
            (19_189_000, "18.3 MiB"),
            (5_000_000_000, "4768 MiB"),
            (50_000_000_000, "46.6 GiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!(signed_size(-2048), "-2048 B");
        assert_eq!(signed_size(16_000_000), "+15.3 MiB");
    }

    #[test]
    fn counts_have_separators() {
        assert_eq!(Number(1_234_567).to_string(), "1,234,567");
        assert_eq!(Number(999).to_string(), "999");
        assert_eq!(counted(1, "block"), "1 block");
        assert_eq!(counted(1000, "process"), "1,000 processes");
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds * 1_000_000_000 + 999_999_999), text);
        }
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(850_000_000), "850 ms");
        assert_eq!(duration(12_340_000_000), "12.3 s");
        assert_eq!(duration(723_000_000_000), "12m 03s");
        assert_eq!(duration(7_500_000_000_000), "2h 05m");
    }
}
