//! The debug information of one module: lines and inlined functions of an address.
//!
//! Units are read when an address first falls into them. Split debug files are looked for at that time, so they live
//! in a [`Storage`] that outlives the lookups. Only sections that name functions and lines are loaded.
use super::elf::{ElfFile, SectionData, section, to_path};
use super::locator::Locator;
use super::nesting;
use addr2line::gimli::{
    self, AbbreviationsCacheStrategy, Dwarf, DwarfPackage, EndianSlice, RunTimeEndian, SectionId,
};
use addr2line::{Context, LookupContinuation, LookupResult, SplitDwarfLoad};
use object::Object;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use typed_arena::Arena;

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// Owns what is opened or decompressed while addresses are looked up.
#[derive(Default)]
pub struct Storage {
    files: Arena<ElfFile>,
    sections: Arena<Vec<u8>>,
}

/// A function and the line in it, as DWARF has them.
pub struct DebugFrame {
    /// Linkage name if there is one, else the name.
    pub function: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
}

/// Ready to look up addresses.
pub struct DebugFile<'a> {
    context: Context<Slice<'a>>,
    package: Option<(PathBuf, DwarfPackage<Slice<'a>>)>,
    split: SplitFiles<'a>,
    /// A split debug file was not found, so that units have to be asked for theirs.
    incomplete: std::cell::Cell<bool>,
}

/// Where split debug files are loaded from and kept.
struct SplitFiles<'a> {
    locator: &'a Locator,
    stack: usize,
    storage: &'a Storage,
    used: RefCell<Vec<PathBuf>>,
}

impl<'a> DebugFile<'a> {
    /// Prepares the debug information of `file`; `alternate` holds what it shares with others, `module` is the path
    /// of the file that was mapped. The addresses are looked up on a stack of `stack` bytes.
    pub fn new(
        file: &'a ElfFile,
        alternate: Option<&'a ElfFile>,
        module: &Path,
        locator: &'a Locator,
        stack: usize,
        storage: &'a Storage,
    ) -> Result<Self, String> {
        let object = file.parse().ok_or("the file changed")?;
        let mut dwarf = Dwarf::load(|id| load(&object, Some(id.name()).filter(|_| is_needed(id)), storage))?;
        if let Some(object) = alternate.and_then(ElfFile::parse) {
            dwarf.load_sup(|id| load(&object, Some(id.name()).filter(|_| is_needed(id)), storage))?;
        }
        if nesting::is_too_deep(&dwarf, stack) {
            return Err("inlined functions are nested too deep".to_owned());
        }
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
        let context = Context::from_dwarf(dwarf).map_err(|error| error.to_string())?;
        let split = SplitFiles { locator, stack, storage, used: RefCell::default() };
        let packages = locator.split_packages(module, &file.path);
        let package = packages.into_iter().find_map(|path| Some((path.clone(), split.package(&path)?)));
        Ok(Self { context, package, split, incomplete: Default::default() })
    }

    /// Innermost first; empty if nothing is known.
    pub fn find(&self, address: u64) -> Result<Vec<DebugFrame>, String> {
        let mut frames = self.lookup(address).map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        while let Some(frame) = frames.next().map_err(|error| error.to_string())? {
            let function = frame.function.as_ref().and_then(|name| name.raw_name().ok());
            let function = function.filter(|name| !name.is_empty()).map(|name| name.into_owned());
            let (file, line) = frame.location.map_or((None, None), |l| (l.file.map(str::to_owned), l.line));
            found.push(DebugFrame { function, file, line });
        }
        Ok(found)
    }

    /// The name of the split debug file that describes `address` and was not found.
    pub fn missing_split_file(&self, address: u64) -> Option<String> {
        if !self.incomplete.get() {
            return None;
        }
        let unit = self.context.find_dwarf_and_unit(address).skip_all_loads()?;
        let name = unit.dwo_name().ok()??;
        unit.attr_string(name).ok().map(|name| name.to_string_lossy().into_owned())
    }

    /// The package and the single split debug files that were used so far.
    pub fn split_files(&self) -> (Option<PathBuf>, Vec<PathBuf>) {
        (self.package.as_ref().map(|(path, _)| path.clone()), self.split.used.borrow().clone())
    }

    /// Whether what was found depends on split debug files, which were found or missed.
    pub fn is_split(&self) -> bool {
        self.package.is_some() || self.incomplete.get() || !self.split.used.borrow().is_empty()
    }

