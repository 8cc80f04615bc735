//! x86-64 instructions: how long one is, and what it does to rsp and rbp.
//!
//! Knows the encodings, not the instructions: an encoding that does not exist may get a length. Of what it does, only
//! what compilers write to enter and leave functions counts; other writes to rsp are [`Effect::Moves`].

use super::bytes::Bytes;

/// What an instruction does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing that counts.
    None,
    /// rsp += this.
    Adds(i32),
    /// rbp is pushed.
    PushesRbp,
    /// rbp is popped.
    PopsRbp,
    /// rbp is stored at rsp + this.
    StoresRbp(i32),
    /// rbp is loaded from rsp + this.
    LoadsRbp(i32),
    /// rbp = rsp.
    BeginsFrame,
    /// rsp = rbp + this.
    SetsFromRbp(i32),
    /// rsp = rbp, and rbp is popped.
    Leaves,
    /// rsp becomes anything.
    Moves,
    /// rbp = 0.
    ClearsRbp,
    /// Goes on behind itself or at so many bytes from there.
    Branches(i64),
    /// Goes on at so many bytes from behind itself.
    Jumps(i64),
    /// Does not go on behind itself.
    Ends,
    /// Fills the space between functions.
    Pads,
}

/// An instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instruction {
    /// Bytes.
    pub len: usize,
    pub effect: Effect,
}

const RSP: u8 = 4;
const RBP: u8 = 5;

/// The opcode maps.
const ONE_BYTE: u8 = 0;
const TWO_BYTES: u8 = 1;
const THREE_BYTES_3A: u8 = 3;

/// The operand byte and what follows it: two registers, or one and memory at base + offset.
#[derive(Clone, Copy, Default)]
struct Operands {
    is_memory: bool,
    reg: u8,
    /// The other register, or the base; 255 if it has an index or is no register.
    rm: u8,
    offset: i32,
}

/// The prefixes that matter.
#[derive(Clone, Copy, Default)]
struct Prefixes {
    /// Operands of 16 bits.
    narrow: bool,
    /// Addresses of 32 bits.
    short: bool,
    rex: u8,
}

impl Prefixes {
    fn is_wide(self) -> bool {
        self.rex & 8 != 0
    }

    /// Bytes of an operand-sized immediate.
    fn immediate(self) -> usize {
        if self.narrow { 2 } else { 4 }
    }
}

/// The instruction that `code` begins with.
pub fn decode(code: &[u8]) -> Option<Instruction> {
    let mut bytes = Bytes::new(code, 0);
    let mut prefixes = Prefixes::default();
    let mut opcode = bytes.u8()?;
    while let 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3 = opcode {
        prefixes.narrow |= opcode == 0x66;
        prefixes.short |= opcode == 0x67;
        opcode = bytes.u8()?;
    }
    if opcode & 0xf0 == 0x40 {
        prefixes.rex = opcode;
        opcode = bytes.u8()?;
    }
    let map;
    (map, opcode) = match opcode {
        0x0f => match bytes.u8()? {
            0x38 => (2, bytes.u8()?),
            0x3a => (THREE_BYTES_3A, bytes.u8()?),
            opcode => (TWO_BYTES, opcode),
        },
        0xc5 => {
            bytes.skip(1)?;
            (TWO_BYTES, bytes.u8()?)
        }
        0xc4 | 0x62 => {
            let map = bytes.u8()? & if opcode == 0x62 { 7 } else { 31 };
            bytes.skip(if opcode == 0x62 { 2 } else { 1 })?;
            (map, bytes.u8()?)
        }
        opcode => (ONE_BYTE, opcode),
    };
    let operands =
        if has_operands(map, opcode)? { operands(&mut bytes, prefixes.rex)? } else { Operands::default() };
    let size = immediate_size(map, opcode, operands.reg & 7, prefixes);
    let immediate = match size {
        0 => 0,
        3 => bytes.skip(3).map(|()| 0)?,
        size => bytes.fixed(size, true)?,
    };
    let effect = match map {
        ONE_BYTE => effect(opcode, prefixes, operands, immediate),
        TWO_BYTES => effect_of_two_bytes(opcode, immediate),
        _ => Effect::None,
    };
    Some(Instruction { len: bytes.at, effect })
}

