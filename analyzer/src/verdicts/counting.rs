//! Which requests are counted: finds what each stack means to the counting, counts in all processes at once, and keeps
//! the kind of server of which a process has most.
use std::cmp::Reverse;
use std::sync::Arc;

use recording::StackId;

use super::judged::{Asked, Counted};
use super::judging::Judging;
use super::requests::{Counting, Meaning, Progress, Requests};
use super::scale::Pace;
use crate::aggregate::{Frame, Kind, in_parallel};
use crate::fast_map::FastMap;
use crate::python::merge::Fit;
use crate::reader::{DEEPEST, Definitions, PythonNode, Run};
use crate::replay::{Born, Edge, Moment};
use crate::servers::{Handlers, Mask};

impl Judging {
    /// Gives a number from `count` on to each site of which something is unfreed that requests may reach.
    fn number(&mut self, masks: &[Mask], count: &mut u32) {
        let is_concerned = |&(process, ref stacks): &(usize, Vec<usize>)| {
            stacks.iter().any(|&stack| {
                let mask = masks[self.members[process][stack].path.index()];
                Handlers::concerned(mask) != 0 && self.parts[process].unfreed(stack).blocks > 0
            })
        };
        let numbers = self.stacks.iter().map(|each| {
            let is_concerned = each.iter().any(is_concerned);
            *count += u32::from(is_concerned);
            is_concerned.then_some(count.saturating_sub(1))
        });
        self.numbers = numbers.collect();
    }

    /// What the stacks of a process mean to the counting of requests.
    fn meanings(
        &self,
        process: usize,
        masks: &[Mask],
        progress: &impl Fn(StackId) -> Option<Progress>,
    ) -> impl Iterator<Item = (u32, Meaning)> {
        let of_sites = self.report.members[process].iter();
        let members = self.members[process].iter().zip(of_sites).zip(self.parts[process].stacks());
        members.map(|((member, site), stack)| {
            let mask = masks[member.path.index()];
            let is_whole =
                member.fit != Some(Fit::NotWalked) && self.report.paths.incomplete(member.path).is_none();
            let site = site.and_then(|site| self.numbers[site]);
            let progress = if mask == 0 { None } else { progress(stack) };
            (stack.0, Meaning { mask: (mask != 0 || is_whole).then_some(mask), site, progress })
        })
    }

    /// What the frames of each path say of requests, by the path's index.
    fn masks(&self, handlers: &Handlers) -> Vec<Mask> {
        let paths = &self.report.paths;
        let frames: Vec<Mask> = paths.all_frames().iter().map(|frame| handlers.mask(frame)).collect();
        paths.fold(0, |mask, frame| mask | frames[frame as usize])
    }
}

/// Where the outermost of the named functions is in a stack, if it is one of Python.
fn progress(definitions: &Definitions, handlers: &Handlers, stack: StackId) -> Option<Progress> {
    let innermost = definitions.python_node(definitions.pair(stack)?.python);
    let frames = std::iter::successors(innermost, |node| definitions.python_node(node.parent));
    let is_named = |node: &&PythonNode| {
        let code = definitions.python.code(node.code);
        code.is_some_and(|code| {
            let function = Some(code.name.clone());
            handlers.mask(&Frame { kind: Kind::Python, function, ..Frame::unknown() }) != 0
        })
    };
    let outermost = frames.take(DEEPEST).filter(is_named).last();
    outermost.map(|node| Progress { code: node.code, instruction: node.instruction })
}

/// Counts the requests of each process, and those that reach a site of which something is unfreed, of blocks or of descriptors.
pub fn count(blocks: &mut Judging, descriptors: Option<&mut Judging>, run: &Run, asked: &Asked) -> Counted {
    let mut sites = 0;
    let mut all: Vec<(&mut Judging, Vec<Mask>)> = Vec::new();
    for judging in [Some(blocks), descriptors].into_iter().flatten() {
        let masks = judging.masks(&asked.handlers);
        judging.number(&masks, &mut sites);
        all.push((judging, masks));
    }
    let to = match asked.selection.at {
        Moment::Epoch(epoch) => Some(Edge::Epoch(epoch)),
        Moment::Time(ms) => Some(Edge::Time(ms)),
        Moment::End | Moment::BeforeExit | Moment::Peak => None,
    };
    let born = Born { from: asked.from.map(|(edge, _)| edge), to };
    let kinds = asked.handlers.kinds();
    let indices: Vec<usize> = (0..run.recordings.len()).collect();
    let found = in_parallel(&indices, |&index| {
        let recording = &run.recordings[index];
        let definitions = asked.handlers.are_named().then(|| Definitions::read(recording));
        let progress = |stack| progress(definitions.as_ref()?, &asked.handlers, stack);
        let meanings = all.iter().flat_map(|(judging, masks)| judging.meanings(index, masks, &progress));
        let stacks: FastMap<u32, Meaning> = meanings.collect();
        if stacks.values().all(|meaning| meaning.mask.is_none_or(|mask| mask == 0)) {
            return (Requests::default(), None);
        }
        let (span, cells) = (born.of(recording), &all[0].0.parts[index].cells);
        let pace = Pace::of(recording, cells.scale());
        let counting =
            Counting { stacks: &stacks, sites: sites as usize, kinds, span: &span, cells, pace: &pace };
        let counted = counting.count(recording).into_iter().enumerate();
        // Of equally many those of the first kind.
        let best = counted.max_by_key(|(kind, requests)| (requests.count(), Reverse(*kind)));
        match best.filter(|(_, requests)| requests.count() > 0) {
            Some((kind, requests)) => (requests, Some(kind)),
            None => (Requests::default(), None),
        }
    });
    let mut kinds: Vec<usize> = found.iter().filter_map(|(_, kind)| *kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let counted = Counted {
        servers: kinds.into_iter().map(|kind| asked.handlers.name(kind)).collect(),
        processes: found.iter().map(|(requests, _)| requests.count()).collect(),
        has_extent: found.iter().all(|(requests, kind)| kind.is_none() || requests.has_extent),
    };
    let requests: Arc<Vec<Requests>> = Arc::new(found.into_iter().map(|(requests, _)| requests).collect());
    all.into_iter().for_each(|(judging, _)| judging.requests = Arc::clone(&requests));
    counted
}
