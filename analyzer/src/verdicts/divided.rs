//! From judged sites to what is said of a run: growth by the unit that was asked for and by the minute, the most important
//! site first.
use super::judged::{Asked, Counted, Judged, Verdicts};
use super::judging::Judging;
use super::units::{Unit, Units};
use crate::growth::Verdict;
use crate::reader::Run;

impl Judging {
    /// Divides the growth of those that grow, and puts all in order.
    pub fn divided(
        self,
        run: &Run,
        asked: &Asked,
        mut sites: Vec<Judged>,
        window_ms: (u64, u64),
        counted: Counted,
        only_unfreed: Vec<bool>,
    ) -> Verdicts {
        let growing: Vec<usize> = sites
            .iter()
            .filter(|judged| judged.judgement.verdict == Verdict::Growing)
            .map(|one| one.site)
            .collect();
        let is_known = asked.requests.is_some() || counted.count() > 0;
        let unit = asked.unit.unwrap_or(if is_known { Unit::Request } else { Unit::Minute });
        let marks = run.words.marks.iter().map(|mark| mark.monotonic_ns / 1_000_000);
        let marks: Vec<u64> = marks.filter(|ms| (window_ms.0..=window_ms.1).contains(ms)).collect();
        let units = Units {
            unit,
            parts: &self.parts,
            requests: &self.requests,
            named: asked.requests,
            marks: &marks,
        };
        for &site in &growing {
            let judged = &mut sites[site];
            let unfreed = |process: usize| {
                let stacks = self.stacks[site].iter().find(|(of, _)| *of == process);
                let series =
                    stacks.map(|(process, stacks)| self.series(*process, stacks)).unwrap_or_default();
                series.buckets.iter().map(|bucket| bucket.unfreed).collect()
            };
            judged.rate = units.rate(
                &judged.judgement,
                &judged.processes,
                self.numbers[site].map(|number| number as usize),
                unfreed,
            );
        }
        let mut per_minute = vec![0.0; self.parts.len()];
        for &site in &growing {
            let judged = &mut sites[site];
            let each = judged.judgement.processes.iter().zip(&judged.processes);
            let rates = each.map(|(one, &process)| {
                let growth = one.growth.as_ref()?;
                let times = self.parts[process].cells.times(&growth.part);
                let minutes = (times.end - times.start).max(1.0) / 60_000.0;
                per_minute[process] += growth.bytes.value / minutes;
                Some(growth.bytes.value / minutes)
            });
            judged.per_minute = rates.collect();
        }
        let hash = |judged: &Judged| self.report.sites[judged.site].hash;
        sites.sort_by(|a, b| {
            let size = |judged: &Judged| match judged.judgement.verdict {
                Verdict::Growing => judged.judgement.bytes.value,
                Verdict::GcOnly => judged.judgement.born.bytes as f64,
                _ => judged.unfreed.bytes as f64,
            };
            let verdicts = a.judgement.verdict.cmp(&b.judgement.verdict);
            verdicts.then_with(|| size(b).total_cmp(&size(a))).then_with(|| hash(a).cmp(&hash(b)))
        });
        Verdicts {
            report: self.report,
            window_ms,
            unit,
            requests: counted,
            named_requests: asked.requests,
            marks: marks.len(),
            sites,
            per_minute,
            only_unfreed,
            descriptors: None,
        }
    }
}
