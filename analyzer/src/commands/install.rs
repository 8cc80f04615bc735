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
    let options = args.recording.variables()?;
    let library = preload::install(&args.directory)?;
    let recordings = library.with_file_name("recordings");
    if !recordings.is_dir() {
        DirBuilder::new()
            .mode(0o700)
            .create(&recordings)
            .map_err(|why| Failure::new(recordings.display(), reason(&why), "choose another directory"))?;
    }
    let (library, recordings) = (library.display().to_string(), recordings.display().to_string());
    let mut variables = vec![("LD_PRELOAD", library), ("UNFREED_DIR", recordings.clone())];
    variables.extend(options);
    let entries: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    to_stdout(|out| Ok(writeln!(out, "{}", entries.join("\n"))?))?;
    let units: Vec<String> =
        entries.iter().map(|entry| format!("             Environment={entry}\n")).collect();
    let (units, line) = (units.concat(), entries.join(" "));
    let hints = format!(
        "
Every process that starts with these lines in its environment is recorded, and its
children. {recordings}
belongs to you and is readable by you alone: the service's user must be able to write
there (chown it), or name another directory in UNFREED_DIR.

  shell      env {line} CMD
  gunicorn   gunicorn --env LD_PRELOAD=.. comes too late: set them before it starts
  systemd    [Service]
{units}             ReadWritePaths={recordings}
  Docker     ENV {line}
             (set it last: it holds for RUN lines below it too; mount a volume on UNFREED_DIR)

Read it at any time, while the service runs too:
  unfreed report {recordings}
"
    );
    let _ = std::io::Write::write_all(&mut std::io::stderr(), hints.as_bytes());
    Ok(ExitCode::SUCCESS)
}
