//! Money in: check, write down, call the ledger, credit.

use candid::Principal;
use perun_canister::journal::JournalNumber;
use perun_canister::{Deposit, Settlement, Source};
use perun_canister_api::{DepositError, DepositReceipt, DepositRequest, LedgerRefusal};
use perun_protocol::Amount;

use crate::ledger;
use crate::state::{mutate, read, resume};
use crate::transfer::{InTheWay, clear, fee, refresh_fee, settle};

/// Takes a deposit for a participant.
pub async fn deposit(
    caller: Principal,
    request: DepositRequest,
) -> Result<DepositReceipt, DepositError> {
    let deposit = mutate(|adjudicator, _| adjudicator.check_deposit(caller, &request))?;
    let known = fee(deposit.ledger()).await.map_err(unavailable)?;
    let error = match attempt(&deposit, known).await {
        Err(error) if depends_on_fee(&error) => error,
        outcome => return outcome,
    };
    // The fee may be another than it was when it was last seen.
    let fee = refresh_fee(deposit.ledger()).await.map_err(unavailable)?;
    match fee == known {
        true => Err(error),
        false => attempt(&deposit, fee).await,
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

async fn attempt(deposit: &Deposit, fee: Amount) -> Result<DepositReceipt, DepositError> {
    let number = reserve(deposit, fee).await?;
    match settle(number).await {
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
async fn reserve(deposit: &Deposit, fee: Amount) -> Result<JournalNumber, DepositError> {
    clear(deposit.channel(), deposit.asset())
        .await
        .map_err(|in_the_way| match in_the_way {
            InTheWay::Busy => DepositError::Busy,
            InTheWay::Pending(number) => DepositError::Pending { journal: number.0 },
        })?;
    // An earlier deposit may just have arrived: then that is the answer, not a used-up allowance.
    read(|adjudicator| adjudicator.check_again(deposit))?;
    match deposit.source() {
        Source::Approval { from, amount, .. } => {
            let allowance = ledger::allowance(deposit.ledger(), from).await;
            let allowance = allowance.map_err(unavailable)?;
            let needed = amount.checked_add(fee);
            if allowance < needed.ok_or(DepositError::AmountOverflow)? {
                let allowance = allowance.units();
                let refusal = LedgerRefusal::InsufficientAllowance { allowance };
                return Err(DepositError::Refused(refusal));
            }
            resume(|adjudicator, now| adjudicator.reserve_pull(deposit, fee, now))
        }
        Source::DepositAccount { account } => {
            let balance = ledger::balance(deposit.ledger(), account).await;
            let balance = balance.map_err(unavailable)?;
            resume(|adjudicator, now| adjudicator.reserve_sweep(deposit, balance, fee, now))
        }
    }
}

fn unavailable(message: String) -> DepositError {
    DepositError::LedgerUnavailable { message }
}
