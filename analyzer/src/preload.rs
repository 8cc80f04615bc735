//! The library inside this binary: where to put it, and whether a loader can load it from there.
//!
//! A library that cannot be mapped executable is only a line on the program's standard error and an empty
//! recording, so every place is tried out before the program starts. The name holds a hash of the content: a second
//! run, or another version, never changes a file that some process has mapped.
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, ptr};

use crate::error::{Failure, reason};

/// libunfreed.so.
static LIBRARY: &[u8] = include_bytes!(env!("UNFREED_LIBRARY"));
/// What C programs include to set marks themselves.
static HEADER: &str = include_str!("../../include/unfreed.h");

/// Writes the library where a loader can load it from: the recording's directory, or where that does not do, the
/// user's runtime or cache directory, or one of the user's among the temporary files. Returns its absolute path.
pub fn extract(recording: &Path) -> Result<PathBuf, Failure> {
    let name = hashed_name();
    let mut refused = Vec::new();
    for directory in places(recording) {
        let path = directory.join(&name);
        let placed = spelled_plainly(&path)
            .and_then(|()| make_directory(&directory))
            .and_then(|()| place(&path))
            .and_then(|()| can_be_mapped(&path));
        match placed {
            Ok(()) => return Ok(path),
            Err(why) => refused.push(format!("{} ({})", directory.display(), reason(&why))),
        }
    }
    Err(Failure::new(
        "libunfreed.so",
        format!("no place for it that programs can be loaded from: {}", refused.join(", ")),
        "set TMPDIR to a directory on a file system without noexec, with no space, colon or '$' in its name",
    ))
}

/// Writes `libunfreed.so` to a directory that services load it from, and `unfreed.h` beside it. Returns the library's absolute
/// path.
pub fn install(directory: &Path) -> Result<PathBuf, Failure> {
    let failed = |why: io::Error| {
        Failure::new(
            directory.display(),
            format!("cannot install there: {}", reason(&why)),
            "choose another directory",
        )
    };
    std::path::absolute(directory).and_then(|path| spelled_plainly(&path)).map_err(failed)?;
    fs::create_dir_all(directory).map_err(failed)?;
    let path = directory.canonicalize().map_err(failed)?.join("libunfreed.so");
    spelled_plainly(&path).and_then(|()| place(&path)).and_then(|()| can_be_mapped(&path)).map_err(failed)?;
    fs::write(path.with_file_name("unfreed.h"), HEADER).map_err(failed)?;
    Ok(path)
}

/// A library of the developer's: absolute, and checked as our own.
pub fn other(path: &Path) -> Result<PathBuf, Failure> {
    let checked = path.canonicalize().and_then(|path| {
        spelled_plainly(&path).and_then(|()| can_be_mapped(&path))?;
        Ok(path)
    });
    checked.map_err(|why| Failure::new(path.display(), reason(&why), "--lib takes a libunfreed.so"))
}

/// `LD_PRELOAD` of the program: our library first, then what was there, without another copy of ours.
pub fn variable(library: &Path, existing: Option<OsString>) -> OsString {
    let mut value = library.as_os_str().as_bytes().to_vec();
    let existing = existing.unwrap_or_default();
    for entry in existing.as_bytes().split(|&byte| byte == b':' || byte == b' ') {
        let file = entry.rsplit(|&byte| byte == b'/').next().unwrap_or(entry);
        if !entry.is_empty() && !file.starts_with(b"libunfreed") {
            value.push(b':');
            value.extend_from_slice(entry);
        }
    }
    OsString::from_vec(value)
}

fn hashed_name() -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(LIBRARY);
    format!("libunfreed-{:016x}.so", hasher.finish())
}

