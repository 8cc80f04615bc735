//! What makes one site of the view, and which of them come first.
use clap::ValueEnum;

use crate::aggregate::By;

/// What makes one site.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum TopBy {
    /// The innermost line of your code
    #[default]
    Line,
    /// The innermost function of your code
    Function,
    /// The whole stack
    Stack,
    /// The library or program that asked for the memory, or the Python package
    Module,
}

/// What to show first.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum TopSort {
    /// What grows fastest
    #[default]
    Growth,
    /// What holds most bytes
    Unfreed,
    /// What holds most blocks
    Blocks,
}

impl From<TopBy> for By {
    fn from(by: TopBy) -> By {
        match by {
            TopBy::Line => By::Line,
            TopBy::Function => By::Function,
            TopBy::Stack => By::Stack,
            TopBy::Module => By::Module,
        }
    }
}