    fn lookup(&self, address: u64) -> gimli::Result<addr2line::FrameIter<'_, Slice<'a>>> {
        let mut result = self.context.find_frames(address);
        loop {
            match result {
                LookupResult::Output(frames) => return frames,
                LookupResult::Load { load, continuation } => {
                    let unit = self.load_split(&load);
                    self.incomplete.set(self.incomplete.get() || unit.is_none());
                    result = continuation.resume(unit);
                }
            }
        }
    }

    fn load_split(&self, load: &SplitDwarfLoad<Slice<'a>>) -> Option<Arc<Dwarf<Slice<'a>>>> {
        let packaged =
            self.package.as_ref().and_then(|(_, p)| p.find_cu(load.dwo_id, &load.parent).ok().flatten());
        if let Some(unit) = packaged.filter(|unit| !nesting::is_too_deep(unit, self.split.stack)) {
            return Some(Arc::new(unit));
        }
        let directory = load.comp_dir.map_or(PathBuf::new(), |directory| to_path(directory.slice()));
        let name = to_path(load.path?.slice());
        let places = self.split.locator.split_files(&directory, &name);
        let (path, unit) =
            places.into_iter().find_map(|path| Some((path.clone(), self.split.unit(&path, load)?)))?;
        self.split.used.borrow_mut().push(path);
        Some(Arc::new(unit))
    }
}

impl<'a> SplitFiles<'a> {
    fn open(&self, path: &Path) -> Option<object::File<'a>> {
        let file = ElfFile::open(path).ok()??;
        self.storage.files.alloc(file).parse()
    }

    fn package(&self, path: &Path) -> Option<DwarfPackage<Slice<'a>>> {
        let object = self.open(path)?;
        let empty = EndianSlice::new(&[], endian(&object));
        let load = |id: SectionId| load(&object, id.dwo_name(), self.storage).map_err(|_| gimli::Error::Io);
        DwarfPackage::load(load, empty).ok()
    }

    /// The unit in the file at `path`, if it is the one that `load` asks for.
    fn unit(&self, path: &Path, load: &SplitDwarfLoad<Slice<'a>>) -> Option<Dwarf<Slice<'a>>> {
        let object = self.open(path)?;
        let section =
            |id: SectionId| self::load(&object, id.dwo_name().filter(|_| is_needed(id)), self.storage);
        let mut dwarf = Dwarf::load(section).ok()?;
        let header = dwarf.units().next().ok()??;
        if dwarf.unit(header).ok()?.dwo_id != Some(load.dwo_id) || nesting::is_too_deep(&dwarf, self.stack) {
            return None;
        }
        dwarf.make_dwo(&load.parent);
        Some(dwarf)
    }
}

/// Not needed for functions and lines: where variables live, macros, and the indices of debuggers.
fn is_needed(id: SectionId) -> bool {
    !matches!(
        id,
        SectionId::DebugLoc
            | SectionId::DebugLocLists
            | SectionId::DebugMacinfo
            | SectionId::DebugMacro
            | SectionId::DebugNames
            | SectionId::DebugTypes
    )
}

/// The same of a section with this name, compressed or not.
pub fn is_needed_section(name: &[u8]) -> bool {
    let name = name.strip_prefix(b".zdebug_").or(name.strip_prefix(b".debug_")).unwrap_or(name);
    let names = |id: SectionId| id.name().strip_prefix(".debug_").is_some_and(|n| n.as_bytes() == name);
    SECTIONS.into_iter().any(|id| names(id) && is_needed(id))
}

/// What [`Dwarf::load`] loads.
const SECTIONS: [SectionId; 16] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugAranges,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugLoc,
    SectionId::DebugLocLists,
    SectionId::DebugMacinfo,
    SectionId::DebugMacro,
    SectionId::DebugNames,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugTypes,
];

fn load<'a>(
    object: &object::File<'a>,
    name: Option<&str>,
    storage: &'a Storage,
) -> Result<Slice<'a>, String> {
    let data = match name.map(|name| section(object, name)).transpose()? {
        Some(SectionData::Mapped(data)) => data,
        Some(SectionData::Owned(data)) => storage.sections.alloc(data),
        None => &[],
    };
    Ok(EndianSlice::new(data, endian(object)))
}

fn endian(object: &object::File<'_>) -> RunTimeEndian {
    if object.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big }
}
