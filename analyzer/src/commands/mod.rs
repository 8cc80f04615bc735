//! One file for each verb: what the typed arguments mean. I/O and processes begin here.
use std::ffi::OsStr;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

mod check;
mod diff;
mod growth;
mod held;
mod inspect;
mod install;
mod mark;
mod opened;
mod pack;
mod report;
mod rss;
mod run;
mod selected;
mod switch;
mod top;

use crate::cli::{Cli, Verb};
use crate::error::{Failure, reason};

/// Does what was asked.
pub fn dispatch(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.verb {
        Verb::Run(args) => run::run(args),
        Verb::Install(args) => install::install(args),
        Verb::Report(args) => report::report(args),
        Verb::Diff(args) => diff::diff(args),
        Verb::Growth(args) => growth::growth(args),
        Verb::Rss(args) => rss::rss(args),
        Verb::Check(args) => check::check(args),
        Verb::Top(args) => top::top(args),
        Verb::Mark(args) => mark::mark(args),
        Verb::Marks(args) => mark::marks(args),
        Verb::On(args) => switch::switch(&args.recording, true),
        Verb::Off(args) => switch::switch(&args.recording, false),
        Verb::Inspect(args) => inspect::inspect(args),
        Verb::Pack(args) => pack::pack(args),
    }
}

/// Lets `write` print to standard output, buffered; an output that is full is an error, a broken pipe ends quietly
/// in `main`.
pub fn to_stdout(write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    write(&mut out).and_then(|()| Ok(out.flush()?)).map_err(|failed| match failed.downcast::<io::Error>() {
        Ok(why) if why.kind() == io::ErrorKind::BrokenPipe => why.into(),
        Ok(why) => Failure::new("standard output", reason(&why), "the output is not complete").into(),
        Err(other) => other,
    })
}

/// A word as one would type it in a shell: quoted if need be.
fn typed(word: &OsStr) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(byte);
    let text = word.display().to_string();
    if word.as_bytes().iter().all(plain) && !text.starts_with('-') {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
