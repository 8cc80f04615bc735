//! Series of all processes -> a verdict: each is judged alone, then all together, since what is few in each of many workers
//! may be many in all.
use super::ages::Ages;
use super::array::{self, Array};
use super::classify::{self, Facts};
use super::estimate;
use super::judgement::{
    Confidence, Estimate, Growth, Judgement, ProcessJudgement, Reason, SHORTEST_MS, Verdict,
};
use super::profile::{Axis, CELLS, Part, Profile};
use super::rules::{self, Rise, course_of};
use super::series::{Amount, ProcessSeries};
use super::steady::{Course, FEW_STEPS, Steady};

/// A process that lived for less than this part of the longest one is hardly more than its start-up.
const SHORT_LIFE: f64 = 0.1;
/// One process of several is believed alone from so many steps on.
const SURE_ALONE: usize = 12;
/// No import of modules alone takes longer, ms.
const LONGEST_IMPORT_MS: f64 = 20_000.0;
/// Where the frees are not known, growth must have begun in the first of so great a part: a store that turns over has only young entries.
const FROM_EARLY_ON: f64 = 0.3;

/// What was found in one process or in several.
pub(super) struct Finding {
    pub rise: Option<Rise>,
    /// Only of one process.
    pub array: Option<Array>,
    pub course: Course,
}

impl Finding {
    fn is_sure(&self) -> bool {
        self.array.is_some()
            || matches!(&self.rise, Some(Rise::Kept(_, steady)) if steady.steps >= SURE_ALONE)
    }
}

/// A process with its axis.
struct Placed<'a> {
    process: ProcessSeries<'a>,
    axis: Axis,
}

/// Judges a site by what it did in each process.
pub fn judge(processes: &[ProcessSeries]) -> Judgement {
    let (by_work, _) = judge_by(processes, false);
    let is_startup = processes.iter().all(|process| process.series.is_startup == Some(true));
    let is_long = processes.iter().any(|process| life_ms(process) >= LONGEST_IMPORT_MS);
    if by_work.verdict == Verdict::Growing {
        if !is_startup {
            return by_work;
        }
        // Start-up may be most of the work, and a module whose import never ends is a server.
        let (by_time, _) = judge_by(processes, true);
        return if is_long && by_time.verdict == Verdict::Growing {
            by_work
        } else {
            classify::at_startup(by_time)
        };
    }
    // What a timer allocates is uneven on an axis of work; on one of time it must be even to be believed.
    match judge_by(processes, true) {
        (by_time, true) if by_time.verdict == Verdict::Growing && (is_long || !is_startup) => by_time,
        _ => by_work,
    }
}

/// The judgement, and whether it rests on what is even along the axis.
fn judge_by(processes: &[ProcessSeries], by_time: bool) -> (Judgement, bool) {
    let longest = processes.iter().map(life_ms).fold(0.0, f64::max);
    let placed: Vec<Option<Placed>> = processes
        .iter()
        .map(|process| {
            let is_long = life_ms(process) >= SHORT_LIFE * longest && !process.series.buckets.is_empty();
            is_long.then(|| Placed { process: *process, axis: Axis::of(process, by_time) })
        })
        .collect();
    let seen: Vec<&Placed> = placed.iter().flatten().collect();
    let findings: Vec<Option<Finding>> =
        placed.iter().map(|placed| placed.as_ref().map(|placed| find(&[placed]))).collect();
    let together = find(&seen);
    let sure = findings.iter().flatten().find(|finding| finding.is_sure());
    let finding = if together.rise.is_some() || together.array.is_some() {
        &together
    } else {
        sure.unwrap_or(&together)
    };
    let grows = finding.rise.is_some() || finding.array.is_some();
    let is_even = matches!(&finding.rise, Some(Rise::Kept(_, steady)) if steady.is_even && steady.cells.len() > CELLS / 2);
    let each = placed.iter().zip(&findings).map(|(placed, found)| match (placed, found) {
        (Some(placed), Some(found)) => alone(placed, found, grows, finding),
        _ => ProcessJudgement { verdict: None, growth: None },
    });
    let each = each.collect();
    let facts =
        Facts::of(processes, &seen.iter().map(|placed| (placed.process, &placed.axis)).collect::<Vec<_>>());
    (conclude(processes, each, grows.then_some(finding), &together, &facts), is_even)
}

