//! Calls to the adjudicator, such that each can be made again until a view shows that it is done.

use perun_canister_api::{ConcludeError, DisputeError, WithdrawError};
use perun_protocol::dispute::Rank;
use perun_protocol::{
    Amount, AssetId, Params, PartIdx, SignedState, SignedWithdrawalAuth, Timestamp,
};
use tokio::task::JoinSet;

use crate::CallError;
use crate::chain::{Chain, NotWithdrawn, PerformError};

/// What became of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Performed {
    /// It is as it was to be, by this call or before it.
    Done,
    /// It will never be as it was to be, because something else is.
    Moot(Moot),
    /// Everything was withdrawn but these: they are not above the ledger's fee, and stay where they
    /// are unless the fee falls.
    Kept(Vec<Kept>),
}

/// What stands in the way of a call for good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moot {
    /// A claim of this rank is registered, and it is at least as new.
    Newer(Rank),
    /// The time to refute is over.
    ChallengeElapsed {
        /// When it ended.
        at: Timestamp,
    },
    /// Something is registered or concluded, so deposits are over.
    NotOpen,
}

/// A remainder that is not above the ledger's fee.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kept {
    /// The asset.
    pub asset: AssetId,
    /// Whose remainder it is.
    pub part: PartIdx,
    /// How much it is.
    pub amount: Amount,
    /// The ledger's fee.
    pub fee: Amount,
}

impl Chain {
    /// Registers a state, or refutes by it what is registered. A final state concludes the channel.
    pub async fn dispute(
        &self,
        params: &Params,
        signed: &SignedState,
    ) -> Result<Performed, PerformError> {
        match self.adjudicator.dispute(params, signed).await {
            Ok(_) => Ok(Performed::Done),
            Err(error) => match error.refusal().and_then(moot) {
                Some(moot) => Ok(Performed::Moot(moot)),
                None => Err(PerformError::Dispute(error)),
            },
        }
    }

    /// Concludes a channel at once with a final state.
    pub async fn conclude_final(
        &self,
        params: &Params,
        signed: &SignedState,
    ) -> Result<Performed, PerformError> {
        match self.adjudicator.conclude_final(params, signed).await {
            Ok(_) => Ok(Performed::Done),
            // Had an earlier attempt concluded by this state, the last one would have been told so.
            Err(error) => match error.refusal().and_then(moot_conclusion) {
                Some(moot) => Ok(Performed::Moot(moot)),
                None => Err(PerformError::Conclude(error)),
            },
        }
    }

    /// Concludes a channel whose timeout has passed, by what is registered.
    ///
    /// The timeout may have moved later since it was seen; then [`PerformError::retry`] says when.
    pub async fn conclude(&self, params: &Params) -> Result<Performed, PerformError> {
        match self.adjudicator.conclude(params).await {
            Ok(_) => Ok(Performed::Done),
            Err(error) => Err(PerformError::Conclude(error)),
        }
    }

    /// Has the remainder that each authorisation is about paid out. Concludes the channel first if
    /// its timeout has passed.
    ///
    /// Each is on its own: a ledger that does not answer holds up nothing but its own asset.
    pub async fn withdraw(
        &self,
        auths: &[SignedWithdrawalAuth],
    ) -> Result<Performed, PerformError> {
        let mut payouts = JoinSet::new();
        for &auth in auths {
            let adjudicator = self.adjudicator.clone();
            payouts.spawn(async move { (*auth.auth(), adjudicator.withdraw(&auth).await) });
        }
        let (mut kept, mut failed) = (Vec::new(), Vec::new());
        while let Some(payout) = payouts.join_next().await {
            let (auth, paid) = payout.expect("payouts are neither aborted nor panic");
            let (asset, part) = (auth.asset, auth.part);
            match paid {
                Ok(_) => {}
                // Nothing of the asset is in flight either: it has arrived before.
                Err(CallError::Refused(WithdrawError::NothingToWithdraw)) => {}
                Err(CallError::Refused(WithdrawError::BelowFee { remainder, fee })) => {
                    kept.push(Kept {
                        asset,
                        part,
                        amount: Amount::new(remainder),
                        fee: Amount::new(fee),
                    });
                }
                Err(error) => failed.push(NotWithdrawn { asset, part, error }),
            }
        }
        if !failed.is_empty() {
            return Err(PerformError::Withdraw(failed));
        }
        if kept.is_empty() {
            return Ok(Performed::Done);
        }
        kept.sort_by_key(|kept| (kept.asset, kept.part));
        Ok(Performed::Kept(kept))
    }
}

fn moot_conclusion(refusal: &ConcludeError) -> Option<Moot> {
    match refusal {
        ConcludeError::Refused(refusal) => moot(refusal),
        _ => None,
    }
}

/// Whether a claim was refused for good because of what stands.
fn moot(refusal: &DisputeError) -> Option<Moot> {
    match refusal {
        DisputeError::Outdated { registered, .. } => Some(Moot::Newer(Rank::from(*registered))),
        DisputeError::ChallengeElapsed { at_ns } => Some(Moot::ChallengeElapsed {
            at: Timestamp::from_nanos(*at_ns),
        }),
        _ => None,
    }
}
