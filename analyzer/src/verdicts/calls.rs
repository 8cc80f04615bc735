//! How much the requests that lead to a site worked over time: what was allocated and freed again beneath the outermost
//! own line of each of its stacks, or beneath that line's function if the line frees nothing. Other code may run once: the
//! time it takes says nothing of how often it is called.
use std::collections::HashMap;

use super::buckets::Part;
use crate::aggregate::{Callers, Frame, Member, Report};

/// In what is known of a place: of its line, and of its function.
const LINE: usize = 0;
const FUNCTION: usize = 1;

/// Of one process.
pub struct Calls {
    /// Of each stack the outermost own frame's line and function, if it has one.
    places: Vec<Option<[usize; 2]>>,
    /// Of each line and function, by bucket.
    counts: Vec<Vec<u64>>,
}

/// The numbers of lines and functions, the same for all processes.
#[derive(Default)]
pub struct Numbers {
    by_frame: HashMap<u32, [usize; 2]>,
    by_name: HashMap<String, usize>,
}

impl Numbers {
    fn of(&mut self, report: &Report, frame: u32) -> [usize; 2] {
        if let Some(&numbers) = self.by_frame.get(&frame) {
            return numbers;
        }
        let shown = report.paths.frame_at(frame);
        let function = Frame { line: None, ..shown.clone() }.identity();
        let names = [shown.place().unwrap_or_else(|| shown.identity()), function];
        let numbers = names.map(|name| {
            let fresh = self.by_name.len();
            *self.by_name.entry(name).or_insert(fresh)
        });
        self.by_frame.insert(frame, numbers);
        numbers
    }
}

impl Calls {
    /// Of a process with these stacks.
    pub fn new(
        part: &Part,
        members: &[Member],
        report: &Report,
        callers: &mut Callers,
        numbers: &mut Numbers,
    ) -> Calls {
        let mut known: HashMap<usize, usize> = HashMap::new();
        let mut calls = Calls { places: Vec::with_capacity(members.len()), counts: Vec::new() };
        for (stack, member) in members.iter().enumerate() {
            let outermost = callers.outermost(&report.paths, member.path);
            let places = outermost.map(|frame| {
                numbers.of(report, frame).map(|number| {
                    *known.entry(number).or_insert_with(|| {
                        calls.counts.push(vec![0; part.window.allocations.len()]);
                        calls.counts.len() - 1
                    })
                })
            });
            for place in places.into_iter().flatten() {
                part.add_freed_again(stack, &mut calls.counts[place]);
            }
            calls.places.push(places);
        }
        calls
    }

    /// Whether it is known what led to a stack.
    pub fn is_known(&self, stack: usize) -> bool {
        self.places[stack].is_some()
    }

    /// What led to these stacks: the lines, or the functions if the lines free nothing; `None`: not known.
    pub fn of(&self, stacks: impl Iterator<Item = usize> + Clone) -> Option<Vec<u64>> {
        self.of_kind(stacks.clone(), LINE).or_else(|| self.of_kind(stacks, FUNCTION))
    }

    /// The functions that led to these stacks; `None`: not known.
    pub fn of_functions(&self, stacks: impl Iterator<Item = usize>) -> Option<Vec<u64>> {
        self.of_kind(stacks, FUNCTION)
    }

    fn of_kind(&self, stacks: impl Iterator<Item = usize>, kind: usize) -> Option<Vec<u64>> {
        let places = stacks.map(|stack| Some(self.places[stack]?[kind])).collect::<Option<Vec<_>>>()?;
        self.sum(places)
    }

    /// The sum of several lines or functions, if they did anything.
    fn sum(&self, mut places: Vec<usize>) -> Option<Vec<u64>> {
        places.sort_unstable();
        places.dedup();
        let mut sum = self.counts[*places.first()?].clone();
        for place in &places[1..] {
            sum.iter_mut().zip(&self.counts[*place]).for_each(|(sum, count)| *sum += count);
        }
        sum.iter().any(|&count| count > 0).then_some(sum)
    }
}
