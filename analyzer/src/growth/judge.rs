//! Series of all processes -> a verdict: each is judged alone, then all together, since what is few in each of many workers
//! may be many in all.
use super::array::{self, Array};
use super::classify::{self, Facts};
use super::estimate;
use super::judgement::{Confidence, Estimate, Growth, Judgement, ProcessJudgement, Verdict};
use super::profile::{Ages, Axis, Profile, judged};
use super::rules::{Rise, course_of, rise};
use super::series::{Amount, ProcessSeries};
use super::steady::Course;

/// A process that lived for less than this part of the longest one is hardly more than its start-up.
const SHORT_LIFE: f64 = 0.1;
/// One process of several is believed alone from so many steps on.
const SURE_ALONE: usize = 12;

/// What was found in one process or all.
pub(super) struct Finding {
    pub rise: Option<Rise>,
    pub array: Option<Array>,
    pub course: Course,
}

struct Looked<'a> {
    process: ProcessSeries<'a>,
    axis: Axis,
    judged: f64,
    finding: Finding,
}

/// Judges a site by what it did in each process.
pub fn judge(processes: &[ProcessSeries]) -> Judgement {
    let by_work = judge_by(processes, false);
    if by_work.0.verdict == Verdict::Growing {
        return by_work.0;
    }
    // What a timer allocates is uneven on an axis of work: it counts as steady only if it is by time.
    let by_time = judge_by(processes, true);
    if by_time.1 && by_time.0.verdict == Verdict::Growing { by_time.0 } else { by_work.0 }
}

/// The judgement, and whether it rests on what is even along the axis.
fn judge_by(processes: &[ProcessSeries], by_time: bool) -> (Judgement, bool) {
    let longest = processes.iter().map(life_ms).max().unwrap_or(0) as f64;
    let looked: Vec<Option<Looked>> = processes
        .iter()
        .map(|process| {
            let is_long = life_ms(process) as f64 >= SHORT_LIFE * longest;
            (is_long && !process.series.buckets.is_empty()).then(|| look(process, by_time))
        })
        .collect();
    let seen: Vec<&Looked> = looked.iter().flatten().collect();
    let together = together(&seen);
    let facts = Facts::of(
        processes,
        &seen.iter().map(|looked| (looked.process, looked.judged, &looked.axis)).collect::<Vec<_>>(),
    );
    let is_sure = |looked: &Looked| match &looked.finding {
        Finding { array: Some(_), .. } => true,
        Finding { rise: Some(Rise::Kept { steps, .. }), .. } => *steps >= SURE_ALONE,
        _ => false,
    };
    let grows = together.rise.is_some()
        || seen.len() == 1 && seen[0].finding.array.is_some()
        || seen.iter().any(|looked| is_sure(looked));
    let is_even = matches!(&together.rise, Some(Rise::Kept { cells, even: true, .. }) if cells.len() > super::profile::CELLS / 2);
    let each: Vec<ProcessJudgement> = looked
        .iter()
        .map(|looked| match looked {
            None => ProcessJudgement { verdict: None, growth: None },
            Some(looked) => alone(looked, grows, &together),
        })
        .collect();
    (conclude(processes, each, grows, &together, &facts, &seen), is_even)
}

/// Whether most of what is born is freed.
fn is_freed(processes: &[ProcessSeries]) -> bool {
    let buckets = processes.iter().flat_map(|process| &process.series.buckets);
    let (born, freed) = buckets
        .fold((0, 0), |(born, freed), bucket| (born + bucket.born.blocks, freed + bucket.freed.blocks));
    freed * 2 > born
}

fn life_ms(process: &ProcessSeries) -> u64 {
    process.series.buckets.len() as u64 * process.window.bucket_ms
}

fn look<'a>(process: &ProcessSeries<'a>, by_time: bool) -> Looked<'a> {
    let axis = Axis::of(process, by_time);
    let ages = Ages::of(process);
    let never_freed = ages.never_freed_from();
    let judged = judged(process, &axis, never_freed.unwrap_or(0.0));
    let profile = Profile::of(process, &axis, judged);
    let course = course_of(&profile);
    let finding = Finding {
        rise: rise(&profile, never_freed.is_some(), is_freed(&[*process]), &course),
        array: array::growing(process, &axis),
        course,
    };
    Looked { process: *process, axis, judged, finding }
}

/// All of them as if they were one.
fn together(seen: &[&Looked]) -> Finding {
    let mut ages = Ages::default();
    seen.iter().for_each(|looked| ages.add(&Ages::of(&looked.process)));
    let never_freed = if seen.is_empty() { None } else { ages.never_freed_from() };
    let mut sum: Option<Profile> = None;
    for looked in seen {
        let judged = judged(&looked.process, &looked.axis, never_freed.unwrap_or(0.0));
        let profile = Profile::of(&looked.process, &looked.axis, judged);
        match &mut sum {
            Some(sum) => sum.add(&profile),
            None => sum = Some(profile),
        }
    }
    let all: Vec<ProcessSeries> = seen.iter().map(|looked| looked.process).collect();
    let course = sum.as_ref().map_or(Course::Nothing, course_of);
    let rise = sum.as_ref().and_then(|profile| rise(profile, never_freed.is_some(), is_freed(&all), &course));
    Finding { rise, array: None, course }
}

/// What is said of one process: that it grows, if the site does and this process has a part in it.
fn alone(looked: &Looked, grows: bool, together: &Finding) -> ProcessJudgement {
    let finding = &looked.finding;
    let growth = if !grows {
        None
    } else if let Some(array) = &finding.array {
        Some(estimate::of_array(&looked.process, array))
    } else {
        match finding.rise.as_ref().or(together.rise.as_ref()) {
            Some(Rise::Kept { cells, .. }) => {
                let judged = looked.judged;
                Some(estimate::of_kept(&looked.process, &looked.axis, judged, cells))
            }
            Some(Rise::Floors) => Some(estimate::of_floors(&looked.process, &looked.axis)),
            None => None,
        }
    };
    let growth: Option<Growth> = growth.filter(|growth| growth.bytes.value > 0.0);
    let facts = Facts::of(&[looked.process], &[(looked.process, looked.judged, &looked.axis)]);
    let verdict = match growth {
        Some(_) => Verdict::Growing,
        None => classify::bounded(&facts, &finding.course).0,
    };
    ProcessJudgement { verdict: Some(verdict), growth }
}

fn conclude(
    processes: &[ProcessSeries],
    each: Vec<ProcessJudgement>,
    grows: bool,
    together: &Finding,
    facts: &Facts,
    seen: &[&Looked],
) -> Judgement {
    let (mut born, mut unfreed) = (Amount::default(), Amount::default());
    for bucket in processes.iter().flat_map(|process| &process.series.buckets) {
        born += bucket.born;
        unfreed += bucket.unfreed;
    }
    let grown = each.iter().filter_map(|process| process.growth.as_ref());
    let (blocks, bytes, ms) = grown.fold((Estimate::default(), Estimate::default(), 0), |sum, growth| {
        (sum.0.plus(growth.blocks), sum.1.plus(growth.bytes), sum.2 + growth.part_ms)
    });
    let per_minute = 60_000.0 / ms.max(1) as f64;
    let (verdict, reason, doubt) = if grows {
        let array = seen.iter().find_map(|looked| looked.finding.array.as_ref());
        let best = seen.iter().map(|looked| &looked.finding).find(|finding| finding.rise.is_some());
        let finding = if together.rise.is_some() { together } else { best.unwrap_or(together) };
        classify::growing(facts, finding, array)
    } else {
        classify::bounded(facts, &together.course)
    };
    Judgement {
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
    }
}
