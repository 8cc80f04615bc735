//! `unfreed check`: files around [`Check`].
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;

use super::growth::judged;
use super::report::load_by_callers;
use super::selected::style;
use super::to_stdout;
use crate::aggregate::By;
use crate::check::{Baseline, Check, Held, Limits, Names, Rates};
use crate::cli::{CheckArgs, CheckFormat, Per, WindowArgs};
use crate::error::{self, Failure, reason};
use crate::output::{self, counted};
use crate::servers::Handlers;
use crate::temporary::Temporary;
use crate::verdicts::Unit;

/// Does it.
pub fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let baseline = args.baseline.as_deref().map(|path| read(path, args)).transpose()?;
    let by = match &baseline {
        Some(baseline) => by(baseline, args)?,
        None => args.by.unwrap_or(default_by(args)),
    };
    let rates = rates(args, by, baseline.as_ref())?;
    let handlers = Handlers::new(&args.window.handlers);
    let report = load_by_callers(&args.recording, by, &args.select, handlers)?;
    let limits = Limits {
        growth: args.max_growth.map(|(bytes, per)| (bytes, per.into())),
        unfreed: args.max_unfreed,
        blocks: args.max_blocks,
        baseline: args.baseline.as_ref().map(|path| path.display().to_string()),
        noise: args.noise.unwrap_or_default(),
        allow_incomplete: args.allow_incomplete,
    };
    let check = Check::new(report, rates, &limits, baseline.as_ref());
    let limit = args.limit();
    to_stdout(|out| {
        match args.format {
            CheckFormat::Text => output::check_text(&check, limit, style(args.all_frames), out)?,
            CheckFormat::Json => output::check_json(&check, limit, args.all_frames, out)?,
            CheckFormat::Markdown => output::check_markdown(&check, limit, args.all_frames, out)?,
            CheckFormat::Lsan => output::check_lsan(&check, limit, out)?,
        }
        Ok(())
    })?;
    if let Some(path) = &args.write_baseline {
        keep(&check, args, path)?;
    }
    Ok(ExitCode::from(check.verdict().status()))
}

/// A baseline that sites of this selection can be compared with.
fn read(path: &Path, args: &CheckArgs) -> Result<Baseline, Failure> {
    let text = fs::read(path).map_err(|why| {
        Failure::new(
            path.display(),
            reason(&why),
            "'unfreed check REC --write-baseline FILE' makes a baseline",
        )
    })?;
    let baseline = Baseline::parse(&String::from_utf8_lossy(&text))
        .map_err(|why| Failure::new(path.display(), why, "write it anew with --write-baseline"))?;
    let spoken = |options: &[String]| match options {
        [] => "without options that select".to_string(),
        options => format!("with {}", options.join(" ")),
    };
    let selection = args.selection();
    if selection != baseline.selection {
        let why =
            format!("it was written {}, and this is {}", spoken(&baseline.selection), spoken(&selection));
        return Err(Failure::new(path.display(), why, "give the same, or write it anew"));
    }
    Ok(baseline)
}

/// LeakSanitizer speaks of stacks.
fn default_by(args: &CheckArgs) -> By {
    match (args.format, &args.write_baseline) {
        (CheckFormat::Lsan, None) => By::Stack,
        _ => By::Function,
    }
}

/// What makes its sites.
fn by(baseline: &Baseline, args: &CheckArgs) -> Result<By, Failure> {
    let path = args.baseline.as_deref().unwrap_or(Path::new("")).display();
    let Some(by) = CheckArgs::BY.into_iter().find(|by| key(*by) == baseline.by) else {
        return Err(Failure::new(path, format!("its sites are by {}", baseline.by), "write it anew"));
    };
    match args.by {
        Some(other) if other != by => {
            let why = format!("its sites are by {}, not by {}", key(by), key(other));
            Err(Failure::new(path, why, "leave out --by, or write it anew"))
        }
        _ => Ok(by),
    }
}

/// As it is typed.
fn key(by: By) -> String {
    by.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
}

/// What grows, if that was asked: by an option of it, or because the baseline knows it.
fn rates(args: &CheckArgs, by: By, baseline: Option<&Baseline>) -> anyhow::Result<Option<Rates>> {
    let window = &args.window;
    let limit = args.max_growth.map(|(_, per)| per);
    let known = baseline.and_then(|baseline| baseline.unit).map(|(unit, _)| unit);
    let named = limit.or(window.per);
    let is_asked = window.since.is_some() || !window.handlers.is_empty() || window.requests.is_some();
    if named.is_none() && known.is_none() && !is_asked {
        return Ok(None);
    }
    if let (Some(limit), Some(per)) = (limit, window.per)
        && limit != per
    {
        let (limit, per) = (Unit::from(limit).name(), Unit::from(per).name());
        return Err(Failure::new(
            "--max-growth",
            format_args!("it is per {limit}"),
            format_args!("leave out --per {per}"),
        )
        .into());
    }
    let per = named.or(known.map(Per::from));
    let (_, verdicts) =
        judged(&args.recording, by, &args.select.which, &WindowArgs { per, ..window.clone() })?;
    if let Some(known) = known.filter(|known| *known != verdicts.unit) {
        let path = args.baseline.as_deref().unwrap_or(Path::new("")).display();
        let why = format!("its growth is per {}, not per {}", known.name(), verdicts.unit.name());
        return Err(Failure::new(path, why, "give the same unit, or write it anew").into());
    }
    Ok(Some(Rates::new(&verdicts)))
}

/// Writes what the sites hold, whole or not at all.
fn keep(check: &Check, args: &CheckArgs, path: &Path) -> Result<(), Failure> {
    if check.is_incomplete() {
        error::print(&format!(
            "{}: not written, the recording is incomplete; --allow-incomplete writes it",
            path.display()
        ));
        return Ok(());
    }
    let names = Names::new(&check.report);
    let held = Held::of(&check.report, &names, check.rates.as_ref());
    let baseline = Baseline::new(key(check.report.by), args.selection(), held, check.rates.as_ref());
    write(path, baseline.to_text().as_bytes())
        .map_err(|why| Failure::new(path.display(), reason(&why), "the baseline is not written"))?;
    let sites = counted(baseline.len() as u64, "site");
    error::print(&format!("{}: {sites} by {}", path.display(), baseline.by));
    Ok(())
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    // Through a link to what it names: a baseline may be one.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return fs::File::options().write(true).open(path)?.write_all(text);
    }
    let (temporary, mut file) = Temporary::beside(path)?;
    file.write_all(text)?;
    let mode =
        fs::metadata(path).map_or_else(|_| new_mode(), |metadata| metadata.permissions().mode() & 0o777);
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    temporary.keep(path)
}

/// The permissions of a new file: what the user's umask leaves, since it goes into a repository.
fn new_mode() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let umask = umask.and_then(|umask| u32::from_str_radix(umask.trim(), 8).ok());
    0o666 & !umask.unwrap_or(0o022)
}
