//! What the kernel says of its OOM killer: in the memory cgroup of this process, which a program that it starts is in too.
use std::fs;
use std::path::{Path, PathBuf};

/// Where the hierarchies of cgroups are mounted, and the file of a group with its count: version 2, alone or beside
/// version 1, and version 1.
const HIERARCHIES: [(&str, &str, &str); 3] = [
    ("", "/sys/fs/cgroup", "memory.events"),
    ("", "/sys/fs/cgroup/unified", "memory.events"),
    ("memory", "/sys/fs/cgroup/memory", "memory.oom_control"),
];

/// How many processes the OOM killer has ended so far in this process's memory cgroup.
pub struct Kills {
    file: PathBuf,
    count: u64,
}

impl Kills {
    /// As of now; `None` where it is not known.
    pub fn now() -> Option<Kills> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        files(&groups).find_map(|file| count(&file).map(|count| Kills { file, count }))
    }

    /// Those since then.
    pub fn since(&self) -> u64 {
        count(&self.file).map_or(0, |count| count.saturating_sub(self.count))
    }
}

/// The files that may have the count, by `/proc/self/cgroup`. In a container the path there may be the host's, and the
/// group itself what is mounted.
fn files(groups: &str) -> impl Iterator<Item = PathBuf> {
    HIERARCHIES.into_iter().flat_map(move |(controller, mount, name)| {
        let is_it =
            |line: &&str| line.split(':').nth(1).is_some_and(|list| list.split(',').any(|c| c == controller));
        let group = groups.lines().find(is_it).and_then(|line| line.splitn(3, ':').nth(2));
        let below = group.map(|path| Path::new(mount).join(path.trim_start_matches('/')).join(name));
        below.into_iter().chain([Path::new(mount).join(name)]).collect::<Vec<_>>()
    })
}

fn count(file: &Path) -> Option<u64> {
    count_in(&fs::read_to_string(file).ok()?)
}

fn count_in(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_in_either_version() {
        let found = |groups: &str| files(groups).map(|path| path.display().to_string()).collect::<Vec<_>>();
        let both = found("9:cpu,memory:/a/b\n0::/c\n");
        assert_eq!(both[0], "/sys/fs/cgroup/c/memory.events");
        assert!(both.contains(&"/sys/fs/cgroup/memory/a/b/memory.oom_control".to_string()), "{both:?}");
        assert!(found("").contains(&"/sys/fs/cgroup/memory.events".to_string()));
    }

    #[test]
    fn the_count_is_not_that_of_another_word() {
        assert_eq!(count_in("low 0\noom 7\noom_kill 3\noom_group_kill 1\n"), Some(3));
        assert_eq!(count_in("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), Some(2));
        assert_eq!(count_in("oom_kill_disable 0\n"), None);
    }
}
