//! Money out: check, take out of the channel, write down, call the ledger.

use perun_canister_api::{LedgerRefusal, WithdrawError, WithdrawReceipt, WithdrawRequest};
use perun_protocol::Amount;

use super::System;
use super::transfer::{InTheWay, clear, fee, refresh_fee, settle};
use crate::{Settlement, Withdrawal};

/// Pays a participant's remainder to the receiver that it authorised.
pub async fn withdraw(
    system: &impl System,
    request: WithdrawRequest,
) -> Result<WithdrawReceipt, WithdrawError> {
    let withdrawal = system.mutate(|adjudicator, now| adjudicator.check_withdraw(&request, now))?;
    let known = fee(system, withdrawal.ledger())
        .await
        .map_err(unavailable)?;
    let error = match attempt(system, &withdrawal, known).await {
        Err(error) if depends_on_fee(&error) => error,
        outcome => return outcome,
    };
    // The fee may be another than it was when it was last seen.
    let fee = refresh_fee(system, withdrawal.ledger())
        .await
        .map_err(unavailable)?;
    match fee == known {
        true => Err(error),
        false => attempt(system, &withdrawal, fee).await,
    }
}

fn depends_on_fee(error: &WithdrawError) -> bool {
    matches!(
        error,
        WithdrawError::BelowFee { .. } | WithdrawError::Refused(LedgerRefusal::BadFee { .. })
    )
}

async fn attempt(
    system: &impl System,
    withdrawal: &Withdrawal,
    fee: Amount,
) -> Result<WithdrawReceipt, WithdrawError> {
    clear(system, withdrawal.channel(), withdrawal.asset())
        .await
        .map_err(|in_the_way| match in_the_way {
            InTheWay::Busy => WithdrawError::Busy,
            InTheWay::Pending(number) => WithdrawError::Pending { journal: number.0 },
        })?;
    let number =
        system.resume(|adjudicator, now| adjudicator.reserve_payout(withdrawal, fee, now))?;
    match settle(system, number).await {
        Some(Settlement::Withdrawn(receipt)) => Ok(receipt),
        Some(Settlement::Refused(refusal)) => Err(WithdrawError::Refused(refusal)),
        Some(Settlement::Unknown | Settlement::ByBalance | Settlement::Deposited(_)) | None => {
            Err(WithdrawError::Pending { journal: number.0 })
        }
    }
}

fn unavailable(message: String) -> WithdrawError {
    WithdrawError::LedgerUnavailable { message }
}
