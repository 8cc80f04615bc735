//! Times of day as they are typed: `17:20`, `17:20:31`, `2026-11-21T17:20:31Z`; all are UTC, as they are printed.

const DAY_MS: u64 = 86_400_000;

/// A time of day, and the day if it was typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WallClock {
    /// Days since 1970.
    day: Option<u64>,
    /// Since midnight.
    ms: u64,
}

/// Reads a time; `None` if it is none.
pub fn parse(text: &str) -> Option<WallClock> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (day, time) = match text.split_once('T') {
        Some((date, time)) => (Some(day(date)?), time),
        None => (None, text),
    };
    let (hour, rest) = time.split_once(':')?;
    let (minute, second) = rest.split_once(':').unwrap_or((rest, "00"));
    let (second, fraction) = second.split_once('.').unwrap_or((second, "000"));
    if fraction.len() > 3 {
        return None;
    }
    let ms = number(fraction, fraction.len(), 999)? * 10u64.pow(3 - fraction.len() as u32);
    let (hour, minute, second) = (number(hour, 2, 23)?, number(minute, 2, 59)?, number(second, 2, 59)?);
    Some(WallClock { day, ms: ((hour * 60 + minute) * 60 + second) * 1000 + ms })
}

impl WallClock {
    /// How long after a moment, ms since 1970, it comes: without a day the next time that it is so late. `None`: before that.
    pub fn ms_after(&self, moment_ms: u64) -> Option<u64> {
        // The moment itself may be typed, as it was printed: to the second.
        let (second, rest) = (moment_ms / 1000 * 1000, moment_ms % 1000);
        let after = match self.day {
            Some(day) => (day * DAY_MS + self.ms).checked_sub(second),
            None => Some((DAY_MS + self.ms - second % DAY_MS) % DAY_MS),
        };
        after.map(|after| after.saturating_sub(rest))
    }
}

/// Days since 1970 of a date as 2026-11-21.
fn day(date: &str) -> Option<u64> {
    let (year, rest) = date.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let (year, month, day) = (number(year, 4, 9999)?, number(month, 2, 12)?, number(day, 2, 31)?);
    if year < 1970 || month == 0 || day == 0 {
        return None;
    }
    // Years begin in March here, so that a leap day is the last of one.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some(days - 719_468)
}

fn number(text: &str, digits: usize, most: u64) -> Option<u64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&number| is_number && number <= most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::utc;

    #[test]
    fn what_is_printed_can_be_typed() {
        for seconds in [0, 951_782_399, 951_782_400, 1_709_251_199, 1_735_689_599, 4_107_542_400u64] {
            let typed = parse(&utc(seconds * 1_000_000_000)).expect("it is a time");
            assert_eq!(typed.ms_after(0), Some(seconds * 1000));
            assert_eq!(typed.ms_after(seconds * 1000 + 999), Some(0));
            assert_eq!(typed.ms_after(seconds * 1000 + 1000), None);
        }
    }

    #[test]
    fn a_time_of_day_is_the_next_one() {
        let noon = 1_735_689_600_000 + 12 * 3_600_000; // of 2025-01-01
        let after = |text| parse(text).expect("it is a time").ms_after(noon);
        assert_eq!(after("12:00:05.25"), Some(5_250));
        assert_eq!(parse("12:00").and_then(|time| time.ms_after(noon + 500)), Some(0));
        assert_eq!(after("13:30"), Some(90 * 60_000));
        assert_eq!(after("00:00:01Z"), Some(12 * 3_600_000 + 1_000));
        assert_eq!(after("2025-01-01T12:00:10Z"), Some(10_000));
        assert_eq!(after("2024-12-31T12:00:10Z"), None);
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "warm",
            "12",
            "12:",
            "24:00",
            "12:60",
            "1:00",
            "12:00:60",
            "12:00:00.1234",
            "+10m",
            "2025-13-01T00:00Z",
            "2025-01-00T00:00",
            "12:00 ",
            "12:0a",
            "v1:20",
            "1969-12-31T00:00",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
