//! Reading unwind information: numbers from a slice, bounds checked. A read past the end gives `None`.

/// Reads from the front.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    all: &'a [u8],
    /// Offset of the next byte.
    pub at: usize,
}

impl<'a> Bytes<'a> {
    /// Reads `all` from `at`.
    #[inline]
    pub fn new(all: &'a [u8], at: usize) -> Bytes<'a> {
        Bytes { all, at }
    }

    /// Ends the reader `len` bytes from here.
    #[inline]
    pub fn limit(&mut self, len: usize) -> Option<()> {
        self.all = self.all.get(..self.at.checked_add(len)?)?;
        Some(())
    }

    /// Whether all was read.
    #[inline]
    pub fn is_at_end(&self) -> bool {
        self.at >= self.all.len()
    }

    /// Leaves out `len` bytes.
    #[inline]
    pub fn skip(&mut self, len: usize) -> Option<()> {
        self.at = self.at.checked_add(len).filter(|at| *at <= self.all.len())?;
        Some(())
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.all.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*bytes)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Option<u8> {
        let byte = *self.all.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// A number of 1, 2, 4 or 8 bytes, sign-extended if `signed`.
    pub fn fixed(&mut self, size: usize, signed: bool) -> Option<i64> {
        Some(match (size, signed) {
            (1, false) => self.u8()? as i64,
            (1, true) => self.u8()? as i8 as i64,
            (2, false) => u16::from_le_bytes(self.array()?) as i64,
            (2, true) => i16::from_le_bytes(self.array()?) as i64,
            (4, false) => u32::from_le_bytes(self.array()?) as i64,
            (4, true) => i32::from_le_bytes(self.array()?) as i64,
            (8, _) => i64::from_le_bytes(self.array()?),
            _ => return None,
        })
    }

    /// An unsigned LEB128 number that fits in 64 bits.
    pub fn unsigned(&mut self) -> Option<u64> {
        self.leb128().map(|(value, _)| value)
    }

    /// A signed LEB128 number.
    pub fn signed(&mut self) -> Option<i64> {
        let (value, bits) = self.leb128()?;
        let unused = 64u32.saturating_sub(bits);
        Some((value << unused) as i64 >> unused)
    }

    /// The value and how many bits of it were given.
    fn leb128(&mut self) -> Option<(u64, u32)> {
        let (mut value, mut bits) = (0, 0);
        loop {
            let byte = self.u8()?;
            if bits >= 64 {
                return None;
            }
            value |= (byte as u64 & 0x7f) << bits;
            bits += 7;
            if byte & 0x80 == 0 {
                return Some((value, bits));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_dwarf_has_them() {
        let mut bytes = Bytes::new(&[0xe5, 0x8e, 0x26, 0x7f, 0x80, 0x7f, 0xfe, 0xff, 0xff, 0xff], 0);
        assert_eq!(bytes.unsigned(), Some(624_485));
        assert_eq!(bytes.signed(), Some(-1));
        assert_eq!(bytes.signed(), Some(-128));
        assert_eq!(bytes.fixed(4, true), Some(-2));
        assert!(bytes.is_at_end());
        assert_eq!((bytes.u8(), bytes.unsigned(), bytes.fixed(2, false)), (None, None, None));
    }

    #[test]
    fn a_number_without_end_is_none() {
        assert_eq!(Bytes::new(&[0x80; 20], 0).unsigned(), None);
        assert_eq!(Bytes::new(&[0x80; 5], 0).unsigned(), None);
        let longest = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f];
        assert_eq!(Bytes::new(&longest, 0).signed(), Some(i64::MIN));
    }
}
