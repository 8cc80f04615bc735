//! From each process's totals to the sites of a whole run: symbolised, filtered, grouped, largest first.
mod build;
mod callers;
mod family;
mod filter;
mod frame;
mod group;
mod own;
mod parallel;
mod paths;
mod phase;
mod process;
mod report;
mod resolver;
mod sites;
mod stacks;

pub use crate::replay::{ArenaCounts, Inherited};
pub(crate) use build::begin_epoch;
pub use build::{Grouped, Loaded, Member, Selection, report};
pub(crate) use callers::Callers;
pub use family::{cut, spoken, tree};
pub use filter::Filter;
pub use frame::{Frame, Kind};
pub use own::Own;
pub(crate) use parallel::in_parallel;
pub use paths::{PathId, Paths};
pub use phase::Phase;
pub use report::{Counts, Known, Process, PythonStacks, Report, Site, SumTotals};
