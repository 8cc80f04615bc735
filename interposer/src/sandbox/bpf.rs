//! Seccomp filters: what the kernel would say of a system call, by running the filter's program.
//!
//! Total: any instructions give a verdict. Those that the kernel would not have accepted give its harshest one, which
//! does not matter, since such a filter is never installed.

/// `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    k: u32,
}

/// `struct seccomp_data` as words: what a filter sees of a system call.
pub struct Data([u32; 16]);

const AUDIT_ARCH_X86_64: u32 = 0xC000_003E;

impl Data {
    /// Of call `number` made by the instruction before `pc`.
    pub fn new(number: u32, pc: u64, args: &[usize; 6]) -> Data {
        let mut words =
            [number, AUDIT_ARCH_X86_64, pc as u32, (pc >> 32) as u32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (place, arg) in words[4..].chunks_exact_mut(2).zip(args) {
            place.copy_from_slice(&[*arg as u32, (*arg as u64 >> 32) as u32]);
        }
        Data(words)
    }
}

/// What a filter returns: an action in the upper half, data in the lower one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict(pub u32);

impl Verdict {
    /// Ends the process.
    pub const KILL_PROCESS: Verdict = Verdict(0x8000_0000);
    /// Ends the thread, and with it what the program is.
    pub const KILL_THREAD: Verdict = Verdict(0);
    /// Has the call go on and written to the audit log.
    pub const LOG: Verdict = Verdict(0x7ffc_0000);
    /// Has the call go on.
    pub const ALLOW: Verdict = Verdict(0x7fff_0000);

    /// Whether the call is made. Of the other verdicts most are signals, waits, or the end of the program.
    pub fn is_allowed(self) -> bool {
        matches!(Verdict(self.0 & 0xffff_0000), Verdict::ALLOW | Verdict::LOG)
    }
}

// Parts of an instruction's code.
const LD: u16 = 0;
const LDX: u16 = 1;
const ST: u16 = 2;
const STX: u16 = 3;
const ALU: u16 = 4;
const JMP: u16 = 5;
const RET: u16 = 6;
const MISC: u16 = 7;
const FROM_X: u16 = 8;

/// Words of memory that a program has.
const MEMORY: usize = 16;

/// Runs a filter's program.
pub fn run(program: &[Instruction], data: &Data) -> Verdict {
    Machine { a: 0, x: 0, memory: [0; MEMORY] }.run(program, data).unwrap_or(Verdict::KILL_THREAD)
}

struct Machine {
    a: u32,
    x: u32,
    memory: [u32; MEMORY],
}

impl Machine {
    /// `None` where the kernel would have refused the program.
    fn run(&mut self, program: &[Instruction], data: &Data) -> Option<Verdict> {
        let mut at = 0usize;
        loop {
            let instruction = program.get(at)?;
            let Instruction { code, k, .. } = *instruction;
            // Only forward, so that there is an end.
            at += 1;
            match code & 7 {
                LD => self.a = self.load(code, k, data)?,
                LDX => self.x = self.load(code, k, data)?,
                ST => *self.memory.get_mut(k as usize)? = self.a,
                STX => *self.memory.get_mut(k as usize)? = self.x,
                ALU => match self.calculate(code, k)? {
                    Some(result) => self.a = result,
                    None => return Some(Verdict::KILL_THREAD),
                },
                JMP => at = at.checked_add(self.jump(instruction)?)?,
                RET => return Some(Verdict(if code & 0x18 == 0x10 { self.a } else { k })),
                MISC if code & 0xf8 == 0x80 => self.a = self.x,
                MISC => self.x = self.a,
                _ => return None,
            }
        }
    }

    fn load(&self, code: u16, k: u32, data: &Data) -> Option<u32> {
        match code & 0xe0 {
            0x00 => Some(k),
            0x20 if k.is_multiple_of(4) => data.0.get(k as usize / 4).copied(),
            0x60 => self.memory.get(k as usize).copied(),
            0x80 => Some(size_of::<Data>() as u32),
            _ => None,
        }
    }

    /// The new accumulator; an inner `None` for a division by zero, at which the kernel ends the program with 0.
    fn calculate(&self, code: u16, k: u32) -> Option<Option<u32>> {
        let operand = if code & FROM_X != 0 { self.x } else { k };
        Some(Some(match code & 0xf0 {
            0x00 => self.a.wrapping_add(operand),
            0x10 => self.a.wrapping_sub(operand),
            0x20 => self.a.wrapping_mul(operand),
            0x30 => return Some(self.a.checked_div(operand)),
            0x40 => self.a | operand,
            0x50 => self.a & operand,
            0x60 => self.a.wrapping_shl(operand),
            0x70 => self.a.wrapping_shr(operand),
            0x80 => self.a.wrapping_neg(),
            0xa0 => self.a ^ operand,
            _ => return None,
        }))
    }

    /// Instructions to leave out.
    fn jump(&self, instruction: &Instruction) -> Option<usize> {
        let Instruction { code, if_true, if_false, k } = *instruction;
        let operand = if code & FROM_X != 0 { self.x } else { k };
        let holds = match code & 0xf0 {
            0x00 => return Some(k as usize),
            0x10 => self.a == operand,
            0x20 => self.a > operand,
            0x30 => self.a >= operand,
            0x40 => self.a & operand != 0,
            _ => return None,
        };
        Some(usize::from(if holds { if_true } else { if_false }))
    }
}

/// What strict mode does, as a filter: read, write, exit and rt_sigreturn are allowed.
pub const STRICT: [Instruction; 7] = {
    const fn on(number: libc::c_long, allow: u8) -> Instruction {
        Instruction { code: JMP | 0x10, if_true: allow, if_false: 0, k: number as u32 }
    }
    const fn ret(verdict: Verdict) -> Instruction {
        Instruction { code: RET, if_true: 0, if_false: 0, k: verdict.0 }
    }
    [
        Instruction { code: LD | 0x20, if_true: 0, if_false: 0, k: 0 },
        on(libc::SYS_read, 4),
        on(libc::SYS_write, 3),
        on(libc::SYS_exit, 2),
        on(libc::SYS_rt_sigreturn, 1),
        ret(Verdict::KILL_THREAD),
        ret(Verdict::ALLOW),
    ]
};

#[cfg(test)]
mod tests;
