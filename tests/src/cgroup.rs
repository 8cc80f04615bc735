//! Memory cgroups for what is recorded, where such may be made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A memory cgroup, which is removed when its processes are gone.
pub struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// A group within that of this process, with at most so many bytes; `None` where there can be none.
    pub fn new(name: &str, most: u64) -> Option<MemoryGroup> {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = |controller: &str| {
            let fields = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
            let mut found = fields.filter(|fields| fields.len() == 3 && fields[1] == controller);
            found.next().map(|fields| fields[2].trim_start_matches('/').to_owned())
        };
        // The file of the limit tells the version of the hierarchy.
        for (controller, mount, file) in [
            ("memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("", "/sys/fs/cgroup", "memory.max"),
        ] {
            let Some(own) = own(controller) else { continue };
            let path = Path::new(mount).join(own).join(format!("unfreed-test-{}-{name}", std::process::id()));
            if fs::create_dir(&path).is_err() {
                continue;
            }
            let group = MemoryGroup(path);
            if fs::write(group.0.join(file), most.to_string()).is_ok() {
                return Some(group);
            }
        }
        eprintln!("skipped: no memory cgroup can be made here");
        None
    }

    /// `command` within the group.
    pub fn run(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        inside.args(["-c", r#"echo 0 > "$0/cgroup.procs" && exec "$@""#]).arg(&self.0);
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        inside
    }

    /// Takes a process that runs into the group.
    pub fn take(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("the group takes processes");
    }

    /// Whether this is its path from the root of the hierarchy.
    pub fn is_at(&self, path: &str) -> bool {
        self.0.ends_with(path.trim_start_matches('/'))
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // The kernel takes a moment to let go of a killed process.
        for _ in 0..1_000_000 {
            if fs::remove_dir(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::yield_now();
        }
    }
}
