//! What is known of one site in one process over a window of time.
//!
//! A window is cut into buckets of equal length, but for the times in which a process idles; those of all its sites are the same.
use std::ops::{Add, AddAssign};

/// Blocks, and the bytes that were asked for with them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Amount {
    /// Blocks.
    pub blocks: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Amount {
    /// Of one block.
    pub fn block(bytes: u64) -> Amount {
        Amount { blocks: 1, bytes }
    }
}

impl Add for Amount {
    type Output = Amount;

    fn add(self, other: Amount) -> Amount {
        Amount { blocks: self.blocks + other.blocks, bytes: self.bytes + other.bytes }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        *self = *self + other;
    }
}

/// What happened at a site within one bucket.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bucket {
    /// Allocated.
    pub born: Amount,
    /// Freed, whenever it was born.
    pub freed: Amount,
    /// Of the freed: inside Python's cyclic collector.
    pub collected: Amount,
    /// Of the born: unfreed at the end of the window.
    pub unfreed: Amount,
}

/// How long the blocks that were freed within a window had lived: a logarithmic histogram.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Lifetimes {
    /// Entry 0: less than 1 tick (by the recorded clock, 1 ms); entry `n`: from 2^(n-1) ticks to less than 2^n; the last: all that is
    /// longer.
    pub blocks: [u64; Lifetimes::CLASSES],
}

impl Lifetimes {
    /// The last holds what lived for 2^30 ticks and longer: by the clock 12 days.
    pub const CLASSES: usize = 32;

    /// Counts blocks that were freed after so many ticks.
    pub fn add(&mut self, lived: u64, blocks: u64) {
        self.blocks[Self::class(lived)] += blocks;
    }

    /// Takes one back that was added.
    pub fn remove(&mut self, lived: u64) {
        let class = &mut self.blocks[Self::class(lived)];
        *class = class.saturating_sub(1);
    }

    /// Those of another process, or of another stack of the same line.
    pub fn merge(&mut self, other: &Lifetimes) {
        self.blocks.iter_mut().zip(other.blocks).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Blocks that were freed although they had lived for at least 2^`power` ticks.
    pub fn at_least(&self, power: u32) -> u64 {
        self.blocks.iter().skip(power as usize + 1).sum()
    }

    /// A time, ticks, before which so many tenths of the blocks were freed: the end of a class. `None`: there are no blocks, or
    /// they lived for longer than all classes but the last.
    pub fn within(&self, tenths: u64) -> Option<u64> {
        let all: u128 = self.blocks.iter().map(|&blocks| u128::from(blocks)).sum();
        let mut sum = 0;
        let class = self.blocks.iter().position(|&blocks| {
            sum += u128::from(blocks);
            all > 0 && sum * 10 >= all * u128::from(tenths)
        });
        class.filter(|&class| class < Self::CLASSES - 1).map(|class| 1 << class)
    }

    pub(crate) fn class(lived: u64) -> usize {
        ((u64::BITS - lived.leading_zeros()) as usize).min(Self::CLASSES - 1)
    }
}

/// One site in one process over the process's part of the window.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Series {
    /// Live when the window began. A forked process begins with nothing: what it inherited is its parent's.
    pub before: Amount,
    /// Of these, unfreed at the end of the window.
    pub before_unfreed: Amount,
    /// From the beginning of the process's part of the window to its end, without gaps; as many as [`Window::allocations`].
    pub buckets: Vec<Bucket>,
    /// Of all blocks that were freed in the window, those born before it as well; `None` if not known.
    pub lifetimes: Option<Lifetimes>,
    /// The sum over these blocks of how long they had lived, ticks; and of those that the cyclic collector freed.
    pub lived: (u64, u64),
    /// Born in the window, and freed by the full collection with which Python ends: garbage that had waited for one, and memory
    /// of freed objects that it kept for others. They are not in the buckets.
    pub collected_at_exit: Amount,
    /// Born in the window and held by the interpreter's own table of bounded size. They are not in the buckets.
    pub names: Amount,
    /// Whether all that this site allocated belongs to the start of the program, as far as its stacks tell (imports,
    /// the interpreter's initialization); `None` if they do not.
    pub is_startup: Option<bool>,
    /// Only the unfreed blocks and when they were born are known, not what was freed: the log was bounded. Then of the
    /// born only the unfreed are there, and nothing was freed.
    pub only_unfreed: bool,
}

