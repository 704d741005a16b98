//! Depositing what is missing: safe to begin again from nothing, after a crash that forgot every
//! order.
//!
//! ```text
//!  what lies in the deposit account ──> is anything unknown? ──> what is held ──> pay the rest
//!        (asked first)                  (then it is settled)      (asked last)
//! ```
//!
//! Money on its way is in exactly one place: paid into the deposit account, in the adjudicator's
//! journal, or held. Asked for in this order, it is seen at least once, so it is not paid twice.
//!
//! One thing cannot be seen: a transfer that left before the crash and has not executed yet. So a
//! transfer that the same situation leads to is the same transfer, memo and time included, and the
//! ledger recognises it: the time is rounded down to a [`SLOT_NS`]. Only who crashes right before a
//! slot ends and is back right after it, before the transfer has executed, can pay twice. Even that
//! is no loss: what exceeds the funding goes back to whom it came for.

use icrc_ledger_types::icrc1::transfer::TransferError;
use icrc_ledger_types::icrc2::approve::ApproveError;
use perun_canister_api::{DepositError, LedgerRefusal, Phase};
use perun_protocol::{Account, Amount, AssetId, ChannelId, Params, PartIdx, Timestamp};

use crate::funder::{DepositOrder, Door, FundError, Funder, MAX_RENEWALS, order};
use crate::{CallError, CheckError};

/// Transfers are recognised for a day after the time that they name, which is rounded down to this.
const SLOT_NS: u64 = 6 * 3_600 * 1_000_000_000;

/// A deposit as it stands.
struct Situation {
    /// What lies in the deposit account; not asked for by approval.
    in_account: Amount,
    /// Whether the adjudicator waits for the outcome of any transfer.
    is_in_doubt: bool,
    /// What is held for the participant.
    held: Amount,
    fee: Amount,
    now: Timestamp,
}

impl Funder {
    /// Deposits what is missing until `share` is held for a participant, and returns what is held.
    /// Nothing is paid if nothing is missing.
    ///
    /// It can be called again whatever happened before, also by a process that remembers nothing of
    /// it: what an earlier call paid is found and used. As with all deposits, two calls for one
    /// participant and asset must not run at the same time.
    ///
    /// # Errors
    /// [`FundError`]. A channel that is in dispute is no longer funded:
    /// [`DepositError::AlreadyRegistered`].
    pub async fn deposit_missing(
        &self,
        params: &Params,
        part: PartIdx,
        asset: AssetId,
        share: Amount,
        door: Door,
    ) -> Result<Amount, FundError> {
        if params.participant(part).is_none() {
            return Err(FundError::UnknownPart { part });
        }
        if params.asset_idx(&asset).is_none() {
            return Err(FundError::UnknownAsset);
        }
        let mut is_settled = false;
        let mut renewals = 0;
        loop {
            let seen = self.situation(params, part, asset, door).await?;
            let missing = share.checked_sub(seen.held).unwrap_or_default();
            if missing.is_zero() {
                return Ok(seen.held);
            }
            if door == Door::DepositAccount && seen.is_in_doubt && !is_settled {
                // It may be our own sweep. The next one first finds out about the one before.
                self.settle(params, part, asset).await?;
                is_settled = true;
                continue;
            }
            match self.pay(params, part, asset, missing, door, &seen).await {
                Ok(held) if held >= share => return Ok(held),
                // The fee has risen on the way, or others did at the same time what we did.
                Ok(_) if renewals < MAX_RENEWALS => {}
                Err(error) if renewals < MAX_RENEWALS && is_outrun(&error) => {}
                outcome => return outcome,
            }
            renewals += 1;
        }
    }

    /// Asks in the order on which the module's promise rests.
    async fn situation(
        &self,
        params: &Params,
        part: PartIdx,
        asset: AssetId,
        door: Door,
    ) -> Result<Situation, FundError> {
        let ledger = self.ledger(&asset);
        let in_account = match door {
            Door::Approval => Amount::ZERO,
            Door::DepositAccount => {
                let account = Account::of_deposit(params, part);
                ledger.balance(&account).await.map_err(FundError::Read)?
            }
        };
        let info = self.adjudicator.check(params).await;
        let info = info.map_err(|error| match error {
            CheckError::Unsuitable(error) => FundError::Unsuitable(error),
            CheckError::Call(error) => FundError::Read(error),
        })?;
        let holdings = self.adjudicator.holdings(params).await;
        let holdings = holdings.map_err(FundError::Holdings)?;
        if let Some(holdings) = &holdings
            && holdings.phase != Phase::Open
        {
            let refusal = DepositError::AlreadyRegistered;
            return Err(FundError::Deposit(CallError::Refused(refusal)));
        }
        let held = holdings.map(|holdings| holdings.of(params, &asset, part));
        Ok(Situation {
            in_account,
            is_in_doubt: info.journal > 0,
            held: held.unwrap_or_default(),
            fee: ledger.fee().await.map_err(FundError::Read)?,
            now: Timestamp::from_nanos(info.now_ns),
        })
    }

