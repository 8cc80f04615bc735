//! What does not grow: which of the other verdicts, and the words for each.
use super::judge::Finding;
use super::judgement::{Doubt, Judgement, Reason, Verdict};
use super::profile::{Axis, Part, START};
use super::rules::Rise;
use super::series::ProcessSeries;
use super::steady::{Course, FEW_STEPS};

/// Frees that the cyclic collector must have done for a site to be called its own, or memory over time that it must have freed.
const COLLECTED: f64 = 0.9;
/// Or what else was freed was in use meanwhile: it lived for less than so great a part of the time that waited what the collector freed,
const IN_PASSING: f64 = 0.25;
/// which was so great a part of the memory over time.
const WAITED: f64 = 0.25;
/// What lives for less of the window is in use rather than kept.
const IN_USE: f64 = 0.02;
/// What is made once takes no longer than so great a part of the work.
const ONCE: f64 = 0.1;
/// What is live is level from where it has reached so great a part of its most.
const LEVEL: f64 = 0.9;
/// Start-up is also the first second: no store fills so early.
const START_MS: f64 = 1_000.0;
/// But only in so great a part of a short life.
const SHORT_START: f64 = 0.3;
/// Of all blocks, so few that stay do not make a store of a site where blocks pass.
const STRAY: f64 = 0.001;

/// Sums over processes.
#[derive(Default)]
pub(super) struct Facts {
    /// Blocks that were born in the window.
    pub born: f64,
    /// Blocks freed in the window.
    pub freed: f64,
    /// Of these, by the collector.
    pub collected: f64,
    /// Blocks of the window that are unfreed.
    pub unfreed: f64,
    /// Of these, those that are not young.
    pub old: f64,
    /// Blocks that were there before the window, and still are.
    pub before: f64,
    /// Buckets in which the collector freed something, as intervals between them: sum of ms, count.
    pub sawtooth: (f64, f64),
    /// Blocks times ms: over `born` this is the mean life.
    pub lived: f64,
    /// The same of those that were freed, and of those that the collector freed.
    pub passed: (f64, f64),
    /// Length of the longest process, ms.
    pub ms: f64,
    /// Time from the last birth of what is old to the end, ms, in the process where it is least.
    pub flat_ms: Option<f64>,
    /// Time up to the end in which no more was live than nearly as much as at its beginning, ms, in the process where it is
    /// least.
    pub level_ms: f64,
    /// The least that was live in the later half, summed over processes.
    pub floor: f64,
    /// Whether what stays was all born at the start of its process.
    pub is_startup: bool,
    /// Whether what stays was all born within a short time, in each process.
    pub is_once: bool,
    /// Only the unfreed are known.
    pub only_unfreed: bool,
    /// Buckets of the longest process.
    pub buckets: usize,
    /// All sites are of a start, as their stacks say.
    pub are_starts: bool,
}

impl Facts {
    /// `judged`: those that can be judged.
    pub fn of(processes: &[ProcessSeries], judged: &[(ProcessSeries, &Axis)]) -> Facts {
        let mut facts = Facts {
            is_startup: true,
            is_once: true,
            are_starts: true,
            level_ms: f64::INFINITY,
            ..Facts::default()
        };
        for process in processes {
            let window = process.window;
            facts.ms = facts.ms.max(window.length_ms());
            facts.before += process.series.before_unfreed.blocks as f64;
            facts.only_unfreed |= process.series.only_unfreed;
            facts.buckets = facts.buckets.max(process.series.buckets.len());
            facts.are_starts &= process.series.is_startup == Some(true);
            facts.passed.0 += process.series.lived.0 as f64 * window.tick_ms();
            facts.passed.1 += process.series.lived.1 as f64 * window.tick_ms();
            let at_exit = process.series.collected_at_exit.blocks as f64;
            facts.born += at_exit;
            facts.freed += at_exit;
            facts.collected += at_exit;
            let mut live = process.series.before.blocks as f64;
            let mut last: Option<usize> = None;
            for (index, bucket) in process.series.buckets.iter().enumerate() {
                facts.born += bucket.born.blocks as f64;
                facts.freed += bucket.freed.blocks as f64;
                facts.collected += bucket.collected.blocks as f64;
                facts.unfreed += bucket.unfreed.blocks as f64;
                live += bucket.born.blocks as f64 - bucket.freed.blocks as f64;
                facts.lived += live * (window.end_ms(index) - window.begin_ms(index));
                if bucket.collected.blocks > 0 {
                    if let Some(last) = last.filter(|last| index - last > 1) {
                        facts.sawtooth.0 += window.begin_ms(index) - window.begin_ms(last);
                        facts.sawtooth.1 += 1.0;
                    }
                    last = Some(index);
                }
            }
        }
        judged.iter().for_each(|(process, axis)| facts.add_judged(process, axis));
        facts
    }

