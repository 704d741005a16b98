//! Money out: check, take out of the channel, write down, call the ledger.

use perun_canister::Settlement;
use perun_canister_api::{LedgerRefusal, WithdrawError, WithdrawReceipt, WithdrawRequest};

use crate::state::mutate;
use crate::transfer::{InTheWay, clear, fee, settle};

/// A ledger that changes its fee is asked again with the new one, but not for ever.
const MAX_FEE_CHANGES: usize = 2;

/// Pays a participant's remainder to the receiver that it authorised.
pub async fn withdraw(request: WithdrawRequest) -> Result<WithdrawReceipt, WithdrawError> {
    let withdrawal = mutate(|adjudicator, now| adjudicator.check_withdraw(&request, now))?;
    let mut fee_changes = 0;
    loop {
        clear(withdrawal.channel(), withdrawal.asset())
            .await
            .map_err(|in_the_way| match in_the_way {
                InTheWay::Busy => WithdrawError::Busy,
                InTheWay::Pending(number) => WithdrawError::Pending { journal: number.0 },
            })?;
        let fee = fee(withdrawal.ledger())
            .await
            .map_err(|message| WithdrawError::LedgerUnavailable { message })?;
        let number = mutate(|adjudicator, now| adjudicator.reserve_payout(&withdrawal, fee, now))?;
        match settle(number).await {
            Some(Settlement::Withdrawn(receipt)) => return Ok(receipt),
            Some(Settlement::Refused(LedgerRefusal::BadFee { .. }))
                if fee_changes < MAX_FEE_CHANGES =>
            {
                fee_changes += 1;
            }
            Some(Settlement::Refused(refusal)) => return Err(WithdrawError::Refused(refusal)),
            Some(Settlement::Unknown | Settlement::Expired | Settlement::Deposited(_)) | None => {
                return Err(WithdrawError::Pending { journal: number.0 });
            }
        }
    }
}
