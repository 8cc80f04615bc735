//! Which stacks and blocks to count.
use std::time::Duration;

use regex::Regex;

use super::frame::Frame;

/// What the user asked to see.
#[derive(Clone, Default, Debug)]
pub struct Filter {
    /// Only stacks with a matching frame.
    pub focus: Option<Regex>,
    /// No stacks with a matching frame.
    pub ignore: Option<Regex>,
    /// Only blocks at least this old at the end of the recording.
    pub older: Option<Duration>,
}

impl Filter {
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

    /// Whether a stack with these matches is shown.
    pub(super) fn keeps(&self, (focus, ignore): (bool, bool)) -> bool {
        (self.focus.is_none() || focus) && !ignore
    }
}
