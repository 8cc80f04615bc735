//! `unfreed run`: checks, starts the command under the interposer, waits for it, and sums up.
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::RunArgs;
use crate::error::{Failure, print, reason};
use crate::launch::{self, Ended, Program};
use crate::{preload, tails, target};

/// Runs the command; the exit status is its own.
pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let command = args.command[0].as_os_str();
    let target = target::find(command)?;
    let library = args.lib.as_deref().map(preload::other).transpose()?;
    let directory = Directory::prepare(args, command)?;
    let ended =
        prepared(&directory, library).and_then(|library| start(args, &target, &directory.path, &library));
    match ended {
        Ok(ended) => {
            sum_up(&directory.path, ended);
            Ok(ExitCode::from(ended.status()))
        }
        Err(failure) => {
            directory.discard();
            Err(failure.into())
        }
    }
}

fn prepared(directory: &Directory, library: Option<PathBuf>) -> Result<PathBuf, Failure> {
    can_be_recorded_into(&directory.path)?;
    library.map_or_else(|| preload::extract(&directory.path), Ok)
}

fn start(
    args: &RunArgs,
    target: &target::Target,
    directory: &Path,
    library: &Path,
) -> Result<Ended, Failure> {
    let command = args.command[0].as_os_str();
    let preload = preload::variable(library, std::env::var_os("LD_PRELOAD"));
    let rest = args.command[1..].iter().map(OsString::as_os_str);
    let (path, arguments): (_, Vec<&OsStr>) = if target.needs_shell {
        let shell = OsStr::new("/bin/sh");
        (shell, [shell, target.path.as_os_str()].into_iter().chain(rest).collect())
    } else {
        (target.path.as_os_str(), [command].into_iter().chain(rest).collect())
    };
    let variables = vec![("LD_PRELOAD", preload.as_os_str()), ("UNFREED_DIR", directory.as_os_str())];
    launch::run(&Program { path, arguments, variables }).map_err(|why| {
        let status = if why.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
        Failure::new(target.path.display(), format!("cannot be executed: {}", reason(&why)), "")
            .with_status(status)
    })
}

/// The recording's directory, and whether it is to go again when nothing was started.
struct Directory {
    path: PathBuf,
    created: bool,
}

impl Directory {
    fn prepare(args: &RunArgs, command: &OsStr) -> Result<Directory, Failure> {
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
    fn discard(&self) {
        if self.created {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Longest path of a directory that the interposer takes, with room for a file's name.
const PATH_MAX: usize = 960;

fn remove_recording(directory: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, why: &io::Error| {
        Failure::new(
            path.display(),
            format!("cannot be removed: {}", reason(why)),
            "choose another directory with -o",
        )
    };
    let files = tails::recording_files(directory).map_err(|why| failed(directory, &why))?;
    if let Some((path, pid)) = files.iter().find_map(|path| Some((path, tails::writer(path)?))) {
        let why = format!("process {pid} still records into it");
        return Err(Failure::new(path.display(), why, "end it first, or choose another directory with -o"));
    }
    files.iter().try_for_each(|path| fs::remove_file(path).map_err(|why| failed(path, &why)))
}

/// Tries what the interposer does: a new file, made larger, written through a shared mapping.
fn can_be_recorded_into(directory: &Path) -> Result<(), Failure> {
    let probe = directory.join(format!(".probe-{}", std::process::id()));
    let tried = try_to_record(&probe);
    let _ = fs::remove_file(&probe);
    tried.map_err(|why| {
        Failure::new(
            directory.display(),
            format!("cannot be recorded into: {}", reason(&why)),
            "choose a directory on a local file system with -o",
        )
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

/// What was recorded, and the next command. Failing here must not change the program's status.
fn sum_up(directory: &Path, ended: Ended) {
    if let Ended::Killed(signal) = ended {
        print(&format!("the program was ended by signal {signal}"));
    }
    let shown = shown(directory);
    match tails::recording_files(directory) {
        Ok(files) if files.is_empty() => {
            print(&format!(
                "{shown}: nothing was recorded; the command did not load the library: it may have started with \
                 another environment (sudo, env -i), or see the loader's message above"
            ));
            return;
        }
        Ok(_) => {}
        Err(why) => return print(&format!("{shown}: {}", reason(&why))),
    }
    if let Err(why) = tails::cut(directory) {
        print(&format!("{shown}: unused space could not be cut off: {}", reason(&why)));
    }
    let _ = std::io::Write::write_all(&mut io::stderr(), format!("unfreed report {shown}\n").as_bytes());
}

/// The directory as one would type it: relative if it lies below the current one, quoted if need be.
fn shown(directory: &Path) -> String {
    let here = std::env::current_dir().ok();
    let path = here.and_then(|here| directory.strip_prefix(here).ok()).unwrap_or(directory);
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(byte);
    let text = if path.as_os_str().is_empty() { ".".to_string() } else { path.display().to_string() };
    if path.as_os_str().as_bytes().iter().all(plain) && !text.starts_with('-') {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
