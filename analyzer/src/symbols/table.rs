//! The functions of ELF symbol tables, by address.
//!
//! Which of several names at one address is shown is a total order, so that two reports of one recording agree.
use super::names;
use object::elf::{SHF_EXECINSTR, STB_LOCAL, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolFlags, SymbolSection};
use std::cmp::Ordering;
use std::collections::HashMap;

/// Functions that may overlap, sorted.
#[derive(Default)]
pub struct Table<'a> {
    symbols: Vec<Symbol<'a>>,
}

struct Symbol<'a> {
    start: u64,
    end: u64,
    /// The largest `end` of this symbol and those before it: how far back a covering one may lie.
    reach: u64,
    /// It is not typed as a function, or its end is a guess.
    doubtful: bool,
    local: bool,
    name: &'a str,
}

impl<'a> Table<'a> {
    /// Reads the symbol tables of all `files`, which describe the same module.
    pub fn new(files: &[object::File<'a>]) -> Self {
        let mut symbols = Vec::new();
        for file in files {
            let sections: HashMap<_, _> = file
                .sections()
                // By the flag: a debug file holds no instructions, so its sections have another type.
                .filter(|s| matches!(s.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.0 & SHF_EXECINSTR.0 != 0))
                .map(|section| (section.index(), section.address().saturating_add(section.size())))
                .collect();
            let all = file.symbols().chain(file.dynamic_symbols());
            symbols.extend(all.filter_map(|symbol| {
                let SymbolSection::Section(index) = symbol.section() else { return None };
                function(&symbol, *sections.get(&index)?)
            }));
        }
        symbols.sort_unstable_by(Symbol::order);
        symbols.dedup_by(|a, b| a.start == b.start && a.end == b.end && a.name == b.name);
        bound_unsized(&mut symbols);
        symbols.dedup_by(|a, b| a.start == b.start && a.end == b.end);
        let mut reach = 0;
        for symbol in &mut symbols {
            reach = symbol.end.max(reach);
            symbol.reach = reach;
        }
        symbols.shrink_to_fit();
        Self { symbols }
    }

    /// The name of the function that covers `address`: the one that starts last, a certain one before a doubtful one.
    pub fn find(&self, address: u64) -> Option<&'a str> {
        let after = self.symbols.partition_point(|symbol| symbol.start <= address);
        let mut doubtful = None;
        for symbol in self.symbols[..after].iter().rev() {
            if symbol.reach <= address {
                break;
            }
            if address < symbol.end {
                if !symbol.doubtful {
                    return Some(symbol.name);
                }
                doubtful.get_or_insert(symbol.name);
            }
        }
        doubtful
    }
}

impl Symbol<'_> {
    /// By address; then the name to prefer first.
    fn order(&self, other: &Self) -> Ordering {
        let key = |s: &Self| (s.start, s.doubtful, s.end, s.local);
        let length = |s: &Self| names::plain(s.name).len();
        key(self)
            .cmp(&key(other))
            .then_with(|| length(self).cmp(&length(other)))
            .then_with(|| self.name.cmp(other.name))
    }
}

fn function<'a>(symbol: &impl ObjectSymbol<'a>, section_end: u64) -> Option<Symbol<'a>> {
    let SymbolFlags::Elf { st_info, .. } = symbol.flags() else { return None };
    let kind = st_info.st_type();
    if ![STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE].contains(&kind) {
        return None;
    }
    let name = symbol.name().ok()?;
    // `$x` marks instructions and `.L` labels of assemblers; neither is a function.
    if name.is_empty() || name.starts_with('$') || name.starts_with(".L") {
        return None;
    }
    let (start, size) = (symbol.address(), symbol.size());
    let end = if size == 0 { section_end } else { start.saturating_add(size).min(section_end) };
    let doubtful = kind == STT_NOTYPE || size == 0;
    Some(Symbol { start, end, reach: 0, doubtful, local: st_info.st_bind() == STB_LOCAL, name })
        .filter(|symbol| symbol.start < symbol.end)
}

/// A symbol without a size ends where the next one starts.
fn bound_unsized(symbols: &mut [Symbol<'_>]) {
    let mut next: Option<u64> = None;
    let mut at = u64::MAX;
    for symbol in symbols.iter_mut().rev() {
        if symbol.start != at {
            next = (at != u64::MAX).then_some(at);
            at = symbol.start;
        }
        if symbol.doubtful
            && let Some(next) = next
        {
            symbol.end = symbol.end.min(next);
        }
    }
}
