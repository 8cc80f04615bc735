//! What each site of a process did within the window: looks on while the process is replayed.
use recording::{Address, StackId};

use super::at_exit::AtExit;
use super::last_frees::{LastFree, LastFrees};
use super::names::{Names, PushedOut};
use super::scale::{Pace, Scale, Walk};
use crate::fast_map::FastMap;
use crate::growth::{Amount, Lifetimes};
use crate::reader::Recording;
use crate::replay::{Birth, Block, Born, BornIn, Edge, Observer, Place, Replayed, Survivors, Timeline};

/// What happens before the window is summed up, and what happens in it is a timeline.
pub struct Watch {
    /// The window in this process.
    pub span: BornIn,
    /// What was allocated and freed in it: in ticks, where others have ms.
    pub timeline: Timeline,
    /// The latest clock, and the latest tick. A thread that only frees notes none.
    now_ms: u64,
    now: u64,
    /// What is needed where time is not told by the clock.
    fine: Option<Fine>,
    /// The sites.
    pub sites: Vec<Watched>,
    /// What was freed last in it.
    last_frees: LastFrees,
    /// What the collector freed after it.
    pub at_exit: AtExit,
    names: Names,
}

/// Of a site, what is no series.
#[derive(Clone, Default, Debug)]
pub struct Watched {
    /// Live when the window began.
    pub before: Amount,
    /// How long the blocks had lived that were freed in it.
    pub lifetimes: Lifetimes,
    /// The sum of it, ticks; and of those that the cyclic collector freed.
    pub lived: (u64, u64),
    /// What pushed them out, if they were names of attributes.
    pub pushed_out: PushedOut,
}

/// How time goes on within a ms.
struct Fine {
    pace: Pace,
    /// By writer.
    walks: Vec<Walk>,
    /// When the live blocks were born, ticks.
    births: FastMap<u64, u64>,
}

impl Watch {
    /// Of a process, from this moment on; `origin_ms` is when that is.
    pub fn new(recording: &Recording, from: Option<Edge>, origin_ms: u64) -> Watch {
        Watch::told_by(Scale::CLOCK, recording, from, origin_ms)
    }

    /// The same in ticks of this scale.
    pub fn told_by(scale: Scale, recording: &Recording, from: Option<Edge>, origin_ms: u64) -> Watch {
        let begun_ms = (recording.header.monotonic_ns / 1_000_000).max(origin_ms);
        let fine = (scale != Scale::CLOCK).then(|| Fine {
            pace: Pace::of(recording, scale),
            walks: vec![Walk::default(); recording.writers.len()],
            births: FastMap::default(),
        });
        Watch {
            span: Born { from, to: None }.of(recording),
            timeline: Timeline::fine(scale.ticks(origin_ms), scale.ticks(begun_ms)),
            now_ms: begun_ms,
            now: scale.ticks(begun_ms),
            fine,
            sites: Vec::new(),
            last_frees: LastFrees::default(),
            at_exit: AtExit::default(),
            names: Names::default(),
        }
    }

    #[inline(always)]
    fn site(&mut self, site: u32) -> &mut Watched {
        let site = site as usize;
        if site >= self.sites.len() {
            self.sites.resize_with(site + 1, Watched::default);
        }
        &mut self.sites[site]
    }

    /// The program has ended: what it freed last counts as unfreed from now on.
    pub fn take_last_frees(&mut self) -> Vec<LastFree> {
        let frees = self.last_frees.take();
        for free in &frees {
            let site = self.site(free.block.site);
            site.lifetimes.remove(free.lived);
            site.lived.0 -= free.lived;
        }
        frees
    }

    /// By site: what is unfreed and was born in the window, by bucket, and what was born before; and so what was freed `last`. `is_left_out`: of
    /// a block.
    pub fn unfreed(
        &self,
        replayed: &Replayed,
        last: &[LastFree],
        is_left_out: impl Fn(Address) -> bool,
    ) -> Vec<(Vec<Survivors>, Amount)> {
        let (axis, first) = (self.timeline.axis(), *self.timeline.buckets().start());
        let mut births: Vec<(Vec<(u64, u64)>, Amount)> = vec![Default::default(); replayed.sites.len()];
        let held = replayed.live.iter().filter(|(address, _)| !is_left_out(*address));
        let held = held.map(|(address, block)| (block, self.birth(address.0, block)));
        for (block, tick) in held.chain(last.iter().map(|free| (&free.block, free.freed - free.lived))) {
            let (born, before) = &mut births[block.site as usize];
            match self.span.contains(block.birth) {
                true => born.push((axis.bucket(tick).max(first), block.size)),
                false => *before += Amount::block(block.size),
            }
        }
        births.into_iter().map(|(births, before)| (by_bucket(births), before)).collect()
    }

