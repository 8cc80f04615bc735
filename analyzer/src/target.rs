//! What a command would execute, and whether a library can be preloaded into it.
//!
//! The loader leaves LD_PRELOAD out without a word for static, setuid and foreign programs; here they are named
//! before anything runs. A script is followed to its interpreter, through `env` too.
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Failure, reason};

/// A command that can be recorded.
#[derive(Debug)]
pub struct Target {
    /// What to execute.
    pub path: PathBuf,
    /// It is text without a `#!` line, which `execvp` gives to /bin/sh.
    pub needs_shell: bool,
}

/// Finds the command as a shell does and checks every program on the way to it.
pub fn find(command: &OsStr) -> Result<Target, Failure> {
    let path = look_up(command)?;
    let mut needs_shell = false;
    let mut next = path.clone();
    // The kernel follows five interpreters at most.
    for _ in 0..6 {
        match inspect(&next)? {
            Kind::Program => return Ok(Target { path, needs_shell }),
            Kind::Text => {
                needs_shell |= next == path;
                next = PathBuf::from("/bin/sh");
            }
            Kind::Script { interpreter, argument } => {
                if !interpreter.exists() {
                    let missing = format!("its interpreter {} does not exist", interpreter.display());
                    return Err(Failure::new(next.display(), missing, "mend its first line").with_status(127));
                }
                next = behind_env(&interpreter, argument.as_deref())?;
            }
        }
    }
    Err(Failure::new(
        path.display(),
        "too many interpreters behind its first line",
        "name the program itself",
    )
    .with_status(126))
}

enum Kind {
    Program,
    Script { interpreter: PathBuf, argument: Option<OsString> },
    Text,
}

fn look_up(command: &OsStr) -> Result<PathBuf, Failure> {
    if command.as_bytes().contains(&b'/') {
        return executable(Path::new(command)).map(|()| PathBuf::from(command));
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut refused = None;
    for directory in env::split_paths(&path).filter(|_| !command.is_empty()) {
        let candidate =
            if directory.as_os_str().is_empty() { Path::new(".") } else { &directory }.join(command);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(failure) if failure.status == 126 && candidate.is_file() => {
                refused = refused.or(Some(failure))
            }
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| {
        Failure::new(command.display(), "command not found", "give its path, or check PATH").with_status(127)
    }))
}

fn executable(path: &Path) -> Result<(), Failure> {
    let failure =
        |why: &str, advice: &str, status| Err(Failure::new(path.display(), why, advice).with_status(status));
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            return failure("command not found", "check its path", 127);
        }
        Err(why) => return failure(&reason(&why), "check its path and permissions", 126),
    };
    if metadata.is_dir() {
        return failure("is a directory", "name a program in it", 126);
    }
    let name = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
    // SAFETY: the name is a C string that outlives the call.
    if unsafe { libc::faccessat(libc::AT_FDCWD, name.as_ptr(), libc::X_OK, libc::AT_EACCESS) } != 0 {
        return failure("is not executable", "chmod +x it, or name its interpreter first", 126);
    }
    Ok(())
}

/// `#!/usr/bin/env python3` runs python3: the program behind `env`, or the interpreter itself.
fn behind_env(interpreter: &Path, argument: Option<&OsStr>) -> Result<PathBuf, Failure> {
    let words = argument.map(|text| text.as_bytes().split(u8::is_ascii_whitespace)).into_iter().flatten();
    let mut commands = words.filter(|word| !word.is_empty() && word[0] != b'-' && !word.contains(&b'='));
    match commands.next() {
        Some(command) if interpreter.file_name() == Some(OsStr::new("env")) => {
            inspect(interpreter)?;
            look_up(OsStr::from_bytes(command))
        }
        _ => Ok(interpreter.to_path_buf()),
    }
}

fn inspect(path: &Path) -> Result<Kind, Failure> {
    let unreadable =
        |why: io::Error| Failure::new(path.display(), reason(&why), "check its permissions").with_status(126);
    let file = match File::open(path) {
        Ok(file) => file,
        // Executable but not readable is allowed, and nothing can be checked.
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => return Ok(Kind::Program),
        Err(why) => return Err(unreadable(why)),
    };
    let mut start = Vec::new();
    (&file).take(4096).read_to_end(&mut start).map_err(unreadable)?;
    if start.starts_with(b"\x7fELF") {
        let metadata = file.metadata().map_err(unreadable)?;
        preloadable(path, &file, &start)?;
        keeps_environment(path, &metadata)?;
        return Ok(Kind::Program);
    }
    let Some(line) = start.strip_prefix(b"#!") else { return Ok(Kind::Text) };
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii();
    let space = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (interpreter, argument) = line.split_at(space);
    let argument = argument.trim_ascii();
    Ok(Kind::Script {
        interpreter: PathBuf::from(OsString::from_vec(interpreter.to_vec())),
        argument: (!argument.is_empty()).then(|| OsString::from_vec(argument.to_vec())),
    })
}

