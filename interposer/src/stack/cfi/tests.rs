//! Every row of the call frame information of real libraries, against gimli.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, EndianSlice, LittleEndian, Operation, RegisterRule,
    UnwindContext, UnwindContextStorage, UnwindExpression, UnwindSection, UnwindTableRow, X86_64,
};

use super::{UnwindInfo, frames_address};
use crate::stack::expression::{Base, Value};
use crate::stack::rule::{Kind, Rule, SavedRbp};

type Section<'a> = EhFrame<EndianSlice<'a, LittleEndian>>;

struct Fixed;

impl UnwindContextStorage<usize> for Fixed {
    type Rules = [(gimli::Register, RegisterRule<usize>); 32];
    type Stack = [UnwindTableRow<usize, Self>; 8];
}

/// The rule that a row of gimli's amounts to. Expressions are compared where both evaluate them.
fn expected(
    row: &UnwindTableRow<usize, Fixed>,
    section: &Section,
    encoding: gimli::Encoding,
) -> Option<Rule> {
    match row.register(X86_64::RA) {
        Some(RegisterRule::Undefined) => return Some(Rule::plain(Kind::Outermost)),
        Some(RegisterRule::Offset(-8)) => {}
        _ => return None,
    }
    let load = |expression: &UnwindExpression<usize>| value(expression, section, encoding);
    let rbp = match row.register(X86_64::RBP) {
        None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => SavedRbp::Register,
        Some(RegisterRule::Offset(offset)) => SavedRbp::AtCfa(i16::try_from(offset).ok()?),
        Some(RegisterRule::Expression(expression)) => match load(&expression)? {
            Value { base: Base::Bp, loaded: false, offset, .. } => {
                SavedRbp::AtRbp(i16::try_from(offset).ok()?)
            }
            _ => return None,
        },
        _ => return None,
    };
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register: X86_64::RSP, offset } => Value::sum(Base::Sp, *offset),
        CfaRule::RegisterAndOffset { register: X86_64::RBP, offset } => Value::sum(Base::Bp, *offset),
        CfaRule::RegisterAndOffset { .. } => return None,
        CfaRule::Expression(expression) => load(expression)?,
    };
    let offset = i32::try_from(cfa.offset).ok()?;
    match (cfa.base, cfa.loaded, rbp) {
        (Base::Sp, false, _) => Rule::register(Kind::Sp, offset, rbp),
        (Base::Bp, false, _) => Rule::register(Kind::Bp, offset, rbp),
        (base, true, _) => Some(Rule::load(base == Base::Bp, offset, (cfa.added / 8) as u8, rbp)),
        _ => None,
    }
}

/// Sums of a register and a number, and loads of them, as gimli parses them. The linkage table's is not one.
fn value(
    expression: &UnwindExpression<usize>,
    section: &Section,
    encoding: gimli::Encoding,
) -> Option<Value> {
    let mut value: Option<Value> = None;
    let mut operations = expression.get(section).ok()?.operations(encoding);
    while let Some(operation) = operations.next().ok()? {
        value = Some(match (operation, value) {
            (Operation::RegisterOffset { register: X86_64::RSP, offset, .. }, None) => {
                Value::sum(Base::Sp, offset)
            }
            (Operation::RegisterOffset { register: X86_64::RBP, offset, .. }, None) => {
                Value::sum(Base::Bp, offset)
            }
            (Operation::Deref { size: 8, .. }, Some(sum)) if !sum.loaded => Value { loaded: true, ..sum },
            (Operation::PlusConstant { value: number }, Some(sum)) if sum.loaded => {
                Value { added: sum.added + number as i64, ..sum }
            }
            (Operation::PlusConstant { value: number }, Some(sum)) => {
                Value { offset: sum.offset + number as i64, ..sum }
            }
            _ => return None,
        });
    }
    value
}

/// An ELF file's bytes, and where in them its unwind information is: offsets within one segment are the same in the
/// file and in memory, so that the file's bytes can stand for the module.
struct File {
    bytes: Vec<u8>,
    header: usize,
    /// Address in the file minus offset, in the segment that holds the unwind information.
    delta: u64,
}

impl File {
    fn read(path: &Path) -> Option<File> {
        let bytes = std::fs::read(path).ok()?;
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let count = half(56) & 0xffff;
        let headers = (0..count as usize).map(|i| word(32) as usize + i * 56);
        let header = headers.clone().find(|at| half(*at) == 0x6474_e550)?;
        let header = (word(header + 8), word(header + 16));
        Some(File { header: header.0 as usize, delta: header.1 - header.0, bytes })
    }