    /// Has the adjudicator find out what became of earlier transfers of the channel and asset.
    async fn settle(
        &self,
        params: &Params,
        part: PartIdx,
        asset: AssetId,
    ) -> Result<(), FundError> {
        match self.adjudicator.sweep(params, part, asset).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.refusal(), Some(DepositError::BelowFee { .. })) => Ok(()),
            Err(error) => Err(FundError::Deposit(error)),
        }
    }

    /// Deposits `missing`, as far as it does not lie in the deposit account already, and returns
    /// what is held since.
    async fn pay(
        &self,
        params: &Params,
        part: PartIdx,
        asset: AssetId,
        missing: Amount,
        door: Door,
        seen: &Situation,
    ) -> Result<Amount, FundError> {
        let overflow = || FundError::AmountOverflow;
        let with_fee = missing.checked_add(seen.fee).ok_or_else(overflow)?;
        let to_pay = with_fee.checked_sub(seen.in_account).unwrap_or_default();
        if door == Door::DepositAccount && to_pay.is_zero() {
            return match self.adjudicator.sweep(params, part, asset).await {
                Ok(receipt) => Ok(receipt.holding),
                Err(error) => Err(FundError::Deposit(error)),
            };
        }
        let mut order = DepositOrder {
            params: params.clone(),
            part,
            asset,
            amount: missing,
            fee: seen.fee,
            with_fee: to_pay,
            door,
            payer: self.account()?,
            expected_holding: seen.held,
            created_at: seen.now,
            memo: order::new_memo(params.id()),
            // A pull that is under way has used the allowance, or will.
            begun: seen.is_in_doubt,
        };
        if door == Door::DepositAccount {
            order.created_at = Timestamp::from_nanos(seen.now.nanos() / SLOT_NS * SLOT_NS);
            order.memo = same_memo(params.id(), seen.held);
        }
        let needed = to_pay.checked_add(seen.fee).ok_or_else(overflow)?;
        match self.carry_out(&mut order).await {
            Ok(receipt) => Ok(receipt.holding),
            Err(error) => Err(match balance_too_low(&error) {
                // The approval is there, only its fee is no longer needed.
                Some(balance) if matches!(error, FundError::Deposit(_)) => {
                    let needed = with_fee;
                    FundError::InsufficientFunds { balance, needed }
                }
                Some(balance) => FundError::InsufficientFunds { balance, needed },
                None => error,
            }),
        }
    }
}

/// The memo of the one transfer that is made on top of a holding. Channel and participant follow
/// from the account that it goes to, so that their names here are for people.
fn same_memo(channel: ChannelId, held: Amount) -> [u8; 32] {
    let mut memo = [0; 32];
    memo[..16].copy_from_slice(&channel.as_bytes()[..16]);
    memo[16..].copy_from_slice(&held.units().to_be_bytes());
    memo
}

/// Whether the situation is another one by now. A transfer was refused for certain; a deposit was
/// too, or an attempt before it has arrived, which the next look shows. So paying anew is not paying
/// twice.
fn is_outrun(error: &FundError) -> bool {
    match error {
        FundError::Transfer(CallError::Refused(refusal)) => {
            matches!(refusal, TransferError::BadFee { .. })
        }
        FundError::Deposit(error) => matches!(
            error.refusal(),
            Some(DepositError::UnexpectedHolding { .. } | DepositError::BelowFee { .. })
        ),
        _ => false,
    }
}

/// What the ledger says that the paying account has, if that is why it surely paid nothing.
fn balance_too_low(error: &FundError) -> Option<Amount> {
    let balance = match error {
        FundError::Approve(CallError::Refused(ApproveError::InsufficientFunds { balance }))
        | FundError::Transfer(CallError::Refused(TransferError::InsufficientFunds { balance })) => {
            u128::try_from(&balance.0).ok()?
        }
        FundError::Deposit(CallError::Refused(DepositError::Refused(
            LedgerRefusal::InsufficientFunds { balance },
        ))) => *balance,
        _ => return None,
    };
    Some(Amount::new(balance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_situation_has_the_same_memo_and_another_another() {
        let channel = ChannelId::from_bytes([7; 32]);
        let memo = |held| same_memo(channel, Amount::new(held));
        assert_eq!(memo(5), memo(5));
        assert_ne!(memo(5), memo(6));
        assert_ne!(
            memo(5),
            same_memo(ChannelId::from_bytes([8; 32]), Amount::new(5))
        );
    }
}
