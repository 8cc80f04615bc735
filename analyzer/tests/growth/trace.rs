//! What a site did, block by block, and the way from there to series: as a recording would tell it.
use analyzer::growth::{Amount, Bucket, Lifetimes, ProcessSeries, Series, Window};

/// A block's life; times are in ms since the run's beginning.
#[derive(Clone, Copy)]
pub struct Life {
    pub born: f64,
    /// `None`: never, in as long a run as one likes.
    pub freed: Option<f64>,
    pub size: u64,
    /// Freed inside the cyclic collector.
    pub is_collected: bool,
    /// What the verdict should be about.
    pub is_leaked: bool,
}

/// One process: its life, what the site did in it, and what all else did.
#[derive(Clone, Default)]
pub struct Process {
    pub begin: f64,
    pub end: f64,
    pub lives: Vec<Life>,
    /// Allocations of other sites: when, how many.
    pub others: Vec<(f64, u64)>,
    /// When the code that leads to the site was called.
    pub calls: Option<Vec<f64>>,
    pub is_startup: Option<bool>,
}

/// How a recording is looked at.
#[derive(Clone, Copy)]
pub struct View {
    /// Where the window begins (a mark).
    pub since: Option<f64>,
    /// The clock that is recorded goes in steps of so many ms.
    pub clock: f64,
    /// Buckets at most; a recording has from half as many to all.
    pub buckets: u64,
    /// Only what is unfreed is known.
    pub only_unfreed: bool,
}

/// A process as it is judged.
pub struct Binned {
    pub window: Window,
    pub series: Series,
    pub calls: Option<Vec<u64>>,
    /// The leaked of each bucket.
    pub leaked: Vec<Amount>,
}

impl Binned {
    pub fn as_series(&self) -> ProcessSeries<'_> {
        ProcessSeries {
            window: &self.window,
            series: &self.series,
            calls: self.calls.as_deref(),
            calls_are_requests: false,
        }
    }
}

impl Process {
    /// The same, begun later.
    pub fn later(mut self, by: f64) -> Process {
        self.begin += by;
        self.end += by;
        for life in &mut self.lives {
            life.born += by;
            life.freed = life.freed.map(|freed| freed + by);
        }
        self.others.iter_mut().for_each(|other| other.0 += by);
        self.calls.iter_mut().flatten().for_each(|call| *call += by);
        self
    }

    /// Counts what happened in buckets of a power of two of ms, as the timeline of a recording does.
    pub fn binned(&self, view: &View) -> Binned {
        let tick = |time: f64| (time / view.clock).floor() * view.clock;
        let begin = view.since.unwrap_or(0.0).max(self.begin);
        let mut width = 1;
        let bucket = |time: f64, width: u64| tick(time) as u64 / width;
        while bucket(self.end, width) - bucket(self.begin, width) >= view.buckets {
            width *= 2;
        }
        let first = bucket(begin, width);
        let count = (bucket(self.end, width) - first + 1) as usize;
        let index = |time: f64| (bucket(time, width).max(first) - first) as usize;
        let ends = (1..=count as u64).map(|end| end * width).collect();
        let allocations = vec![0; count];
        let mut window = Window {
            ticks_per_ms: 1,
            bucket: width,
            ends,
            allocations,
            after_start: Vec::new(),
            from_birth: begin == self.begin,
        };
        let mut series = Series {
            buckets: vec![Bucket::default(); count],
            is_startup: self.is_startup,
            ..Series::default()
        };
        let (mut lifetimes, mut leaked) = (Lifetimes::default(), vec![Amount::default(); count]);
        let inside = |time: f64| time >= begin && time <= self.end;
        for life in self.lives.iter().filter(|life| life.born <= self.end) {
            let size = Amount::block(life.size);
            let freed = life.freed.filter(|&freed| freed <= self.end);
            if inside(life.born) {
                window.allocations[index(life.born)] += 1;
                let bucket = &mut series.buckets[index(life.born)];
                bucket.born += size;
                if freed.is_none() {
                    bucket.unfreed += size;
                }
                if life.is_leaked {
                    leaked[index(life.born)] += size;
                }
            } else if freed.is_none_or(|freed| freed >= begin) {
                series.before += size;
                if freed.is_none() {
                    series.before_unfreed += size;
                }
            }
            if let Some(freed) = freed.filter(|&freed| freed >= begin) {
                let bucket = &mut series.buckets[index(freed)];
                bucket.freed += size;
                if life.is_collected {
                    bucket.collected += size;
                }
                let lived = (tick(freed) - tick(life.born)) as u64;
                lifetimes.add(lived, 1);
                series.lived.0 += lived;
                series.lived.1 += if life.is_collected { lived } else { 0 };
            }
        }
        for &(time, allocations) in self.others.iter().filter(|other| inside(other.0)) {
            window.allocations[index(time)] += allocations;
        }
        series.lifetimes = Some(lifetimes);
        if view.only_unfreed {
            only_unfreed(&mut series);
        }
        let calls = self.calls.as_ref().map(|calls| {
            let mut by_bucket = vec![0; count];
            calls.iter().filter(|&&call| inside(call)).for_each(|&call| by_bucket[index(call)] += 1);
            by_bucket
        });
        Binned { window, series, calls, leaked }
    }
}

/// What is left of a series when the log is gone.
fn only_unfreed(series: &mut Series) {
    series.only_unfreed = true;
    series.lifetimes = None;
    series.lived = (0, 0);
    series.before = series.before_unfreed;
    for bucket in &mut series.buckets {
        *bucket = Bucket { born: bucket.unfreed, unfreed: bucket.unfreed, ..Bucket::default() };
    }
}
