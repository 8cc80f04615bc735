//! Which of a run's processes is whose child.
use std::collections::{HashMap, HashSet};

use recording::layout::FileHeader;

use super::directory::Run;
use super::recording::Recording;

/// The parent of each process: of a forked one by the id of its recording, of an exec'd one by its number, which means
/// something within its pid namespace. `recordings` is in the order in which they began.
pub fn parents(recordings: &[Recording]) -> Vec<Option<usize>> {
    let ids: HashMap<u64, usize> =
        recordings.iter().enumerate().map(|(index, recording)| (recording.header.file_id, index)).collect();
    let mut parents = vec![None; recordings.len()];
    for (child, recording) in recordings.iter().enumerate() {
        let FileHeader { parent_file_id, parent_pid, pid_namespace, .. } = recording.header;
        let is_parent = |recording: &Recording| {
            let namespaces = [recording.header.pid_namespace, pid_namespace];
            let is_same = namespaces[0] == namespaces[1] || namespaces.contains(&0);
            is_same && parent_pid != 0 && recording.header.pid == parent_pid
        };
        let parent = match ids.get(&parent_file_id) {
            Some(&parent) => Some(parent),
            // A process that became another program has a file for each; the last one before the child is its parent.
            None => recordings[..child].iter().rposition(is_parent),
        };
        parents[child] = parent.filter(|&parent| !descends(&parents, parent, child));
    }
    parents
}

/// Whether `process` is `ancestor` or comes from it, as far as parents are noted: none may come from itself, whatever a
/// damaged file says.
fn descends(parents: &[Option<usize>], process: usize, ancestor: usize) -> bool {
    let mut line = std::iter::successors(Some(process), |&process| parents[process]);
    line.any(|process| process == ancestor)
}

impl Run {
    /// Leaves the processes that `keep` names to be reported; the others stay in [`Run::others`].
    pub fn keep(&mut self, keep: impl Fn(&Recording) -> bool) {
        let (kept, others): (Vec<_>, _) = self.recordings.drain(..).partition(keep);
        self.recordings = kept;
        self.others.extend(others);
    }

    /// The same for the last image of the process that `is_root` names, and all that come from it.
    pub fn keep_family(&mut self, is_root: impl Fn(&Recording) -> bool) {
        let Some(root) = self.recordings.iter().rposition(is_root) else {
            return self.keep(|_| false);
        };
        let parents = parents(&self.recordings);
        let ids = self.recordings.iter().map(|recording| recording.header.file_id);
        let kept: HashSet<u64> =
            ids.enumerate().filter(|(index, _)| descends(&parents, *index, root)).map(|(_, id)| id).collect();
        self.keep(|recording| kept.contains(&recording.header.file_id));
    }
}
