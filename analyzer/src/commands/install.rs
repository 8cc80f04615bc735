//! `unfreed install`: the library for programs that are started by something else.
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::process::ExitCode;

use crate::cli::InstallArgs;
use crate::commands::to_stdout;
use crate::error::{Failure, reason};
use crate::preload;

/// Writes the library and a directory for recordings; prints the environment on standard output, hints on standard
/// error.
pub fn install(args: &InstallArgs) -> anyhow::Result<ExitCode> {
    let library = preload::install(&args.directory)?;
    let recordings = library.with_file_name("recordings");
    if !recordings.is_dir() {
        DirBuilder::new()
            .mode(0o700)
            .create(&recordings)
            .map_err(|why| Failure::new(recordings.display(), reason(&why), "choose another directory"))?;
    }
    let (library, recordings) = (library.display(), recordings.display());
    to_stdout(|out| Ok(write!(out, "LD_PRELOAD={library}\nUNFREED_DIR={recordings}\n")?))?;
    let hints = format!(
        "
Every process that starts with these two lines in its environment is recorded, and its children.
{recordings} belongs to you and is readable by you alone: the service's user must be able to
write there (chown it), or name another directory in UNFREED_DIR.

  shell      env LD_PRELOAD={library} UNFREED_DIR={recordings} CMD
  gunicorn   gunicorn --env LD_PRELOAD=.. comes too late: set both before gunicorn starts
  systemd    [Service]
             Environment=LD_PRELOAD={library}
             Environment=UNFREED_DIR={recordings}
             ReadWritePaths={recordings}
  Docker     ENV LD_PRELOAD={library} UNFREED_DIR={recordings}
             (set it last: it holds for RUN lines below it too; mount a volume on UNFREED_DIR)

Read it at any time, while the service runs too:
  unfreed report {recordings}
"
    );
    let _ = std::io::Write::write_all(&mut std::io::stderr(), hints.as_bytes());
    Ok(ExitCode::SUCCESS)
}
