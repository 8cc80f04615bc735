//! `unfreed rss`.
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use super::selected::{style, suppressions, symbols};
use super::{opened, to_stdout};
use crate::aggregate::{Filter, Loaded, Own, Selection};
use crate::cli::{RssArgs, RssFormat};
use crate::error::{Failure, reason};
use crate::reader::{Definitions, Recording, Run, running};
use crate::replay::{self, Moment, Resources};
use crate::rss::{self, Kernel};
use crate::{moments, output, progress};

/// Does it.
pub fn rss(args: &RssArgs) -> anyhow::Result<ExitCode> {
    let (subject, mut run) = opened::open(&args.recording)?;
    if subject.moment.is_some() {
        let why = "the kernel tells of the memory of a process as it is now, and of no other moment";
        return Err(Failure::new(moments::path(&subject), why, "name it without @MOMENT").into());
    }
    opened::only(&mut run, &subject, &args.which)?;
    let asked: HashSet<u64> = run.recordings.iter().map(|recording| recording.header.file_id).collect();
    bring_parents(&mut run);
    let selection = selection(args)?;
    let bar = progress::bytes("reading", run.log_bytes());
    let loaded = Loaded::read(&run, &selection, &|bytes| bar.inc(bytes));
    drop(bar);
    let pids: HashMap<usize, u32> =
        if run.packed.is_some() { HashMap::new() } else { running(&run.recordings).into_iter().collect() };
    let places = run.recordings.iter().enumerate().filter(|(_, one)| asked.contains(&one.header.file_id));
    let places: Vec<usize> = places.map(|(place, _)| place).collect();
    let kernel = |place: usize| {
        let pid = *pids.get(&place)?;
        Kernel::read(pid).map_or_else(|why| failed(pid, &why).map(Err), |kernel| Some(Ok(kernel)))
    };
    let mapped = mapped(&run);
    let looks = rss::look(&run, &loaded, mapped.as_ref(), &places, kernel);
    let bar = progress::items("symbols", loaded.addresses() as u64);
    let mut report = loaded.report(&run, &selection, &|addresses| bar.inc(addresses as u64));
    drop(bar);
    report.recording = subject.shown;
    let mapped = mapped.map(|mapped| mapped.report(&run, &selection, &|_| {}));
    let found = looks.with(report, mapped);
    if let ([entry], Some(why)) =
        (&found.processes[..], found.processes.iter().find_map(|one| one.problem.as_ref()))
    {
        let pid = found.report.processes[entry.index].pid;
        return Err(Failure::new(format_args!("process {pid}"), why, "ask as that user or as root").into());
    }
    let limit = args.limit();
    to_stdout(|out| {
        match args.format {
            RssFormat::Text => output::rss_text(&found, limit, style(args.all_frames), out)?,
            RssFormat::Json => output::rss_json(&found, limit, args.all_frames, out)?,
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn selection(args: &RssArgs) -> Result<Selection, Failure> {
    let which = &args.which;
    let filter = Filter {
        focus: which.focus.clone(),
        ignore: which.ignore.clone(),
        suppressions: suppressions(&which.suppressions)?,
        ..Filter::default()
    };
    let (own, symbols) = (Own::new(&which.own), symbols(&which.symbols));
    Ok(Selection { by: args.by, filter, own, symbols, ..Selection::default() })
}

/// What the run's programs have mapped themselves, if that was recorded.
fn mapped(run: &Run) -> Option<Loaded> {
    if !run.recordings.iter().any(|recording| Resources::Mappings.are_in(recording)) {
        return None;
    }
    let options = replay::Options { until: Moment::End, ..replay::Options::default() };
    let held = |recording: &Recording| {
        let held = replay::held(recording, Resources::Mappings, &options, &mut (), &|_| {});
        (held.replayed, Definitions::read(recording))
    };
    Some(Loaded::of(run, run.recordings.iter().map(held).collect(), options))
}

/// What was left out is looked at too, of which the others were forked: their heaps began with its blocks.
fn bring_parents(run: &mut Run) {
    let is_parent = |of: &Recording, one: &Recording| {
        of.is_forked()
            && of.header.parent_file_id == one.header.file_id
            && of.header.file_id != one.header.file_id
    };
    while let Some(place) =
        run.others.iter().position(|other| run.recordings.iter().any(|one| is_parent(one, other)))
    {
        let parent = run.others.remove(place);
        run.recordings.insert(0, parent);
    }
}

/// Why nothing is known of a process; `None`: it has just ended.
fn failed(pid: u32, why: &io::Error) -> Option<String> {
    match why.kind() {
        io::ErrorKind::NotFound => None,
        _ if why.raw_os_error() == Some(libc::ESRCH) => None,
        io::ErrorKind::PermissionDenied => {
            let owner = fs::metadata(format!("/proc/{pid}")).map_or(0, |metadata| metadata.uid());
            Some(format!("it is of user {owner}, or has rights that are not yours: its memory is not told"))
        }
        _ => Some(reason(why)),
    }
}
