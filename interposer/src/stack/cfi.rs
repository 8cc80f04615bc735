//! From call frame information (`.eh_frame`) to a [`Rule`].
//!
//! gimli finds nothing here but parses entries and instructions; the table row is kept in a few words of our own,
//! since the whole of a hook has 2 KiB of the caller's stack. Only what stack walking needs is evaluated: CFA,
//! rbp and the return address.

use gimli::{
    BaseAddresses, CallFrameInstruction, EhFrame, EhFrameOffset, EndianSlice, FrameDescriptionEntry,
    LittleEndian, Operation, UnwindExpression, UnwindSection, X86_64,
};

use super::rule::{Kind, Rule, SavedRbp};

type Bytes<'a> = EndianSlice<'a, LittleEndian>;
type Fde<'a> = FrameDescriptionEntry<Bytes<'a>>;

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
    Some(address.wrapping_add(4).wrapping_add(i32_at(header, 4)? as u64))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i64> {
    let raw = bytes.get(at..at.checked_add(4)?)?;
    Some(i32::from_le_bytes(raw.try_into().ok()?) as i64)
}

/// Offset in `.eh_frame` of the entry that may describe `pc`: the last one that begins at or before it.
fn find_entry(info: &UnwindInfo, pc: u64) -> Option<usize> {
    let header = info.header.as_ptr() as u64;
    let wanted = i64::try_from(pc.wrapping_sub(header) as i64).ok()?;
    let (mut low, mut high) = (0, i32_at(info.header, 8)? as u32 as usize);
    while low < high {
        let middle = low + (high - low) / 2;
        if i32_at(info.header, 12 + middle * 8)? <= wanted {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let entry = header.wrapping_add(i32_at(info.header, 12 + low.checked_sub(1)? * 8 + 4)? as u64);
    usize::try_from(entry.checked_sub(info.frames.as_ptr() as u64)?).ok()
}

/// The rule for the code at `pc`.
pub fn rule_at(info: &UnwindInfo, pc: u64) -> Rule {
    let Some(offset) = find_entry(info, pc) else { return Rule::plain(Kind::NoInfo) };
    let bases = BaseAddresses::default().set_eh_frame(info.frames.as_ptr() as u64);
    let mut frames = EhFrame::new(info.frames, LittleEndian);
    frames.set_address_size(8);
    let cie = |section: &EhFrame<_>, bases: &_, offset| section.cie_from_offset(bases, offset);
    match frames.fde_from_offset(&bases, EhFrameOffset(offset), cie) {
        Ok(fde) if fde.contains(pc) => {
            evaluate(&frames, &bases, &fde, pc).unwrap_or(Rule::plain(Kind::Unsupported))
        }
        _ => Rule::plain(Kind::NoInfo),
    }
}

/// Where the table row at an address says that a register of the caller is.
#[derive(Clone, Copy)]
enum Saved {
    Same,
    Undefined,
    AtCfa(i32),
    Expression(Location),
    Other,
}

#[derive(Clone, Copy)]
enum Cfa {
    Register(u16, i32),
    Expression(Location),
}

/// An expression in `.eh_frame`: the section is below 2 GiB.
#[derive(Clone, Copy)]
struct Location {
    offset: u32,
    len: u32,
}

impl Location {
    fn new(expression: &UnwindExpression<usize>) -> Location {
        Location { offset: expression.offset as u32, len: expression.length as u32 }
    }

    fn expression(self) -> UnwindExpression<usize> {
        UnwindExpression { offset: self.offset as usize, length: self.len as usize }
    }
}

#[derive(Clone, Copy)]
struct Row {
    cfa: Cfa,
    rbp: Saved,
    ra: Saved,
}

const RSP: u16 = X86_64::RSP.0;
const RBP: u16 = X86_64::RBP.0;
const RA: u16 = X86_64::RA.0;

impl Row {
    const EMPTY: Row = Row { cfa: Cfa::Register(u16::MAX, 0), rbp: Saved::Same, ra: Saved::Same };

    fn set(&mut self, register: u16, saved: Saved) {
        match register {
            RBP => self.rbp = saved,
            RA => self.ra = saved,
            _ => {}
        }
    }
}

/// Runs the instructions of a CIE or FDE.
struct Machine {
    row: Row,
    /// The row after the CIE, for `DW_CFA_restore`.
    initial: Row,
    /// `DW_CFA_remember_state`: compilers nest it once.
    remembered: [Row; 4],
    depth: usize,
    location: u64,
    code_factor: u64,
    data_factor: i64,
}

impl Machine {
    /// Executes one instruction; `None` if it cannot be. `Some(false)`: the row at `pc` is complete.
    fn execute(&mut self, instruction: CallFrameInstruction<usize>, pc: u64) -> Option<bool> {
        use CallFrameInstruction::*;
        let factored = |offset: i64| i32::try_from(offset.checked_mul(self.data_factor)?).ok();
        match instruction {
            SetLoc { address } => return Some(self.advance(address, pc)),
            AdvanceLoc { delta } => {
                let delta = (delta as u64).wrapping_mul(self.code_factor);
                return Some(self.advance(self.location.wrapping_add(delta), pc));
            }
            DefCfa { register, offset } => {
                self.row.cfa = Cfa::Register(register.0, i32::try_from(offset).ok()?)
            }
            DefCfaSf { register, factored_offset } => {
                self.row.cfa = Cfa::Register(register.0, factored(factored_offset)?);
            }
            DefCfaRegister { register } => self.row.cfa = Cfa::Register(register.0, self.cfa_offset()?),
            DefCfaOffset { offset } => {
                self.row.cfa = Cfa::Register(self.cfa_register()?, i32::try_from(offset).ok()?);
            }
            DefCfaOffsetSf { factored_offset } => {
                self.row.cfa = Cfa::Register(self.cfa_register()?, factored(factored_offset)?);
            }
            DefCfaExpression { expression } => self.row.cfa = Cfa::Expression(Location::new(&expression)),
            Undefined { register } => self.row.set(register.0, Saved::Undefined),
            SameValue { register } => self.row.set(register.0, Saved::Same),
            Offset { register, factored_offset } => {
                let offset = factored(i64::try_from(factored_offset).ok()?)?;
                self.row.set(register.0, Saved::AtCfa(offset));
            }
            OffsetExtendedSf { register, factored_offset } => {
                self.row.set(register.0, Saved::AtCfa(factored(factored_offset)?));
            }
            Expression { register, expression } => {
                self.row.set(register.0, Saved::Expression(Location::new(&expression)));
            }
            ValOffset { register, .. } | ValOffsetSf { register, .. } => {
                self.row.set(register.0, Saved::Other)
            }
            Register { dest_register, .. } => self.row.set(dest_register.0, Saved::Other),
            ValExpression { register, .. } => self.row.set(register.0, Saved::Other),
            Restore { register } => {
                let initial = if register.0 == RBP { self.initial.rbp } else { self.initial.ra };
                self.row.set(register.0, initial);
            }
            RememberState => {
                *self.remembered.get_mut(self.depth)? = self.row;
                self.depth += 1;
            }
            RestoreState => {
                self.depth = self.depth.checked_sub(1)?;
                self.row = *self.remembered.get(self.depth)?;
            }
            ArgsSize { .. } | Nop => {}
            _ => return None,
        }
        Some(true)
    }

    fn advance(&mut self, location: u64, pc: u64) -> bool {
        self.location = location;
        location <= pc
    }

    fn cfa_register(&self) -> Option<u16> {
        if let Cfa::Register(register, _) = self.row.cfa { Some(register) } else { None }
    }

    fn cfa_offset(&self) -> Option<i32> {
        if let Cfa::Register(_, offset) = self.row.cfa { Some(offset) } else { None }
    }
}

fn evaluate(frames: &EhFrame<Bytes>, bases: &BaseAddresses, fde: &Fde, pc: u64) -> Option<Rule> {
    let cie = fde.cie();
    if cie.return_address_register().0 != RA {
        return None;
    }
    let mut machine = Machine {
        row: Row::EMPTY,
        initial: Row::EMPTY,
        remembered: [Row::EMPTY; 4],
        depth: 0,
        location: fde.initial_address(),
        code_factor: cie.code_alignment_factor(),
        data_factor: cie.data_alignment_factor(),
    };
    for of_cie in [true, false] {
        let mut instructions =
            if of_cie { cie.instructions(frames, bases) } else { fde.instructions(frames, bases) };
        while let Some(instruction) = instructions.next().ok()? {
            if !machine.execute(instruction, pc)? {
                break;
            }
        }
        if of_cie {
            machine.initial = machine.row;
        }
    }
    packed(frames, fde, &machine.row, pc)
}

fn packed(frames: &EhFrame<Bytes>, fde: &Fde, row: &Row, pc: u64) -> Option<Rule> {
    match row.ra {
        Saved::Undefined => return Some(Rule::plain(Kind::Outermost)),
        Saved::AtCfa(-8) => {}
        _ => return None,
    }
    let value = |location: Location| symbolic(frames, fde, location, pc);
    let cfa = match row.cfa {
        Cfa::Register(RSP, offset) => Value::sum(Base::Sp, offset as i64),
        Cfa::Register(RBP, offset) => Value::sum(Base::Bp, offset as i64),
        Cfa::Register(..) => return None,
        Cfa::Expression(location) => value(location)?,
    };
    let rbp = match row.rbp {
        Saved::Same | Saved::Undefined => SavedRbp::Register,
        Saved::AtCfa(offset) => SavedRbp::AtCfa(i16::try_from(offset).ok()?),
        Saved::Expression(location) => match value(location)? {
            Value { base: Base::Bp, offset, loaded: false, .. } => {
                SavedRbp::AtRbp(i16::try_from(offset).ok()?)
            }
            _ => return None,
        },
        Saved::Other => return None,
    };
    let offset = i32::try_from(cfa.offset).ok()?;
    match (cfa.base, cfa.loaded, rbp) {
        (Base::Sp, false, SavedRbp::Register | SavedRbp::AtCfa(_)) => {
            Some(Rule::register(Kind::Sp, offset, rbp))
        }
        (Base::Bp, false, SavedRbp::Register | SavedRbp::AtCfa(_)) => {
            Some(Rule::register(Kind::Bp, offset, rbp))
        }
        (Base::Sp | Base::Bp, true, _) if cfa.added & 7 == 0 => {
            let words = u8::try_from(cfa.added >> 3).ok()?;
            Some(Rule::load(cfa.base == Base::Bp, offset, words, rbp))
        }
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    Number,
    Sp,
    Bp,
}

/// base + offset, or the word at base + offset, plus `added`.
#[derive(Clone, Copy)]
struct Value {
    base: Base,
    loaded: bool,
    offset: i64,
    added: i64,
}

impl Value {
    const fn sum(base: Base, offset: i64) -> Value {
        Value { base, loaded: false, offset, added: 0 }
    }

    fn number(self) -> Option<i64> {
        (self.base == Base::Number).then_some(self.offset)
    }

    fn plus(mut self, number: i64) -> Value {
        let part = if self.loaded { &mut self.added } else { &mut self.offset };
        *part = part.wrapping_add(number);
        self
    }
}

/// Evaluates a DWARF expression with rsp and rbp unknown and rip known: enough for the PLT's (rip says how much was
/// pushed) and for frames that keep their caller's rsp in memory.
fn symbolic(frames: &EhFrame<Bytes>, fde: &Fde, location: Location, pc: u64) -> Option<Value> {
    let expression = location.expression().get(frames).ok()?;
    let mut operations = expression.operations(fde.cie().encoding());
    let mut stack = [Value::sum(Base::Number, 0); 6];
    let mut depth = 0usize;
    while let Some(operation) = operations.next().ok()? {
        let mut pop = || {
            depth = depth.checked_sub(1)?;
            stack.get(depth).copied()
        };
        let result = match operation {
            Operation::RegisterOffset { register, offset, .. } => match register {
                X86_64::RSP => Value::sum(Base::Sp, offset),
                X86_64::RBP => Value::sum(Base::Bp, offset),
                X86_64::RA => Value::sum(Base::Number, (pc as i64).wrapping_add(offset)),
                _ => return None,
            },
            Operation::UnsignedConstant { value } => Value::sum(Base::Number, value as i64),
            Operation::SignedConstant { value } => Value::sum(Base::Number, value),
            Operation::PlusConstant { value } => pop()?.plus(value as i64),
            Operation::Deref { size: 8, space: false, .. } => {
                let value = pop()?;
                if value.loaded || value.base == Base::Number {
                    return None;
                }
                Value { loaded: true, ..value }
            }
            Operation::Plus => {
                let (right, left) = (pop()?, pop()?);
                match right.number() {
                    Some(number) => left.plus(number),
                    None => right.plus(left.number()?),
                }
            }
            binary => {
                let (right, left) = (pop()?.number()?, pop()?.number()?);
                Value::sum(Base::Number, combined(&binary, left, right)?)
            }
        };
        *stack.get_mut(depth)? = result;
        depth += 1;
    }
    stack.get(depth.checked_sub(1)?).copied()
}

fn combined(operation: &Operation<Bytes>, left: i64, right: i64) -> Option<i64> {
    Some(match operation {
        Operation::And => left & right,
        Operation::Or => left | right,
        Operation::Minus => left.wrapping_sub(right),
        Operation::Mul => left.wrapping_mul(right),
        Operation::Shl => left.checked_shl(u32::try_from(right).ok()?)?,
        Operation::Ge => (left >= right) as i64,
        Operation::Gt => (left > right) as i64,
        Operation::Le => (left <= right) as i64,
        Operation::Lt => (left < right) as i64,
        Operation::Eq => (left == right) as i64,
        Operation::Ne => (left != right) as i64,
        _ => return None,
    })
}
