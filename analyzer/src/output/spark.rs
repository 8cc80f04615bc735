//! How a number went, drawn in a line of text: `▁▁▂▄▅▇█`.
use std::env;

/// What lines are drawn with.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Charset {
    /// Blocks of eight heights.
    #[default]
    Unicode,
    /// For terminals that know no others: eight characters, each darker than the one before.
    Ascii,
}

impl Charset {
    /// What the locale of this process can show.
    pub fn of_locale() -> Charset {
        // The first that is set tells, as in setlocale(3).
        let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(env::var_os);
        let locale =
            set.map(|value| value.to_string_lossy().to_ascii_lowercase()).find(|name| !name.is_empty());
        let is_utf8 = locale.is_some_and(|name| name.contains("utf-8") || name.contains("utf8"));
        if is_utf8 { Charset::Unicode } else { Charset::Ascii }
    }

    fn levels(self) -> [char; 8] {
        match self {
            Charset::Unicode => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Charset::Ascii => ['_', '.', ':', '-', '=', '+', '*', '#'],
        }
    }
}

/// Draws values in `width` characters, each the largest of its part; the highest level is the largest of all, and the
/// lowest is 0 alone. Without values, nothing.
pub fn spark(values: &[u64], width: usize, charset: Charset) -> String {
    let levels = charset.levels();
    let most = values.iter().copied().max().unwrap_or(0);
    let part = |index: usize| {
        let begin = index * values.len() / width;
        let end = ((index + 1) * values.len() / width).max(begin + 1);
        values[begin..end].iter().copied().max().unwrap_or(0)
    };
    let steps = levels.len() as u128 - 1;
    let level = |value: u64| (u128::from(value) * steps).div_ceil(u128::from(most.max(1))) as usize;
    let width = if values.is_empty() { 0 } else { width };
    (0..width).map(|index| levels[level(part(index))]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_high_as_its_largest_value() {
        let of = |values: &[u64], width| spark(values, width, Charset::Unicode);
        assert_eq!(of(&[0, 1, 2, 3, 4, 5, 6, 7], 8), "▁▂▃▄▅▆▇█");
        assert_eq!(of(&[0, 1, u64::MAX], 3), "▁▂█");
        assert_eq!(of(&[7, 7, 7], 3), "███");
        assert_eq!(of(&[0, 0], 2), "▁▁");
        assert_eq!(of(&[], 8), "");
        assert_eq!(spark(&[0, 1, 2, 3, 4, 5, 6, 7], 8, Charset::Ascii), "_.:-=+*#");
    }

    #[test]
    fn values_that_are_more_or_less_than_characters() {
        let of = |values: &[u64], width| spark(values, width, Charset::Ascii);
        assert_eq!(of(&[0, 0, 7, 0, 0, 0, 0, 1], 4), "_#_.");
        assert_eq!(of(&[0, 7], 6), "___###");
        assert_eq!(of(&[1, 2, 3], 0), "");
        let long: Vec<u64> = (0..1_000).collect();
        assert_eq!(of(&long, 7), ".:-=+*#");
        assert_eq!(of(&long, 16).len(), 16);
    }
}
