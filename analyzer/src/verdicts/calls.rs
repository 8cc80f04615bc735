//! How much the requests that lead to a site worked over time: what was allocated and freed again beneath the outermost
//! own line of each of its stacks. Other code may run once: the time it takes says nothing of how often it is called.
use std::collections::HashMap;

use super::buckets::Part;
use crate::aggregate::{Callers, Member, Report};

/// Of one process, by outermost line.
pub struct Calls {
    /// Of each stack the line, if it has one.
    lines: Vec<Option<usize>>,
    /// Of each line, by bucket.
    counts: Vec<Vec<u64>>,
}

/// Which line each frame is of; the same for all processes.
#[derive(Default)]
pub struct Lines {
    by_frame: HashMap<u32, usize>,
    by_place: HashMap<String, usize>,
}

impl Lines {
    fn of(&mut self, report: &Report, frame: u32) -> usize {
        if let Some(&line) = self.by_frame.get(&frame) {
            return line;
        }
        let shown = report.paths.frame_at(frame);
        let fresh = self.by_place.len();
        let line = *self.by_place.entry(shown.place().unwrap_or_else(|| shown.identity())).or_insert(fresh);
        self.by_frame.insert(frame, line);
        line
    }
}

impl Calls {
    /// Of a process with these stacks.
    pub fn new(
        part: &Part,
        members: &[Member],
        report: &Report,
        callers: &mut Callers,
        lines: &mut Lines,
    ) -> Calls {
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        let mut calls = Calls { lines: Vec::with_capacity(members.len()), counts: Vec::new() };
        for (stack, member) in members.iter().enumerate() {
            let line = callers.outermost(&report.paths, member.path).map(|frame| {
                let line = lines.of(report, frame);
                *numbers.entry(line).or_insert_with(|| {
                    calls.counts.push(vec![0; part.window.allocations.len()]);
                    calls.counts.len() - 1
                })
            });
            if let Some(line) = line {
                part.add_freed_again(stack, &mut calls.counts[line]);
            }
            calls.lines.push(line);
        }
        calls
    }

    /// Beneath the lines of these stacks; `None` if one has none.
    pub fn of(&self, stacks: impl Iterator<Item = usize>) -> Option<Vec<u64>> {
        let mut lines = stacks.map(|stack| self.lines[stack]).collect::<Option<Vec<usize>>>()?;
        lines.sort_unstable();
        lines.dedup();
        let mut sum = self.counts[*lines.first()?].clone();
        for line in &lines[1..] {
            sum.iter_mut().zip(&self.counts[*line]).for_each(|(sum, count)| *sum += count);
        }
        Some(sum)
    }
}
