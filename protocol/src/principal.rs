//! Principals, as far as the protocol needs them: names of ledgers, adjudicators and receivers.

use core::fmt;

/// A principal has at most 29 bytes (interface specification, "Principals").
pub const MAX_PRINCIPAL_LENGTH: usize = 29;

/// The name of a canister or user: 1 to [`MAX_PRINCIPAL_LENGTH`] opaque bytes.
///
/// The empty principal (the management canister) is no ledger, adjudicator or receiver and cannot
/// be expressed.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Principal {
    length: u8,
    // Zero beyond `length`, so that the derived comparisons are those of the names.
    bytes: [u8; MAX_PRINCIPAL_LENGTH],
}

/// The bytes are no principal that the protocol can use: their number is not in
/// `1..=`[`MAX_PRINCIPAL_LENGTH`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PrincipalError {
    /// How many bytes were given.
    pub length: usize,
}

impl Principal {
    /// The principal with exactly these bytes; refused if there are none or too many.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, PrincipalError> {
        let length = bytes.len();
        if length == 0 || length > MAX_PRINCIPAL_LENGTH {
            return Err(PrincipalError { length });
        }
        let mut padded = [0; MAX_PRINCIPAL_LENGTH];
        padded[..length].copy_from_slice(bytes);
        Ok(Self {
            length: length as u8,
            bytes: padded,
        })
    }

    /// The bytes, 1 to [`MAX_PRINCIPAL_LENGTH`] of them.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Principal(")?;
        for byte in self.as_slice() {
            write!(f, "{byte:02x}")?;
        }
        write!(f, ")")
    }
}

impl fmt::Display for PrincipalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a principal has 1 to {MAX_PRINCIPAL_LENGTH} bytes, not {}",
            self.length
        )
    }
}

impl core::error::Error for PrincipalError {}