fn places(recording: &Path) -> Vec<PathBuf> {
    let variable = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let mut places = vec![recording.to_path_buf()];
    places
        .extend([variable("XDG_RUNTIME_DIR"), cache].into_iter().flatten().map(|path| path.join("unfreed")));
    // SAFETY: takes no argument and cannot fail.
    let user = unsafe { libc::geteuid() };
    // Everybody can write to the directory for temporary files: one of our own in it, or none.
    let own = env::temp_dir().join(format!("unfreed-{user}"));
    if fs::symlink_metadata(&own).map_or(true, |found| found.is_dir() && found.uid() == user) {
        places.push(own);
    }
    places
}

/// The loader splits LD_PRELOAD at spaces and colons (musl's at any white space) and expands `$ORIGIN` and others.
fn spelled_plainly(path: &Path) -> io::Result<()> {
    let odd = |byte: &u8| byte.is_ascii_whitespace() || *byte == b':' || *byte == b'$';
    match path.as_os_str().as_bytes().iter().find(|byte| odd(byte)) {
        Some(byte) => {
            Err(io::Error::other(format!("the loader cannot take {:?} in LD_PRELOAD", *byte as char)))
        }
        None => Ok(()),
    }
}

fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() { Ok(()) } else { fs::create_dir_all(directory) }
}

/// Makes `path` a file with the library in it: the one that is there, or a new one, moved into place whole.
fn place(path: &Path) -> io::Result<()> {
    if is_ours(path) {
        return Ok(());
    }
    let mut name = path.as_os_str().to_os_string();
    name.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(name);
    let _ = fs::remove_file(&temporary);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&temporary)?;
        file.write_all(LIBRARY)?;
        // Whatever the umask: a server that gives up its privileges must still be able to load it.
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
        drop(file);
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Whether `path` holds the library and nobody but us and root can change it.
fn is_ours(path: &Path) -> bool {
    let check = || -> io::Result<bool> {
        let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
        let metadata = file.metadata()?;
        // SAFETY: takes no argument and cannot fail.
        let user = unsafe { libc::geteuid() };
        let trusted = metadata.uid() == user || metadata.uid() == 0;
        if !trusted || metadata.mode() & 0o777 != 0o755 || metadata.len() != LIBRARY.len() as u64 {
            return Ok(false);
        }
        let mut content = Vec::with_capacity(LIBRARY.len());
        file.read_to_end(&mut content)?;
        Ok(content == LIBRARY)
    };
    check().unwrap_or(false)
}

/// Maps the file as a loader would; fails on a file system that is mounted noexec.
fn can_be_mapped(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let protection = libc::PROT_READ | libc::PROT_EXEC;
    // SAFETY: a new private mapping of one page, at a place of the kernel's choice, that is never read.
    let address =
        unsafe { libc::mmap(ptr::null_mut(), 4096, protection, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
    if address == libc::MAP_FAILED {
        let failed = io::Error::last_os_error();
        let noexec = failed.kind() == io::ErrorKind::PermissionDenied;
        return Err(if noexec { io::Error::other("mounted noexec") } else { failed });
    }
    // SAFETY: the mapping made above, unmapped once.
    unsafe { libc::munmap(address, 4096) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_preloads_stay_behind_ours() {
        let value = |existing: &str| variable(Path::new("/x/libunfreed-1.so"), Some(existing.into()));
        assert_eq!(variable(Path::new("/x/l.so"), None), "/x/l.so");
        assert_eq!(value(""), "/x/libunfreed-1.so");
        assert_eq!(value("libjemalloc.so /b.so:/c.so"), "/x/libunfreed-1.so:libjemalloc.so:/b.so:/c.so");
        assert_eq!(value("/old/libunfreed-2.so:/b.so"), "/x/libunfreed-1.so:/b.so");
    }

    #[test]
    fn odd_paths_are_refused() {
        for path in ["/a b/l.so", "/a:b/l.so", "/a$LIB/l.so", "/a\tb/l.so"] {
            assert!(spelled_plainly(Path::new(path)).is_err(), "{path}");
        }
        assert!(spelled_plainly(Path::new("/a-b_c/é.so")).is_ok());
    }
}
