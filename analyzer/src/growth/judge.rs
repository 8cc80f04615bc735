//! From series to a verdict.
use super::judgement::{Confidence, Doubt, Estimate, Growth, Judgement, ProcessJudgement, Reason, Verdict};
use super::series::{Amount, ProcessSeries};

/// The part of a window that is too young to judge by: blocks that are born in it may just be in use.
const YOUNGEST: f64 = 0.1;

/// Judges a site by what it did in each process.
pub fn judge(processes: &[ProcessSeries]) -> Judgement {
    let (mut born, mut unfreed) = (Amount::default(), Amount::default());
    for bucket in processes.iter().flat_map(|process| &process.series.buckets) {
        born += bucket.born;
        unfreed += bucket.unfreed;
    }
    let each: Vec<ProcessJudgement> = processes.iter().map(of_process).collect();
    let grown = each.iter().filter_map(|process| process.growth.as_ref());
    let (blocks, bytes, ms) = grown.fold((Estimate::default(), Estimate::default(), 0), |sum, growth| {
        (sum.0.plus(growth.blocks), sum.1.plus(growth.bytes), sum.2 + growth.part_ms)
    });
    let per_minute = 60_000.0 / ms.max(1) as f64;
    let verdict = each.iter().filter_map(|process| process.verdict).min().unwrap_or(Verdict::Temporary);
    let freed = 1.0 - unfreed.blocks as f64 / born.blocks.max(1) as f64;
    Judgement {
        verdict,
        confidence: Confidence::Low(Doubt::ShortWindow),
        reason: match verdict {
            Verdict::Growing => Reason::SomeNeverFreed { freed, steps: 0 },
            Verdict::GcOnly => Reason::Collected { freed, sawtooth_ms: None },
            Verdict::Plateau => Reason::Bounded { freed, flat_ms: 0 },
            Verdict::Resident => Reason::StartUp,
            Verdict::Temporary => Reason::Freed { freed },
        },
        born,
        unfreed,
        blocks,
        bytes,
        blocks_per_minute: blocks.scaled(per_minute),
        bytes_per_minute: bytes.scaled(per_minute),
        processes: each,
    }
}

/// One process: whether as much stays of what is born late as of what is born in the middle.
fn of_process(process: &ProcessSeries) -> ProcessJudgement {
    let buckets = &process.series.buckets;
    let old = (buckets.len() as f64 * (1.0 - YOUNGEST)) as usize;
    let sum = |from: usize, to: usize| {
        buckets[from..to].iter().fold(Amount::default(), |sum, bucket| sum + bucket.unfreed)
    };
    let (early, middle, late) = (sum(0, old / 3), sum(old / 3, old * 2 / 3), sum(old * 2 / 3, old));
    let freed = buckets.iter().fold(Amount::default(), |sum, bucket| sum + bucket.freed);
    let collected = buckets.iter().fold(Amount::default(), |sum, bucket| sum + bucket.collected);
    let kept = early + middle + late + process.series.before_unfreed;
    let verdict = if late.blocks * 3 > middle.blocks && middle.blocks > 0 && late.blocks > 2 {
        Verdict::Growing
    } else if freed.blocks > 0 && collected.blocks * 10 > freed.blocks * 9 {
        Verdict::GcOnly
    } else if kept.blocks == 0 {
        Verdict::Temporary
    } else if middle.blocks + late.blocks == 0 {
        Verdict::Resident
    } else {
        Verdict::Plateau
    };
    let growth = (verdict == Verdict::Growing).then(|| {
        let stayed = middle + late;
        let exact = |amount: u64| Estimate { value: amount as f64, low: amount as f64, high: amount as f64 };
        Growth {
            part: old / 3..old,
            part_ms: (old - old / 3) as u64 * process.window.bucket_ms,
            blocks: exact(stayed.blocks),
            bytes: exact(stayed.bytes),
        }
    });
    ProcessJudgement { verdict: Some(verdict), growth }
}
