//! One stack out of two: the Python frames take the place of the native frames that execute them.
//!
//! A native stack goes through the interpreter's evaluation loop again and again. Each time the loop executes one or more
//! Python frames, of which the outermost is marked as its entry. Both chains are followed from their innermost frame, so
//! that loops without a Python frame of their own (the outer interpreter of a sub-interpreter, what lies beneath a
//! greenlet) are left over at the outer end. What is left of both chains behind an entry determines the rest of the
//! merged stack, so the caller can keep it for all stacks that share it.
use recording::{EndReason, StackId};

/// A native and a Python stack, or what is left of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pair {
    /// The innermost native frame, or why there is none.
    pub native: StackId,
    /// The innermost Python frame, or why there is none.
    pub python: StackId,
}

/// A native frame.
#[derive(Clone, Copy, Debug)]
pub struct NativeLink {
    /// The calling frame.
    pub parent: StackId,
    /// Whether it is an evaluation loop.
    pub evaluates: bool,
}

/// A Python frame.
#[derive(Clone, Copy, Debug)]
pub struct PythonLink {
    /// The calling Python frame.
    pub parent: StackId,
    /// Whether it is the outermost one of its evaluation loop.
    pub entry: bool,
    /// Whether it has code: a loop that executes no Python frame is an entry without code.
    pub code: bool,
}

/// The frames of both chains.
pub trait Chains {
    /// The native frame with this id.
    fn native(&self, id: StackId) -> Option<NativeLink>;
    /// The Python frame with this id.
    fn python(&self, id: StackId) -> Option<PythonLink>;
}

/// How well two chains go together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// As many evaluation loops as entries, as far as the chains go.
    Matched,
    /// More evaluation loops than entries. The outermost ones are another interpreter's or another greenlet's.
    MoreLoops,
    /// More entries than evaluation loops, though the native stack is whole: one of both is wrong.
    MoreEntries,
    /// The Python frames could not be followed; there may be some of the innermost ones.
    NotWalked,
}

/// What remains behind a part of a stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// More of it.
    More(Pair),
    /// Nothing: why the stack ends, `None` if the recording does not say, and how the chains went together.
    End(Option<EndReason>, Fit),
}

/// Frames looked at in one stack at most; the recorder stops at 1,024 of each kind, so more are a damaged file's.
const MOST: usize = 4 << 10;

/// Follows the frames of one stack.
pub struct Merge<'a, C> {
    chains: &'a C,
    looked_at: usize,
}

impl<'a, C: Chains> Merge<'a, C> {
    /// For one stack.
    pub fn new(chains: &'a C) -> Merge<'a, C> {
        Merge { chains, looked_at: 0 }
    }

    /// Gives `frame` the ids of the frames of `pair`, native and Python, from the innermost one up to and including those
    /// of the first evaluation loop.
    pub fn part(&mut self, pair: Pair, mut frame: impl FnMut(StackId)) -> Rest {
        let Pair { mut native, mut python } = pair;
        let has_python = self.python(python).is_some();
        let mut loops_left = false;
        while let Some(link) = self.native(native) {
            if link.evaluates && has_python {
                self.entry(&mut python, &mut frame);
                return Rest::More(Pair { native: link.parent, python });
            }
            loops_left |= link.evaluates;
            frame(native);
            native = link.parent;
        }
        let native_end = EndReason::from_id(native);
        let python_left = self.python(python).is_some();
        while self.python(python).is_some() {
            self.entry(&mut python, &mut frame);
        }
        let python_end = EndReason::from_id(python);
        let fit = match python_end {
            Some(EndReason::Complete | EndReason::TooDeep) if python_left => match native_end {
                Some(EndReason::Complete) => Fit::MoreEntries,
                _ => Fit::Matched, // cut, and the Python stack says how it goes on
            },
            Some(EndReason::Complete) if loops_left => Fit::MoreLoops,
            Some(EndReason::Complete | EndReason::TooDeep) => Fit::Matched,
            _ => Fit::NotWalked,
        };
        let end = match python_end {
            Some(EndReason::TooDeep) => python_end,
            _ if python_left => python_end,
            _ => native_end,
        };
        Rest::End(end, fit)
    }

    /// The Python frames up to and including the next entry.
    fn entry(&mut self, python: &mut StackId, frame: &mut impl FnMut(StackId)) {
        while let Some(link) = self.python(*python) {
            if link.code {
                frame(*python);
            }
            *python = link.parent;
            if link.entry {
                return;
            }
        }
    }

    fn native(&mut self, id: StackId) -> Option<NativeLink> {
        self.looked_at += 1;
        self.chains.native(id).filter(|_| self.looked_at <= MOST)
    }

    fn python(&mut self, id: StackId) -> Option<PythonLink> {
        self.looked_at += 1;
        self.chains.python(id).filter(|_| self.looked_at <= MOST)
    }
}

/// The frames of a whole stack, innermost first, why it ends, and how its chains go together.
pub fn merge(chains: &impl Chains, pair: Pair) -> (Vec<StackId>, Option<EndReason>, Fit) {
    let mut frames = Vec::new();
    let mut merge = Merge::new(chains);
    let mut rest = pair;
    loop {
        match merge.part(rest, |frame| frames.push(frame)) {
            Rest::More(more) => rest = more,
            Rest::End(end, fit) => return (frames, end, fit),
        }
    }
}