/// Reads the operand byte, the index byte and the offset.
fn operands(bytes: &mut Bytes, rex: u8) -> Option<Operands> {
    let byte = bytes.u8()?;
    let (mode, low) = (byte >> 6, byte & 7);
    let mut rm = low | (rex & 1) << 3;
    let mut offset = [0, 1, 4, 0].get(mode as usize).copied()?;
    if mode != 3 && low == RSP {
        let index = bytes.u8()?;
        let has_index = index >> 3 & 7 != RSP || rex & 2 != 0;
        rm = if has_index { u8::MAX } else { index & 7 | (rex & 1) << 3 };
        if mode == 0 && index & 7 == RBP {
            (rm, offset) = (u8::MAX, 4);
        }
    } else if mode == 0 && low == RBP {
        (rm, offset) = (u8::MAX, 4);
    }
    let offset = if offset == 0 { 0 } else { bytes.fixed(offset, true)? as i32 };
    Some(Operands { is_memory: mode != 3, reg: byte >> 3 & 7 | (rex & 4) << 1, rm, offset })
}

/// Whether an operand byte follows; `None` for what does not exist in 64-bit code.
fn has_operands(map: u8, opcode: u8) -> Option<bool> {
    let known = match map {
        ONE_BYTE => match opcode {
            0x06 | 0x07 | 0x0e | 0x16 | 0x17 | 0x1e | 0x1f | 0x27 | 0x2f | 0x37 | 0x3f => return None,
            0x60 | 0x61 | 0x82 | 0x9a | 0xce | 0xd4..=0xd6 | 0xea => return None,
            0x00..=0x3f => opcode & 7 < 4,
            0x63 | 0x69 | 0x6b | 0x80..=0x8f | 0xc0 | 0xc1 | 0xc6 | 0xc7 | 0xd0..=0xd3 | 0xd8..=0xdf => true,
            0xf6 | 0xf7 | 0xfe | 0xff => true,
            _ => false,
        },
        TWO_BYTES => match opcode {
            0x04 | 0x0a | 0x0c | 0x24..=0x27 | 0x36 | 0x39 | 0x3b..=0x3f | 0xa6 | 0xa7 => return None,
            0x05..=0x09 | 0x0b | 0x0e | 0x30..=0x37 | 0x77 | 0x80..=0x8f | 0xa0..=0xa2 | 0xa8..=0xaa => false,
            0xc8..=0xcf => false,
            _ => true,
        },
        _ => true,
    };
    Some(known)
}

/// Bytes of the immediate operand, or of the distance of a jump.
fn immediate_size(map: u8, opcode: u8, extension: u8, prefixes: Prefixes) -> usize {
    match (map, opcode) {
        (ONE_BYTE, 0x00..=0x3f) => match opcode & 7 {
            4 => 1,
            5 => prefixes.immediate(),
            _ => 0,
        },
        (ONE_BYTE, 0x68 | 0x69 | 0x81 | 0xa9 | 0xc7) => prefixes.immediate(),
        (
            ONE_BYTE,
            0x6a | 0x6b | 0x70..=0x7f | 0x80 | 0x83 | 0xa8 | 0xb0..=0xb7 | 0xc0 | 0xc1 | 0xc6 | 0xcd,
        ) => 1,
        (ONE_BYTE, 0xe0..=0xe7 | 0xeb) => 1,
        (ONE_BYTE, 0xa0..=0xa3) => {
            if prefixes.short {
                4
            } else {
                8
            }
        }
        (ONE_BYTE, 0xb8..=0xbf) => {
            if prefixes.is_wide() {
                8
            } else {
                prefixes.immediate()
            }
        }
        (ONE_BYTE, 0xc2 | 0xca) => 2,
        (ONE_BYTE, 0xc8) => 3,
        (ONE_BYTE, 0xe8 | 0xe9) | (TWO_BYTES, 0x80..=0x8f) => 4,
        (ONE_BYTE, 0xf6) if extension < 2 => 1,
        (ONE_BYTE, 0xf7) if extension < 2 => prefixes.immediate(),
        (TWO_BYTES, 0x0f | 0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6) => 1,
        (THREE_BYTES_3A, _) => 1,
        _ => 0,
    }
}