    fn add_judged(&mut self, process: &ProcessSeries, axis: &Axis) {
        let part = Part::Older(0.0).range(process, axis).end;
        let buckets = &process.series.buckets;
        let window = process.window;
        // Of a process that waits for its first request, or after the last, start-up is no part of the waiting.
        let ms = window.length_ms();
        let worked_ms = (0..buckets.len()).map(|bucket| window.worked_ms(bucket)).sum::<f64>();
        let mut worked_by_ms = 0.0;
        let mut live = process.series.before.blocks as f64;
        let mut floor = f64::INFINITY;
        let mut old: Option<(usize, usize)> = None;
        let mut levels = Vec::with_capacity(buckets.len());
        for (index, bucket) in buckets.iter().enumerate() {
            live += bucket.born.blocks as f64 - bucket.freed.blocks as f64;
            levels.push(live);
            let worked_before_ms = worked_by_ms;
            worked_by_ms += window.worked_ms(index);
            if index >= buckets.len() / 2 {
                floor = floor.min(live);
            }
            if bucket.unfreed.blocks == 0 || axis.middle(index) > part {
                continue;
            }
            self.old += bucket.unfreed.blocks as f64;
            old = Some((old.map_or(index, |(first, _)| first), index));
            let flat = ms - window.end_ms(index);
            self.flat_ms = Some(self.flat_ms.map_or(flat, |least| least.min(flat)));
            let is_early = process.window.from_birth
                && (axis.middle(index) <= START
                    || index as f64 <= START * buckets.len() as f64
                    || worked_before_ms < START_MS.min(SHORT_START * worked_ms));
            self.is_startup &= is_early || process.series.is_startup == Some(true);
        }
        // Of many requests in a short time each is its own: what counts is the work.
        self.is_once &= old.is_none_or(|(first, last)| {
            (last - first) as f64 <= START * buckets.len() as f64
                && axis.middle(last) - axis.middle(first) <= ONCE
        });
        let most = levels.iter().fold(0.0, |most: f64, &live| most.max(live));
        let level = levels.iter().position(|&live| live >= LEVEL * most).unwrap_or(0);
        self.level_ms = self.level_ms.min(ms - window.begin_ms(level));
        self.floor += if floor.is_finite() { floor } else { 0.0 };
    }

    fn freed_part(&self) -> f64 {
        if self.born > 0.0 { 1.0 - self.unfreed / self.born } else { 0.0 }
    }

    fn flat(&self) -> f64 {
        self.flat_ms.unwrap_or(self.ms)
    }

    /// Whether what the collector frees is nearly all that is freed, or nearly all of the memory that it takes, or all that outlives
    /// the work that made it; and more than what stays.
    fn is_collected(&self) -> bool {
        let stays = self.old + self.before;
        let (passed, waited) = self.passed;
        let is_all = self.freed > 0.0 && self.collected >= COLLECTED * self.freed && self.freed >= stays;
        let is_waiting =
            waited >= COLLECTED * passed || waited >= WAITED * passed && self.others_are_in_passing();
        is_all || waited > 0.0 && is_waiting && waited >= stays * self.ms
    }

    /// Whether what was not freed by the collector lived for a much shorter time than what was: in a loop without pauses even what
    /// a call uses is much beside what waits, of which the collector never lets there be more than some hundred objects.
    fn others_are_in_passing(&self) -> bool {
        let (passed, waited) = self.passed;
        let others = self.freed - self.collected;
        (passed - waited) * self.collected <= IN_PASSING * waited * others
    }

