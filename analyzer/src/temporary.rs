//! Files and directories that are gone when `unfreed` is, also where a signal ends it.
//!
//! A thread waits for the signals that end a program from the terminal, and those alone that would: what is ignored
//! (`nohup`) stays ignored. SIGKILL leaves them where they are.
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once};

const SIGNALS: [i32; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM];
/// Names tried: another process may leave one behind.
const TRIES: u32 = 1000;

/// What is to be removed.
static PATHS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file or directory that is removed when this is dropped.
#[derive(Debug)]
pub struct Temporary(PathBuf);

impl Temporary {
    /// An empty directory for this user alone, in the system's directory for temporary files (`TMPDIR`).
    pub fn directory() -> io::Result<Temporary> {
        let place = std::env::temp_dir();
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        new(&place.join("unfreed-"), make).map(|(temporary, ())| temporary)
    }

    /// The same beside a file that is to be made.
    pub fn directory_beside(path: &Path) -> io::Result<Temporary> {
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        new(&beside(path), make).map(|(temporary, ())| temporary)
    }

    /// An empty file for this user alone, beside the one that it is to become.
    pub fn beside(path: &Path) -> io::Result<(Temporary, File)> {
        let make =
            |path: &Path| File::options().read(true).write(true).create_new(true).mode(0o600).open(path);
        new(&beside(path), make)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Gives it its name, which it keeps.
    pub fn keep(self, path: &Path) -> io::Result<()> {
        // Not removed meanwhile.
        let paths = paths();
        fs::rename(&self.0, path)?;
        drop(paths);
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let mut paths = paths();
        if let Some(place) = paths.iter().position(|path| *path == self.0) {
            paths.swap_remove(place);
        }
        remove(&self.0);
    }
}

/// What the names of such begin with.
fn beside(path: &Path) -> PathBuf {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    path.with_file_name(prefix)
}

fn new<T>(prefix: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(Temporary, T)> {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(watch);
    // Made while it is in the list: a signal that comes in between finds it.
    let mut paths = paths();
    let mut last = None;
    for number in 0..TRIES {
        let mut path = prefix.as_os_str().to_owned();
        path.push(format!("{}-{number}", std::process::id()));
        let path = PathBuf::from(path);
        match make(&path) {
            Ok(made) => {
                paths.push(path.clone());
                return Ok((Temporary(path), made));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AlreadyExists.into()))
}

fn paths() -> MutexGuard<'static, Vec<PathBuf>> {
    PATHS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn remove(path: &Path) {
    // Nobody can be told. What was kept is no longer there.
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

/// Has the signals wait for a thread of their own. Threads that are started later leave them to it.
fn watch() {
    // SAFETY: a set of signals is valid when it is all 0 and is initialised by `sigemptyset`; the calls change the set
    // and this thread's mask, and read how a signal is handled.
    let set = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in SIGNALS {
            let mut action: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &mut action) == 0
                && action.sa_sigaction == libc::SIG_DFL
            {
                libc::sigaddset(&mut set, signal);
            }
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        set
    };
    let started = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut signal = 0;
        // SAFETY: both are valid for the call.
        while unsafe { libc::sigwait(&set, &mut signal) } != 0 {}
        let paths = paths();
        paths.iter().for_each(|path| remove(path));
        // SAFETY: lets the signal through, whose action is the default one: it ends the process.
        unsafe {
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
            libc::kill(libc::getpid(), signal);
        }
        // Nothing new is made until then.
        drop(paths);
    });
    if started.is_err() {
        // SAFETY: as above.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_removed_and_what_is_kept_is_not() {
        let directory = Temporary::directory().expect("made");
        let path = directory.path().to_owned();
        fs::write(path.join("file"), "x").expect("written");
        let target = path.join("kept");
        let (file, _) = Temporary::beside(&target).expect("made");
        assert_eq!(file.path().parent(), Some(&*path));
        file.keep(&target).expect("renamed");
        let (other, _) = Temporary::beside(&target).expect("made");
        let gone = other.path().to_owned();
        drop(other);
        assert!(target.exists() && !gone.exists());
        drop(directory);
        assert!(!path.exists());
    }
}
