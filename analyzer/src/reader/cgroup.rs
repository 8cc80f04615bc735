//! How much memory running processes may use, and do: what their cgroups say, version 1 and 2.
use std::fs;
use std::path::{Path, PathBuf};

use super::recording::Recording;

/// A cgroup that limits memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemoryGroup {
    /// Its path, from the root that is seen here.
    pub path: String,
    /// Bytes that it may use.
    pub limit: u64,
    /// Bytes that it uses, without what the kernel gives back at once: files that are cached, the recording's among them.
    pub used: u64,
}

/// No machine has as much; version 1 says such a number where there is no limit.
const UNLIMITED: u64 = 1 << 60;

/// What limits the memory of a process, innermost first.
pub fn memory_groups(pid: u32) -> Vec<MemoryGroup> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mounts = Path::new("/sys/fs/cgroup");
    groups(&text, mounts)
}

fn groups(text: &str, mounts: &Path) -> Vec<MemoryGroup> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let is_memory = controllers.split(',').any(|controller| controller == "memory");
        let files = match (number, is_memory) {
            ("0", _) => ["memory.max", "memory.current", ""],
            (_, true) => ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_"],
            _ => continue,
        };
        let roots = [mounts.to_path_buf(), mounts.join("unified"), mounts.join("memory")];
        let Some(root) = roots.iter().find(|root| has(root, path, files[1])) else { continue };
        for below in Path::new(path).ancestors() {
            let directory = within(root, below);
            found.extend(group(&directory, below, files));
        }
    }
    found
}

/// Whether there is such a file of the group; the root of a container is the group itself.
fn has(root: &Path, path: &str, file: &str) -> bool {
    within(root, Path::new(path)).join(file).exists() || root.join(file).exists()
}

fn within(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn group(directory: &Path, path: &Path, [limit, used, prefix]: [&str; 3]) -> Option<MemoryGroup> {
    let number = |file: &str| fs::read_to_string(directory.join(file)).ok()?.trim().parse::<u64>().ok();
    let limit = number(limit).filter(|&limit| limit < UNLIMITED)?;
    let used = number(used)?;
    let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
    let cached = |name: &str| {
        let line = |line: &str| line.strip_prefix(prefix)?.strip_prefix(name)?.parse::<u64>().ok();
        stat.lines().find_map(line).unwrap_or(0)
    };
    let used = used.saturating_sub(cached("inactive_file ")).saturating_sub(cached("active_file "));
    Some(MemoryGroup { path: path.display().to_string(), limit, used })
}

/// Bytes of memory that a process has, its share of what it has in common with others; `None`: that may not be known.
pub fn resident(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let status = || fs::read_to_string(format!("/proc/{pid}/status")).ok();
    kib(&rollup, "Pss:").or_else(|| kib(&status()?, "VmRSS:"))
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let number = text.lines().find_map(|line| line.strip_prefix(name))?;
    number.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The numbers that these processes have here, if they run: a recording has that of their own pid namespace.
pub fn pids_here(recordings: &[Recording], is_it: impl Fn(u32, &Recording) -> bool) -> Vec<Option<u32>> {
    let running = |recording: &&Recording| recording.is_running();
    let own = |recording: &Recording| Some(recording.header.pid).filter(|&pid| is_it(pid, recording));
    let mut found: Vec<Option<u32>> =
        recordings.iter().map(|recording| Some(recording).filter(running).and_then(own)).collect();
    if recordings.iter().zip(&found).all(|(recording, pid)| pid.is_some() || !recording.is_running()) {
        return found;
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for (recording, pid) in
        recordings.iter().zip(&mut found).filter(|(one, pid)| pid.is_none() && one.is_running())
    {
        *pid = pids.iter().copied().find(|&pid| is_it(pid, recording));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(directory).expect("a directory");
        files.iter().for_each(|(name, text)| fs::write(directory.join(name), text).expect("a file"));
    }

    #[test]
    fn limits_of_the_group_and_of_those_above_it() {
        let root = std::env::temp_dir().join(format!("unfreed-cgroup-{}", std::process::id()));
        let two = root.join("two");
        write(&two.join("a/b"), &[("memory.max", "max\n"), ("memory.current", "70\n")]);
        write(
            &two.join("a"),
            &[
                ("memory.max", "100\n"),
                ("memory.current", "90\n"),
                ("memory.stat", "anon 5\ninactive_file 15\nactive_file 5\n"),
            ],
        );
        let path = "/a".to_string();
        assert_eq!(groups("0::/a/b\n", &two), [MemoryGroup { path, limit: 100, used: 70 }]);
        let one = root.join("one");
        let unlimited = "9223372036854771712\n";
        write(&one.join("memory"), &[("memory.limit_in_bytes", unlimited), ("memory.usage_in_bytes", "9\n")]);
        write(
            &one.join("memory/x"),
            &[
                ("memory.limit_in_bytes", "50\n"),
                ("memory.usage_in_bytes", "9\n"),
                ("memory.stat", "active_file 3\ntotal_inactive_file 1\ntotal_active_file 0\n"),
            ],
        );
        let text = "12:cpu,cpuacct:/x\n9:memory:/x\n1:name=systemd:/x\n";
        assert_eq!(groups(text, &one), [MemoryGroup { path: "/x".to_string(), limit: 50, used: 8 }]);
        // A container sees its own group as the root, whatever the path says.
        let own = MemoryGroup { path: "/".to_string(), limit: 50, used: 8 };
        assert_eq!(groups("9:memory:/docker/0123\n", &one.join("memory/x")), [own]);
        write(&root.join("three"), &[("memory.max", "40\n"), ("memory.current", "4\n")]);
        let found = groups("0::/\n", &root.join("three"));
        assert_eq!(found, [MemoryGroup { path: "/".to_string(), limit: 40, used: 4 }]);
        assert_eq!(groups("nonsense", &two), []);
        fs::remove_dir_all(&root).expect("it is there");
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident(std::process::id()).is_some_and(|bytes| bytes > 1 << 16));
        assert_eq!(resident(u32::MAX), None);
    }
}
