//! Whether a recording has all that its numbers rest on: otherwise a limit may be kept only because of what is missing.
//!
//! Complete is also what runs still, was killed, or was switched off for a time: the numbers are exact for what was
//! recorded, and that was asked for. Missing symbols and stacks change names and not sums.
use crate::aggregate::{Process, Report};
use crate::output::counted;
use crate::reader::ProcessState;
use crate::replay::Moment;

/// What is missing, each in a few words.
pub fn incomplete(report: &Report) -> Vec<String> {
    let mut reasons = report.lost_files.clone();
    for process in &report.processes {
        let of = |what: String| format!("pid {}: {what}", process.pid);
        reasons.extend(of_process(process).into_iter().map(of));
    }
    reasons
}

fn of_process(process: &Process) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut say = |is: bool, what: String| reasons.extend(is.then_some(what));
    if let ProcessState::Stopped(why) = &process.state {
        say(true, format!("recording stopped before the process did: {why}"));
    }
    say(process.lost > 0, format!("{} lost", counted(process.lost, "event")));
    let children = process.lost_children;
    say(
        children > 0,
        format!(
            "{} that could not be recorded",
            if children == 1 { "a forked child".into() } else { format!("{children} forked children") }
        ),
    );
    let blocks = process.lost_blocks;
    say(blocks > 0, format!("{} that its table has no place for", counted(blocks, "block")));
    let losses = process.losses.len() as u64;
    say(losses > 0, format!("{} of its file", counted(losses, "unreadable part")));
    let impossible = process.anomalies.impossible();
    say(
        impossible > 0,
        format!("{} that cannot be: some code allocates past unfreed", counted(impossible, "event")),
    );
    let known = &process.known;
    say(known.is_partial, "what was allocated before events are held is not known".to_string());
    say(known.lacks_peak, "its peak is not known: not all of its events are held".to_string());
    say(known.without_freed, "what was freed since that moment is not known any more".to_string());
    say(known.is_inexact, "its log was dropped while it was read".to_string());
    let is_named = matches!(process.at, Moment::Epoch(_) | Moment::Time(_));
    say(known.alone && is_named, "it does not see marks".to_string());
    reasons
}
