//! A table of amounts: assets × participants.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::{Amount, AssetIdx, MAX_ASSETS, MAX_PARTICIPANTS, MIN_PARTICIPANTS, PartIdx};

/// One amount for every asset and participant of a channel, shape `assets × parts`.
///
/// Invariant: the shape is within the bounds of [`crate::Params`], and each asset's sum fits an
/// [`Amount`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Balances {
    parts: u8,
    // Asset after asset, in each participant after participant.
    amounts: Vec<Amount>,
}

/// Why a table of amounts is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BalancesError {
    /// The number of participants is not in [`MIN_PARTICIPANTS`]`..=`[`MAX_PARTICIPANTS`], that of
    /// assets not in `1..=`[`MAX_ASSETS`], or the amounts are not assets × participants many.
    WrongShape {
        /// How many participants were named.
        parts: usize,
        /// How many amounts were given.
        amounts: usize,
    },
    /// The sum of an asset does not fit 128 bits.
    SumOverflow {
        /// The asset whose sum it is.
        asset: AssetIdx,
    },
}

impl Balances {
    /// A table of `parts` columns from its amounts, asset after asset. Refused if they are no table
    /// within the bounds, or if the sum of an asset does not fit 128 bits.
    pub fn new(parts: usize, amounts: Vec<Amount>) -> Result<Self, BalancesError> {
        check_shape(parts, amounts.len())?;
        for (asset, row) in amounts.chunks_exact(parts).enumerate() {
            if Amount::checked_sum(row.iter().copied()).is_none() {
                return Err(BalancesError::SumOverflow {
                    asset: AssetIdx::new(asset as u8),
                });
            }
        }
        Ok(Self {
            parts: parts as u8,
            amounts,
        })
    }

    /// A table of zeros; the shape must be one of [`Balances::new`]'s.
    pub fn zero(assets: usize, parts: usize) -> Result<Self, BalancesError> {
        let count = assets.saturating_mul(parts);
        // Before anything is allocated: the numbers may be anybody's.
        check_shape(parts, count)?;
        Self::new(parts, vec![Amount::ZERO; count])
    }

    /// How many assets, `1..=`[`MAX_ASSETS`].
    pub fn assets(&self) -> usize {
        self.amounts.len() / self.parts()
    }

    /// How many participants, [`MIN_PARTICIPANTS`]`..=`[`MAX_PARTICIPANTS`].
    pub fn parts(&self) -> usize {
        usize::from(self.parts)
    }

    /// Whether `other` has the same number of assets and participants.
    pub fn same_shape(&self, other: &Self) -> bool {
        self.parts == other.parts && self.amounts.len() == other.amounts.len()
    }

    /// The amount of `asset` that is `part`'s, `None` outside of the shape.
    pub fn at(&self, asset: AssetIdx, part: PartIdx) -> Option<Amount> {
        self.index(asset, part).map(|index| self.amounts[index])
    }

    /// Adds to one amount. Nothing changes if the place does not exist or the asset's sum would
    /// overflow; then the answer is `None`.
    #[must_use = "nothing was added if this is None"]
    pub fn checked_add_at(
        &mut self,
        asset: AssetIdx,
        part: PartIdx,
        amount: Amount,
    ) -> Option<Amount> {
        let index = self.index(asset, part)?;
        self.total(asset)?.checked_add(amount)?;
        let sum = self.amounts[index].checked_add(amount)?;
        self.amounts[index] = sum;
        Some(sum)
    }

    /// Takes the whole amount of one place and leaves zero, `None` outside of the shape.
    pub fn take_at(&mut self, asset: AssetIdx, part: PartIdx) -> Option<Amount> {
        let index = self.index(asset, part)?;
        Some(core::mem::take(&mut self.amounts[index]))
    }

    /// The sum of one asset, `None` outside of the shape.
    pub fn total(&self, asset: AssetIdx) -> Option<Amount> {
        let row = self.rows().nth(asset.index())?;
        Amount::checked_sum(row.iter().copied())
    }

