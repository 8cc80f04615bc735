//! From call frame information (`.eh_frame`) to a [`Rule`].
//!
//! Evaluated by our own few hundred lines and not by a library, since the whole of a hook has 2 KiB of the caller's
//! stack, of which gimli alone took 1.9; it is the tests' oracle for every row of real libraries instead. Only what
//! stack walking needs is evaluated: CFA, rbp and the return address.

use core::ops::Range;

use super::bytes::Bytes;
use super::expression::{self, Base, Value};
use super::rule::{Kind, Rule, SavedRbp};

/// The unwind information of a module, as mapped.
#[derive(Clone, Copy)]
pub struct UnwindInfo<'a> {
    /// `.eh_frame_hdr` to the end of its segment.
    pub header: &'a [u8],
    /// `.eh_frame` to the end of its segment.
    pub frames: &'a [u8],
}

/// Version 1; pointer to .eh_frame pc-relative, count u32, a table of pairs of i32 relative to the header: what
/// every linker writes.
const HEADER: [u8; 4] = [1, 0x1b, 0x03, 0x3b];

/// Where `.eh_frame` begins, by the `.eh_frame_hdr` at `address`; `None` for a header of another form.
pub fn frames_address(address: u64, header: &[u8]) -> Option<u64> {
    if header.get(..4)? != HEADER {
        return None;
    }
    Some(address.wrapping_add(4).wrapping_add(Bytes::new(header, 4).fixed(4, true)? as u64))
}

impl UnwindInfo<'_> {
    /// Offset in `.eh_frame` of the entry that may describe `pc`: the last one that begins at or before it.
    fn find(&self, pc: u64) -> Option<usize> {
        let header = self.header.as_ptr() as u64;
        let wanted = pc.wrapping_sub(header) as i64;
        let number = |at: usize| Bytes::new(self.header, at).fixed(4, true);
        let (mut low, mut high) = (0, number(8)? as u32 as usize);
        while low < high {
            let middle = low + (high - low) / 2;
            if number(12 + middle * 8)? <= wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let entry = header.wrapping_add(number(16 + low.checked_sub(1)? * 8)? as u64);
        usize::try_from(entry.checked_sub(self.frames.as_ptr() as u64)?).ok()
    }

    /// The rule for the code at `pc`.
    #[inline(never)]
    pub fn rule_at(&self, pc: u64) -> Rule {
        let Some(offset) = self.find(pc) else { return Rule::plain(Kind::NoInfo) };
        let Some(function) = Function::parse(self.frames, offset) else {
            return Rule::plain(Kind::Unsupported);
        };
        if pc.wrapping_sub(function.begin) >= function.len {
            return Rule::plain(Kind::NoInfo);
        }
        function.rule_at(self.frames, pc).unwrap_or(Rule::plain(Kind::Unsupported))
    }

    /// The function, or the part of one, that holds the code at `pc`.
    #[inline(never)]
    pub fn function_at(&self, pc: u64) -> Option<Range<u64>> {
        let function = Function::parse(self.frames, self.find(pc)?)?;
        let end = function.begin.wrapping_add(function.len);
        (pc.wrapping_sub(function.begin) < function.len).then_some(function.begin..end)
    }

    /// Whether a function begins at `pc`.
    #[inline(never)]
    pub fn begins_at(&self, pc: u64) -> bool {
        let function = self.find(pc).and_then(|offset| Function::parse(self.frames, offset));
        function.is_some_and(|function| function.begin == pc)
    }
}

/// Begins to read the entry at `offset`: the reader ends where the entry ends.
fn entry(frames: &[u8], offset: usize) -> Option<Bytes<'_>> {
    let mut bytes = Bytes::new(frames, offset);
    let mut len = bytes.fixed(4, false)?;
    if len == 0xffff_ffff {
        len = bytes.fixed(8, false)?;
    }
    bytes.limit(usize::try_from(len).ok()?)?;
    Some(bytes)
}

