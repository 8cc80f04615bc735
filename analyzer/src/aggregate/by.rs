//! What one site of a report is.
use clap::ValueEnum;

/// What makes one site of a report.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum By {
    /// The whole stack, named after your innermost frame
    #[default]
    Stack,
    /// The function that allocated (what hands memory on, such as operator new or std::vector, is passed over)
    Function,
    /// Its file and line
    Line,
    /// Its library or program
    Module,
    /// The thread that allocated
    Thread,
    /// The process
    Process,
    /// No site, but how large blocks are; of a report of unfreed blocks alone
    #[value(skip)]
    Size,
    /// No site, but how old they are; of a report of unfreed blocks alone
    #[value(skip)]
    Age,
}

impl By {
    /// Whether blocks are told apart, not stacks.
    pub fn is_class(self) -> bool {
        matches!(self, By::Size | By::Age)
    }
}
