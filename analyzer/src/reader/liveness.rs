//! Whether recorded processes still run, and how they ended if not.
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

use recording::layout::{State, StopCause};

use super::recording::Recording;

/// What became of a process, as far as its file and this machine tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProcessState {
    /// It still runs and is recorded.
    Running,
    /// It ran its exit handlers.
    Exited,
    /// It ended without them: a signal, `_exit`, or the machine stopped.
    Killed,
    /// It became another program, which has its own file.
    Exec,
    /// This is a copy of the file, made while the process ran.
    Copied,
    /// Recording stopped before the process did, and why.
    Stopped(String),
}

impl fmt::Display for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProcessState::Running => f.write_str("running"),
            ProcessState::Exited => f.write_str("exited"),
            ProcessState::Killed => f.write_str("killed"),
            ProcessState::Exec => f.write_str("exec"),
            ProcessState::Copied => f.write_str("copied"),
            ProcessState::Stopped(why) => write!(f, "stopped: {why}"),
        }
    }
}

/// The state of each process of a run. Best effort: a process of another machine, or of a pid namespace that cannot be
/// looked into, does not run.
/// `recordings` is in the order in which they began.
pub(super) fn states(recordings: &[Recording]) -> Vec<ProcessState> {
    let mut last_image: HashMap<ProcessKey, u64> = HashMap::new();
    for recording in recordings {
        last_image.insert(process_key(recording), recording.header.file_id);
    }
    let visible = Visible::for_those(recordings);
    let state = |recording: &Recording| match recording.header.state {
        Some(State::Ended) => ProcessState::Exited,
        Some(State::Stopped) => ProcessState::Stopped(stop_reason(recording)),
        // The number of a process that could not ask for it says nothing.
        _ if recording.header.pid != 0 && last_image[&process_key(recording)] != recording.header.file_id => {
            ProcessState::Exec
        }
        _ => match visible.id_of(recording).filter(|pid| is_alive(recording, *pid)) {
            Some(pid) if is_copy(recording, pid) => ProcessState::Copied,
            Some(_) => ProcessState::Running,
            None => ProcessState::Killed,
        },
    };
    recordings.iter().map(state).collect()
}

/// The processes that run, each by its place and its id here.
pub(crate) fn running(recordings: &[Recording]) -> Vec<(usize, u32)> {
    let visible = Visible::for_those(recordings);
    let running = recordings.iter().enumerate().filter(|(_, recording)| recording.is_running());
    running.filter_map(|(place, recording)| Some((place, visible.id_of(recording)?))).collect()
}

/// What became of a process that ran here with this id, without looking at the others of its run: of one that became another
/// program, that it was killed.
pub(crate) fn state_of(recording: &Recording, pid: u32) -> ProcessState {
    match recording.header.state {
        Some(State::Ended) => ProcessState::Exited,
        Some(State::Stopped) => ProcessState::Stopped(stop_reason(recording)),
        _ if is_alive(recording, pid) => ProcessState::Running,
        _ => ProcessState::Killed,
    }
}

/// The state of a process of a pack, `known` when that was made. Nothing here tells of it.
pub(crate) fn packed_state(recording: &Recording, known: Option<&str>) -> ProcessState {
    match (recording.header.state, known) {
        (Some(State::Ended), _) => ProcessState::Exited,
        (Some(State::Stopped), _) => ProcessState::Stopped(stop_reason(recording)),
        (_, Some("running")) => ProcessState::Running,
        (_, Some("copied")) => ProcessState::Copied,
        (_, Some("exec")) => ProcessState::Exec,
        _ => ProcessState::Killed,
    }
}

/// What the images of one process have in common: pid, pid namespace, start. Where the start is not known each file
/// counts as a process: in containers many have the same pid.
type ProcessKey = (u32, u64, u64);

fn process_key(recording: &Recording) -> ProcessKey {
    let header = &recording.header;
    let start = if header.start_ticks == 0 { header.file_id } else { header.start_ticks };
    (header.pid, header.pid_namespace, start)
}

fn stop_reason(recording: &Recording) -> String {
    let header = &recording.header;
    let errno = match header.stop_errno {
        0 => String::new(),
        errno => {
            let error = std::io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(0));
            format!(" ({})", crate::error::reason(&error))
        }
    };
    match header.stop_cause {
        Some(StopCause::CannotGrow) => format!("the file could not grow{errno}"),
        Some(StopCause::Full) => format!("the file is full{errno}"),
        Some(StopCause::Forbidden) => format!("its seccomp filter forbids the file to grow{errno}"),
        Some(StopCause::NoMemory) => format!("no memory for another thread{errno}"),
        Some(StopCause::None) | None => format!("unknown cause{errno}"),
    }
}

/// Which ids processes have here: those of containers have others there.
struct Visible {
    namespace: u64,
    /// By namespace and id in it.
    others: HashMap<(u64, u32), u32>,
}

impl Visible {
    fn for_those(recordings: &[Recording]) -> Visible {
        let namespace = fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino());
        let is_other = |recording: &Recording| {
            let header = &recording.header;
            ![0, namespace].contains(&header.pid_namespace) && header.state == Some(State::Recording)
        };
        let others = if recordings.iter().any(is_other) { others(namespace) } else { HashMap::new() };
        Visible { namespace, others }
    }

    fn id_of(&self, recording: &Recording) -> Option<u32> {
        let header = &recording.header;
        if header.pid_namespace == 0 || header.pid_namespace == self.namespace {
            return Some(header.pid);
        }
        self.others.get(&(header.pid_namespace, header.pid)).copied()
    }
}

/// The processes of other namespaces than this: their ids here by namespace and id there.
fn others(namespace: u64) -> HashMap<(u64, u32), u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let other = |pid: u32| {
        let its = fs::metadata(format!("/proc/{pid}/ns/pid")).ok()?.ino();
        if its == namespace {
            return None;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        Some(((its, ids.split_ascii_whitespace().next_back()?.parse().ok()?), pid))
    };
    pids.filter_map(other).collect()
}

fn is_alive(recording: &Recording, pid: u32) -> bool {
    let header = &recording.header;
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name in parentheses may hold anything, spaces and parentheses included.
    let Some((_, fields)) = stat.rsplit_once(')') else { return false };
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next();
    let start = fields.nth(18).and_then(|ticks| ticks.parse::<u64>().ok());
    // A process that could not ask for its start may not know its namespace either: whoever has its id here is it only
    // if it writes the file.
    let is_it = if header.start_ticks == 0 {
        mapped(recording, pid).is_some()
    } else {
        start == Some(header.start_ticks)
    };
    !matches!(state, Some("Z" | "X")) && is_it
}

/// The path under which a process has the recording's file mapped. Found by its name, since the inodes in a process's map are not
/// those that `stat` gives on layered file systems.
fn mapped(recording: &Recording, pid: u32) -> Option<String> {
    let name = format!("/{:016x}.unfreed", recording.file_id);
    let map = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    map.lines()
        .filter_map(|line| line.get(line.find('/')?..))
        .find(|path| path.ends_with(&name))
        .map(str::to_owned)
}

/// Whether the process that runs writes to another file than this.
fn is_copy(recording: &Recording, pid: u32) -> bool {
    let Some(mapped) = mapped(recording, pid) else { return false };
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (fs::metadata(mapped).map(identity), fs::metadata(&recording.path).map(identity)) {
        (Ok(written), Ok(read)) => written != read,
        _ => false,
    }
}

/// The clock that recordings use, now.
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec to write to, and the call has no other effect.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) } != 0;
    if failed { 0 } else { now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64 }
}
