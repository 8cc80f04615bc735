//! Processes that are being recorded, found by their number: the kernel says which files they have mapped.
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use recording::layout::LIVE_DIRECTORY;
use recording::run::RUN;

use crate::error::{Failure, reason};
use crate::reader::Recording;

/// A process of this machine, as its recording knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// Its number here.
    pub pid: u32,
    /// Its number in its own pid namespace.
    pub inner_pid: u32,
    /// Inode of that.
    pub namespace: u64,
    /// When it began, clock ticks since boot.
    pub start_ticks: u64,
}

impl Recorded {
    /// The process of this number; `None` if there is none, or nothing may be known of it.
    pub fn of(pid: u32) -> Option<Recorded> {
        let namespace = fs::metadata(format!("/proc/{pid}/ns/pid")).ok()?.ino();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let inner_pid = ids.split_ascii_whitespace().next_back()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; the fields behind it begin with the third.
        let start_ticks = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()?;
        Some(Recorded { pid, inner_pid, namespace, start_ticks })
    }

    /// Whether this is a recording of it. One whose header does not know namespace or start may be.
    pub fn is_in(&self, recording: &Recording) -> bool {
        let header = &recording.header;
        let fits = |known: u64, its: u64| known == 0 || known == its;
        header.pid == self.inner_pid
            && fits(header.pid_namespace, self.namespace)
            && fits(header.start_ticks, self.start_ticks)
    }

    /// The running descendants of it.
    pub fn descendants(&self) -> Vec<Recorded> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
        let mut family = vec![self.pid];
        let mut next = 0;
        while let Some(&of) = family.get(next) {
            next += 1;
            let children = parents.iter().filter(|(pid, parent)| *parent == of && !family.contains(pid));
            let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
            family.extend(children);
        }
        family.into_iter().skip(1).filter_map(Recorded::of).collect()
    }
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The process of this number, and the directory that it is recorded into.
pub fn find(pid: u32) -> Result<(Recorded, PathBuf), Failure> {
    let fail = |why: &str, advice: &str| Failure::new(format_args!("process {pid}"), why, advice);
    let map = fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|why| match why.kind() {
        io::ErrorKind::NotFound => {
            fail("there is none", "of one that has ended name the recording's directory")
        }
        io::ErrorKind::PermissionDenied => {
            let owner = fs::metadata(format!("/proc/{pid}")).map_or(0, |metadata| metadata.uid());
            // SAFETY: takes no argument and cannot fail.
            match unsafe { libc::geteuid() } {
                // It has more rights than this process, as those outside of a container have.
                user if user == 0 || user == owner => {
                    fail("what it has mapped may not be read from here", "name the recording's directory")
                }
                _ => fail(&format!("it is of user {owner}"), "ask as that user or as root"),
            }
        }
        _ => fail(&reason(&why), "name the recording's directory"),
    })?;
    let mapped: Vec<&str> = map.lines().filter_map(|line| line.get(line.find('/')?..)).collect();
    let Some(directory) = mapped.iter().find_map(|path| directory(path)) else {
        let is_loaded = mapped.iter().any(|path| path.contains("/libunfreed"));
        return Err(match is_loaded {
            true => fail(
                "is not recorded",
                "UNFREED_DIR is not set or not writable, or --only or --exclude leaves it out",
            ),
            false => {
                fail("is not recorded", "start it by 'unfreed run', or with what 'unfreed install' prints")
            }
        });
    };
    let process = Recorded::of(pid).ok_or_else(|| fail("has ended", "name the recording's directory"))?;
    let seen_by_it = Path::new("/proc").join(pid.to_string()).join("root");
    let seen_by_it = seen_by_it.join(directory.strip_prefix("/").unwrap_or(directory));
    // Its own root first: the same path may be another recording here.
    let is_same = |path: &Path| match (path.metadata(), seen_by_it.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    };
    match directory {
        directory if is_same(directory) => Ok((process, directory.to_path_buf())),
        _ if seen_by_it.is_dir() => Ok((process, seen_by_it)),
        // Whose root may not be looked into, but whose map may.
        directory if directory.is_dir() => Ok((process, directory.to_path_buf())),
        gone => Err(fail(&format!("its recording {} is not there any more", gone.display()), "")),
    }
}

/// The recording's directory, if this file is of one that is written to.
fn directory(mapped: &str) -> Option<&Path> {
    let file = Path::new(mapped.strip_suffix(" (deleted)").unwrap_or(mapped));
    let is_process = file.extension().is_some_and(|extension| extension == "unfreed");
    let parent = file.parent()?;
    let is_live = parent.file_name().is_some_and(|name| name == LIVE_DIRECTORY);
    let is_run = is_live && file.file_name().is_some_and(|name| name == RUN);
    if is_live && (is_process || is_run) { parent.parent() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_mapped_files() {
        let of = |path| directory(path).map(|path| path.display().to_string());
        for path in ["/a b/live/0123456789abcdef.unfreed", "/a b/live/run", "/a b/live/run (deleted)"] {
            assert_eq!(of(path).as_deref(), Some("/a b"), "{path}");
        }
        for path in ["/a/run", "/a/live/runs", "/lib/libunfreed.so", "/x.unfreed", "/live"] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn this_process() {
        let this = Recorded::of(std::process::id()).expect("it may know of itself");
        assert!(this.start_ticks != 0 && this.namespace != 0);
        assert!(!this.descendants().contains(&this));
        let why = find(this.pid).expect_err("nothing records it").to_string();
        assert!(why.starts_with(&format!("process {}: is not recorded; start it by", this.pid)), "{why}");
        let why = find(u32::MAX).expect_err("no such number").to_string();
        assert!(why.contains("there is none"), "{why}");
    }
}
