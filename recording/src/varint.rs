//! Integers on disk: LEB128, seven bits a byte, least significant first; signed ones zigzag-folded first.

/// Folds a signed difference so that small magnitudes become small numbers.
#[inline(always)]
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[inline(always)]
pub(crate) const fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Reads one integer at `*at` and moves past it. `None`, and `*at` unmoved, where the bytes end first or more
/// than 64 bits are claimed.
#[inline(always)]
pub(crate) fn read(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut position = *at;
    let mut value = 0u64;
    let mut shift = 0;
    loop {
        let byte = *bytes.get(position)?;
        position += 1;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            *at = position;
            return Some(value);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Packed;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(value: u64) {
            let mut packed = Packed::tag(1);
            packed.varint(value);
            let bytes = packed.bytes();
            let mut at = 1;
            prop_assert_eq!(read(&bytes[..packed.len()], &mut at), Some(value));
            prop_assert_eq!(at, packed.len());
        }

        #[test]
        fn zigzag_round_trip(value: i64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn too_long_is_refused() {
        assert_eq!(read(&[0xff; 11], &mut 0), None);
        assert_eq!(read(&[0x80, 0x80], &mut 0), None);
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], &mut 0), None);
    }
}
