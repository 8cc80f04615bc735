//! Which pages of a mapping are resident: as `/proc/PID/pagemap` says, or as far as `smaps` lets guess.

/// Pages in a row that are resident, by address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Of the first.
    pub start: u64,
    /// Behind the last.
    pub end: u64,
    /// No other process has them. Pages that were read and never written are none of a process's, nor counted in its RSS: they
    /// are not exclusive either.
    pub exclusive: bool,
}

/// Bits of a page's word.
const PRESENT: u64 = 1 << 63;
const EXCLUSIVE: u64 = 1 << 56;

/// The runs of pages that begin at `start`, of these words of the page map.
pub fn of_words(start: u64, page: u64, words: impl Iterator<Item = u64>) -> Vec<Run> {
    let mut runs = Vec::new();
    for (index, word) in words.enumerate() {
        if word & PRESENT != 0 {
            push(&mut runs, start + index as u64 * page, page, word & EXCLUSIVE != 0);
        }
    }
    runs
}

/// Adds a page behind those that are there.
pub fn push(runs: &mut Vec<Run>, start: u64, page: u64, exclusive: bool) {
    match runs.last_mut() {
        Some(last) if last.end == start && last.exclusive == exclusive => last.end += page,
        _ => runs.push(Run { start, end: start + page, exclusive }),
    }
}

/// So many resident bytes of `[start, end)`, where nobody says which: pages with blocks first, since these are in use.
/// `blocks` are the first and the last byte of each, in order.
pub fn guess(
    (start, end): (u64, u64),
    rss: u64,
    page: u64,
    blocks: impl Iterator<Item = (u64, u64)>,
) -> Vec<Run> {
    let mut left = rss / page;
    let mut in_use: Vec<Run> = Vec::new();
    for (first, last) in blocks {
        let known = in_use.last().map_or(start, |run| run.end);
        let mut at = (first / page * page).max(known);
        while at <= last && at < end && left > 0 {
            push(&mut in_use, at, page, true);
            (at, left) = (at + page, left - 1);
        }
    }
    let mut runs: Vec<Run> = Vec::new();
    let mut at = start;
    for run in in_use.into_iter().chain([Run { start: end, end, exclusive: true }]) {
        let more = (left * page).min(run.start - at);
        left -= more / page;
        let gap = Run { start: at, end: at + more, exclusive: true };
        for run in [gap, run].into_iter().filter(|run| run.start < run.end) {
            match runs.last_mut() {
                Some(last) if last.end == run.start => last.end = run.end,
                _ => runs.push(run),
            }
        }
        at = run.end;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, end: u64, exclusive: bool) -> Run {
        Run { start, end, exclusive }
    }

    #[test]
    fn words_of_the_page_map() {
        let words = [PRESENT | EXCLUSIVE, PRESENT | EXCLUSIVE, 1 << 62, PRESENT, 0, PRESENT | EXCLUSIVE];
        let runs = of_words(0x10000, 0x1000, words.into_iter());
        assert_eq!(
            runs,
            [run(0x10000, 0x12000, true), run(0x13000, 0x14000, false), run(0x15000, 0x16000, true)]
        );
    }

    #[test]
    fn without_the_page_map_pages_with_blocks_are_resident_first() {
        let guessed =
            |rss| guess((0x1000, 0x9000), rss, 0x1000, [(0x3010, 0x3020), (0x3ff0, 0x4010)].into_iter());
        assert_eq!(guessed(0), []);
        assert_eq!(guessed(0x1000), [run(0x3000, 0x4000, true)]);
        assert_eq!(guessed(0x2000), [run(0x3000, 0x5000, true)]);
        assert_eq!(guessed(0x3000), [run(0x1000, 0x2000, true), run(0x3000, 0x5000, true)]);
        assert_eq!(guessed(0x8000), [run(0x1000, 0x9000, true)]);
    }
}