/// A number in one of the `DW_EH_PE_*` encodings; absolute or relative to its own place.
fn encoded(bytes: &mut Bytes, frames: &[u8], encoding: u8) -> Option<u64> {
    let place = (frames.as_ptr() as u64).wrapping_add(bytes.at as u64);
    let value = match encoding & 0x0f {
        0x00 | 0x04 | 0x0c => bytes.fixed(8, true)?,
        0x01 => bytes.unsigned()? as i64,
        0x02 => bytes.fixed(2, false)?,
        0x03 => bytes.fixed(4, false)?,
        0x09 => bytes.signed()?,
        0x0a => bytes.fixed(2, true)?,
        0x0b => bytes.fixed(4, true)?,
        _ => return None,
    } as u64;
    match encoding & 0xf0 {
        0x00 => Some(value),
        0x10 => Some(place.wrapping_add(value)),
        _ => None,
    }
}

/// An entry for one function (FDE), with what is needed of its common entry (CIE).
struct Function<'a> {
    begin: u64,
    len: u64,
    /// Encoding of addresses.
    encoding: u8,
    code_factor: u64,
    data_factor: i64,
    /// The instructions that all functions of the common entry begin with, then this one's.
    common: Bytes<'a>,
    own: Bytes<'a>,
}

impl<'a> Function<'a> {
    fn parse(frames: &'a [u8], offset: usize) -> Option<Function<'a>> {
        let mut own = entry(frames, offset)?;
        let place = own.at;
        let common =
            place.checked_sub(usize::try_from(own.fixed(4, false)?).ok().filter(|back| *back > 0)?)?;
        let mut function = Function::common(frames, common)?;
        function.begin = encoded(&mut own, frames, function.encoding & 0x7f)?;
        function.len = encoded(&mut own, frames, function.encoding & 0x0f)?;
        let augmentation = own.unsigned()?;
        own.skip(usize::try_from(augmentation).ok()?)?;
        Some(Function { own, ..function })
    }

    /// The common entry at `offset`. Only those whose augmentation begins with `z`: all of the last twenty years.
    fn common(frames: &'a [u8], offset: usize) -> Option<Function<'a>> {
        let mut bytes = entry(frames, offset)?;
        let (id, version) = (bytes.fixed(4, false)?, bytes.u8()?);
        if id != 0 || !matches!(version, 1 | 3) || bytes.u8()? != b'z' {
            return None;
        }
        let mut letters = bytes;
        while bytes.u8()? != 0 {}
        let (code_factor, data_factor) = (bytes.unsigned()?, bytes.signed()?);
        let return_address = if version == 1 { bytes.u8()? as u64 } else { bytes.unsigned()? };
        let augmentation = usize::try_from(bytes.unsigned()?).ok()?;
        let mut data = bytes;
        bytes.skip(augmentation)?;
        let mut encoding = 0;
        loop {
            match letters.u8()? {
                0 => break,
                b'R' => encoding = data.u8()?,
                b'L' => drop(data.u8()?),
                b'P' => {
                    let personality = data.u8()?;
                    encoded(&mut data, frames, personality & 0x0f)?;
                }
                b'S' => {}
                _ => return None,
            }
        }
        let complete =
            Function { begin: 0, len: 0, encoding, code_factor, data_factor, common: bytes, own: bytes };
        (return_address == RA).then_some(complete)
    }

    fn rule_at(&self, frames: &[u8], pc: u64) -> Option<Rule> {
        let mut machine = Machine {
            function: self,
            frames,
            row: Row::EMPTY,
            initial: Row::EMPTY,
            remembered: [Row::EMPTY; 4],
            depth: 0,
            location: self.begin,
        };
        machine.run(self.common, pc)?;
        machine.initial = machine.row;
        machine.run(self.own, pc)?;
        machine.row.packed(frames, pc)
    }
}

const RBP: u64 = 6;
const RSP: u64 = 7;
const RA: u64 = 16;

/// Where the table row at an address says that a register of the caller is. Expressions are named by their offset in
/// `.eh_frame`, which is below 4 GiB.
#[derive(Clone, Copy)]
enum Saved {
    Same,
    Undefined,
    AtCfa(i32),
    AtExpression(u32),
    Other,
}

#[derive(Clone, Copy)]
enum Cfa {
    Undefined,
    Sp(i32),
    Bp(i32),
    /// Another register; assembler goes back from it by naming the register alone.
    Other(i32),
    Expression(u32),
}

#[derive(Clone, Copy)]
struct Row {
    cfa: Cfa,
    rbp: Saved,
    ra: Saved,
}

const _: () = assert!(size_of::<Row>() == 24, "six rows are on the caller's stack");

/// Executes instructions up to an address.
struct Machine<'a> {
    function: &'a Function<'a>,
    frames: &'a [u8],
    row: Row,
    /// The row after the common instructions, for `DW_CFA_restore`.
    initial: Row,
    /// `DW_CFA_remember_state`: compilers nest it once.
    remembered: [Row; 4],
    depth: usize,
    location: u64,
}

impl Machine<'_> {
    /// Executes `instructions` as far as they hold for `pc`; `None` if one cannot be.
    fn run(&mut self, mut instructions: Bytes, pc: u64) -> Option<()> {
        while !instructions.is_at_end() && self.location <= pc {
            let code = instructions.u8()?;
            let operand = code as u64 & 0x3f;
            match code >> 6 {
                1 => self.advance(operand),
                2 => {
                    let offset = self.factored(instructions.unsigned()? as i64)?;
                    self.row.set(operand, Saved::AtCfa(offset));
                }
                3 => self.restore(operand),
                _ => self.extended(code, &mut instructions)?,
            }
        }
        Some(())
    }