fn effect(opcode: u8, prefixes: Prefixes, operands: Operands, immediate: i64) -> Effect {
    let Operands { is_memory, reg, rm, offset } = operands;
    let register = opcode & 7 | (prefixes.rex & 1) << 3;
    let in_rsp = !is_memory && rm == RSP && prefixes.is_wide();
    match opcode {
        0x50..=0x57 if register == RBP => Effect::PushesRbp,
        0x50..=0x57 | 0x68 | 0x6a | 0x9c => Effect::Adds(-8),
        0x58..=0x5f if register == RBP => Effect::PopsRbp,
        0x58..=0x5f if register == RSP => Effect::Moves,
        0x58..=0x5f | 0x8f | 0x9d => Effect::Adds(8),
        0xff if reg & 7 == 6 => Effect::Adds(-8),
        // xor %ebp, %ebp.
        0x31 | 0x33 if !is_memory && rm == RBP && reg == RBP => Effect::ClearsRbp,
        // add, and, sub: of a constant.
        0x81 | 0x83 if in_rsp => match reg & 7 {
            0 => Effect::Adds(immediate as i32),
            5 => Effect::Adds((immediate as i32).wrapping_neg()),
            7 => Effect::None,
            _ => Effect::Moves,
        },
        0x89 if in_rsp && reg == RBP => Effect::SetsFromRbp(0),
        0x8b if !is_memory && reg == RSP && rm == RBP => Effect::SetsFromRbp(0),
        0x89 if !is_memory && rm == RBP && reg == RSP => Effect::BeginsFrame,
        0x8b if !is_memory && reg == RBP && rm == RSP => Effect::BeginsFrame,
        0x89 if is_memory && reg == RBP && rm == RSP && prefixes.is_wide() => Effect::StoresRbp(offset),
        0x8b if is_memory && reg == RBP && rm == RSP && prefixes.is_wide() => Effect::LoadsRbp(offset),
        0x8d if reg == RSP && rm == RSP => Effect::Adds(offset),
        0x8d if reg == RSP && rm == RBP => Effect::SetsFromRbp(offset),
        // Other results in rsp; a comparison has none.
        0x38..=0x3b => Effect::None,
        0x00..=0x3f if opcode & 7 == 1 && in_rsp => Effect::Moves,
        0x00..=0x3f if opcode & 7 == 3 && reg == RSP && prefixes.is_wide() => Effect::Moves,
        0x89 | 0x87 if in_rsp => Effect::Moves,
        0x63 | 0x8b | 0x8d if reg == RSP => Effect::Moves,
        0xc8 => Effect::Moves,
        0xc9 => Effect::Leaves,
        0x70..=0x7f | 0xe0..=0xe3 => Effect::Branches(immediate),
        0xe9 | 0xeb => Effect::Jumps(immediate),
        0xc2 | 0xc3 | 0xca | 0xcb | 0xcf | 0xf4 => Effect::Ends,
        // jmp of an address in a register or in memory.
        0xff if reg & 7 == 4 || reg & 7 == 5 => Effect::Ends,
        0x90 | 0xcc => Effect::Pads,
        _ => Effect::None,
    }
}

