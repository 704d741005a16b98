//! Money out, up to the ledger call: what is checked, and what is written down before it leaves.

use candid::Principal;
use perun_canister_api::{ConcludeError, WithdrawError, WithdrawRequest, convert};
use perun_protocol::{
    Amount, AssetIdx, ChannelId, PartIdx, SignedWithdrawalAuth, Timestamp, WithdrawalAuth,
};

use crate::Adjudicator;
use crate::journal::{Entry, JournalNumber, Kind};

/// A withdrawal that its participant authorised, from a concluded channel.
#[derive(Clone, Debug)]
pub struct Withdrawal {
    auth: SignedWithdrawalAuth,
    asset: AssetIdx,
    ledger: Principal,
}

impl Withdrawal {
    /// The channel.
    pub fn channel(&self) -> ChannelId {
        self.auth.auth().channel
    }

    /// The asset, by its position in the channel.
    pub fn asset(&self) -> AssetIdx {
        self.asset
    }

    /// The asset's ledger.
    pub fn ledger(&self) -> Principal {
        self.ledger
    }
}

impl Adjudicator {
    /// Checks a withdrawal, and concludes the channel if its timeout has passed.
    pub fn check_withdraw(
        &mut self,
        request: &WithdrawRequest,
        now: Timestamp,
    ) -> Result<Withdrawal, WithdrawError> {
        let malformed = |reason| WithdrawError::Malformed { reason };
        let id = convert::channel(&request.channel)
            .map_err(|length| malformed(format!("a channel id has 32 bytes, not {length}")))?;
        let signature = convert::signature(&request.signature)
            .map_err(|length| malformed(format!("a signature has 64 bytes, not {length}")))?;
        let receiver = convert::account(&request.receiver)
            .ok_or_else(|| malformed("the receiver is the management canister".into()))?;
        let Some(channel) = self.store.channel(id) else {
            return Err(match self.store.finished(id) {
                None => WithdrawError::UnknownChannel,
                Some(_) => WithdrawError::NothingToWithdraw,
            });
        };
        let asset_id = convert::asset(request.asset).ok_or(WithdrawError::UnknownAsset)?;
        let asset = channel.params().asset_idx(&asset_id);
        let ledger = self.config().ledger(&asset_id);
        let (Some(asset), Some(ledger)) = (asset, ledger) else {
            return Err(WithdrawError::UnknownAsset);
        };
        let part = PartIdx::new(request.part);
        if channel.params().participant(part).is_none() {
            return Err(WithdrawError::UnknownPart {
                part: request.part,
                participants: channel.params().participants().len() as u8,
            });
        }
        if receiver.owner == self.name() {
            return Err(WithdrawError::ReceiverIsAdjudicator);
        }
        let channel = self.concluded(id, now).map_err(|error| match error {
            ConcludeError::ChallengeOpen { timeout_ns } => {
                WithdrawError::ChallengeOpen { timeout_ns }
            }
            // The channel is known, so only this is left.
            _ => WithdrawError::NotRegistered,
        })?;
        let remainder = channel.held(asset, part);
        let is_empty = remainder.is_none_or(Amount::is_zero);
        if is_empty && self.in_flight(id, asset).is_none() {
            return Err(WithdrawError::NothingToWithdraw);
        }
        let auth = WithdrawalAuth {
            channel: id,
            asset: asset_id,
            part,
            receiver,
        };
        let auth = auth.verify(channel.params(), signature);
        Ok(Withdrawal {
            auth: auth.ok_or(WithdrawError::WrongSignature)?,
            asset,
            ledger,
        })
    }

    /// Takes the participant's whole remainder out of the channel and writes down its payout.
    pub fn reserve_payout(
        &mut self,
        withdrawal: &Withdrawal,
        fee: Amount,
        now: Timestamp,
    ) -> Result<JournalNumber, WithdrawError> {
        let WithdrawalAuth {
            channel: id,
            part,
            receiver,
            ..
        } = *withdrawal.auth.auth();
        if self.in_flight(id, withdrawal.asset).is_some() {
            return Err(WithdrawError::Busy);
        }
        // It was there before something was awaited; if it is not now, it was paid out and is finished.
        let channel = self.store.channel(id);
        let mut channel = channel.ok_or(WithdrawError::NothingToWithdraw)?;
        let remainder = channel.take_remainder(withdrawal.asset, part);
        let remainder = remainder.filter(|remainder| !remainder.is_zero());
        let remainder = remainder.ok_or(WithdrawError::NothingToWithdraw)?;
        let amount = remainder.checked_sub(fee).filter(|rest| !rest.is_zero());
        let amount = amount.ok_or(WithdrawError::BelowFee {
            remainder: remainder.units(),
            fee: fee.units(),
        })?;
        self.store.set_channel(id, channel);
        let entry = Entry {
            channel: id,
            asset: withdrawal.asset,
            part,
            ledger: withdrawal.ledger,
            amount,
            fee,
            created_at: now,
            sends: 0,
            last_sent: now,
            kind: Kind::Payout { receiver },
        };
        Ok(self.reserve(entry))
    }
}
