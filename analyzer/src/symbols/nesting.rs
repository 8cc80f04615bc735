//! Refuses debug information that is nested deeper than the stack of a looking-up thread allows.
//!
//! `addr2line` follows inlined functions by recursion. Compilers nest them some tens deep; a corrupt file may nest
//! them as deep as a unit has bytes. A unit smaller than the depth that the stack allows cannot be too deep, so only
//! large ones are gone through.
use addr2line::gimli::{self, Dwarf, Reader, ReaderOffset};

/// What a level of the recursion takes of the stack, generously: 420 B measured in a release build, 1.8 kB without
/// optimisation.
const BYTES_PER_LEVEL: usize = 2 << 10;

/// Whether a unit is nested too deep to be read on a stack of `stack` bytes.
pub fn is_too_deep<R: Reader>(dwarf: &Dwarf<R>, stack: usize) -> bool {
    let levels = stack / BYTES_PER_LEVEL;
    let mut units = dwarf.units();
    // What cannot be read here cannot be read by addr2line either, which says so.
    while let Ok(Some(header)) = units.next() {
        if header.length_including_self().into_u64() > levels as u64 {
            let unit = dwarf.unit(header);
            if unit.is_ok_and(|unit| unit_is_too_deep(&unit, levels).unwrap_or(false)) {
                return true;
            }
        }
    }
    false
}

fn unit_is_too_deep<R: Reader>(unit: &gimli::Unit<R>, levels: usize) -> gimli::Result<bool> {
    let mut entries = unit.entries_raw(None)?;
    while !entries.is_empty() {
        if entries.next_depth().unsigned_abs() > levels {
            return Ok(true);
        }
        if let Some(abbreviation) = entries.read_abbreviation()? {
            entries.skip_attributes(abbreviation.attributes())?;
        }
    }
    Ok(false)
}
