//! Which bytes of an ELF file symbols are made of: its headers, build-id, symbol tables and the sections of debug
//! information that name functions and lines. Code and data are not among them.
use super::debug_file::is_needed_section;
use object::Endianness;
use object::elf::{FileHeader64, PT_NOTE, SHT_DYNSYM, SHT_NOTE, SHT_STRTAB, SHT_SYMTAB, SHT_SYMTAB_SHNDX};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use std::borrow::Cow;

/// A stretch of a file: where it begins, and its bytes.
pub type Stretch<'a> = (u64, Cow<'a, [u8]>);

/// Where a section's size is in its header.
const AT_SIZE: u64 = 32;

/// What is needed of a file, ascending and apart. Without `debug` there is no debug information in it: the sizes of its
/// sections become 0. A file that makes no sense is needed as it is.
pub fn needed(data: &[u8], debug: bool) -> Vec<Stretch<'_>> {
    stretches(data, debug).unwrap_or_else(|| vec![(0, data.into())])
}

fn stretches(data: &[u8], debug: bool) -> Option<Vec<Stretch<'_>>> {
    let header = FileHeader64::<Endianness>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, data).ok()?;
    let (table, entry) = (header.e_shoff(endian), u64::from(header.e_shentsize(endian)));
    let mut kept: Vec<(u64, u64)> = vec![(0, size_of::<FileHeader64<Endianness>>() as u64)];
    kept.push((table, entry * sections.len() as u64));
    let programs = header.program_headers(endian, data).ok()?;
    kept.push((header.e_phoff(endian), u64::from(header.e_phentsize(endian)) * programs.len() as u64));
    let notes = programs.iter().filter(|program| program.p_type(endian) == PT_NOTE);
    kept.extend(notes.map(|program| program.file_range(endian)));
    let mut emptied = Vec::new();
    for (number, section) in sections.iter().enumerate() {
        let name = sections.section_name(endian, section).unwrap_or_default();
        let is_debug = [b".debug_", b".zdebug"].iter().any(|prefix| name.starts_with(&prefix[..]));
        let is_table = [SHT_NOTE, SHT_SYMTAB, SHT_DYNSYM, SHT_STRTAB, SHT_SYMTAB_SHNDX]
            .contains(&section.sh_type(endian));
        let is_link = matches!(name, b".gnu_debuglink" | b".gnu_debugaltlink");
        if is_debug && !debug {
            emptied.push(table + entry * number as u64 + AT_SIZE);
        } else if is_table || is_link || (is_debug && is_needed_section(name)) {
            kept.extend(section.file_range(endian));
        }
    }
    let mut stretches = joined(kept, data)?;
    for at in emptied {
        let (start, bytes) = stretches.iter_mut().rfind(|(start, _)| *start <= at)?;
        let place = usize::try_from(at - *start).ok()?;
        bytes.to_mut().get_mut(place..place + size_of::<u64>())?.fill(0);
    }
    Some(stretches)
}

/// Sorted and joined, as bytes; `None` if one does not lie in the file.
fn joined(mut ranges: Vec<(u64, u64)>, data: &[u8]) -> Option<Vec<Stretch<'_>>> {
    ranges.retain(|&(_, len)| len > 0);
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (start, len) in ranges {
        let end = start.checked_add(len)?;
        match merged.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ => merged.push((start, end)),
        }
    }
    let bytes = |(start, end)| {
        let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
        Some((start, Cow::Borrowed(data.get(range)?)))
    };
    merged.into_iter().map(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{Object, ObjectSection};

    fn restored(data: &[u8], stretches: &[Stretch]) -> Vec<u8> {
        let mut bytes = vec![0; data.len()];
        for (start, part) in stretches {
            bytes[*start as usize..][..part.len()].copy_from_slice(part);
        }
        bytes
    }

    fn size_of_section(data: &[u8], name: &str) -> u64 {
        let file = object::File::parse(data).expect("an ELF file");
        file.section_by_name(name).map_or(0, |section| section.size())
    }

    #[test]
    fn of_this_program_the_symbols_are_kept_and_the_code_is_not() {
        let path = std::env::current_exe().expect("a path");
        let data = std::fs::read(path).expect("it can be read");
        let whole = object::File::parse(&*data).expect("an ELF file");
        for debug in [true, false] {
            let stretches = needed(&data, debug);
            let copy = restored(&data, &stretches);
            let kept = object::File::parse(&*copy).expect("still an ELF file");
            assert_eq!(kept.build_id(), whole.build_id());
            assert!(kept.symbols().count() > 100 && kept.symbols().eq_by_name(whole.symbols()));
            let text = kept.section_by_name(".text").expect("it has code").data().expect("its bytes");
            assert!(text.iter().filter(|&&byte| byte != 0).count() == 0, "code is left out");
        }
        let copy = restored(&data, &needed(&data, false));
        assert_eq!(size_of_section(&copy, ".debug_info"), 0);
        let copy = restored(&data, &needed(&data, true));
        assert_eq!(size_of_section(&copy, ".debug_info"), size_of_section(&data, ".debug_info"));
    }

    trait ByName<'a> {
        fn eq_by_name<S: object::ObjectSymbol<'a>>(self, other: impl Iterator<Item = S>) -> bool;
    }

    impl<'a, S: object::ObjectSymbol<'a>, I: Iterator<Item = S>> ByName<'a> for I {
        fn eq_by_name<T: object::ObjectSymbol<'a>>(self, other: impl Iterator<Item = T>) -> bool {
            let key = |name: object::Result<&str>, address| (name.unwrap_or("?").to_owned(), address);
            self.map(|symbol| key(symbol.name(), symbol.address()))
                .eq(other.map(|symbol| key(symbol.name(), symbol.address())))
        }
    }

    #[test]
    fn what_is_no_elf_file_is_kept() {
        for data in [&b""[..], b"#!/bin/sh", &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0]] {
            assert_eq!(restored(data, &needed(data, false)), data);
        }
    }
}
