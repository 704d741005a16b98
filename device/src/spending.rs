//! How much was given away in the present period.
//!
//! It is stored with the state that gives it away, so that no restart forgets it.

use alloc::vec::Vec;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use perun_protocol::signature::PUBLIC_KEY_LENGTH;
use perun_protocol::{Amount, AssetId, AssetIdx, PublicKey, Timestamp};

/// What one channel has given away since the beginning of its present period.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq)]
#[cbor(map)]
pub(crate) struct Spending {
    /// When the period began, on the adjudicator's clock.
    #[n(0)]
    since: Timestamp,
    /// Of each asset; empty is nothing.
    #[n(1)]
    amounts: Vec<Amount>,
}

/// What a channel that is over had given away.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub(crate) struct Carried {
    #[n(0)]
    peer: ByteArray<PUBLIC_KEY_LENGTH>,
    #[n(1)]
    asset: AssetId,
    #[n(2)]
    amount: Amount,
    #[n(3)]
    since: Timestamp,
}

/// Whether a period that began `since` is over.
fn is_over(since: Timestamp, now: Timestamp, period_ns: u64) -> bool {
    now >= since.saturating_add_nanos(period_ns)
}

impl Spending {
    /// What was given away of an asset.
    pub(crate) fn given(&self, now: Timestamp, period_ns: u64, asset: AssetIdx) -> Amount {
        if is_over(self.since, now, period_ns) {
            return Amount::ZERO;
        }
        let amount = self.amounts.get(asset.index()).copied();
        amount.unwrap_or_default()
    }

    /// Some of an asset is given away.
    pub(crate) fn give(&mut self, now: Timestamp, period_ns: u64, asset: AssetIdx, amount: Amount) {
        if is_over(self.since, now, period_ns) {
            self.since = now;
            self.amounts.clear();
        }
        // A period that begins in the future was begun by a clock that was wrong.
        self.since = self.since.min(now);
        if self.amounts.len() <= asset.index() {
            self.amounts.resize(asset.index() + 1, Amount::ZERO);
        }
        if let Some(given) = self.amounts.get_mut(asset.index()) {
            *given = given.checked_add(amount).unwrap_or(Amount::MAX);
        }
    }

    /// What stays of it when the channel is over.
    pub(crate) fn carry(&self, peer: &PublicKey, assets: &[AssetId]) -> Vec<Carried> {
        let given = self.amounts.iter().zip(assets);
        let given = given.filter(|(amount, _)| !amount.is_zero());
        given
            .map(|(amount, asset)| Carried {
                peer: (*peer.as_bytes()).into(),
                asset: *asset,
                amount: *amount,
                since: self.since,
            })
            .collect()
    }
}

impl Carried {
    /// Adds what a channel that is over had given away. It counts for as long as the later of the two.
    pub(crate) fn add(carried: &mut Vec<Self>, more: Vec<Self>) {
        for more in more {
            let same = |given: &&mut Self| given.peer == more.peer && given.asset == more.asset;
            match carried.iter_mut().find(same) {
                Some(given) => {
                    let sum = given.amount.checked_add(more.amount);
                    given.amount = sum.unwrap_or(Amount::MAX);
                    given.since = given.since.max(more.since);
                }
                None => carried.push(more),
            }
        }
    }

    /// How much of `asset` counts at `now`, and whether it went to `peer`.
    pub(crate) fn given(
        &self,
        now: Timestamp,
        period_ns: u64,
        asset: AssetId,
        peer: &PublicKey,
    ) -> Option<(Amount, bool)> {
        let counts = self.asset == asset && !self.is_over(now, period_ns);
        counts.then_some((self.amount, *self.peer == *peer.as_bytes()))
    }

    /// Whether it no longer counts.
    pub(crate) fn is_over(&self, now: Timestamp, period_ns: u64) -> bool {
        is_over(self.since, now, period_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_forgets_what_was_given_before() {
        let at = Timestamp::from_nanos;
        let (one, other) = (AssetIdx::new(0), AssetIdx::new(1));
        let mut spending = Spending::default();
        spending.give(at(1_000), 100, other, Amount::new(5));
        spending.give(at(1_099), 100, other, Amount::new(2));
        assert_eq!(spending.given(at(1_099), 100, other), Amount::new(7));
        assert_eq!(spending.given(at(1_099), 100, one), Amount::ZERO);
        assert_eq!(spending.given(at(1_100), 100, other), Amount::ZERO);
        spending.give(at(1_100), 100, one, Amount::MAX);
        spending.give(at(1_100), 100, one, Amount::MAX);
        assert_eq!(spending.given(at(1_100), 100, one), Amount::MAX);
        assert_eq!(spending.given(at(1_100), 100, other), Amount::ZERO);
    }
}
