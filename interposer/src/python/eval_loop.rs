//! The code of the evaluation loop: what its symbol covers, and the parts that the compiler put elsewhere.
//!
//! Builds that are optimized with a profile, which are those of distributions, have the code that was seldom executed
//! in a part of its own (`_PyEval_EvalFrameDefault.cold`), whose symbol is stripped. It may be the larger part, and has
//! half of the calls or nearly all. What betrays it is that the loop jumps into its middle: into other functions it
//! jumps at their beginning only, if at all.

use core::ops::Range;

use crate::modules;
use crate::stack::bytes::Bytes;
use crate::stack::cfi::UnwindInfo;
use crate::symbols::Definition;

/// Parts of one evaluation loop.
const MAX: usize = 4;
/// Functions that are looked at: what is there and, by chance, in bytes that are no jump.
const CANDIDATES: usize = 8;
/// Places at which a part of the loop is jumped into, at least. Bytes that only look like jumps lead into one function
/// once, seldom twice.
const PLACES: usize = 3;

/// Where its code lies in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EvalLoop {
    parts: [Range<u64>; MAX],
    count: usize,
}

impl EvalLoop {
    /// The loop that begins with what its symbol covers.
    #[cold]
    pub fn of(symbol: Definition) -> EvalLoop {
        let begin = symbol.address as u64;
        let mut found = EvalLoop { parts: [const { 0..0 }; MAX], count: 0 };
        found.add(begin..begin + symbol.size as u64);
        let Some(code) = modules::code_at(begin) else { return found };
        let Some(unwind_info) = code.unwind_info() else { return found };
        let mut searched = 0;
        while let Some(part) = found.parts().get(searched).cloned() {
            searched += 1;
            if let Some(bytes) = code.image.bytes_from(part.start)
                && let Some(bytes) = bytes.get(..(part.end - part.start) as usize)
            {
                found.add_jumped_into(part.start, bytes, &unwind_info);
            }
        }
        found
    }

    /// Its parts, that of the symbol first.
    pub fn parts(&self) -> &[Range<u64>] {
        self.parts.get(..self.count).unwrap_or(&[])
    }

    fn add(&mut self, part: Range<u64>) {
        if let Some(place) = self.parts.get_mut(self.count) {
            *place = part;
            self.count += 1;
        }
    }

    /// Adds what the code `bytes` at `begin` jumps into.
    fn add_jumped_into(&mut self, begin: u64, bytes: &[u8], unwind_info: &UnwindInfo) {
        let mut candidates = [const { Candidate { code: 0..0, places: [0; PLACES] } }; CANDIDATES];
        for target in jumps(begin, bytes) {
            if self.parts().iter().any(|part| part.contains(&target)) {
                continue;
            }
            let Some(code) = unwind_info.function_at(target).filter(|code| code.start != target) else {
                continue;
            };
            let is_its = |candidate: &&mut Candidate| candidate.code == code || candidate.code.is_empty();
            if let Some(candidate) = candidates.iter_mut().find(is_its) {
                candidate.code = code;
                if candidate.is_jumped_into(target) {
                    self.add(candidate.code.clone());
                }
            }
        }
    }
}

/// A function that is jumped into.
struct Candidate {
    code: Range<u64>,
    /// Where, as far as known; 0 none.
    places: [u64; PLACES],
}

impl Candidate {
    /// Enters the place; whether they are now enough.
    fn is_jumped_into(&mut self, place: u64) -> bool {
        if !self.places.contains(&place)
            && let Some(free) = self.places.iter_mut().find(|place| **place == 0)
        {
            *free = place;
        }
        self.places.iter().all(|place| *place != 0)
    }
}

/// The targets of what may be jumps (`jmp` and `jcc` with 32 bits) in the code `bytes` at `begin`.
fn jumps(begin: u64, bytes: &[u8]) -> impl Iterator<Item = u64> {
    (0..bytes.len()).filter_map(move |at| {
        let operand = match bytes.get(at..at + 2)? {
            [0xe9, _] => at + 1,
            [0x0f, 0x80..=0x8f] => at + 2,
            _ => return None,
        };
        let distance = Bytes::new(bytes, operand).fixed(4, true)?;
        Some(begin.wrapping_add(operand as u64 + 4).wrapping_add(distance as u64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Each function has unwind information of its own, as the parts of one function have.
    core::arch::global_asm!(
        ".macro jump_to place",
        ".byte 0xe9",
        ".long \\place - . - 4",
        ".endm",
        ".macro jump_if place",
        ".byte 0x0f, 0x8f",
        ".long \\place - . - 4",
        ".endm",
        "unfreed_test_loop: .cfi_startproc",
        "jump_if 11f",
        "jump_if 12f",
        "jump_if 12f",
        "jump_to 13f",
        "jump_if unfreed_test_other",
        "jump_if 31f",
        "jump_if 32f",
        "unfreed_test_loop_end: .cfi_endproc",
        "unfreed_test_other: .cfi_startproc",
        "nop",
        "31: nop",
        "32: ret",
        ".cfi_endproc",
        "unfreed_test_cold: .cfi_startproc",
        "nop",
        "11: nop",
        "12: nop",
        "13: jump_if 21f",
        "jump_if 22f",
        "jump_to 23f",
        "unfreed_test_cold_end: .cfi_endproc",
        "unfreed_test_colder: .cfi_startproc",
        "nop",
        "21: nop",
        "22: nop",
        "23: jump_to unfreed_test_loop",
        "unfreed_test_colder_end: .cfi_endproc",
        ".purgem jump_to",
        ".purgem jump_if",
    );

    unsafe extern "C" {
        static unfreed_test_loop: u8;
        static unfreed_test_loop_end: u8;
        static unfreed_test_cold: u8;
        static unfreed_test_cold_end: u8;
        static unfreed_test_colder: u8;
        static unfreed_test_colder_end: u8;
    }

    #[test]
    fn code_that_is_jumped_into_at_several_places_belongs_to_it() {
        let between = |begin: *const u8, end: *const u8| begin as u64..end as u64;
        let whole = between(&raw const unfreed_test_loop, &raw const unfreed_test_loop_end);
        let cold = between(&raw const unfreed_test_cold, &raw const unfreed_test_cold_end);
        let colder = between(&raw const unfreed_test_colder, &raw const unfreed_test_colder_end);
        let symbol = Definition { address: whole.start as usize, size: (whole.end - whole.start) as usize };
        assert_eq!(EvalLoop::of(symbol).parts(), [whole, cold, colder]);
    }

    #[test]
    fn code_without_unwind_information_is_what_its_symbol_covers() {
        let found = EvalLoop::of(Definition { address: 4096, size: 100 });
        assert_eq!((found.count, found.parts()[0].clone()), (1, 4096..4196));
    }
}
