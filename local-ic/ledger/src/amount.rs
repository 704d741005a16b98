//! Amounts of the smallest unit of the token.

use std::fmt;

use candid::Nat;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// A number of the token's smallest unit. Arithmetic is checked: nothing wraps.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Amount(u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// More than any ledger holds; an allowance of it is as good as unlimited.
    pub const MAX: Self = Self(u128::MAX);

    /// That many of the smallest unit.
    pub const fn new(units: u128) -> Self {
        Self(units)
    }

    /// `None` when the sum exceeds [`Amount::MAX`].
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// `None` when `other` is the larger one.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl From<Amount> for u128 {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}

impl From<Amount> for Nat {
    fn from(amount: Amount) -> Self {
        Self::from(amount.0)
    }
}

/// A number that no account can hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooLarge;

impl TryFrom<&Nat> for Amount {
    type Error = TooLarge;

    fn try_from(number: &Nat) -> Result<Self, TooLarge> {
        u128::try_from(&number.0).map(Self).map_err(|_| TooLarge)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// CBOR integers end at 64 bits, so an amount is stored as its 16 big-endian bytes.
impl<C> Encode<C> for Amount {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0.to_be_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Amount {
    fn decode(d: &mut Decoder<'b>, _ctx: &mut C) -> Result<Self, decode::Error> {
        let bytes = <[u8; 16]>::try_from(d.bytes()?)
            .map_err(|_| decode::Error::message("an amount has 16 bytes"))?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_stops_at_both_ends() {
        assert_eq!(Amount::MAX.checked_add(Amount::new(1)), None);
        assert_eq!(Amount::ZERO.checked_sub(Amount::new(1)), None);
        assert_eq!(
            Amount::new(2).checked_add(Amount::new(3)),
            Some(Amount::new(5))
        );
    }

    #[test]
    fn a_number_beyond_the_largest_amount_is_no_amount() {
        let largest = Nat::from(u128::MAX);
        assert_eq!(Amount::try_from(&largest), Ok(Amount::MAX));
        assert_eq!(Amount::try_from(&(largest + 1u8)), Err(TooLarge));
    }

    #[test]
    fn an_amount_survives_being_stored() {
        for amount in [Amount::ZERO, Amount::new(1 << 64), Amount::MAX] {
            let bytes = minicbor::to_vec(amount).expect("a vector takes every byte");
            assert_eq!(minicbor::decode::<Amount>(&bytes).unwrap(), amount);
        }
    }
}