    /// When a live block was born, ticks.
    fn birth(&self, address: u64, block: &Block) -> u64 {
        match &self.fine {
            None => block.birth.time_ms(),
            Some(fine) => fine.births.get(&address).copied().unwrap_or(0),
        }
    }

    /// How long it worked, ms: in how many of its buckets something was allocated, where time is told by the clock.
    pub fn worked_ms(&self) -> u64 {
        let buckets = self.timeline.buckets();
        let mut worked = vec![false; (buckets.end() - buckets.start() + 1) as usize];
        for point in self.timeline.all_points().filter(|point| point.born_blocks > 0) {
            let at = point.bucket.checked_sub(*buckets.start()).and_then(|at| worked.get_mut(at as usize));
            at.into_iter().for_each(|worked| *worked = true);
        }
        worked.iter().filter(|&&worked| worked).count() as u64 * self.timeline.axis().width_ms()
    }
}

fn by_bucket(mut births: Vec<(u64, u64)>) -> Vec<Survivors> {
    births.sort_unstable();
    let same = births.chunk_by(|(a, _), (b, _)| a == b);
    let group = |births: &[(u64, u64)]| Survivors {
        bucket: births[0].0,
        blocks: births.len() as u64,
        bytes: births.iter().fold(0, |sum, (_, size)| sum.saturating_add(*size)),
    };
    same.map(group).collect()
}

impl Observer for Watch {
    #[inline(always)]
    fn died_later(&mut self, address: Address, block: &Block, place: &Place) {
        self.at_exit.freed(address, block.site, place.collecting);
    }

    #[inline(always)]
    fn born(&mut self, address: Address, block: &Block, stack: StackId, place: &Place) {
        let mut tick = place.clock_ms;
        if let Some(Fine { pace, walks, births }) = &mut self.fine {
            tick = pace.allocated(place.writer, &mut walks[place.writer], place.clock_ms);
            births.insert(address.0, tick);
        }
        self.now_ms = self.now_ms.max(place.clock_ms);
        self.now = self.now.max(tick);
        self.last_frees.allocated();
        self.names.born(address, block.size);
        if self.span.contains(block.birth) {
            self.timeline.born(address, block, stack, &Place { clock_ms: tick, ..*place });
        } else {
            self.site(block.site).before += Amount::block(block.size);
        }
    }

    #[inline(always)]
    fn died(&mut self, address: Address, block: &Block, place: &Place) {
        let (mut tick, mut born) = (place.clock_ms, block.birth.time_ms());
        if let Some(Fine { pace, walks, births }) = &mut self.fine {
            tick = pace.now(&walks[place.writer], place.clock_ms);
            born = births.remove(&address.0).unwrap_or(tick);
        }
        self.now_ms = self.now_ms.max(place.clock_ms);
        self.now = self.now.max(tick);
        let now = self.now;
        let was_inside = self.span.contains(block.birth);
        if was_inside || self.span.contains(Birth::new(place.epoch, self.now_ms)) {
            self.timeline.died(address, block, &Place { clock_ms: tick, ..*place });
            let lived = now.saturating_sub(born);
            let last = self.names;
            let site = self.site(block.site);
            last.died(address, block.size, &mut site.pushed_out);
            site.lifetimes.add(lived, 1);
            site.lived.0 += lived;
            site.lived.1 += if place.collecting { lived } else { 0 };
            if !place.collecting {
                self.last_frees.freed(LastFree { block: *block, freed: now, lived });
            }
        } else {
            let before = &mut self.site(block.site).before;
            before.blocks = before.blocks.saturating_sub(1);
            before.bytes = before.bytes.saturating_sub(block.size);
        }
    }
}
