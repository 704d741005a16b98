//! Money in: check, write down, call the ledger, credit.

use candid::Principal;
use perun_canister::journal::JournalNumber;
use perun_canister::{Deposit, Settlement, Source};
use perun_canister_api::{DepositError, DepositReceipt, DepositRequest, LedgerRefusal};

use crate::ledger;
use crate::state::{mutate, read};
use crate::transfer::{InTheWay, clear, fee, settle};

/// A ledger that changes its fee is asked again with the new one, but not for ever.
const MAX_FEE_CHANGES: usize = 2;

/// Takes a deposit for a participant.
pub async fn deposit(
    caller: Principal,
    request: DepositRequest,
) -> Result<DepositReceipt, DepositError> {
    let deposit = read(|adjudicator| adjudicator.check_deposit(caller, &request))?;
    let mut fee_changes = 0;
    loop {
        let number = reserve(&deposit).await?;
        match settle(number).await {
            Some(Settlement::Deposited(receipt)) => return Ok(receipt),
            Some(Settlement::Refused(LedgerRefusal::BadFee { .. }))
                if fee_changes < MAX_FEE_CHANGES =>
            {
                fee_changes += 1;
            }
            Some(Settlement::Refused(refusal)) => return Err(DepositError::Refused(refusal)),
            Some(Settlement::Unknown | Settlement::Expired | Settlement::Withdrawn(_)) | None => {
                return Err(DepositError::Pending { journal: number.0 });
            }
        }
    }
}

/// Writes the deposit's transfer down. Everything that was checked before an await is checked again
/// behind it.
async fn reserve(deposit: &Deposit) -> Result<JournalNumber, DepositError> {
    let unavailable = |message| DepositError::LedgerUnavailable { message };
    clear(deposit.channel(), deposit.asset())
        .await
        .map_err(|in_the_way| match in_the_way {
            InTheWay::Busy => DepositError::Busy,
            InTheWay::Pending(number) => DepositError::Pending { journal: number.0 },
        })?;
    let fee = fee(deposit.ledger()).await.map_err(unavailable)?;
    match deposit.source() {
        Source::Approval { .. } => {
            mutate(|adjudicator, now| adjudicator.reserve_pull(deposit, fee, now))
        }
        Source::DepositAccount { account } => {
            let balance = ledger::balance(deposit.ledger(), account).await;
            let balance = balance.map_err(unavailable)?;
            mutate(|adjudicator, now| adjudicator.reserve_sweep(deposit, balance, fee, now))
        }
    }
}
