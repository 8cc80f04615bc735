//! DWARF expressions with rsp and rbp unknown and rip known: enough for the procedure linkage table's (rip says how
//! much was pushed) and for functions that keep their caller's stack pointer in memory.

use super::bytes::Bytes;

/// What a value is relative to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// Nothing: a number.
    Number,
    /// rsp.
    Sp,
    /// rbp.
    Bp,
}

/// base + offset, or the word there, plus `added`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value {
    pub base: Base,
    pub loaded: bool,
    pub offset: i64,
    pub added: i64,
}

impl Value {
    /// base + offset.
    pub const fn sum(base: Base, offset: i64) -> Value {
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

    fn load(self) -> Option<Value> {
        (!self.loaded && self.base != Base::Number).then_some(Value { loaded: true, ..self })
    }
}

const DEREF: u8 = 0x06;
const CONST1U: u8 = 0x08;
const CONST8S: u8 = 0x0f;
const CONSTU: u8 = 0x10;
const CONSTS: u8 = 0x11;
const AND: u8 = 0x1a;
const MINUS: u8 = 0x1c;
const MUL: u8 = 0x1e;
const OR: u8 = 0x21;
const PLUS: u8 = 0x22;
const PLUS_UCONST: u8 = 0x23;
const SHL: u8 = 0x24;
const EQ: u8 = 0x29;
const GE: u8 = 0x2a;
const GT: u8 = 0x2b;
const LE: u8 = 0x2c;
const LT: u8 = 0x2d;
const NE: u8 = 0x2e;
const LIT0: u8 = 0x30;
const LIT31: u8 = 0x4f;
const BREG_RBP: u8 = 0x76;
const BREG_RSP: u8 = 0x77;
const BREG_RIP: u8 = 0x80;

/// Evaluates the expression whose length and bytes come next; `None` if it is of another kind.
pub fn evaluate(mut bytes: Bytes, rip: u64) -> Option<Value> {
    let len = bytes.unsigned()?;
    bytes.limit(usize::try_from(len).ok()?)?;
    // The longest seen, the linkage table's, holds four values.
    let mut stack = [Value::sum(Base::Number, 0); 4];
    let mut depth = 0;
    while !bytes.is_at_end() {
        let operation = bytes.u8()?;
        let mut pop = || {
            depth = usize::checked_sub(depth, 1)?;
            stack.get(depth).copied()
        };
        let result = match operation {
            BREG_RSP => Value::sum(Base::Sp, bytes.signed()?),
            BREG_RBP => Value::sum(Base::Bp, bytes.signed()?),
            BREG_RIP => Value::sum(Base::Number, (rip as i64).wrapping_add(bytes.signed()?)),
            LIT0..=LIT31 => Value::sum(Base::Number, (operation - LIT0) as i64),
            CONST1U..=CONST8S => {
                let form = operation - CONST1U;
                Value::sum(Base::Number, bytes.fixed(1 << (form >> 1), form & 1 != 0)?)
            }
            CONSTU => Value::sum(Base::Number, bytes.unsigned()? as i64),
            CONSTS => Value::sum(Base::Number, bytes.signed()?),
            PLUS_UCONST => pop()?.plus(bytes.unsigned()? as i64),
            DEREF => pop()?.load()?,
            PLUS => {
                let (right, left) = (pop()?, pop()?);
                match right.number() {
                    Some(number) => left.plus(number),
                    None => right.plus(left.number()?),
                }
            }
            _ => {
                let (right, left) = (pop()?.number()?, pop()?.number()?);
                Value::sum(Base::Number, combined(operation, left, right)?)
            }
        };
        *stack.get_mut(depth)? = result;
        depth += 1;
    }
    stack.get(depth.checked_sub(1)?).copied()
}

fn combined(operation: u8, left: i64, right: i64) -> Option<i64> {
    Some(match operation {
        AND => left & right,
        OR => left | right,
        MINUS => left.wrapping_sub(right),
        MUL => left.wrapping_mul(right),
        SHL => left.checked_shl(u32::try_from(right).ok()?)?,
        EQ => (left == right) as i64,
        GE => (left >= right) as i64,
        GT => (left > right) as i64,
        LE => (left <= right) as i64,
        LT => (left < right) as i64,
        NE => (left != right) as i64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What linkers write for `.plt`: rsp + 8 + ((rip & 15) >= 11) * 8.
    const LINKAGE_TABLE: [u8; 12] = [11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];

    #[test]
    fn the_linkage_table() {
        let at = |rip| evaluate(Bytes::new(&LINKAGE_TABLE, 0), rip);
        assert_eq!(at(0x401_020), Some(Value::sum(Base::Sp, 8)));
        assert_eq!(at(0x401_02a), Some(Value::sum(Base::Sp, 8)));
        assert_eq!(at(0x401_02b), Some(Value::sum(Base::Sp, 16)));
    }

    #[test]
    fn words_in_memory() {
        let aligned = evaluate(Bytes::new(&[3, 0x76, 0x78, 0x06], 0), 0);
        assert_eq!(aligned, Some(Value { base: Base::Bp, loaded: true, offset: -8, added: 0 }));
        let assembler = evaluate(Bytes::new(&[5, 0x77, 0x10, 0x06, 0x23, 0x08], 0), 0);
        assert_eq!(assembler, Some(Value { base: Base::Sp, loaded: true, offset: 16, added: 8 }));
    }

    #[test]
    fn anything_else_is_none() {
        for bytes in [&[1, 0x22][..], &[2, 0x73, 0], &[9, 0x77, 8], &[0], &[], &[4, 0x77, 0, 0x06, 0x06]] {
            assert_eq!(evaluate(Bytes::new(bytes, 0), 0), None, "{bytes:?}");
        }
        assert_eq!(evaluate(Bytes::new(&[6, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30], 0), 0), None);
    }
}