    fn extended(&mut self, code: u8, bytes: &mut Bytes) -> Option<()> {
        match code {
            NOP => {}
            SET_LOC => self.location = encoded(bytes, self.frames, self.function.encoding & 0x7f)?,
            ADVANCE_LOC1 => self.advance(bytes.fixed(1, false)? as u64),
            ADVANCE_LOC2 => self.advance(bytes.fixed(2, false)? as u64),
            ADVANCE_LOC4 => self.advance(bytes.fixed(4, false)? as u64),
            REMEMBER_STATE => {
                *self.remembered.get_mut(self.depth)? = self.row;
                self.depth += 1;
            }
            RESTORE_STATE => {
                self.depth = self.depth.checked_sub(1)?;
                self.row = *self.remembered.get(self.depth)?;
            }
            ARGS_SIZE => drop(bytes.unsigned()?),
            DEF_CFA | DEF_CFA_SF | DEF_CFA_REGISTER | DEF_CFA_OFFSET | DEF_CFA_OFFSET_SF
            | DEF_CFA_EXPRESSION => self.define_cfa(code, bytes)?,
            _ => {
                let register = bytes.unsigned()?;
                let saved = match code {
                    RESTORE => {
                        self.restore(register);
                        return Some(());
                    }
                    UNDEFINED => Saved::Undefined,
                    SAME_VALUE => Saved::Same,
                    OFFSET => Saved::AtCfa(self.factored(bytes.unsigned()? as i64)?),
                    OFFSET_SF => Saved::AtCfa(self.factored(bytes.signed()?)?),
                    EXPRESSION => Saved::AtExpression(block(bytes)?),
                    REGISTER | VAL_OFFSET | VAL_OFFSET_SF => {
                        bytes.unsigned()?;
                        Saved::Other
                    }
                    VAL_EXPRESSION => {
                        block(bytes)?;
                        Saved::Other
                    }
                    _ => return None,
                };
                self.row.set(register, saved);
            }
        }
        Some(())
    }

    fn define_cfa(&mut self, code: u8, bytes: &mut Bytes) -> Option<()> {
        if code == DEF_CFA_EXPRESSION {
            self.row.cfa = Cfa::Expression(block(bytes)?);
            return Some(());
        }
        let changes_offset_only = matches!(code, DEF_CFA_OFFSET | DEF_CFA_OFFSET_SF);
        let register = if changes_offset_only { self.row.cfa.register()? } else { bytes.unsigned()? };
        let offset = match code {
            DEF_CFA | DEF_CFA_OFFSET => i32::try_from(bytes.unsigned()?).ok()?,
            DEF_CFA_REGISTER => self.row.cfa.offset(),
            _ => self.factored(bytes.signed()?)?,
        };
        self.row.cfa = match register {
            RSP => Cfa::Sp(offset),
            RBP => Cfa::Bp(offset),
            _ => Cfa::Other(offset),
        };
        Some(())
    }

    fn advance(&mut self, delta: u64) {
        self.location = self.location.wrapping_add(delta.wrapping_mul(self.function.code_factor));
    }

    fn factored(&self, offset: i64) -> Option<i32> {
        i32::try_from(offset.checked_mul(self.function.data_factor)?).ok()
    }

