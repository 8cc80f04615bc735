//! A series as a row of bars.
use std::collections::VecDeque;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 8] = ['_', '.', ',', '-', '~', '=', '+', '#'];

/// So many characters, the latest reading at the end. From the least to the most; but what changes by less than an eighth of
/// itself does not fill the height.
pub fn bars(series: &VecDeque<u64>, width: usize, unicode: bool) -> String {
    let values = resampled(series, width);
    let (least, most) =
        values.iter().fold((u64::MAX, 0), |(low, high), &value| (low.min(value), high.max(value)));
    let range = most.saturating_sub(least).max(most / 8).max(1);
    let bars = if unicode { BARS } else { ASCII };
    let bar = |value: u64| bars[((value - least) as u128 * 7 / u128::from(range)).min(7) as usize];
    let text: String = values.iter().map(|&value| bar(value)).collect();
    format!("{text:>width$}")
}

/// At most so many values; where there are more, of several the last one.
fn resampled(series: &VecDeque<u64>, width: usize) -> Vec<u64> {
    let count = series.len();
    match count {
        0 => Vec::new(),
        _ if count <= width => series.iter().copied().collect(),
        _ => (1..=width).map(|at| series[at * count / width - 1]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(series: &[u64], width: usize) -> String {
        bars(&VecDeque::from(series.to_vec()), width, true)
    }

    #[test]
    fn series_become_bars() {
        assert_eq!(of(&[1, 2, 3, 4, 5, 6, 7, 8], 8), "▁▂▃▄▅▆▇█");
        assert_eq!(of(&[1, 2, 3, 4, 5, 6, 7, 8], 4), "▁▃▅█");
        assert_eq!(of(&[5, 5], 4), "  ▁▁");
        assert_eq!(of(&[1000, 1001, 1002], 3), "▁▁▁", "hardly anything");
        assert_eq!(of(&[0, u64::MAX], 2), "▁█");
        assert_eq!(of(&[], 3), "   ");
        assert_eq!(bars(&VecDeque::from([0, 7]), 3, false), " _#");
    }
}