    fn info(&self) -> UnwindInfo<'_> {
        let header = &self.bytes[self.header..];
        let frames = frames_address(header.as_ptr() as u64, header).expect("a header of the usual form");
        let offset = frames - self.bytes.as_ptr() as u64;
        UnwindInfo { header, frames: &self.bytes[offset as usize..] }
    }

    /// Compares the rule at the first and last address of every row of each `step`th function.
    fn compare(&self, step: usize) -> HashMap<&'static str, u64> {
        let info = self.info();
        let bases = BaseAddresses::default().set_eh_frame(info.frames.as_ptr() as u64);
        let section = EhFrame::new(info.frames, LittleEndian);
        let mut context = UnwindContext::<usize, Fixed>::new_in();
        let mut found = HashMap::new();
        let mut entries = section.entries(&bases);
        let mut functions = 0;
        while let Ok(Some(entry)) = entries.next() {
            let CieOrFde::Fde(partial) = entry else { continue };
            functions += 1;
            if functions % step != 0 {
                continue;
            }
            let fde = partial.parse(|section, bases, offset| section.cie_from_offset(bases, offset)).unwrap();
            let mut rows = fde.rows(&section, &bases, &mut context).unwrap();
            while let Some(row) = rows.next_row().unwrap() {
                let wanted = expected(row, &section, fde.cie().encoding());
                for pc in [row.start_address(), row.end_address() - 1] {
                    let rule = info.rule_at(pc);
                    let kind = match wanted {
                        Some(wanted) => {
                            assert_eq!(rule, wanted, "at {:#x}", self.address(pc));
                            "rules"
                        }
                        None if rule.is(Kind::Unsupported) => "unsupported",
                        None if rule.is(Kind::Sp) && matches!(row.cfa(), CfaRule::Expression(_)) => {
                            "linkage table"
                        }
                        None => panic!("{rule:?} at {:#x}", self.address(pc)),
                    };
                    *found.entry(kind).or_default() += 1;
                }
            }
        }
        found
    }

    /// For messages: the address in the file.
    fn address(&self, pc: u64) -> u64 {
        pc.wrapping_sub(self.bytes.as_ptr() as u64).wrapping_add(self.delta)
    }
}

fn library(name: &str) -> Option<PathBuf> {
    let folders = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/lib"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

#[test]
fn every_row_of_the_c_library() {
    let path = library("libc.so.6").expect("a C library");
    let found = File::read(&path).unwrap().compare(1);
    assert!(found["rules"] > 20_000, "{found:?}");
    assert!(found["linkage table"] > 0, "{found:?}");
    // Its own return from signal handlers, and context switches that restore every register.
    assert!(found["unsupported"] < 100, "{found:?}");
}

#[test]
fn rows_of_other_libraries() {
    // Hand-written assembler with its own ideas, exceptions, a large C program.
    for (name, step) in [("libcrypto.so.3", 3), ("libstdc++.so.6", 3), ("libgcc_s.so.1", 1), ("libm.so.6", 1)]
    {
        let Some(path) = library(name) else {
            println!("{name} is not here: skipped");
            continue;
        };
        let found = File::read(&path).unwrap().compare(step);
        assert!(found["rules"] > 300, "{name}: {found:?}");
        let unsupported = found.get("unsupported").copied().unwrap_or(0);
        assert!(unsupported * 100 < found["rules"], "{name}: {found:?}");
        println!("{name}: {found:?}");
    }
}

#[test]
fn rows_of_this_program() {
    let found = File::read(&std::env::current_exe().unwrap()).unwrap().compare(5);
    assert!(found["rules"] > 1000, "{found:?}");
}

/// Damaged unwind information gives some rule, and reads nothing outside.
#[test]
fn cut_and_changed_bytes() {
    let path = library("libgcc_s.so.1").or_else(|| library("libc.so.6")).expect("a library");
    let file = File::read(&path).unwrap();
    let info = file.info();
    let section = EhFrame::new(info.frames, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(info.frames.as_ptr() as u64);
    let mut entries = section.entries(&bases);
    let mut pcs = Vec::new();
    while let Ok(Some(entry)) = entries.next() {
        if let CieOrFde::Fde(partial) = entry {
            let fde = partial.parse(|section, bases, offset| section.cie_from_offset(bases, offset)).unwrap();
            pcs.push(fde.end_address() - 1);
        }
    }
    for len in (0..info.frames.len().min(4000)).step_by(3) {
        let cut = UnwindInfo { frames: &info.frames[..len], ..info };
        pcs.iter().step_by(17).for_each(|pc| _ = std::hint::black_box(cut.rule_at(*pc)));
        let cut = UnwindInfo { header: &info.header[..len.min(info.header.len())], ..info };
        pcs.iter().step_by(17).for_each(|pc| _ = std::hint::black_box(cut.rule_at(*pc)));
    }
    let mut bytes = file.bytes.clone();
    let begin = file.info().frames.as_ptr() as usize - file.bytes.as_ptr() as usize;
    let mut random = 1u64;
    for _ in 0..20_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = begin + (random >> 33) as usize % 4000.min(bytes.len() - begin);
        let byte = std::mem::replace(&mut bytes[at], (random >> 20) as u8);
        let changed = UnwindInfo { header: &bytes[file.header..], frames: &bytes[begin..] };
        // The same places relative to the changed copy.
        let moved = |pc: u64| pc.wrapping_sub(file.bytes.as_ptr() as u64).wrapping_add(bytes.as_ptr() as u64);
        pcs.iter().step_by(29).for_each(|pc| _ = std::hint::black_box(changed.rule_at(moved(*pc))));
        bytes[at] = byte;
    }
}
