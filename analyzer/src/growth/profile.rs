//! Series -> a profile: what stayed and what was live, along an axis of work on which processes can be added up.
use std::ops::Range;

use super::series::ProcessSeries;

/// Cells of the judged part: enough to tell when something stopped, few enough to be filled by a rare leak.
pub(super) const CELLS: usize = 200;
/// Parts of the whole window in which the floor of what is live is looked for.
pub(super) const FLOORS: usize = 10;
/// The part of the work that is too young to judge by: blocks that are born in it may just be in use.
pub(super) const YOUNGEST: f64 = 0.1;
/// Start-up: so great a part of a process's time or of its work, at its beginning.
pub(super) const START: f64 = 0.05;
/// A bucket has at most so many times the mean work: all requests may come in a hundredth of the time, but what has more in
/// less loads something large.
const MOST_WORK: f64 = 100.0;
/// When so much of the work is done, what follows is idling: it makes no block older.
pub(super) const NEARLY_ALL: f64 = 0.99;

/// A process's buckets on an axis from 0 to 1, of which equal parts are equal work.
pub(super) struct Axis {
    /// Work done up to the end of each bucket, as a part of all.
    ends: Vec<f64>,
}

impl Axis {
    /// By what the site's code did, or by all that the process allocated, or by time.
    pub fn of(process: &ProcessSeries, by_time: bool) -> Axis {
        let count = process.series.buckets.len();
        let some = |work: &[u64]| (!by_time && work.iter().sum::<u64>() > 0).then(|| work.to_vec());
        let window = process.window;
        let after_start = (process.series.is_startup == Some(false)).then_some(&window.after_start);
        let of_calls = process.calls.and_then(some);
        let of_run = || after_start.and_then(|work| some(work)).or_else(|| some(&window.allocations));
        let mut work = of_calls.or_else(of_run);
        let work = work.get_or_insert_with(Vec::new);
        work.resize(count, u64::from(work.is_empty()));
        let most = MOST_WORK * work.iter().sum::<u64>() as f64 / count.max(1) as f64;
        let work = work.iter().map(|&work| (work as f64).min(most));
        let all: f64 = work.clone().sum();
        let mut done = 0.0;
        let ends = work.map(|work| {
            done += work;
            if all > 0.0 { (done / all).min(1.0) } else { 1.0 }
        });
        Axis { ends: ends.collect() }
    }

    /// The work during a bucket.
    fn span(&self, bucket: usize) -> (f64, f64) {
        (bucket.checked_sub(1).map_or(0.0, |before| self.ends[before]), self.ends[bucket])
    }

    /// Where a process has started: after so great a part of its time and of its work.
    fn started(&self) -> f64 {
        // A process that idles afterwards has not started later.
        let worked = self.bucket(NEARLY_ALL) + 1;
        let by_time = self.ends.get((START * worked as f64) as usize).copied().unwrap_or(0.0);
        by_time.max(START)
    }

    /// Where a bucket is.
    pub fn middle(&self, bucket: usize) -> f64 {
        let (begin, end) = self.span(bucket);
        (begin + end) / 2.0
    }

    /// The first bucket that ends at or after a position.
    pub fn bucket(&self, position: f64) -> usize {
        self.ends.partition_point(|&end| end < position).min(self.ends.len().saturating_sub(1))
    }

    /// The buckets whose middles are in a part of the axis.
    pub fn buckets(&self, part: Range<f64>) -> Range<usize> {
        let first = |position| (0..self.ends.len()).find(|&bucket| self.middle(bucket) >= position);
        let end = first(part.end).unwrap_or(self.ends.len());
        first(part.start).unwrap_or(end)..end
    }
}

/// Blocks and bytes, which may be spread over cells.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Mass {
    pub blocks: f64,
    pub bytes: f64,
}

impl Mass {
    fn add(&mut self, other: Mass) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }
}

/// What is judged: one process, or the sum of several.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    /// By cell of the judged part: born in it, and unfreed at the end.
    pub unfreed: Vec<Mass>,
    /// At the end of each cell: live.
    pub live: Vec<Mass>,
    /// In each tenth of the whole window, the least that was live.
    pub floors: Vec<Mass>,
    /// In each tenth of the whole window, the blocks that were born per ms of work.
    pub births: Vec<f64>,
}

/// What is judged of a process: the births from its beginning up to here.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Part {
    /// Those that are older than so many ms, and than the youngest part of the work.
    Older(f64),
    /// Those in the first half of the work.
    Half,
    /// All: where nothing is ever freed, what is young will not be either.
    All,
}