/// Applies the rules to some processes as if they were one.
fn find(group: &[&Placed]) -> Finding {
    let processes = || group.iter().map(|placed| &placed.process);
    let mut ages = Ages::default();
    processes().for_each(|process| ages.add(&Ages::of(process)));
    let only_unfreed = processes().any(|process| process.series.only_unfreed);
    let ages_of_kept = if group.is_empty() { Vec::new() } else { ages.never_freed_from() };
    let part = |age: Option<&f64>| match age {
        Some(_) if ages.nothing_freed() && !only_unfreed => Part::All,
        age => Part::Older(age.copied().unwrap_or(0.0)),
    };
    let profile = sum(group, part(ages_of_kept.first()));
    let course = course_of(&profile);
    let array = match group {
        [placed] => array::growing(&placed.process, &placed.axis),
        _ => None,
    };
    let is_old = |steady: &Steady| {
        (!only_unfreed || steady.cells.start as f64 <= FROM_EARLY_ON * CELLS as f64)
            && (group.len() == 1 || steady.steps >= FEW_STEPS)
    };
    // An older age is looked at only as long as younger ones tell of growth: without the youngest what has stopped looks steady.
    let mut kept = ages_of_kept.iter().map_while(|age| {
        let part = part(Some(age));
        let profile = sum(group, part);
        let steady = rules::never_freed(&profile, &course_of(&profile)).filter(is_old)?;
        let stayed = profile.stayed(steady.cells.clone());
        Some((ages.is_never_freed_beside(*age, stayed), Rise::Kept(part, steady)))
    });
    let kept = kept.find_map(|(is_never, rise)| is_never.then_some(rise));
    let rise = kept.or_else(|| {
        if !is_freed(processes()) {
            return None;
        }
        let is_never_freed = |stayed: f64| ages.is_never_freed_beside(ages.ms / 2.0, stayed);
        let halves = (sum(group, Part::Half), sum(group, Part::All));
        let kept = rules::stays_of_the_older_half(&halves.0, &halves.1, is_never_freed)
            .map(|steady| Rise::Kept(Part::Half, steady));
        kept.or_else(|| rules::outrun(&profile).then_some(Rise::Floors))
    });
    Finding { rise, array, course }
}

/// The profiles of some processes, added up.
fn sum(group: &[&Placed], part: Part) -> Profile {
    let mut sum = Profile::empty();
    for placed in group {
        sum.add(&Profile::of(&placed.process, &placed.axis, part.range(&placed.process, &placed.axis)));
    }
    sum
}

/// Whether most of what is born is freed.
fn is_freed<'p>(processes: impl Iterator<Item = &'p ProcessSeries<'p>>) -> bool {
    let (born, freed) = processes
        .flat_map(|process| &process.series.buckets)
        .fold((0, 0), |(born, freed), bucket| (born + bucket.born.blocks, freed + bucket.freed.blocks));
    freed * 2 > born
}

fn life_ms(process: &ProcessSeries) -> f64 {
    process.window.length_ms()
}

/// What is said of one process: that it grows, if the site does and this process has a part in it.
fn alone(placed: &Placed, found: &Finding, grows: bool, finding: &Finding) -> ProcessJudgement {
    let Placed { process, axis } = placed;
    let growth = match (&found.array, found.rise.as_ref().or(finding.rise.as_ref())) {
        _ if !grows => None,
        (Some(array), _) => Some(estimate::of_array(process, array)),
        (None, Some(Rise::Kept(part, steady))) => {
            Some(estimate::of_kept(process, axis, part.range(process, axis), &steady.cells))
        }
        (None, Some(Rise::Floors)) => Some(estimate::of_floors(process, axis)),
        (None, None) => None,
    };
    let growth: Option<Growth> = growth.filter(|growth| growth.bytes.value > 0.0);
    let facts = Facts::of(&[*process], &[(*process, axis)]);
    let verdict = match growth {
        Some(_) => Verdict::Growing,
        None => classify::bounded(&facts, &found.course).0,
    };
    ProcessJudgement { verdict: Some(verdict), growth }
}

fn conclude(
    processes: &[ProcessSeries],
    each: Vec<ProcessJudgement>,
    grows: Option<&Finding>,
    together: &Finding,
    facts: &Facts,
) -> Judgement {
    let (mut born, mut unfreed) = (Amount::default(), Amount::default());
    for bucket in processes.iter().flat_map(|process| &process.series.buckets) {
        born += bucket.born;
        unfreed += bucket.unfreed;
    }
    let grown = each.iter().filter_map(|process| process.growth.as_ref());
    let (blocks, bytes, ms) = grown.fold((Estimate::default(), Estimate::default(), 0.0), |sum, growth| {
        (sum.0.plus(growth.blocks), sum.1.plus(growth.bytes), sum.2 + growth.part_ms)
    });
    let per_minute = 60_000.0 / ms.max(SHORTEST_MS);
    let (verdict, reason, doubt) = match grows {
        Some(finding) => classify::growing(facts, finding),
        None => classify::bounded(facts, &together.course),
    };
    let judgement = Judgement {
        verdict,
        confidence: doubt.map_or(Confidence::High, Confidence::Low),
        reason,
        born,
        unfreed,
        blocks,
        bytes,
        blocks_per_minute: blocks.scaled(per_minute),
        bytes_per_minute: bytes.scaled(per_minute),
        processes: each,
    };
    match doubt {
        // By its own interval it may be none.
        Some(doubt) if verdict == Verdict::Growing && bytes.low <= 0.0 => {
            judgement.instead(Verdict::Plateau, Reason::Uneven, doubt)
        }
        _ => judgement,
    }
}