    fn restore(&mut self, register: u64) {
        let initial = if register == RBP { self.initial.rbp } else { self.initial.ra };
        self.row.set(register, initial);
    }
}

const NOP: u8 = 0x00;
const SET_LOC: u8 = 0x01;
const ADVANCE_LOC1: u8 = 0x02;
const ADVANCE_LOC2: u8 = 0x03;
const ADVANCE_LOC4: u8 = 0x04;
const OFFSET: u8 = 0x05;
const RESTORE: u8 = 0x06;
const UNDEFINED: u8 = 0x07;
const SAME_VALUE: u8 = 0x08;
const REGISTER: u8 = 0x09;
const REMEMBER_STATE: u8 = 0x0a;
const RESTORE_STATE: u8 = 0x0b;
const DEF_CFA: u8 = 0x0c;
const DEF_CFA_REGISTER: u8 = 0x0d;
const DEF_CFA_OFFSET: u8 = 0x0e;
const DEF_CFA_EXPRESSION: u8 = 0x0f;
const EXPRESSION: u8 = 0x10;
const OFFSET_SF: u8 = 0x11;
const DEF_CFA_SF: u8 = 0x12;
const DEF_CFA_OFFSET_SF: u8 = 0x13;
const VAL_OFFSET: u8 = 0x14;
const VAL_OFFSET_SF: u8 = 0x15;
const VAL_EXPRESSION: u8 = 0x16;
const ARGS_SIZE: u8 = 0x2e;

/// Leaves out an expression; returns where its length is.
fn block(bytes: &mut Bytes) -> Option<u32> {
    let at = u32::try_from(bytes.at).ok()?;
    let len = bytes.unsigned()?;
    bytes.skip(usize::try_from(len).ok()?)?;
    Some(at)
}

impl Cfa {
    fn register(self) -> Option<u64> {
        match self {
            Cfa::Sp(_) => Some(RSP),
            Cfa::Bp(_) => Some(RBP),
            Cfa::Other(_) => Some(u64::MAX),
            Cfa::Undefined | Cfa::Expression(_) => None,
        }
    }

    fn offset(self) -> i32 {
        if let Cfa::Sp(offset) | Cfa::Bp(offset) | Cfa::Other(offset) = self { offset } else { 0 }
    }
}

impl Row {
    const EMPTY: Row = Row { cfa: Cfa::Undefined, rbp: Saved::Same, ra: Saved::Same };

    fn set(&mut self, register: u64, saved: Saved) {
        match register {
            RBP => self.rbp = saved,
            RA => self.ra = saved,
            _ => {}
        }
    }

    fn packed(&self, frames: &[u8], pc: u64) -> Option<Rule> {
        match self.ra {
            Saved::Undefined => return Some(Rule::plain(Kind::Outermost)),
            Saved::AtCfa(-8) => {}
            _ => return None,
        }
        let value = |at: u32| expression::evaluate(Bytes::new(frames, at as usize), pc);
        let cfa = match self.cfa {
            Cfa::Sp(offset) => Value::sum(Base::Sp, offset as i64),
            Cfa::Bp(offset) => Value::sum(Base::Bp, offset as i64),
            Cfa::Expression(at) => value(at)?,
            Cfa::Undefined | Cfa::Other(_) => return None,
        };
        let rbp = match self.rbp {
            Saved::Same | Saved::Undefined => SavedRbp::Register,
            Saved::AtCfa(offset) => SavedRbp::AtCfa(i16::try_from(offset).ok()?),
            Saved::AtExpression(at) => match value(at)? {
                Value { base: Base::Bp, loaded: false, offset, .. } => {
                    SavedRbp::AtRbp(i16::try_from(offset).ok()?)
                }
                _ => return None,
            },
            Saved::Other => return None,
        };
        let offset = i32::try_from(cfa.offset).ok()?;
        match (cfa.base, cfa.loaded, rbp) {
            (Base::Number, ..) => None,
            (Base::Sp, false, _) => Rule::register(Kind::Sp, offset, rbp),
            (Base::Bp, false, _) => Rule::register(Kind::Bp, offset, rbp),
            (base, true, _) => {
                let words = u8::try_from(cfa.added >> 3).ok().filter(|_| cfa.added & 7 == 0)?;
                Some(Rule::load(base == Base::Bp, offset, words, rbp))
            }
        }
    }
}

#[cfg(test)]
mod tests;