impl Part {
    /// Where it is on a process's axis; start-up is left out.
    pub fn range(self, process: &ProcessSeries, axis: &Axis) -> Range<f64> {
        let begin = if process.window.from_birth { axis.started() } else { 0.0 };
        let end = match self {
            Part::Half => 0.5,
            Part::All => 1.0,
            Part::Older(age_ms) => {
                let window = process.window;
                let end_ms = window.begin_ms(Axis::of(process, false).bucket(NEARLY_ALL));
                let by_age = match end_ms - age_ms {
                    before if before < 0.0 => 0.0,
                    old_ms => axis.span(window.ended_by(old_ms)).1,
                };
                by_age.min(1.0 - YOUNGEST)
            }
        };
        begin..end.max(begin)
    }
}

/// In how many parts what stayed of a bucket came: its requests, since hundreds may come between two ticks of the clock.
fn parts(process: &ProcessSeries, bucket: usize) -> usize {
    let requests = process.calls.filter(|_| process.calls_are_requests);
    let requests = requests.and_then(|calls| calls.get(bucket)).copied().unwrap_or(1);
    requests.min(process.series.buckets[bucket].unfreed.blocks).clamp(1, CELLS as u64) as usize
}

impl Profile {
    pub fn empty() -> Profile {
        Profile {
            unfreed: vec![Mass::default(); CELLS],
            live: vec![Mass::default(); CELLS],
            floors: vec![Mass::default(); FLOORS],
            births: vec![0.0; FLOORS],
        }
    }

    pub fn of(process: &ProcessSeries, axis: &Axis, judged: Range<f64>) -> Profile {
        let (mut unfreed, mut live) = (vec![Mass::default(); CELLS], vec![Mass::default(); CELLS]);
        let (mut floors, mut births) = (vec![None::<Mass>; FLOORS], vec![(0.0, 0.0); FLOORS]);
        let series = process.series;
        let mut now = Mass { blocks: series.before.blocks as f64, bytes: series.before.bytes as f64 };
        let length = judged.end - judged.start;
        let scale = if length > 0.0 { CELLS as f64 / length } else { 0.0 };
        let mut filled = 0;
        for (index, bucket) in series.buckets.iter().enumerate() {
            let (begin, end) = axis.span(index);
            let parts = parts(process, index);
            for part in 0..parts {
                let place = begin + (end - begin) * (part as f64 + 0.5) / parts as f64;
                let cell = (place - judged.start) * scale;
                if let Some(cell) = unfreed.get_mut(cell as usize).filter(|_| cell >= 0.0) {
                    cell.blocks += bucket.unfreed.blocks as f64 / parts as f64;
                    cell.bytes += bucket.unfreed.bytes as f64 / parts as f64;
                }
            }
            let before = now;
            now.blocks += bucket.born.blocks as f64 - bucket.freed.blocks as f64;
            now.bytes += bucket.born.bytes as f64 - bucket.freed.bytes as f64;
            let at = |cell: usize| judged.start + (cell + 1) as f64 / CELLS as f64 * length;
            while filled < CELLS && at(filled) <= end {
                let part = ((at(filled) - begin) / (end - begin).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
                live[filled] = Mass {
                    blocks: before.blocks + (now.blocks - before.blocks) * part,
                    bytes: before.bytes + (now.bytes - before.bytes) * part,
                };
                filled += 1;
            }
            if begin >= 1.0 {
                // Idling after the work.
                continue;
            }
            let first = (begin * FLOORS as f64) as usize;
            let last = ((end * FLOORS as f64).ceil() as usize).clamp(first + 1, FLOORS.max(first + 1));
            for tenth in first.min(FLOORS - 1)..last.min(FLOORS) {
                let floor = floors[tenth].get_or_insert(now);
                floor.blocks = floor.blocks.min(now.blocks);
                floor.bytes = floor.bytes.min(now.bytes);
                let share = 1.0 / (last - first) as f64;
                births[tenth].0 += bucket.born.blocks as f64 * share;
                births[tenth].1 += process.window.worked_ms(index) * share;
            }
        }
        live[filled..].fill(now);
        Profile {
            unfreed,
            live,
            floors: floors.into_iter().map(|floor| floor.unwrap_or(now)).collect(),
            births: births.into_iter().map(|(blocks, ms)| if ms > 0.0 { blocks / ms } else { 0.0 }).collect(),
        }
    }

    pub fn add(&mut self, other: &Profile) {
        let masses = |mine: &mut [Mass], theirs: &[Mass]| {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| mine.add(*theirs));
        };
        masses(&mut self.unfreed, &other.unfreed);
        masses(&mut self.live, &other.live);
        masses(&mut self.floors, &other.floors);
        self.births.iter_mut().zip(&other.births).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Blocks born in these cells that are unfreed.
    pub fn stayed(&self, cells: Range<usize>) -> f64 {
        self.unfreed[cells].iter().map(|mass| mass.blocks).sum()
    }
}
