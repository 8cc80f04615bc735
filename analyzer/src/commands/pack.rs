//! `unfreed pack`: a recording in one file.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::opened::failure;
use super::selected::symbols;
use crate::cli::PackArgs;
use crate::error::{Failure, print, reason};
use crate::output::{Size, counted};
use crate::pack::{self, Request, WriteError};
use crate::reader;
use crate::subject::Subject;

/// What the name of a pack ends in, if nobody chooses another one.
const EXTENSION: &str = "unfreed-pack";

/// Does it; tells on standard error what is not in it.
pub fn pack(args: &PackArgs) -> anyhow::Result<ExitCode> {
    let Subject { path: recording, moment, .. } = Subject::find(&args.recording)?;
    if moment.is_some() {
        let why = "a moment of a recording cannot be packed";
        return Err(Failure::new(args.recording.display(), why, "the whole one can").into());
    }
    let run = reader::open(&recording).map_err(failure)?;
    let output = match &args.output {
        Some(output) => output.clone(),
        None => default_output(&recording)?,
    };
    match fs::symlink_metadata(&output) {
        Ok(metadata) if metadata.is_dir() => {
            return Err(Failure::new(output.display(), "a directory", "-o names a file").into());
        }
        Ok(_) if !args.force => {
            return Err(
                Failure::new(output.display(), "exists", "-f replaces it, -o names another file").into()
            );
        }
        _ => {}
    }
    let request = Request {
        recording,
        output,
        modules: !args.no_modules,
        debug: !args.no_debug,
        level: args.level,
        symbols: symbols(&args.symbols),
    };
    let summary = pack::write(&run, &request).map_err(|WriteError { path, why }| {
        Failure::new(path.display(), reason(&why), "nothing was packed")
    })?;
    run.unreadable.iter().for_each(|error| print(&error.to_string()));
    for (path, why) in &summary.missing {
        print(&format!("not in the pack: {}: {why}", path.display()));
    }
    let processes = counted(run.recordings.len() as u64, "process");
    let modules =
        if args.no_modules { "no modules".to_owned() } else { counted(summary.modules as u64, "module") };
    let output = request.output.display();
    print(&format!("{output}: {processes}, {modules}, {}", Size(summary.size)));
    Ok(ExitCode::SUCCESS)
}

/// Named after the recording, in the current directory.
fn default_output(recording: &Path) -> Result<PathBuf, Failure> {
    let named = recording.file_name().map(PathBuf::from);
    let name = named.or_else(|| recording.canonicalize().ok()?.file_name().map(PathBuf::from));
    let Some(mut name) = name else {
        return Err(Failure::new(recording.display(), "has no name", "-o names the file to make"));
    };
    if !recording.is_dir() {
        name.set_extension("");
    }
    name.as_mut_os_string().push(format!(".{EXTENSION}"));
    Ok(name)
}
