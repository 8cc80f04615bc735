//! What can be said of how something is recorded: the options of `unfreed run`, which `unfreed install` prints as the
//! environment that they stand for.
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::error::Failure;

use super::values::{MaxLog, executable, max_log, mode};

/// Arguments of `unfreed run`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unfreed run ./server --port 8000
  unfreed run -o before -- python3 -m flask --app shop run
  unfreed run -o /var/tmp/rec --force --max-log 64M -- gunicorn shop:app
  unfreed run --only 'python3*' -- make test
  unfreed run -- sh -c 'make -j4 && ./test'")]
pub struct RunArgs {
    /// Record into DIR, a new or an empty directory [default: unfreed.PROGRAM.N here]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Remove an older recording from DIR first
    ///
    /// Only files named *.unfreed are removed. Without it, a directory with anything in it is refused.
    #[arg(long, requires = "output")]
    pub force: bool,
    /// What is recorded, and how.
    #[command(flatten)]
    pub recording: RecordingArgs,
    /// Load this library in place of the one inside `unfreed`.
    #[arg(long, value_name = "PATH", hide = true)]
    pub lib: Option<PathBuf>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// What is recorded, and how: each option stands for a variable of the recorded program's environment.
#[derive(Args, Debug)]
pub struct RecordingArgs {
    /// How large the log of events may grow, over all processes: 64M, 2G, 0, unlimited [default: 1G]
    ///
    /// When it is reached, the oldest events make room for new ones and recording goes on. What is unfreed stays exact, and so
    /// do the totals of each stack; the report says from when on events are there. With 0 there are none: a recording has
    /// what is unfreed and the totals, and takes least.
    #[arg(long, value_name = "SIZE", value_parser = max_log)]
    pub max_log: Option<MaxLog>,
    /// Load the recorder, but record nothing until `unfreed on`
    ///
    /// What is allocated until then is in no report.
    #[arg(long)]
    pub off: bool,
    /// Record only programs with this executable; may be given again
    ///
    /// The name of its file or script, or the whole path; * stands for anything: uwsgi, 'python3*', '/srv/shop/*'. Processes that it
    /// forks are recorded too, until they execute another program.
    #[arg(long, value_name = "EXE", value_parser = executable)]
    pub only: Vec<String>,
    /// Do not record programs with this executable; may be given again
    ///
    /// What such a program executes in its turn is recorded, unless it is excluded too.
    #[arg(long, value_name = "EXE", value_parser = executable)]
    pub exclude: Vec<String>,
    /// Who may read and write the recording's files, as for chmod [default: 600]
    ///
    /// Octal, such as 640 or 666, whatever the umask; you may always do both. A new DIR gets the permissions that fit: with 640
    /// your group may look at it, with 660 programs of its other users may be recorded into it too.
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub mode: Option<u32>,
    /// Whether Python's objects are recorded, or only what its allocator takes from malloc [default: on]
    ///
    /// Python cuts objects of up to 512 bytes out of memory that it maps itself. With `off` these are not seen: the
    /// program runs faster, and its recording is smaller.
    #[arg(long, value_name = "on|off", hide_possible_values = true)]
    pub python_objects: Option<Switch>,
    /// Record open files, sockets and other descriptors too: `unfreed report --fds`
    #[arg(long)]
    pub fds: bool,
    /// Record anonymous memory mappings too: `unfreed report --mmap`
    ///
    /// Those that the program and its libraries make by mmap, not what its allocators map.
    #[arg(long)]
    pub mmap: bool,
}

/// Longer lists of executables are not taken by the interposer, bytes.
const LONGEST_LIST: usize = 2048;

impl RecordingArgs {
    /// The environment that the options stand for, as names and values.
    pub fn variables(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let list = |names: &[String]| (!names.is_empty()).then(|| names.join(":"));
        for (option, names) in [("--only", list(&self.only)), ("--exclude", list(&self.exclude))] {
            if names.is_some_and(|names| names.len() > LONGEST_LIST) {
                let why = format!("its names are longer than {LONGEST_LIST} bytes together");
                return Err(Failure::new(option, why, "use * for what they have in common"));
            }
        }
        let objects = |objects| if objects == Switch::On { "on" } else { "off" }.to_string();
        let variables = [
            ("UNFREED_MAX_LOG", self.max_log.map(|size| size.to_string())),
            ("UNFREED_START", self.off.then(|| "off".to_string())),
            ("UNFREED_ONLY", list(&self.only)),
            ("UNFREED_EXCLUDE", list(&self.exclude)),
            ("UNFREED_MODE", self.mode.map(|mode| format!("{mode:o}"))),
            ("UNFREED_PYTHON_OBJECTS", self.python_objects.map(objects)),
            ("UNFREED_FDS", self.fds.then(|| "1".to_string())),
            ("UNFREED_MMAP", self.mmap.then(|| "1".to_string())),
        ];
        Ok(variables.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

/// The value of an option that is on or off.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// Arguments of `unfreed install`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unfreed install /opt/unfreed
  unfreed install /opt/unfreed --max-log 64M
  env $(unfreed install /opt/unfreed) gunicorn shop:app
  unfreed report /opt/unfreed/recordings")]
pub struct InstallArgs {
    /// Where to write the library; created if need be
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// What is recorded, and how.
    #[command(flatten)]
    pub recording: RecordingArgs,
}
