//! Amounts of a token.

use core::fmt;

/// An amount of one asset in its ledger's smallest unit (e8s for ICP), `0..=u128::MAX`.
///
/// Arithmetic is checked: nothing wraps. Ledgers count in unbounded `nat`; what exceeds 128 bits is
/// refused at the edge.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Amount(u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount that can be expressed.
    pub const MAX: Self = Self(u128::MAX);

    /// `units` of the ledger's smallest unit.
    pub const fn new(units: u128) -> Self {
        Self(units)
    }

    /// The number of smallest units.
    pub const fn units(self) -> u128 {
        self.0
    }

    /// Whether this is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, `None` beyond [`Amount::MAX`].
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, `None` below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The sum of all, `None` beyond [`Amount::MAX`].
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Amount;

    #[test]
    fn sums_never_wrap() {
        let one = Amount::new(1);
        assert_eq!(Amount::MAX.checked_add(one), None);
        assert_eq!(Amount::ZERO.checked_sub(one), None);
        assert_eq!(Amount::checked_sum([Amount::MAX, one]), None);
        assert_eq!(Amount::checked_sum([one, one]), Some(Amount::new(2)));
    }
}