fn effect_of_two_bytes(opcode: u8, immediate: i64) -> Effect {
    match opcode {
        0x0b => Effect::Ends,
        0x1f => Effect::Pads,
        0x80..=0x8f => Effect::Branches(immediate),
        _ => Effect::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(code: &[u8], len: usize, effect: Effect) {
        assert_eq!(decode(code), Some(Instruction { len, effect }), "{code:02x?}");
        assert_eq!(decode(&code[..len - 1]), None, "{code:02x?} cut");
    }

    #[test]
    fn what_functions_begin_and_end_with() {
        is(b"\x55", 1, Effect::PushesRbp);
        is(b"\x41\x55", 2, Effect::Adds(-8));
        is(b"\x53", 1, Effect::Adds(-8));
        is(b"\x48\x83\xec\x28", 4, Effect::Adds(-0x28));
        is(b"\x48\x83\xec\x80", 4, Effect::Adds(0x80));
        is(b"\x48\x81\xec\x58\x03\0\0", 7, Effect::Adds(-0x358));
        is(b"\x48\x81\xc4\x58\x03\0\0", 7, Effect::Adds(0x358));
        is(b"\x48\x8d\x64\x24\x08", 5, Effect::Adds(8));
        is(b"\x48\x89\xe5", 3, Effect::BeginsFrame);
        is(b"\x48\x8b\xec", 3, Effect::BeginsFrame);
        is(b"\x48\x8d\x65\xd8", 4, Effect::SetsFromRbp(-0x28));
        is(b"\x48\x89\x6c\x24\x10", 5, Effect::StoresRbp(16));
        is(b"\x48\x83\xe4\xf0", 4, Effect::Moves);
        is(b"\x48\x29\xc4", 3, Effect::Moves);
        is(b"\x31\xed", 2, Effect::ClearsRbp);
        is(b"\xc9", 1, Effect::Leaves);
        is(b"\x5d", 1, Effect::PopsRbp);
        is(b"\x41\x5d", 2, Effect::Adds(8));
        is(b"\xc3", 1, Effect::Ends);
        is(b"\xf2\xc3", 2, Effect::Ends);
    }

    #[test]
    fn jumps() {
        is(b"\x74\xf0", 2, Effect::Branches(-16));
        is(b"\x0f\x84\xcf\x03\0\0", 6, Effect::Branches(0x3cf));
        is(b"\xe9\x7f\x9b\0\0", 5, Effect::Jumps(0x9b7f));
        is(b"\x3e\xff\xe0", 3, Effect::Ends);
        is(b"\xff\x25\x10\0\0\0", 6, Effect::Ends);
        is(b"\xff\xd0", 2, Effect::None);
        is(b"\xe8\0\0\0\0", 5, Effect::None);
    }

    #[test]
    fn lengths() {
        let none = |code: &[u8]| is(code, code.len(), Effect::None);
        none(b"\xf3\x0f\x1e\xfa");
        none(b"\x64\x48\x8b\x04\x25\x28\0\0\0");
        none(b"\x48\xb8\0\0\0\0\0\0\0\0");
        none(b"\x66\xb8\0\0");
        none(b"\x66\x48\x0f\x6e\xc2");
        none(b"\xf6\x07\x01");
        none(b"\xf6\xd8");
        none(b"\x48\xf7\x44\x24\x08\0\0\0\0");
        none(b"\x48\x8d\x04\xc5\0\0\0\0");
        none(b"\x66\x0f\x3a\x0f\xc1\x08");
        none(b"\xc5\xf8\x77");
        none(b"\xc4\xe3\x7d\x39\xc1\x01");
        none(b"\x62\xf1\xfe\x48\x6f\x46\x01");
        is(b"\x66\x2e\x0f\x1f\x84\0\0\0\0\0", 10, Effect::Pads);
        is(b"\x66\x90", 2, Effect::Pads);
    }
}