impl Series {
    /// Adds another series of the same process and window: another stack of the same line.
    pub fn merge(&mut self, other: &Series) {
        self.before += other.before;
        self.before_unfreed += other.before_unfreed;
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), Bucket::default());
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            mine.born += theirs.born;
            mine.freed += theirs.freed;
            mine.collected += theirs.collected;
            mine.unfreed += theirs.unfreed;
        }
        self.lifetimes = match (self.lifetimes, &other.lifetimes) {
            (Some(mut mine), Some(theirs)) => {
                mine.merge(theirs);
                Some(mine)
            }
            _ => None,
        };
        self.is_startup = match (self.is_startup, other.is_startup) {
            (Some(mine), Some(theirs)) => Some(mine && theirs),
            _ => None,
        };
        self.lived.0 += other.lived.0;
        self.lived.1 += other.lived.1;
        self.collected_at_exit += other.collected_at_exit;
        self.names += other.names;
        self.only_unfreed |= other.only_unfreed;
    }
}

/// The part of the window in which a process lived: what all of its sites have in common.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Window {
    /// Ticks in a ms, in which time is counted: 1, or more where the order within a ms of the clock is known.
    pub ticks_per_ms: u64,
    /// Time in a bucket in which something may have been allocated, ticks, at most; at least 1.
    pub bucket: u64,
    /// When each bucket ends, ticks after the first one begins: a time in which nothing was allocated is all in one.
    pub ends: Vec<u64>,
    /// The process's activity: blocks that it allocated in each bucket, at all sites that do not belong to its start as far
    /// as that is known.
    pub allocations: Vec<u64>,
    /// Where these are nearly all of the start, and so count after all: those that are not. Else none.
    pub after_start: Vec<u64>,
    /// The window begins with the process: what comes first is its start-up.
    pub from_birth: bool,
}

impl Window {
    /// When a bucket begins, ms after the first one does.
    pub fn begin_ms(&self, bucket: usize) -> f64 {
        bucket.checked_sub(1).map_or(0.0, |before| self.end_ms(before))
    }

    /// When it ends; of those behind the last one, when that does.
    pub fn end_ms(&self, bucket: usize) -> f64 {
        self.ends.get(bucket).or(self.ends.last()).copied().unwrap_or(0) as f64 * self.tick_ms()
    }

    /// How many buckets begin before that.
    pub fn begun_before(&self, ms: f64) -> usize {
        let ended = self.ends.partition_point(|&end| (end as f64) * self.tick_ms() < ms);
        if ms > 0.0 { (ended + 1).min(self.ends.len()) } else { 0 }
    }

    /// How many end by then.
    pub fn ended_by(&self, ms: f64) -> usize {
        self.ends.partition_point(|&end| end as f64 * self.tick_ms() <= ms)
    }

    /// From the first bucket to the last, ms.
    pub fn length_ms(&self) -> f64 {
        self.end_ms(self.ends.len())
    }

    /// How long it may have worked in a bucket, ms: all of it, unless it idled.
    pub fn worked_ms(&self, bucket: usize) -> f64 {
        (self.end_ms(bucket) - self.begin_ms(bucket)).min(self.bucket as f64 * self.tick_ms())
    }

    /// What a tick lasts, ms.
    pub fn tick_ms(&self) -> f64 {
        1.0 / self.ticks_per_ms.max(1) as f64
    }
}

/// What is judged: a site in one process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessSeries<'a> {
    /// The process's part of the window.
    pub window: &'a Window,
    /// The site.
    pub series: &'a Series,
    /// How much the requests that lead to the site worked in each bucket: blocks that were allocated *and freed again*
    /// beneath the outermost own line of each of the site's stacks, at all sites. With it, a request that is no longer
    /// made is told from a store that is full. `None`, where not all of them are beneath a handler of requests: the
    /// process's activity serves.
    pub calls: Option<&'a [u64]>,
    /// `calls` are requests: what stays of a bucket with many of them came in as many steps, of which the clock does not tell.
    pub calls_are_requests: bool,
}
