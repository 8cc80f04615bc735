//! One module's addresses: joins debug information and symbol table to frames.
//!
//! The function that owns the code takes its name from the symbol table where one covers the address, since DWARF
//! names internal aliases (`__GI_atoi` for `atoi`); a mangled name of DWARF stays, because functions with equal code
//! may share one address. Inlined functions are known to DWARF only.
use super::cache::Cache;
use super::debug_file::{DebugFile, DebugFrame, Storage};
use super::locator::{Located, Locator};
use super::table::Table;
use super::{Frame, ModuleFile, Reason, Symbolized, names};
use std::cell::LazyCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Looks up `addresses`, in the cache first and then on a stack of `stack` bytes; calls `done` with the index of each as it is
/// finished.
pub fn symbolize(
    module: &ModuleFile,
    addresses: &[u64],
    locator: &Locator,
    cache: Option<&Cache>,
    stack: usize,
    done: &dyn Fn(usize),
) -> Vec<Symbolized> {
    let located = locator.locate(module);
    let place = cache.and_then(|cache| cache.place(module, &located));
    let storage = Storage::default();
    let lookup = LazyCell::new(|| guarded(|| Ok(Lookup::new(module, &located, locator, stack, &storage))));
    let mut names = Names::default();
    let mut fresh = Vec::new();
    let look_up = |(index, &address)| {
        let kept = place.as_ref().and_then(|place| place.find(address));
        let symbolized = kept.map_or_else(
            || {
                fresh.push(index);
                guarded(|| Ok(lookup.as_ref().map_err(Clone::clone)?.find(address, &mut names)))
            },
            Ok,
        );
        done(index);
        symbolized.unwrap_or_else(|reason| Symbolized { frames: Vec::new(), reason: Some(reason) })
    };
    let found: Vec<Symbolized> = addresses.iter().enumerate().map(look_up).collect();
    if let (Some(cache), Some(place)) = (cache, &place)
        && !fresh.is_empty()
        && lookup.as_ref().is_ok_and(|lookup| !lookup.is_split())
    {
        let fresh: Vec<_> = fresh.into_iter().map(|index| (addresses[index], &found[index])).collect();
        cache.keep(place, &fresh);
    }
    found
}

/// The last resort against a panic in the crates that read debug files; none is known.
fn guarded<T>(f: impl FnOnce() -> Result<T, Reason>) -> Result<T, Reason> {
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|_| Err(unreadable("internal error in its debug information")))
}

fn unreadable(why: impl Into<String>) -> Reason {
    Reason::Unreadable(why.into())
}

/// What was found of a module, ready for lookups.
struct Lookup<'a> {
    table: Table<'a>,
    debug: Option<DebugFile<'a>>,
    /// Why no function is known where nothing names one.
    no_symbol: Reason,
    /// Why no line is known where no debug information has one.
    no_line: Reason,
    /// Why names are missing in debug information.
    no_name: Reason,
}

impl<'a> Lookup<'a> {
    fn new(
        module: &ModuleFile,
        located: &'a Located,
        locator: &'a Locator,
        stack: usize,
        storage: &'a Storage,
    ) -> Self {
        let objects: Vec<_> = located.files.iter().filter_map(|file| file.parse()).collect();
        let table = Table::new(&objects);
        let mut problem = located.problem.clone();
        let debug = located.debug_file().and_then(|file| {
            let opened =
                DebugFile::new(file, located.alternate.as_ref(), &module.path, locator, stack, storage);
            opened.map_err(|why| problem = Some(unreadable(format!("{}: {why}", file.path.display())))).ok()
        });
        if debug.is_some() {
            // Other files had problems, but they are not what is missing.
            problem = None;
        }
        Self {
            table,
            debug,
            no_symbol: problem.clone().unwrap_or(Reason::NoSymbol),
            no_line: problem.unwrap_or(Reason::NoDebugInfo),
            no_name: located.alternate_missing.clone().map_or(Reason::NoSymbol, Reason::DebugFileMissing),
        }
    }

    fn is_split(&self) -> bool {
        self.debug.as_ref().is_some_and(DebugFile::is_split)
    }

    fn find(&self, address: u64, names: &mut Names) -> Symbolized {
        let (known, error) = match self.debug.as_ref().map(|debug| debug.find(address)) {
            Some(Ok(frames)) => (frames, None),
            Some(Err(why)) => (Vec::new(), Some(unreadable(format!("debug information: {why}")))),
            None => (Vec::new(), None),
        };
        let symbol = self.table.find(address);
        let named_by_debug_info = known.iter().all(|frame| frame.function.is_some());
        let frames = frames(known, symbol, names);
        let complete = frames.iter().all(|frame| frame.function.is_some() && frame.line.is_some());
        let split = || self.debug.as_ref().and_then(|debug| debug.missing_split_file(address));
        let reason = if let Some(error) = error {
            Some(error)
        } else if frames.is_empty() {
            Some(self.no_symbol.clone())
        } else if let Some(name) = (!named_by_debug_info).then(split).flatten() {
            Some(Reason::DebugFileMissing(name))
        } else if complete {
            None
        } else if frames.iter().any(|frame| frame.function.is_none()) {
            Some(self.no_name.clone())
        } else {
            Some(self.no_line.clone())
        };
        Symbolized { frames, reason }
    }
}

fn frames(known: Vec<DebugFrame>, symbol: Option<&str>, names: &mut Names) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::with_capacity(known.len().max(1));
    let outermost = known.len().saturating_sub(1);
    for (index, frame) in known.into_iter().enumerate() {
        let inlined = index != outermost;
        let raw = match (frame.function.as_deref(), symbol.filter(|_| !inlined)) {
            (Some(name), Some(symbol)) if !names::is_mangled(name) => Some(symbol),
            (None, symbol) => symbol,
            (name, _) => name,
        };
        let function = raw.map(|raw| names.readable(raw));
        frames.push(Frame { function, file: frame.file, line: frame.line, inlined });
    }
    if frames.is_empty()
        && let Some(symbol) = symbol
    {
        frames.push(Frame { function: Some(names.readable(symbol)), ..Frame::default() });
    }
    frames
}

/// Names already demangled: the same few functions are on most stacks.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn readable(&mut self, raw: &str) -> String {
        if let Some(name) = self.0.get(raw) {
            return name.clone();
        }
        let name = names::readable(raw);
        self.0.insert(raw.to_owned(), name.clone());
        name
    }
}
