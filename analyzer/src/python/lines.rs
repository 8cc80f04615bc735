//! The line of a bytecode instruction, out of a code object's line table as the interpreter keeps it.
//!
//! CPython has had three formats: `co_lnotab` up to 3.9, `co_linetable` in 3.10, and from 3.11 on the location table
//! of the same name. Decoding is total: any bytes give stretches of bytecode, and then an end.

/// Instructions that follow one another and have the same line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// Byte offset of the first instruction.
    pub begin: u32,
    /// The offset behind the last one.
    pub end: u32,
    /// Their line; `None` for code that the compiler made up.
    pub line: Option<u32>,
}

/// The stretches of a table, from the start of the bytecode on.
pub struct Stretches<'a> {
    format: Format,
    table: &'a [u8],
    /// Where the next stretch begins.
    offset: u32,
    line: i32,
    ended: bool,
}

#[derive(Clone, Copy)]
enum Format {
    /// Pairs (bytes of code, change of the line): the change comes behind that code.
    Lnotab,
    /// Pairs (bytes of code, change of the line): the change comes before that code.
    Linetable,
    /// Entries that also have columns.
    Locations,
}

/// The change of a line that says that there is none, in [`Format::Linetable`].
const NO_LINE: i8 = -128;

/// The line of the instruction at byte offset `instruction`, -1 being before the first one, in a code object that
/// begins at `first_line`. `version` is the interpreter's `PY_VERSION_HEX`.
pub fn line(version: u32, first_line: i32, table: &[u8], instruction: i32) -> Option<u32> {
    match u32::try_from(instruction) {
        Err(_) => u32::try_from(first_line).ok(),
        Ok(at) => stretches(version, first_line, table).find(|stretch| at < stretch.end)?.line,
    }
}

/// All stretches of a line table.
pub fn stretches(version: u32, first_line: i32, table: &[u8]) -> Stretches<'_> {
    let format = match version >> 16 {
        0..0x030A => Format::Lnotab,
        0x030A => Format::Linetable,
        _ => Format::Locations,
    };
    Stretches { format, table, offset: 0, line: first_line, ended: false }
}

impl Iterator for Stretches<'_> {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        match self.format {
            Format::Lnotab => self.lnotab(),
            Format::Linetable => self.linetable(),
            Format::Locations => self.location(),
        }
    }
}

impl Stretches<'_> {
    fn lnotab(&mut self) -> Option<Stretch> {
        if self.ended {
            return None;
        }
        let line = Some(self.line);
        match self.pair() {
            Some((bytes, change)) => {
                self.line = self.line.wrapping_add(i32::from(change));
                Some(self.stretch(bytes.into(), line))
            }
            None => {
                self.ended = true;
                Some(self.stretch(u32::MAX, line))
            }
        }
    }

    fn linetable(&mut self) -> Option<Stretch> {
        let (bytes, change) = self.pair()?;
        if change == NO_LINE {
            return Some(self.stretch(bytes.into(), None));
        }
        self.line = self.line.wrapping_add(i32::from(change));
        Some(self.stretch(bytes.into(), Some(self.line)))
    }

    fn location(&mut self) -> Option<Stretch> {
        let first = self.byte()?;
        let (change, columns) = match first >> 3 & 15 {
            15 => (None, 0),
            14 => {
                let change = self.signed_varint()?;
                for _ in 0..3 {
                    self.varint()?; // end line, column, end column
                }
                (Some(change), 0)
            }
            13 => (Some(self.signed_varint()?), 0),
            code @ 10..13 => (Some(i32::from(code) - 10), 2),
            _ => (Some(0), 1),
        };
        self.table = self.table.get(columns..)?;
        if let Some(change) = change {
            self.line = self.line.wrapping_add(change);
        }
        let units = u32::from(first & 7) + 1;
        Some(self.stretch(2 * units, change.map(|_| self.line)))
    }

    fn stretch(&mut self, bytes: u32, line: Option<i32>) -> Stretch {
        let begin = self.offset;
        self.offset = begin.saturating_add(bytes);
        Stretch { begin, end: self.offset, line: line.and_then(|line| u32::try_from(line).ok()) }
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.table.split_first()?;
        self.table = rest;
        Some(first)
    }

    fn pair(&mut self) -> Option<(u8, i8)> {
        let bytes = self.byte()?;
        Some((bytes, self.byte()? as i8))
    }

    /// Six bits a byte, the least significant first; bits beyond 32 are dropped.
    fn varint(&mut self) -> Option<u32> {
        let mut value = 0;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            value |= u32::from(byte & 63).checked_shl(shift).unwrap_or(0);
            if byte & 64 == 0 {
                return Some(value);
            }
            shift = (shift + 6).min(32);
        }
    }

    fn signed_varint(&mut self) -> Option<i32> {
        let folded = self.varint()?;
        let value = (folded >> 1) as i32;
        Some(if folded & 1 == 1 { -value } else { value })
    }
}
