//! Which stacks and blocks to count.
use std::time::Duration;

use regex::Regex;

use super::frame::Frame;
use super::phase::Phase;
use crate::replay::Born;
use crate::suppressions::Suppressions;

/// What the user asked to see.
#[derive(Clone, Default, Debug)]
pub struct Filter {
    /// Only stacks with a matching frame.
    pub focus: Option<Regex>,
    /// No stacks with a matching frame.
    pub ignore: Option<Regex>,
    /// Only blocks at least this old at the end of the recording.
    pub older: Option<Duration>,
    /// Only blocks allocated in this window.
    pub born: Born,
    /// Only what Python programs allocated in one of these phases, if there is any.
    pub phases: Vec<Phase>,
    /// No stacks that match one of these, which are credited with what they leave out.
    pub suppressions: Suppressions,
}

impl Filter {
    /// Whether it leaves anything out.
    pub fn selects(&self) -> bool {
        let by_frame = self.focus.is_some() || self.ignore.is_some() || !self.suppressions.all().is_empty();
        by_frame || self.selects_by_age() || !self.phases.is_empty()
    }

    /// Whether it leaves out blocks by when they were allocated.
    pub fn selects_by_age(&self) -> bool {
        self.older.is_some() || self.born.selects()
    }

    /// Whether the expressions match this frame: (focus, ignore).
    pub(super) fn matches(&self, frame: &Frame) -> (bool, bool) {
        let any = |expression: &Option<Regex>| {
            expression.as_ref().is_some_and(|expression| {
                expression.is_match(&frame.label())
                    || frame.place().is_some_and(|place| expression.is_match(&place))
                    || frame.module.as_deref().is_some_and(|module| expression.is_match(module))
            })
        };
        (any(&self.focus), any(&self.ignore))
    }

    /// Whether a stack with these matches and of this phase is shown.
    pub(super) fn keeps(&self, (focus, ignore): (bool, bool), phase: Option<Phase>) -> bool {
        let wanted = |phase| self.phases.contains(&phase);
        (self.focus.is_none() || focus) && !ignore && (self.phases.is_empty() || phase.is_some_and(wanted))
    }
}
