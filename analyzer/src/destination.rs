//! Where a recording goes: a new or an empty directory that files can be recorded into.
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use recording::layout::{FILTERS, directory_mode};
use recording::run::RUN;

use crate::cli::RunArgs;
use crate::error::{Failure, reason};
use crate::limit::limit;
use crate::{reader, tails};

/// The recording's directory, and whether it is to go again when nothing was started.
pub struct Directory {
    /// Absolute.
    pub path: PathBuf,
    created: bool,
}

impl Directory {
    /// The directory that was asked for, empty, or a new one.
    pub fn prepare(args: &RunArgs, command: &OsStr) -> Result<Directory, Failure> {
        let directory = match &args.output {
            Some(path) => Directory::named(path, args.force)?,
            None => Directory::numbered(command)?,
        };
        if directory.path.as_os_str().len() > PATH_MAX {
            let why = format!("its absolute path is longer than {PATH_MAX} bytes");
            let failure = Failure::new(directory.path.display(), why, "choose a shorter one with -o");
            directory.discard();
            return Err(failure);
        }
        if let Some(mode) = args.recording.mode.filter(|_| directory.created) {
            let permissions = Permissions::from_mode(directory_mode(mode));
            fs::set_permissions(&directory.path, permissions).map_err(|why| {
                directory.discard();
                Failure::new(directory.path.display(), reason(&why), "leave out --mode")
            })?;
        }
        Ok(directory)
    }

    /// `unfreed.PROGRAM.N`, new.
    fn numbered(command: &OsStr) -> Result<Directory, Failure> {
        let program = Path::new(command).file_name().unwrap_or(OsStr::new("program"));
        for number in 1..=u32::MAX {
            let mut name = OsString::from("unfreed.");
            name.push(program);
            name.push(format!(".{number}"));
            match DirBuilder::new().mode(0o700).create(&name) {
                Ok(()) => return Directory::absolute(Path::new(&name), true),
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
                Err(why) => {
                    let why = format!("cannot be created here: {}", reason(&why));
                    return Err(Failure::new(name.display(), why, "choose a directory with -o"));
                }
            }
        }
        Err(Failure::new("unfreed.*", "too many recordings here", "choose a directory with -o"))
    }

    fn named(path: &Path, force: bool) -> Result<Directory, Failure> {
        let fail = |why: &str, advice: &str| Failure::new(path.display(), why, advice);
        let failed = |why: io::Error| fail(&reason(&why), "choose another directory with -o");
        match fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    if !force {
                        return Err(fail(
                            "is not empty",
                            "choose another directory, or add --force to replace its recording",
                        ));
                    }
                    remove_recording(path)?;
                }
                Directory::absolute(path, false)
            }
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                // What a program was asked to do is in its recording: nobody else may look.
                DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
                Directory::absolute(path, true)
            }
            Err(why) if why.kind() == io::ErrorKind::NotADirectory => {
                Err(fail("is not a directory", "choose another with -o"))
            }
            Err(why) => Err(failed(why)),
        }
    }

    fn absolute(path: &Path, created: bool) -> Result<Directory, Failure> {
        let path = path
            .canonicalize()
            .map_err(|why| Failure::new(path.display(), reason(&why), "choose another with -o"))?;
        Ok(Directory { path, created })
    }

    /// Nothing was started: leaves no new directory behind.
    pub fn discard(&self) {
        if self.created {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Longest path of a directory that the interposer takes, with room for a file's name.
const PATH_MAX: usize = 960;

fn remove_recording(directory: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, why: String| {
        Failure::new(path.display(), format!("cannot be removed: {why}"), "choose another directory with -o")
    };
    let files =
        reader::process_files(directory).map_err(|error| failed(&error.path, error.why.to_string()))?;
    if let Some((path, pid)) = files.iter().find_map(|path| Some((path, tails::writer(path)?))) {
        let why = format!("process {pid} still records into it");
        return Err(Failure::new(path.display(), why, "end it first, or choose another directory with -o"));
    }
    files.iter().try_for_each(|path| fs::remove_file(path).map_err(|why| failed(path, reason(&why))))?;
    // Its marks are no marks of the next one.
    let live = reader::live(directory);
    let _ = fs::remove_file(live.join(RUN));
    let _ = fs::remove_file(live.join(FILTERS));
    let _ = fs::remove_dir(live);
    Ok(())
}

/// Below these limits a recording would stop almost as soon as it begins.
const LIMITS: [(libc::__rlimit_resource_t, u64, &str); 2] = [
    (libc::RLIMIT_FSIZE, 4 << 20, "file size limit (ulimit -f)"),
    (libc::RLIMIT_AS, 64 << 20, "address space limit (ulimit -v)"),
];

/// Before anything is written: beyond the file size limit that would end us with SIGXFSZ.
fn check_limits(directory: &Path) -> Result<(), Failure> {
    for (resource, least, name) in LIMITS {
        if limit(resource) < least {
            let why = format!("cannot be recorded into: the {name} is below {} MiB", least >> 20);
            return Err(Failure::new(directory.display(), why, "raise it"));
        }
    }
    Ok(())
}

/// Tries what the interposer does: a new file, made larger, written through a shared mapping.
pub fn can_be_recorded_into(directory: &Path) -> Result<(), Failure> {
    check_limits(directory)?;
    let probe = directory.join(format!(".probe-{}", std::process::id()));
    let tried = try_to_record(&probe);
    let _ = fs::remove_file(&probe);
    tried.map_err(|why| {
        let advice = match why.kind() {
            io::ErrorKind::PermissionDenied => "choose a directory that you can write to with -o",
            io::ErrorKind::StorageFull => "free some space, or choose another directory with -o",
            _ => "choose a directory on a local file system with -o",
        };
        Failure::new(directory.display(), format!("cannot be recorded into: {}", reason(&why)), advice)
    })
}

fn try_to_record(probe: &Path) -> io::Result<()> {
    const PAGE: usize = 4096;
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(probe)?;
    // SAFETY: the descriptor is open; no memory is involved.
    if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, PAGE as i64) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of our own file, at a place of the kernel's choice, unmapped once and never touched.
    unsafe {
        let address =
            libc::mmap(std::ptr::null_mut(), PAGE, protection, libc::MAP_SHARED, file.as_raw_fd(), 0);
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        libc::munmap(address, PAGE);
    }
    Ok(())
}