    /// Why what is freed as it comes does not grow. What has been level for a moment only may have grown up to that.
    fn turned_over(&self, freed: f64, doubt: Option<Doubt>) -> (Reason, Option<Doubt>) {
        match self.level_ms >= START * self.ms {
            true => (Reason::Bounded { freed, flat_ms: self.level_ms }, doubt),
            false => (Reason::Young, Some(Doubt::ShortWindow)),
        }
    }

    fn mean_life(&self) -> f64 {
        if self.born > 0.0 { self.lived / self.born } else { self.ms }
    }
}

/// A judgement of what only starts up, however it grew meanwhile.
pub(super) fn at_startup(judgement: Judgement) -> Judgement {
    match judgement.verdict {
        Verdict::Growing => judgement.instead(Verdict::Resident, Reason::StartUp, Doubt::ShortWindow),
        _ => judgement,
    }
}

/// The verdict, the reason and the doubt of a site that grows.
pub(super) fn growing(facts: &Facts, finding: &Finding) -> (Verdict, Reason, Option<Doubt>) {
    let freed = facts.freed_part();
    let (reason, doubt) = match (&finding.array, &finding.rise) {
        (Some(array), _) => (Reason::Enlarged { steps: array.steps, bytes: array.bytes.1 }, None),
        (None, Some(Rise::Kept(_, steady))) => {
            let doubt = match () {
                () if facts.only_unfreed => Some(Doubt::OnlyUnfreed),
                () if steady.steps < FEW_STEPS => Some(Doubt::FewSteps),
                () if steady.is_slower => Some(Doubt::Slowing),
                () => None,
            };
            let steps = steady.steps as u64;
            let is_never = facts.freed == 0.0;
            (
                if is_never { Reason::NeverFreed { steps } } else { Reason::SomeNeverFreed { freed, steps } },
                doubt,
            )
        }
        _ => (Reason::Outrun { freed }, Some(Doubt::Fluctuates)),
    };
    (Verdict::Growing, reason, doubt)
}

/// The verdict, the reason and the doubt of a site that does not grow.
pub(super) fn bounded(facts: &Facts, course: &Course) -> (Verdict, Reason, Option<Doubt>) {
    let freed = facts.freed_part();
    let flat_ms = facts.flat();
    let doubt = facts.only_unfreed.then_some(Doubt::OnlyUnfreed);
    if facts.is_collected() {
        let (sum, count) = facts.sawtooth;
        let sawtooth_ms = (count > 0.0).then(|| sum / count);
        return (Verdict::GcOnly, Reason::Collected { freed, sawtooth_ms }, doubt);
    }
    if facts.old <= STRAY * facts.born && facts.before == 0.0 {
        let passes = facts.mean_life() <= IN_USE * facts.ms || facts.floor <= STRAY * facts.born;
        return if facts.born == 0.0 || passes || facts.freed == 0.0 {
            let reason = if facts.freed == 0.0 { Reason::Young } else { Reason::Freed { freed } };
            (Verdict::Temporary, reason, doubt)
        } else {
            let (reason, doubt) = facts.turned_over(freed, doubt);
            (Verdict::Plateau, reason, doubt)
        };
    }
    if facts.old == 0.0 {
        return (Verdict::Resident, Reason::Before, doubt);
    }
    // A live table knows a birth by the second: of a short life that says nothing.
    if facts.only_unfreed && (facts.buckets as f64) * START < 1.0 && !facts.are_starts {
        return (Verdict::Plateau, Reason::Young, Some(Doubt::ShortWindow));
    }
    if facts.is_startup {
        return (Verdict::Resident, Reason::StartUp, doubt);
    }
    let is_once = facts.is_once || matches!(course, Course::Few { steps: 1 });
    if is_once && facts.freed <= facts.old {
        return (Verdict::Resident, Reason::Once { steps: 1, flat_ms }, doubt);
    }
    let (reason, doubt) = match course {
        _ if facts.freed > facts.old => facts.turned_over(freed, doubt),
        Course::Few { steps } => (Reason::Once { steps: *steps as u64, flat_ms }, Some(Doubt::FewSteps)),
        Course::Late { steps } => (Reason::Once { steps: *steps as u64, flat_ms }, Some(Doubt::ShortWindow)),
        Course::Slowing => (Reason::Slowing, Some(Doubt::Slowing)),
        _ => (Reason::Stopped { flat_ms }, None),
    };
    (Verdict::Plateau, reason, doubt)
}
