//! Money in: check, write down, call the ledger, credit.

use candid::Principal;
use perun_canister_api::{DepositError, DepositReceipt, DepositRequest, LedgerRefusal};
use perun_protocol::Amount;

use super::System;
use super::transfer::{InTheWay, clear, fee, refresh_fee, settle};
use crate::journal::JournalNumber;
use crate::{Deposit, Settlement, Source};

/// Takes a deposit for a participant.
pub async fn deposit(
    system: &impl System,
    caller: Principal,
    request: DepositRequest,
) -> Result<DepositReceipt, DepositError> {
    let deposit = system.mutate(|adjudicator, _| adjudicator.check_deposit(caller, &request))?;
    let known = fee(system, deposit.ledger()).await.map_err(unavailable)?;
    let error = match attempt(system, &deposit, known).await {
        Err(error) if depends_on_fee(&error) => error,
        outcome => return outcome,
    };
    // The fee may be another than it was when it was last seen.
    let fee = refresh_fee(system, deposit.ledger())
        .await
        .map_err(unavailable)?;
    match fee == known {
        true => Err(error),
        false => attempt(system, &deposit, fee).await,
    }
}

fn depends_on_fee(error: &DepositError) -> bool {
    matches!(
        error,
        DepositError::BelowFee { .. }
            | DepositError::Refused(
                LedgerRefusal::BadFee { .. } | LedgerRefusal::InsufficientAllowance { .. }
            )
    )
}

async fn attempt(
    system: &impl System,
    deposit: &Deposit,
    fee: Amount,
) -> Result<DepositReceipt, DepositError> {
    let number = reserve(system, deposit, fee).await?;
    match settle(system, number).await {
        Some(Settlement::Deposited(receipt)) => Ok(receipt),
        Some(Settlement::Refused(refusal)) => Err(DepositError::Refused(refusal)),
        Some(Settlement::Unknown | Settlement::ByBalance | Settlement::Withdrawn(_)) | None => {
            Err(DepositError::Pending { journal: number.0 })
        }
    }
}

/// Writes the deposit's transfer down. What was checked before an await is checked again behind it.
///
/// Balance or allowance is read first, although the ledger would check both: nothing is written
/// down for a ledger that does not answer, nor for somebody who has nothing to deposit.
async fn reserve(
    system: &impl System,
    deposit: &Deposit,
    fee: Amount,
) -> Result<JournalNumber, DepositError> {
    clear(system, deposit.channel(), deposit.asset())
        .await
        .map_err(|in_the_way| match in_the_way {
            InTheWay::Busy => DepositError::Busy,
            InTheWay::Pending(number) => DepositError::Pending { journal: number.0 },
        })?;
    // An earlier deposit may just have arrived: then that is the answer, not a used-up allowance.
    system.read(|adjudicator| adjudicator.check_again(deposit))?;
    match deposit.source() {
        Source::Approval { from, amount, .. } => {
            let allowance = system.allowance(deposit.ledger(), from).await;
            let allowance = allowance.map_err(unavailable)?;
            let needed = amount.checked_add(fee);
            if allowance < needed.ok_or(DepositError::AmountOverflow)? {
                let allowance = allowance.units();
                let refusal = LedgerRefusal::InsufficientAllowance { allowance };
                return Err(DepositError::Refused(refusal));
            }
            system.resume(|adjudicator, now| adjudicator.reserve_pull(deposit, fee, now))
        }
        Source::DepositAccount { account } => {
            let balance = system.balance(deposit.ledger(), account).await;
            let balance = balance.map_err(unavailable)?;
            system.resume(|adjudicator, now| adjudicator.reserve_sweep(deposit, balance, fee, now))
        }
    }
}

fn unavailable(message: String) -> DepositError {
    DepositError::LedgerUnavailable { message }
}