const PT_INTERP: u32 = 3;

/// Whether this ELF file is a dynamic program of the library's architecture, whose loader exists.
fn preloadable(path: &Path, file: &File, start: &[u8]) -> Result<(), Failure> {
    let refuse = |why: String, advice: &str| Err(Failure::new(path.display(), why, advice));
    let u16_at =
        |at: usize| start.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let (class, machine) = (start.get(4).copied().unwrap_or(0), u16_at(18));
    let native = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    if (class, machine) != (2, native) {
        let what = match (class, machine) {
            (_, 3) | (1, 62) => "a 32-bit x86 program".to_string(),
            (_, 40) => "a 32-bit ARM program".to_string(),
            (_, 62) => "an x86-64 program".to_string(),
            (_, 183) => "an ARM64 program".to_string(),
            _ => format!("a program for ELF machine {machine}"),
        };
        let here = env::consts::ARCH;
        return refuse(
            format!("is {what}"),
            &format!("this unfreed records 64-bit {here} programs: build it for {here}"),
        );
    }
    if !matches!(u16_at(16), 2 | 3) {
        return refuse("is an ELF file but no program".to_string(), "link it first");
    }
    match interpreter(file, start) {
        Some(loader) if loader.exists() => Ok(()),
        Some(loader) => Err(Failure::new(
            path.display(),
            format!("its loader {} does not exist", loader.display()),
            "install the C library it was linked for",
        )
        .with_status(127)),
        // The loader itself may be the command, and preloads for the program it is given.
        None if path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"ld-")) => Ok(()),
        None => refuse(
            "is statically linked, so no library can be loaded into it".to_string(),
            "link it dynamically (without -static, +crt-static or CGO_ENABLED=0) to record it",
        ),
    }
}

/// PT_INTERP of a little-endian ELF64 file.
fn interpreter(file: &File, start: &[u8]) -> Option<PathBuf> {
    let u64_at = |bytes: &[u8], at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let table = u64_at(start, 32)?;
    let size = u16::from_le_bytes([*start.get(54)?, *start.get(55)?]);
    let count = u16::from_le_bytes([*start.get(56)?, *start.get(57)?]);
    for index in 0..u64::from(count) {
        let mut header = [0; 56];
        file.read_exact_at(&mut header, table.checked_add(index * u64::from(size))?).ok()?;
        if u32::from_le_bytes(header[..4].try_into().ok()?) == PT_INTERP {
            let mut name = vec![0; usize::try_from(u64_at(&header, 32)?.min(4096)).ok()?];
            file.read_exact_at(&mut name, u64_at(&header, 8)?).ok()?;
            let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
            name.truncate(end);
            return Some(PathBuf::from(OsString::from_vec(name)));
        }
    }
    None
}

/// The loader runs a program that gains privileges (AT_SECURE) without LD_PRELOAD.
fn keeps_environment(path: &Path, metadata: &Metadata) -> Result<(), Failure> {
    // SAFETY: these two take no argument and cannot fail.
    let (user, group) = unsafe { (libc::getuid(), libc::getgid()) };
    if gains_nothing(path) {
        return Ok(());
    }
    let mode = metadata.mode();
    let setuid = mode & libc::S_ISUID != 0 && metadata.uid() != user;
    let setgid = mode & libc::S_ISGID != 0 && mode & libc::S_IXGRP != 0 && metadata.gid() != group;
    let what = match (setuid, setgid) {
        (true, _) => "is setuid",
        (_, true) => "is setgid",
        _ if user != 0 && has_capabilities(path) => "has file capabilities",
        _ => return Ok(()),
    };
    let why = format!("{what}, so the loader ignores LD_PRELOAD");
    Err(Failure::new(
        path.display(),
        why,
        "record a copy of it (cp drops the privilege), or run unfreed as its owner",
    ))
}

/// Whether neither setuid bits nor capabilities count: on a nosuid mount, or with no_new_privs.
fn gains_nothing(path: &Path) -> bool {
    // SAFETY: PR_GET_NO_NEW_PRIVS takes no pointer.
    if unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) } == 1 {
        return true;
    }
    let name = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
    // SAFETY: all-zero is a valid statvfs; the call writes it, and the name is a C string.
    let (status, mount) = unsafe {
        let mut mount: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(name.as_ptr(), &mut mount), mount)
    };
    status == 0 && mount.f_flag & libc::ST_NOSUID != 0
}

fn has_capabilities(path: &Path) -> bool {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
    // SAFETY: both names are C strings; with size 0 nothing is written.
    unsafe { libc::getxattr(name.as_ptr(), c"security.capability".as_ptr(), std::ptr::null_mut(), 0) > 0 }
}
