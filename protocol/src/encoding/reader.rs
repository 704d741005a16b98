//! Reading values from bytes that a stranger may have sent.

use alloc::vec::Vec;

use super::{Canonical, DecodeError};

/// Reads values from bytes, one after the other, and never beyond their end.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.offset..];
        let Some(taken) = rest.get(..count) else {
            let offset = self.bytes.len();
            return Err(DecodeError::UnexpectedEnd { offset });
        };
        self.offset += count;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.bytes(N)?;
        Ok(bytes.try_into().expect("exactly N bytes were taken"))
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// A length of one byte in `min..=max`.
    pub(super) fn length(
        &mut self,
        of: &'static str,
        min: usize,
        max: usize,
    ) -> Result<usize, DecodeError> {
        check_length(of, self.byte()?.into(), min, max)
    }

    /// A list with its length in front.
    pub(super) fn list<T: Canonical>(
        &mut self,
        of: &'static str,
        max: usize,
    ) -> Result<Vec<T>, DecodeError> {
        let length = self.length(of, 0, max)?;
        self.items(length)
    }

    /// A list whose length is known and bounded.
    pub(super) fn items<T: Canonical>(&mut self, length: usize) -> Result<Vec<T>, DecodeError> {
        (0..length).map(|_| T::decode_from(self)).collect()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.offset == self.bytes.len()
    }

    /// Checks that nothing is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.bytes.len() - self.offset {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }
}

/// Checks a length against its bound before anything is read or allocated for it.
pub(super) fn check_length(
    of: &'static str,
    length: usize,
    min: usize,
    max: usize,
) -> Result<usize, DecodeError> {
    if (min..=max).contains(&length) {
        return Ok(length);
    }
    Err(DecodeError::OutOfBounds {
        of,
        length,
        min,
        max,
    })
}
