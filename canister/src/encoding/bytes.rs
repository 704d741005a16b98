//! What is still to be read of a message.

/// Bytes, read from front to back.
#[derive(Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

/// A length has at most so many bytes, as Candid's own decoder has it.
const MAX_LENGTH_BYTES: usize = 9;
/// Likewise, a number of 64 bits; zeros may stand in front.
const MAX_64_BITS_BYTES: usize = 10;

impl<'a> Bytes<'a> {
    /// The next bytes, `None` if there are fewer.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// The bytes of a number in LEB128, signed or not, however large it is.
    pub fn number(&mut self) -> Option<&'a [u8]> {
        let last = self.0.iter().position(|byte| byte & 0x80 == 0)?;
        self.take(last + 1)
    }

    /// A number in LEB128 that fits into 64 bits.
    pub fn leb128(&mut self) -> Option<u64> {
        // Nearly all are that small.
        if let [byte @ 0..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Some((*byte).into());
        }
        let bytes = self.number()?;
        let number = (bytes.len() <= MAX_64_BITS_BYTES).then(|| unsigned(bytes))??;
        u64::try_from(number).ok()
    }

    /// Likewise, signed.
    pub fn signed_leb128(&mut self) -> Option<i64> {
        let bytes = self.number()?;
        let number = (bytes.len() <= MAX_64_BITS_BYTES).then(|| unsigned(bytes))??;
        let sign = number >> (7 * bytes.len() - 1) << (7 * bytes.len());
        i64::try_from(number as i128 - sign as i128).ok()
    }

    /// How many bytes, or values, follow.
    pub fn length(&mut self) -> Option<usize> {
        let before = self.0.len();
        let length = usize::try_from(self.leb128()?).ok()?;
        (before - self.0.len() <= MAX_LENGTH_BYTES).then_some(length)
    }

    /// Bytes behind their number.
    pub fn blob(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }
}

/// A number of at most 128 bits, from all bytes of its LEB128. Zeros may stand in front.
pub fn unsigned(bytes: &[u8]) -> Option<u128> {
    let mut number = 0_u128;
    for byte in bytes.iter().rev() {
        if number >> (128 - 7) != 0 {
            return None;
        }
        number = number << 7 | u128::from(byte & 0x7f);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_number_has_a_sign_of_one_bit() {
        let signed = |bytes: &[u8]| Bytes(bytes).signed_leb128();
        for (bytes, number) in [
            (&[0x00_u8][..], 0),
            (&[0x3f], 63),
            (&[0x40], -64),
            (&[0x7f], -1),
            (&[0xc0, 0x00], 64),
            (&[0xbf, 0x7f], -65),
            (&[0xff, 0x3f], 8_191),
            (&[0x80, 0x40], -8_192),
            // Longer than they need be.
            (&[0x80, 0x80, 0x00], 0),
            (&[0xff, 0xff, 0x7f], -1),
        ] {
            assert_eq!(signed(bytes), Some(number), "{bytes:02x?}");
        }
        let least = [&[0x80; 9][..], &[0x7f]].concat();
        assert_eq!(signed(&least), Some(i64::MIN));
        let most = [&[0xff; 9][..], &[0x00]].concat();
        assert_eq!(signed(&most), Some(i64::MAX));
        let more = [&[0x80; 9][..], &[0x01]].concat();
        assert_eq!(signed(&more), None);
        assert_eq!(signed(&[&[0x80; 10][..], &[0x00]].concat()), None);
        assert_eq!(signed(&[0x80]), None);
    }
}
