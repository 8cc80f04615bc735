//! `unfreed on` and `unfreed off`.
use std::ffi::OsStr;
use std::process::ExitCode;

use recording::run::Switch;

use super::mark::{is_running, no_moment};
use super::to_stdout;
use crate::control::Control;
use crate::output::counted;
use crate::recorded::Recorded;
use crate::subject::Subject;

/// Switches a run, or a process and its descendants.
pub fn switch(recording: &OsStr, on: bool) -> anyhow::Result<ExitCode> {
    let subject = no_moment(Subject::find(recording)?)?;
    let control = Control::open(&subject.path)?;
    let who = match &subject.process {
        None => {
            control.switch_all(on)?;
            subject.shown.clone()
        }
        Some(process) => {
            let family: Vec<Recorded> = [*process].into_iter().chain(process.descendants()).collect();
            let switches: Vec<Switch> = family.iter().map(|process| switch_of(process, on)).collect();
            control.switch(&switches, is_gone)?;
            match family.len() - 1 {
                0 => format!("process {}", process.pid),
                more => format!("process {} and {}", process.pid, counted(more as u64, "descendant")),
            }
        }
    };
    let what =
        if on { "on: what it allocates from now on is recorded" } else { "off: nothing new is recorded" };
    to_stdout(|out| Ok(writeln!(out, "{who}: {what}")?))?;
    // Those that are alone are named.
    is_running(&subject);
    Ok(ExitCode::SUCCESS)
}

fn switch_of(process: &Recorded, on: bool) -> Switch {
    let Recorded { inner_pid: pid, namespace, start_ticks, .. } = *process;
    Switch { namespace, pid, on, start_ticks }
}

/// Whether the switch is of a process that has ended: for certain only of one of this namespace.
fn is_gone(switch: &Switch) -> bool {
    let Some(this) = Recorded::of(std::process::id()) else { return false };
    let same = |process: Recorded| process.start_ticks == switch.start_ticks;
    switch.namespace == this.namespace && !Recorded::of(switch.pid).is_some_and(same)
}