    /// The amounts of each asset in the order of the assets, one per participant.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[Amount]> {
        self.amounts.chunks_exact(self.parts())
    }

    /// Every place with its amount, asset after asset.
    pub fn iter(&self) -> impl Iterator<Item = (AssetIdx, PartIdx, Amount)> + '_ {
        let parts = self.parts();
        self.amounts.iter().enumerate().map(move |(i, amount)| {
            let asset = AssetIdx::new((i / parts) as u8);
            let part = PartIdx::new((i % parts) as u8);
            (asset, part, *amount)
        })
    }

    /// Whether every amount is zero.
    pub fn is_zero(&self) -> bool {
        self.amounts.iter().all(|amount| amount.is_zero())
    }

    fn index(&self, asset: AssetIdx, part: PartIdx) -> Option<usize> {
        let inside = asset.index() < self.assets() && part.index() < self.parts();
        inside.then(|| asset.index() * self.parts() + part.index())
    }
}

fn check_shape(parts: usize, amounts: usize) -> Result<(), BalancesError> {
    let assets = amounts.checked_div(parts).unwrap_or(0);
    let is_table = assets * parts == amounts;
    if is_table
        && (MIN_PARTICIPANTS..=MAX_PARTICIPANTS).contains(&parts)
        && (1..=MAX_ASSETS).contains(&assets)
    {
        return Ok(());
    }
    Err(BalancesError::WrongShape { parts, amounts })
}

impl fmt::Display for BalancesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongShape { parts, amounts } => write!(
                f,
                "{amounts} amounts are no table of {parts} participants: \
                 1 to {MAX_ASSETS} assets and {MIN_PARTICIPANTS} to {MAX_PARTICIPANTS} participants"
            ),
            Self::SumOverflow { asset } => {
                write!(f, "the sum of asset {asset} exceeds 128 bits")
            }
        }
    }
}

impl core::error::Error for BalancesError {}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::{Balances, BalancesError};
    use crate::{Amount, AssetIdx, PartIdx};

    fn amounts(units: &[u128]) -> Vec<Amount> {
        units.iter().copied().map(Amount::new).collect()
    }

    #[test]
    fn a_table_has_its_shape() {
        let table = Balances::new(2, amounts(&[1, 2, 3, 4])).unwrap();
        assert_eq!((table.assets(), table.parts()), (2, 2));
        assert_eq!(
            table.at(AssetIdx::new(1), PartIdx::new(0)),
            Some(Amount::new(3))
        );
        assert_eq!(table.at(AssetIdx::new(2), PartIdx::new(0)), None);
        assert_eq!(table.at(AssetIdx::new(0), PartIdx::new(2)), None);
        assert_eq!(table.total(AssetIdx::new(1)), Some(Amount::new(7)));
    }

    #[test]
    fn other_shapes_are_refused() {
        for (parts, count) in [(2, 0), (2, 3), (0, 2), (1, 1), (17, 17), (2, 18)] {
            let refused = Balances::new(parts, vec![Amount::ZERO; count]);
            let error = BalancesError::WrongShape {
                parts,
                amounts: count,
            };
            assert_eq!(refused, Err(error));
        }
    }

    #[test]
    fn an_absurd_shape_is_refused_before_it_is_allocated() {
        for (assets, parts) in [(usize::MAX, 2), (usize::MAX, usize::MAX), (8, usize::MAX)] {
            let amounts = assets.saturating_mul(parts);
            let error = BalancesError::WrongShape { parts, amounts };
            assert_eq!(Balances::zero(assets, parts), Err(error));
        }
    }

    #[test]
    fn a_sum_beyond_128_bits_is_refused() {
        let asset = AssetIdx::new(1);
        let refused = Balances::new(2, amounts(&[1, 2, u128::MAX, 1]));
        assert_eq!(refused, Err(BalancesError::SumOverflow { asset }));
        let mut full = Balances::new(2, amounts(&[u128::MAX, 0])).unwrap();
        let before = full.clone();
        assert_eq!(
            full.checked_add_at(AssetIdx::new(0), PartIdx::new(1), Amount::new(1)),
            None
        );
        assert_eq!(full, before);
    }
}
